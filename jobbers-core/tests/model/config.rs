//! What is explored: small sets of jobs, processes, faults and requests, and rules to break on purpose.

use super::state::{Budget, JOBS};

/// One rule of the protocol, broken on purpose: a checker that does not find it is no checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Bug {
    #[default]
    None,
    // In what the store does.
    NoLapsedCheck,
    BeatBumpsRevision,
    UpdateErasesAsked,
    EndsIgnoreAsked,
    AskedComparedOutOfEnds,
    UpdateOverwritesCounters,
    ReleaseWithoutWakeAt,
    ReleaseDropsWakeAt,
    OverAsBool,
    CounterOnly,
    StateOnly,
    AskWithoutExpect,
    ReleasesApart,
    // In what the machine decides.
    RescueOfLiveLease,
    ClaimKeepsRevision,
    ClaimIgnoresRule,
    CancelReleasesNobody,
    RetryOfAStep,
    // In what its callers do.
    NonceNotKept,
    AckBeforeClaim,
    NoPushAgain,
    EveryEndIsMine,
    NoEndIsMine,
    NotMineIsNotApplied,
    InlineForgotten,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Config {
    pub name: &'static str,
    pub jobs: usize,
    /// A bit for each parent.
    pub parents: [u8; JOBS],
    /// Fires after so many ends; 0: when all have ended.
    pub ended: [u32; JOBS],
    /// Runs however its parents ended.
    pub any_end: [bool; JOBS],
    /// Where Dispatch::Caller.
    pub caller: bool,
    /// Workers take as well.
    pub take: bool,
    /// A success claims its first child.
    pub inline: bool,
    /// Job 0 is a map with two items, 2 and 3, job 1 its join.
    pub map: bool,
    /// A success of job 0 adds job 1.
    pub follow_up: bool,
    /// Job 0 has ended before.
    pub over: bool,
    /// Job 0 is yet to be submitted.
    pub absent: bool,
    /// A request may be late instead of lost.
    pub late_requests: bool,
    /// Workers defer and park, and turns come.
    pub parks: bool,
    pub failures_max: u32,
    pub losses_max: u32,
    pub workers: usize,
    pub schedulers: usize,
    /// A bit for each job that expires.
    pub expires: u8,
    /// A bit for each job with a deadline.
    pub deadline: u8,
    /// A store that comes back older leaves the queue as it is.
    pub queue_apart: bool,
    /// Workers are interchangeable, so are schedulers, and what is known of a revision that is gone is forgotten.
    pub simplified: bool,
    pub left: Budget,
    pub bug: Bug,
}

impl Config {
    /// Whether the counts of revisions are part of a state. They grow without end, and the nonces tell revisions apart.
    pub(crate) fn counts(&self) -> bool {
        self.bug == Bug::CounterOnly
    }

    pub(crate) fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }
}

const FAULTS: Budget =
    Budget { crashes: 1, doubled: 1, lost: 1, unknown: 1, cancels: 0, edits: 0, retries: 0, put_off: 0, submits: 0, rewinds: 0 };
/// Crashes and lost answers only.
const FEW: Budget = Budget { doubled: 0, lost: 0, ..FAULTS };

/// One job, two workers, one scheduler.
pub(crate) const LONE: Config = Config {
    name: "",
    jobs: 1,
    parents: [0; JOBS],
    ended: [0; JOBS],
    any_end: [false; JOBS],
    caller: false,
    take: true,
    inline: false,
    map: false,
    follow_up: false,
    over: false,
    absent: false,
    late_requests: true,
    parks: false,
    failures_max: 2,
    losses_max: 2,
    workers: 2,
    schedulers: 1,
    expires: 0,
    deadline: 0,
    queue_apart: false,
    simplified: true,
    left: FAULTS,
    bug: Bug::None,
};
const ONCE: Config = Config { failures_max: 1, ..LONE };
const CHAIN: Config = Config { jobs: 2, parents: [0, 1, 0, 0], failures_max: 1, ..LONE };
const JOIN: Config = Config { jobs: 3, parents: [0, 0, 3, 0], failures_max: 1, left: FEW, ..LONE };
const MAP: Config = Config {
    jobs: 4,
    parents: [0, 0b1101, 0, 0],
    map: true,
    any_end: [false, true, false, false],
    failures_max: 1,
    losses_max: 1,
    take: false,
    left: FEW,
    ..LONE
};

