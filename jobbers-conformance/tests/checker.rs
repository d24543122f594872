//! The checker is tested too: a history that keeps every promise is clean, and each planted violation is found.

#[path = "checker/rewinds.rs"]
mod rewinds;
#[path = "checker/rules.rs"]
mod rules;

use jobbers_conformance::checker::{End, Violation, check};
use jobbers_conformance::history::{By, Event, What, Write};
use jobbers_conformance::kit::{at, key, limit_name, task};
use jobbers_core::driver::Holder;
use jobbers_core::record::{JobState, Revision};
use jobbers_core::{JobId, RunId, WorkerId};

fn id(step: u32) -> JobId {
    JobId::new(RunId::from_u128(7), step)
}

fn revision(count: u32) -> Revision {
    Revision { count, nonce: u64::from(count) * 1_000 }
}

fn write(job: JobId, count: u32, by: By, state: JobState, attempt: u32) -> Write {
    let running = state == JobState::Running;
    Write {
        job,
        task: task("mail.send"),
        expect: (by == By::Update).then(|| revision(count - 1)),
        by,
        revision: revision(count),
        state,
        attempt,
        owner: running.then(|| WorkerId::from_u128(u128::from(attempt))),
        until: running.then(|| at(15)),
    }
}

fn start(step: u32, count: u32) -> What {
    What::HandlerStart { job: id(step), fence: revision(count), worker: WorkerId::from_u128(1) }
}

fn holder(nonce: u64) -> Holder {
    Holder { job: id(9), nonce }
}

fn permit(nonce: u64, until: u64) -> What {
    What::Permit { key: key("customer", "7"), holder: holder(nonce), cost: 1, until: at(until) }
}

/// A parent that is lost once and then succeeds, a child that it releases, and a limit of two.
fn clean() -> Vec<What> {
    let wrote = |job, count, by, state, attempt| What::Wrote(write(id(job), count, by, state, attempt));
    vec![
        What::Invoke { call: 1, jobs: vec![id(1), id(2)] },
        wrote(1, 1, By::Insert, JobState::Ready, 0),
        wrote(2, 1, By::Insert, JobState::Waiting, 0),
        What::Ok { call: 1 },
        What::Invoke { call: 2, jobs: vec![id(3)] },
        What::Unknown { call: 2 },
        wrote(1, 2, By::Take, JobState::Running, 1),
        start(1, 2),
        What::Renewed { job: id(1), revision: revision(2), until: at(20) },
        wrote(1, 3, By::Update, JobState::Ready, 1),
        wrote(1, 4, By::Update, JobState::Running, 2),
        start(1, 4),
        What::HandlerEnd { job: id(1), fence: revision(2) },
        What::HandlerEnd { job: id(1), fence: revision(4) },
        wrote(1, 5, By::Update, JobState::Succeeded, 2),
        What::Settled { commit: 5, parent: Some(id(1)), child: id(2), edges: 1 },
        wrote(2, 2, By::Release, JobState::Running, 1),
        wrote(2, 3, By::Update, JobState::Dead, 1),
        wrote(2, 4, By::Update, JobState::Ready, 1),
        wrote(2, 5, By::Update, JobState::Running, 2),
        wrote(2, 6, By::Update, JobState::Succeeded, 2),
        What::Bounded { limit: limit_name("customer"), most: Some(2) },
        permit(1, 15),
        permit(2, 15),
        What::Freed { holder: holder(1) },
        permit(3, 15),
        permit(3, 30),
        What::Found { job: id(1), state: JobState::Succeeded },
        What::Found { job: id(2), state: JobState::Succeeded },
    ]
}

fn found(history: Vec<What>) -> Vec<Violation> {
    let events: Vec<Event> = history.into_iter().map(|what| Event { at: at(1), what }).collect();
    check(&events, End::Drained)
}

/// What is found in the clean history after a change.
fn planted(change: impl FnOnce(&mut Vec<What>)) -> Vec<Violation> {
    let mut history = clean();
    change(&mut history);
    found(history)
}

