//! Rules that are broken on purpose, where each is found, and as what.

use super::config::{Bug, Config, LONE};
use super::state::{Broken, Budget};

const CANCEL: Budget = Budget { cancels: 1, ..LONE.left };
const FEW: Budget = Budget { doubled: 0, lost: 0, ..LONE.left };

/// Each planted bug in a configuration that shows it, what is found, and after how few steps.
pub(crate) fn planted() -> Vec<(Config, Broken, usize)> {
    let lone = Config { simplified: false, ..LONE };
    let once = Config { failures_max: 1, ..lone };
    let chain = Config { jobs: 2, parents: [0, 1, 0, 0], ..lone };
    let join = Config { jobs: 3, parents: [0, 0, 3, 0], failures_max: 1, ..lone };
    let lost_once = Config { failures_max: 9, losses_max: 1, ..lone };
    let retry = Budget { retries: 1, ..CANCEL };
    let with = |bug, steps, config: Config, broken| (Config { bug, ..config }, broken, steps);
    vec![
        with(Bug::NoLapsedCheck, 5, lone, Broken::LiveLease),
        with(Bug::RescueOfLiveLease, 5, once, Broken::LiveLease),
        with(Bug::BeatBumpsRevision, 2, lone, Broken::FencedOff),
        with(Bug::UpdateErasesAsked, 7, Config { left: CANCEL, ..lone }, Broken::StartedAfterStop),
        with(Bug::EndsIgnoreAsked, 4, Config { left: CANCEL, ..once }, Broken::StopIgnored),
        with(Bug::EndsIgnoreAsked, 6, Config { left: CANCEL, ..lost_once }, Broken::StopIgnored),
        with(Bug::AskedComparedOutOfEnds, 7, Config { left: retry, ..lone }, Broken::RetryRefused),
        with(Bug::UpdateOverwritesCounters, 4, Config { left: Budget { edits: 1, ..LONE.left }, ..join }, Broken::CountersDiffer),
        with(Bug::ReleaseWithoutWakeAt, 7, Config { caller: true, ..chain }, Broken::Forgotten),
        with(Bug::ReleaseDropsWakeAt, 2, Config { expires: 2, ..chain }, Broken::NoTimer),
        with(Bug::NonceNotKept, 3, lone, Broken::ResendUntrue),
        with(Bug::NotMineIsNotApplied, 5, lone, Broken::ResendUntrue),
        with(Bug::OverAsBool, 6, Config { over: true, ..submits(once) }, Broken::SubmittedTwice),
        with(Bug::NoEndIsMine, 6, Config { absent: true, ..submits(once) }, Broken::SubmittedTwice),
        with(Bug::NoEndIsMine, 7, Config { over: true, ..submits(once) }, Broken::SubmittedTwice),
        with(Bug::EveryEndIsMine, 3, Config { over: true, ..submits(once) }, Broken::SubmitVanished),
        with(Bug::CounterOnly, 4, Config { left: Budget { rewinds: 1, ..LONE.left }, ..lone }, Broken::TwoClaims),
        with(Bug::StateOnly, 6, lone, Broken::StaleCommit),
        with(Bug::AskWithoutExpect, 9, Config { left: retry, ..lone }, Broken::WrongGeneration),
        with(Bug::ReleasesApart, 2, Config { left: FEW, ..chain }, Broken::Forgotten),
        with(Bug::ClaimKeepsRevision, 7, lone, Broken::TwoClaims),
        with(Bug::ClaimIgnoresRule, 7, Config { take: false, failures_max: 1, ..chain }, Broken::AgainstRule),
        with(Bug::CancelReleasesNobody, 2, Config { left: Budget { cancels: 1, ..FEW }, ..chain }, Broken::Forgotten),
        with(Bug::RetryOfAStep, 6, Config { left: Budget { retries: 1, ..LONE.left }, ..join }, Broken::FiredEarly),
        with(Bug::AckBeforeClaim, 2, Config { left: FEW, ..lone }, Broken::Forgotten),
        with(Bug::NoPushAgain, 0, Config { caller: true, left: FEW, ..lone }, Broken::NoWayToAnEnd),
        with(Bug::InlineForgotten, 3, Config { inline: true, ..chain }, Broken::InlineForgotten),
    ]
}

fn submits(config: Config) -> Config {
    Config { left: Budget { submits: 1, ..config.left }, ..config }
}
