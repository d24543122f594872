//! Each rule of the checker has a planted bug that it finds: a rule without one does not compile.

use std::time::Duration;

use jobbers_conformance::checker::{End, Rule, Violation, check};
use jobbers_conformance::faults::{Fault, Profile};
use jobbers_conformance::history::{By, Event, What};
use jobbers_conformance::kit::{at, at_millis, key, limit_name, task};
use jobbers_conformance::sabotage::{Sabotage, Sabotaged};
use jobbers_conformance::simulation::{Mode, Path, Plan, play_on};
use jobbers_core::driver::Dispatch;
use jobbers_core::record::JobState;
use jobbers_core::scheduler::SchedulerOptions;
use jobbers_core::{JobId, WorkerId};

use super::{at_end, found, holder, id, permit, place, planted, revision, start, write};

fn wrote(step: u32, count: u32, by: By, state: JobState, attempt: u32) -> What {
    What::Wrote(write(id(step), count, by, state, attempt))
}

/// The clean history, and one event before the write of this job with this count.
fn with(step: u32, count: u32, what: What) -> Vec<Violation> {
    planted(|history| history.insert(place(history, step, count), what))
}

/// What the checker says of a bug that breaks this rule.
fn found_of(rule: Rule) -> Vec<Violation> {
    match rule {
        Rule::Lost => planted(|history| history.retain(|what| !matches!(what, What::Found { job, .. } if *job == id(2)))),
        Rule::Unended => planted(|history| history.push(What::Found { job: id(1), state: JobState::Parked })),
        Rule::Stale => planted(|history| history.push(wrote(1, 7, By::Update, JobState::Ready, 2))),
        Rule::TwoOwners => with(1, 5, What::Renewed { job: id(1), revision: revision(2), until: at_end() }),
        Rule::Undrained => undrained(),
        Rule::ClaimedFrom => planted(|history| history.push(wrote(1, 6, By::Take, JobState::Running, 3))),
        Rule::Unknown => planted(|history| history.push(What::Knows { worker: WorkerId::from_u128(1), task: task("image.resize") })),
        Rule::Attempt => with(1, 2, wrote(1, 2, By::Update, JobState::Scheduled, 1)),
        Rule::EndedTwice => planted(|history| history.push(wrote(1, 6, By::Update, JobState::Dead, 2))),
        Rule::Replaced => with(1, 2, wrote(1, 2, By::Insert, JobState::Ready, 0)),
        Rule::SettledTwice => found([settled(5), settled(6)].into()),
        Rule::AppliedTwice => found([settled(5), settled(5)].into()),
        Rule::Unclaimed => planted(|history| history.push(start(1, 3))),
        Rule::EndedUnstarted => planted(|history| history.push(What::HandlerEnd { job: id(2), fence: revision(2) })),
        Rule::JoinedEarly => planted(|history| {
            history.push(What::Joined { job: id(2), fence: revision(2), ended: 2, unended: 1, expected: 3 });
        }),
        Rule::RanAfterCancel => with(1, 3, What::Stopped { job: id(1) }),
        Rule::OverBound => planted(|history| history.push(permit(4, 15))),
        Rule::OverRate => spent(&[0, 0, 0]),
        Rule::TickTwice => found(ticks(&[(0, 1, id(20)), (0, 1, id(21))])),
        Rule::TickMissed => found(ticks(&[(0, 0, id(20)), (0, 2, id(21))])),
    }
}

fn settled(commit: u64) -> What {
    What::Settled { commit, parent: Some(id(1)), child: id(2), edges: 1 }
}

/// A schedule's ticks, each with the job that it made.
fn ticks(made: &[(u32, u64, JobId)]) -> Vec<What> {
    let one = |(schedule, tick, job): &(u32, u64, JobId)| {
        let insert = write(*job, 1, By::Insert, JobState::Ready, 0);
        [What::Tick { schedule: *schedule, tick: *tick, job: *job }, What::Wrote(insert)]
    };
    made.iter().flat_map(one).collect()
}