/// The place of the write of this job with this count.
fn place(history: &[What], step: u32, count: u32) -> usize {
    let is = |what: &What| matches!(what, What::Wrote(write) if write.job == id(step) && write.revision.count == count);
    history.iter().position(is).expect("the clean history has this write")
}

#[test]
fn a_history_that_keeps_every_promise_is_clean() {
    assert_eq!(found(clean()), vec![]);
}

#[test]
fn a_lost_job_is_found() {
    let seen = planted(|history| history.retain(|what| !matches!(what, What::Found { job, .. } if *job == id(2))));
    assert_eq!(seen, vec![Violation::Lost(id(2))]);
}

#[test]
fn a_job_that_was_pruned_is_not_lost() {
    let seen = planted(|history| {
        history.retain(|what| !matches!(what, What::Found { job, .. } if *job == id(2)));
        history.push(What::Pruned { job: id(2) });
    });
    assert_eq!(seen, vec![]);
}

#[test]
fn a_job_that_never_ends_is_found() {
    let seen = planted(|history| history.push(What::Found { job: id(1), state: JobState::Ready }));
    assert_eq!(seen, vec![Violation::Unended(id(1), JobState::Ready)]);
}

#[test]
fn an_end_from_a_stale_attempt_is_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 5);
        let mut stale = write(id(1), 5, By::Update, JobState::Succeeded, 2);
        stale.expect = Some(revision(2));
        history[at] = What::Wrote(stale);
    });
    assert!(matches!(seen.as_slice(), [Violation::Stale(write, Some(stood))] if write.job == id(1) && *stood == revision(4)), "{seen:?}");
}

#[test]
fn an_end_from_a_lost_future_is_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 5);
        let mut stale = write(id(1), 5, By::Update, JobState::Succeeded, 2);
        stale.expect = Some(Revision { count: 4, nonce: 77 });
        history[at] = What::Wrote(stale);
    });
    assert!(matches!(seen.as_slice(), [Violation::Stale(..)]), "{seen:?}");
}

#[test]
fn a_second_insert_over_an_unended_job_is_found() {
    let seen = planted(|history| history.insert(4, What::Wrote(write(id(1), 2, By::Insert, JobState::Ready, 0))));
    assert!(seen.iter().any(|one| matches!(one, Violation::Stale(write, Some(_)) if write.job == id(1))), "{seen:?}");
}

#[test]
fn two_owners_are_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 4);
        let mut second = write(id(1), 4, By::Take, JobState::Running, 3);
        second.revision.nonce = 5;
        history.insert(at + 1, What::Wrote(second));
    });
    assert!(seen.contains(&Violation::TwoOwners(id(1), revision(4), Revision { count: 4, nonce: 5 })), "{seen:?}");
    assert!(seen.contains(&Violation::ClaimedFrom(id(1), Some(JobState::Running))), "{seen:?}");
}

#[test]
fn a_beat_of_an_older_claim_is_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 4);
        history.insert(at + 1, What::Renewed { job: id(1), revision: revision(2), until: at_end() });
    });
    assert_eq!(seen, vec![Violation::TwoOwners(id(1), revision(4), revision(2))]);
}

fn at_end() -> jobbers_core::Timestamp {
    at(99)
}

#[test]
fn a_claim_of_a_job_that_is_not_ready_is_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 3);
        history[at] = What::Wrote(write(id(1), 3, By::Update, JobState::Scheduled, 1));
    });
    assert_eq!(seen, vec![Violation::ClaimedFrom(id(1), Some(JobState::Scheduled))]);
}

#[test]
fn an_attempt_that_is_counted_wrongly_is_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 5);
        history[at] = What::Wrote(write(id(1), 5, By::Update, JobState::Succeeded, 3));
    });
    assert_eq!(seen, vec![Violation::Attempt(id(1), 2, 3)]);
}