/// Explored whole, in every run of the tests.
pub(crate) fn small() -> Vec<Config> {
    let quiet = Budget { crashes: 0, ..FEW };
    vec![
        Config { name: "lone, all faults", left: Budget { put_off: 1, ..FAULTS }, ..LONE },
        Config { name: "lone, cancel and retry", left: Budget { cancels: 1, retries: 1, ..FEW }, ..ONCE },
        Config { name: "lone, two lost answers, cancel", left: Budget { cancels: 1, unknown: 2, ..FEW }, ..LONE },
        Config { name: "lone, cancel", left: Budget { cancels: 1, ..FEW }, ..ONCE },
        Config { name: "lone, cancel, nothing simplified", left: Budget { cancels: 1, ..FEW }, simplified: false, ..ONCE },
        Config { name: "lone, deadline and hand back", deadline: 1, left: Budget { put_off: 1, ..FEW }, ..LONE },
        Config { name: "lone, parked and deferred", parks: true, expires: 1, left: Budget { cancels: 1, ..FEW }, ..ONCE },
        Config { name: "lone, caller dispatches, 2 schedulers", caller: true, schedulers: 2, left: FEW, ..LONE },
        Config { name: "lone, caller dispatches, cancel", caller: true, left: Budget { cancels: 1, ..quiet }, ..ONCE },
        Config { name: "lone, rewind", left: Budget { rewinds: 1, ..quiet }, ..LONE },
        Config { name: "lone, caller dispatches, rewind", caller: true, late_requests: false, left: Budget { rewinds: 1, ..FEW }, ..ONCE },
        Config { name: "chain, rewind", late_requests: false, left: Budget { rewinds: 1, ..quiet }, ..CHAIN },
        Config { name: "chain, inline", inline: true, left: FEW, ..CHAIN },
        Config { name: "chain, expiry", expires: 3, take: false, left: Budget { cancels: 1, ..quiet }, ..CHAIN },
        Config { name: "chain, caller dispatches, expiry", caller: true, expires: 2, left: quiet, ..CHAIN },
        Config { name: "follow-up", follow_up: true, jobs: 2, left: FEW, ..ONCE },
        Config { name: "join of two", ..JOIN },
        Config { name: "join of two, early", ended: [0, 0, 1, 0], any_end: [false, false, true, false], take: false, left: quiet, ..JOIN },
        Config { name: "join of three", jobs: 4, parents: [0, 0, 0, 7], losses_max: 1, take: false, left: quiet, ..JOIN },
        Config { name: "join of two, edit and cancel", take: false, left: Budget { edits: 1, cancels: 1, unknown: 0, ..quiet }, ..JOIN },
        Config { name: "map", ..MAP },
        Config { name: "map, cancel", left: Budget { cancels: 1, unknown: 0, ..quiet }, ..MAP },
        Config { name: "submit", absent: true, left: Budget { unknown: 2, cancels: 1, ..quiet }, ..ONCE },
        Config { name: "submit over an ended one", over: true, left: Budget { unknown: 2, ..quiet }, ..ONCE },
        Config { name: "submit, caller dispatches", absent: true, caller: true, left: FEW, ..ONCE },
    ]
}

/// Larger ones, for a long run; capped.
pub(crate) fn large() -> Vec<Config> {
    let cancel = Budget { cancels: 1, ..FAULTS };
    let rewind = Budget { rewinds: 1, ..FAULTS };
    let quiet = Budget { crashes: 0, ..FEW };
    vec![
        Config { name: "rewind lone own", late_requests: false, left: Budget { cancels: 1, lost: 0, ..rewind }, ..LONE },
        Config { name: "rewind lone own queue apart", queue_apart: true, left: rewind, ..LONE },
        Config { name: "rewind lone caller", caller: true, late_requests: false, left: Budget { rewinds: 1, ..FEW }, ..LONE },
        Config { name: "chain own", left: cancel, ..CHAIN },
        Config { name: "chain own inline", inline: true, left: Budget { doubled: 0, ..cancel }, ..CHAIN },
        Config { name: "chain caller", caller: true, left: Budget { cancels: 1, ..FEW }, ..CHAIN },
        Config { name: "join2 own edit cancel", take: false, left: Budget { edits: 1, cancels: 1, ..quiet }, ..JOIN },
        Config { name: "join2 caller", caller: true, losses_max: 1, ..JOIN },
        Config {
            name: "join2 early own",
            ended: [0, 0, 1, 0],
            any_end: [false, false, true, false],
            failures_max: 2,
            take: false,
            left: quiet,
            ..JOIN
        },
        Config { name: "join3 own", jobs: 4, parents: [0, 0, 0, 7], losses_max: 1, take: false, ..JOIN },
        Config { name: "chain own expiry", expires: 3, take: false, left: Budget { cancels: 1, ..FEW }, ..CHAIN },
        Config { name: "chain caller expiry", caller: true, expires: 2, left: FEW, ..CHAIN },
        Config { name: "map own", losses_max: 2, ..MAP },
        Config { name: "map own cancel", left: Budget { cancels: 1, ..quiet }, ..MAP },
        Config { name: "map own edit", left: Budget { edits: 1, ..quiet }, ..MAP },
        Config { name: "map own 2 lost answers", left: Budget { unknown: 2, ..quiet }, ..MAP },
        Config { name: "map caller", caller: true, take: true, left: quiet, ..MAP },
        Config { name: "lone own", schedulers: 2, left: Budget { put_off: 1, ..cancel }, ..LONE },
        Config { name: "lone caller", caller: true, left: Budget { cancels: 1, put_off: 1, ..FEW }, ..LONE },
        Config { name: "lone own cancel retry", left: Budget { cancels: 2, retries: 1, ..FAULTS }, ..LONE },
        Config { name: "lone own 2 lost answers", left: Budget { cancels: 1, retries: 1, unknown: 2, ..FEW }, ..LONE },
        Config { name: "lone caller cancel retry", caller: true, left: Budget { cancels: 2, retries: 1, ..FAULTS }, ..ONCE },
        Config { name: "lone own parks", parks: true, expires: 1, deadline: 1, left: cancel, ..LONE },
        Config { name: "submit own", absent: true, left: Budget { unknown: 2, ..cancel }, ..ONCE },
        Config { name: "submit caller", absent: true, caller: true, left: Budget { unknown: 2, ..cancel }, ..ONCE },
        Config { name: "over own", over: true, left: Budget { unknown: 2, ..cancel }, ..ONCE },
        Config { name: "over caller", over: true, caller: true, left: Budget { unknown: 2, ..cancel }, ..ONCE },
    ]
}