/// What is spent of a rate of one in 2 s with a burst of 2, at these milliseconds.
fn spent(at_: &[u64]) -> Vec<Violation> {
    let by_another = at_.iter().zip(1..).map(|(millis, who)| (*millis, who));
    spent_by(&by_another.collect::<Vec<_>>())
}

/// The same, each time by this holder, for whom an ask is the same for 5 s.
fn spent_by(asks: &[(u64, u64)]) -> Vec<Violation> {
    let rated = What::Rated { limit: limit_name("customer"), count: 1, period: Duration::from_secs(2), burst: 2 };
    let spends = asks.iter().map(|(millis, who)| Event {
        at: at_millis(*millis),
        what: What::Spent { holder: holder(*who), keys: vec![(key("customer", "7"), 1)], until: at_millis(millis + 5_000) },
    });
    check(&[Event { at: at(0), what: rated }].into_iter().chain(spends).collect::<Vec<_>>(), End::Drained)
}

/// A store that forgets what was due once, played until its time is over.
fn undrained() -> Vec<Violation> {
    let profile = Profile::default().with(Fault::Before, 100);
    let played = |seed| {
        let plan = Plan { mode: Mode::Safety, dispatch: Dispatch::Own, path: Path::Long, acts: 20, profile, ..Plan::of(seed) };
        play_on(plan, &Sabotaged::by(Sabotage::DueForgets), SchedulerOptions::default()).violations
    };
    (0..20).map(played).find(|found| !found.is_empty()).unwrap_or_default()
}

#[test]
fn each_rule_finds_the_bug_that_is_planted_for_it() {
    assert_eq!(Rule::ALL.len(), 20);
    for rule in Rule::ALL {
        let found = found_of(*rule);
        assert!(found.iter().any(|violation| violation.rule() == *rule), "{rule:?} finds nothing of what is planted for it: {found:?}");
    }
}

#[test]
fn a_rate_that_is_kept_is_no_violation_in_whatever_window() {
    assert_eq!(spent(&[0, 0, 2_000, 4_000, 20_000, 20_000, 22_000]), vec![]);
    assert_eq!(spent(&[0, 0, 1_999]).len(), 1);
    assert_eq!(spent(&[0, 10_000, 10_000, 11_000]).len(), 1, "an idle key gathers no more than its burst");
    assert_eq!(spent(&[10_000, 9_000, 8_000]).len(), 2, "a clock that lags earns nothing");
    assert_eq!(spent(&[3_600_000, 0, 0]), vec![], "a clock that was an hour ahead says nothing of what comes then");
}

#[test]
fn who_asks_again_spends_nothing_again_and_later_does() {
    assert_eq!(spent_by(&[(0, 1), (0, 1), (1, 1), (4_000, 1), (4_000, 2), (4_000, 3)]), vec![]);
    assert_eq!(spent_by(&[(0, 1), (0, 2), (1, 1), (2, 3)]).len(), 1, "others do");
    assert_eq!(spent_by(&[(0, 1), (5_000, 1), (5_000, 2), (5_000, 3)]).len(), 1, "it is another ask by then");
}

#[test]
fn ticks_that_follow_each_other_are_no_violation() {
    assert_eq!(found(ticks(&[(0, 0, id(20)), (0, 1, id(21)), (1, 0, id(22)), (1, 1, id(23))])), vec![]);
    assert_eq!(found(ticks(&[(1, 1, id(22))])), vec![Violation::TickMissed(1, 0)], "the first one is missing");
    let again = [ticks(&[(0, 0, id(20))]), vec![What::Tick { schedule: 0, tick: 0, job: id(20) }]].concat();
    assert_eq!(found(again), vec![], "a tick that is made by two schedulers is one job");
}

#[test]
fn a_worker_claims_what_it_knows_and_of_others_nothing_is_said() {
    let knows = |name: &str| What::Knows { worker: WorkerId::from_u128(1), task: task(name) };
    assert_eq!(planted(|history| history.extend([knows("image.resize"), knows("mail.send")])), vec![]);
    assert_eq!(planted(|history| history.push(What::Knows { worker: WorkerId::from_u128(99), task: task("none") })), vec![]);
}