#[test]
fn a_second_end_of_one_generation_is_found() {
    let seen = planted(|history| {
        let at = place(history, 1, 5);
        history.insert(at + 1, What::Wrote(write(id(1), 6, By::Update, JobState::Dead, 2)));
    });
    assert_eq!(seen, vec![Violation::EndedTwice(id(1), JobState::Succeeded, JobState::Dead)]);
}

#[test]
fn a_join_that_is_settled_twice_is_found() {
    let seen = planted(|history| history.insert(16, What::Settled { commit: 6, parent: Some(id(1)), child: id(2), edges: 1 }));
    assert_eq!(seen, vec![Violation::SettledTwice(id(1), id(2))]);
}

#[test]
fn a_commit_that_is_applied_twice_is_found() {
    let seen = planted(|history| history.insert(16, What::Settled { commit: 5, parent: None, child: id(2), edges: 1 }));
    assert_eq!(seen, vec![Violation::AppliedTwice(5)]);
}

#[test]
fn a_handler_without_a_claim_is_found() {
    assert_eq!(planted(|history| history.push(start(1, 3))), vec![Violation::Unclaimed(id(1), revision(3))]);
}

#[test]
fn a_second_handler_under_one_claim_is_found() {
    assert_eq!(planted(|history| history.push(start(1, 4))), vec![Violation::Unclaimed(id(1), revision(4))]);
}

#[test]
fn an_end_of_a_handler_that_had_not_started_is_found() {
    let seen = planted(|history| history.push(What::HandlerEnd { job: id(2), fence: revision(2) }));
    assert_eq!(seen, vec![Violation::EndedUnstarted(id(2), revision(2))]);
}

#[test]
fn a_bound_that_is_exceeded_is_found() {
    let seen = planted(|history| history.push(permit(4, 15)));
    assert_eq!(seen, vec![Violation::OverBound(key("customer", "7"), 3, 2)]);
}

#[test]
fn a_permit_that_ran_out_is_not_counted() {
    let mut events: Vec<Event> = clean().into_iter().map(|what| Event { at: at(1), what }).collect();
    events.push(Event { at: at(15), what: permit(4, 30) });
    assert_eq!(check(&events, End::Drained), vec![]);
}

#[test]
fn work_that_is_left_is_no_violation_of_an_open_history() {
    let mut events: Vec<Event> = clean().into_iter().map(|what| Event { at: at(1), what }).collect();
    events.push(Event { at: at(2), what: What::Found { job: id(1), state: JobState::Ready } });
    assert_eq!(check(&events, End::Open), vec![]);
}

#[test]
fn a_join_that_runs_before_its_parents_have_ended_is_found() {
    let joined = |ended, unended| What::Joined { job: id(2), fence: revision(2), ended, unended, expected: 3 };
    assert_eq!(planted(|history| history.push(joined(2, 1))), vec![Violation::JoinedEarly(id(2), 2, 3)]);
    // Only a map that has succeeded has submitted all of them.
    assert_eq!(planted(|history| history.push(joined(2, 0))), vec![]);
    let whole = planted(|history| {
        history.insert(0, What::Wrote(write(id(0), 1, By::Insert, JobState::Succeeded, 0)));
        history.push(joined(2, 0));
    });
    assert_eq!(whole, vec![Violation::JoinedEarly(id(2), 2, 3)]);
}

#[test]
fn an_attempt_after_an_acknowledged_cancel_is_found() {
    let seen = planted(|history| history.insert(place(history, 1, 3), What::Stopped { job: id(1) }));
    assert_eq!(seen, vec![Violation::RanAfterCancel(id(1), revision(4))]);
    let retried = planted(|history| history.insert(place(history, 2, 3), What::Stopped { job: id(2) }));
    assert_eq!(retried, vec![], "a retry by hand is another generation");
}

#[test]
fn a_permit_is_free_for_whoever_is_told_that_its_time_is_over() {
    let mut events: Vec<Event> = clean().into_iter().map(|what| Event { at: at(1), what }).collect();
    events.push(Event { at: at(15), what: What::Asked });
    events.push(Event { at: at(2), what: permit(4, 30) });
    assert_eq!(check(&events, End::Drained), vec![]);
}
