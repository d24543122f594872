use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::driver::Op;
use crate::id::{LimitName, QueueName, RunId, SmallText, WorkerId};
use crate::record::{LimitKey, Priority, ReadyWhen};

const RUN: RunId = RunId::from_u128(1);
const ID: JobId = JobId::new(RUN, 0);
const CHILD: JobId = JobId::new(RUN, 1);
const NONCE: u64 = 99;
const AT: Revision = Revision { count: 3, nonce: 7 };

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn stop(by: &str) -> Stop {
    Stop { by: SmallText::new(by), ..Stop::default() }
}

fn job(state: JobState) -> Record {
    Record { head: Head { state, revision: AT, born: 5, attempt: 2, ..Head::default() }, ..Record::default() }
}

fn waiting(remaining: u32) -> Record {
    let mut record = job(JobState::Waiting);
    record.head.remaining = remaining;
    record
}

/// Applies `ops` to these records.
fn on(stored: &[(JobId, Record)], ops: Vec<Op>) -> Applied {
    let stored: BTreeMap<JobId, Record> = stored.iter().cloned().collect();
    apply(&Commit { run: RUN, nonce: NONCE, ops }, |id| Ok(stored.get(&id).cloned())).unwrap()
}

/// What is written of a commit that writes one record.
fn one(applied: Applied) -> Record {
    match applied {
        Applied::Writes { mut writes, .. } if writes.len() == 1 => writes.remove(0).record,
        other => panic!("{other:?}"),
    }
}

fn ready(applied: &Applied) -> &[Delivery] {
    match applied {
        Applied::Writes { ready, .. } => ready,
        Applied::Refused(verdict) => panic!("{verdict:?}"),
    }
}

fn is_refused(applied: &Applied, id: JobId, revision: Option<Revision>) -> bool {
    matches!(applied, Applied::Refused(Verdict::Conflict { id: of, current })
        if *of == id && current.as_ref().map(|head| head.revision) == revision)
}

fn insert(id: JobId, record: Record, over: Option<Revision>) -> Op {
    Op::Insert { id, record, over }
}

fn update(record: Record) -> Op {
    Op::Update { id: ID, expect: AT, lapsed: None, record, changed: Parts::ALL, place: Place::Front }
}

fn beat(wake_at: Timestamp, progress: Option<&'static str>) -> Op {
    Op::Beat { id: ID, expect: AT, wake_at, progress: progress.map(|text| Bytes::from_static(text.as_bytes())) }
}

fn release(edges: u32, outcome: Option<Outcome>) -> Op {
    let (queue, priority) = (QueueName::default(), Priority::Normal);
    Op::Release { id: CHILD, queue, priority, edges, outcome, wake_at: None, claim: None }
}

fn release_at(wake: Option<Timestamp>, by: Option<Claim>) -> Op {
    match release(1, Some(Outcome::Succeeded)) {
        Op::Release { id, queue, priority, edges, outcome, .. } => {
            Op::Release { id, queue, priority, edges, outcome, wake_at: wake, claim: by }
        }
        _ => unreachable!(),
    }
}

#[test]
fn an_insert_starts_at_revision_one_and_is_born_of_its_commit() {
    let record = one(on(&[], vec![insert(ID, job(JobState::Ready), None)]));
    assert_eq!((record.head.revision, record.head.born), (Revision { count: 1, nonce: NONCE }, NONCE));
}

#[test]
fn an_insert_of_a_taken_id_is_refused_with_what_stands_there() {
    assert!(is_refused(&on(&[(ID, job(JobState::Dead))], vec![insert(ID, job(JobState::Ready), None)]), ID, Some(AT)));
}

#[test]
fn an_insert_over_an_ended_lone_job_goes_on_from_its_revision() {
    let record = one(on(&[(ID, job(JobState::Dead))], vec![insert(ID, job(JobState::Ready), Some(AT))]));
    assert_eq!((record.head.revision, record.head.born), (Revision { count: 4, nonce: NONCE }, NONCE));
}

#[test]
fn an_insert_over_anything_else_is_refused() {
    let over = |id, stored: &[(JobId, Record)], over| on(stored, vec![insert(id, job(JobState::Ready), Some(over))]);
    assert!(is_refused(&over(ID, &[(ID, job(JobState::Dead))], Revision { nonce: 8, ..AT }), ID, Some(AT)), "another revision");
    assert!(is_refused(&over(ID, &[(ID, job(JobState::Running))], AT), ID, Some(AT)), "not ended");
    assert!(is_refused(&over(CHILD, &[(CHILD, job(JobState::Dead))], AT), CHILD, Some(AT)), "a step");
    assert!(is_refused(&over(ID, &[], AT), ID, None), "nothing");
}

#[test]
fn an_insert_into_ready_is_delivered_at_the_back_and_any_other_is_not() {
    assert_eq!(ready(&on(&[], vec![insert(ID, job(JobState::Ready), None)]))[0].place, Place::Back);
    for state in JobState::ALL.into_iter().filter(|state| *state != JobState::Ready) {
        assert!(ready(&on(&[], vec![insert(ID, job(state), None)])).is_empty(), "{state}");
    }
}

#[test]
fn an_update_at_another_revision_is_refused() {
    for nonce in [6, 8] {
        let mut stored = job(JobState::Running);
        stored.head.revision.nonce = nonce;
        let revision = stored.head.revision;
        assert!(is_refused(&on(&[(ID, stored)], vec![update(job(JobState::Succeeded))]), ID, Some(revision)));
    }
    assert!(is_refused(&on(&[], vec![update(job(JobState::Succeeded))]), ID, None));
}

#[test]
fn an_update_moves_the_revision_and_keeps_what_it_was_born_of() {
    let mut new = job(JobState::Running);
    (new.head.revision, new.head.born) = (Revision { count: 77, nonce: 77 }, 77);
    let record = one(on(&[(ID, job(JobState::Ready))], vec![update(new)]));
    assert_eq!((record.head.revision, record.head.born), (Revision { count: 4, nonce: NONCE }, 5));
}

#[test]
fn a_lapsed_update_is_refused_once_the_timer_was_moved_on() {
    let rescue = |wake_at: Option<Timestamp>| {
        let mut stored = job(JobState::Running);
        stored.head.wake_at = wake_at;
        let (id, expect, record) = (ID, AT, job(JobState::Ready));
        on(&[(ID, stored)], vec![Op::Update { id, expect, lapsed: Some(at(50)), record, changed: Parts::NONE, place: Place::Back }])
    };
    assert!(is_refused(&rescue(Some(at(51))), ID, Some(AT)));
    assert_eq!(one(rescue(Some(at(50)))).head.state, JobState::Ready);
    assert_eq!(one(rescue(None)).head.state, JobState::Ready);
}

#[test]
fn an_update_that_has_not_seen_the_mark_is_refused_except_a_success_and_out_of_an_end() {
    let asked = |from, to, seen: Option<Stop>| {
        let (mut stored, mut new) = (job(from), job(to));
        stored.head.asked = Some(Box::new(stop("ops")));
        new.head.asked = seen.map(Box::new);
        on(&[(ID, stored)], vec![update(new)])
    };
    assert!(is_refused(&asked(JobState::Running, JobState::Scheduled, None), ID, Some(AT)));
    assert!(is_refused(&asked(JobState::Running, JobState::Cancelled, Some(stop("web"))), ID, Some(AT)));
    assert_eq!(one(asked(JobState::Running, JobState::Cancelled, Some(stop("ops")))).head.state, JobState::Cancelled);
    assert_eq!(one(asked(JobState::Running, JobState::Succeeded, None)).head.state, JobState::Succeeded);
    assert_eq!(one(asked(JobState::Cancelled, JobState::Ready, None)).head.asked, None);
}

#[test]
fn the_join_counters_stay_as_stored() {
    let (mut stored, mut new) = (waiting(4), waiting(9));
    (stored.head.succeeded, stored.head.failed, stored.head.skipped) = (1, 2, 3);
    new.head.succeeded = 9;
    let head = one(on(&[(ID, stored)], vec![update(new)])).head;
    assert_eq!((head.remaining, head.succeeded, head.failed, head.skipped), (4, 1, 2, 3));
}

#[test]
fn out_of_an_end_into_waiting_the_counters_are_set_anew() {
    let mut stored = job(JobState::Skipped);
    (stored.head.failed, stored.head.skipped) = (2, 3);
    let head = one(on(&[(ID, stored.clone())], vec![update(waiting(6))])).head;
    assert_eq!((head.state, head.remaining, head.failed, head.skipped), (JobState::Waiting, 6, 0, 0));
    let head = one(on(&[(ID, stored)], vec![update(job(JobState::Ready))])).head;
    assert_eq!((head.failed, head.skipped), (2, 3), "into Ready they stay");
}

#[test]
fn an_update_into_waiting_that_may_fire_turns_ready_where_it_asked_to_be_placed() {
    let applied = on(&[(ID, job(JobState::Scheduled))], vec![update(waiting(3))]);
    assert_eq!(ready(&applied), [Delivery { id: ID, queue: QueueName::default(), priority: Priority::Normal, place: Place::Front }]);
    assert_eq!(one(applied).head.state, JobState::Ready, "the stored counters decide: none is left");
}

#[test]
fn an_update_of_a_ready_job_pushes_it_again() {
    let applied = on(&[(ID, job(JobState::Ready))], vec![update(job(JobState::Ready))]);
    assert_eq!(ready(&applied).len(), 1);
}

#[test]
fn an_update_keeps_the_parts_that_it_does_not_name() {
    let (mut stored, mut new) = (job(JobState::Running), job(JobState::Scheduled));
    stored.progress = Bytes::from_static(b"beaten since");
    new.trail = Bytes::from_static(b"failed once");
    let (id, expect, changed) = (ID, AT, Parts::TRAIL);
    let record = one(on(&[(ID, stored)], vec![Op::Update { id, expect, lapsed: None, record: new, changed, place: Place::Back }]));
    assert_eq!((&record.progress[..], &record.trail[..]), (&b"beaten since"[..], &b"failed once"[..]));
}

#[test]
fn a_beat_renews_the_lease_and_leaves_the_revision() {
    let mut stored = job(JobState::Running);
    stored.progress = Bytes::from_static(b"old");
    let record = one(on(&[(ID, stored.clone())], vec![beat(at(90), None)]));
    assert_eq!((record.head.wake_at, record.head.revision, &record.progress[..]), (Some(at(90)), AT, &b"old"[..]));
    assert_eq!(&one(on(&[(ID, stored)], vec![beat(at(90), Some("new"))])).progress[..], b"new");
}

#[test]
fn a_beat_of_a_job_that_was_asked_to_stop_is_applied_and_says_so() {
    let mut stored = job(JobState::Running);
    stored.head.asked = Some(Box::new(stop("ops")));
    let Applied::Writes { writes, asked, .. } = on(&[(ID, stored)], vec![beat(at(90), None)]) else { panic!("refused") };
    assert_eq!((asked, writes[0].record.head.wake_at), (Some(Box::new(stop("ops"))), Some(at(90))));
}

#[test]
fn a_beat_and_a_mark_are_refused_unless_the_job_runs_at_their_revision() {
    let ask = || Op::AskToStop { id: ID, expect: AT, stop: stop("ops") };
    let mut other = job(JobState::Running);
    other.head.revision.nonce = 8;
    for op in [beat(at(90), None), ask()] {
        assert!(is_refused(&on(&[(ID, other.clone())], vec![op.clone()]), ID, Some(other.head.revision)));
        assert!(is_refused(&on(&[], vec![op.clone()]), ID, None));
        for state in JobState::ALL.into_iter().filter(|state| *state != JobState::Running) {
            assert!(is_refused(&on(&[(ID, job(state))], vec![op.clone()]), ID, Some(AT)), "{state}");
        }
    }
}

#[test]
fn a_mark_leaves_the_revision() {
    let asked = Stop { grace: Duration::from_secs(3), ..stop("ops") };
    let head = one(on(&[(ID, job(JobState::Running))], vec![Op::AskToStop { id: ID, expect: AT, stop: asked.clone() }])).head;
    assert_eq!((head.asked, head.revision, head.state), (Some(Box::new(asked)), AT, JobState::Running));
}

#[test]
fn a_release_counts_in_every_state_but_the_ends_and_only_waiting_turns_ready() {
    for state in JobState::ALL {
        let mut stored = job(state);
        stored.head.remaining = 2;
        let applied = on(&[(CHILD, stored)], vec![release(2, Some(Outcome::Failed))]);
        assert_eq!(ready(&applied).len(), usize::from(state == JobState::Waiting), "{state}");
        if state.is_end() {
            assert!(matches!(applied, Applied::Writes { writes, missing: 0, .. } if writes.is_empty()), "{state}");
            continue;
        }
        let head = one(applied).head;
        assert_eq!((head.remaining, head.failed, head.succeeded, head.skipped), (0, 2, 0, 0), "{state}");
        assert_eq!(head.revision, if state == JobState::Waiting { AT.next(NONCE) } else { AT }, "{state}");
    }
}

#[test]
fn a_release_counts_by_its_outcome_and_without_one_adds_edges_ahead() {
    for (outcome, counters) in [
        (Some(Outcome::Succeeded), (4, 3, 0, 0)),
        (Some(Outcome::Failed), (4, 0, 3, 0)),
        (Some(Outcome::Skipped), (4, 0, 0, 3)),
        (None, (10, 0, 0, 0)),
    ] {
        let head = one(on(&[(CHILD, waiting(7))], vec![release(3, outcome)])).head;
        assert_eq!((head.remaining, head.succeeded, head.failed, head.skipped), counters);
        assert_eq!((head.state, head.revision), (JobState::Waiting, AT));
    }
}

#[test]
fn a_release_turns_ready_when_ready_when_holds_although_parents_are_left() {
    let mut stored = waiting(5);
    stored.head.ready_when = ReadyWhen::Succeeded(1);
    let head = one(on(&[(CHILD, stored)], vec![release(1, Some(Outcome::Succeeded))])).head;
    assert_eq!((head.state, head.remaining), (JobState::Ready, 4));
}

#[test]
fn a_release_without_a_target_is_counted_and_its_commit_applied() {
    let applied = on(&[(ID, job(JobState::Running))], vec![update(job(JobState::Succeeded)), release(1, Some(Outcome::Succeeded))]);
    assert!(matches!(applied, Applied::Writes { writes, missing: 1, .. } if writes.len() == 1));
}

#[test]
fn the_timer_of_a_release_replaces_a_later_one_and_no_earlier_one() {
    let timer = |stored: Option<Timestamp>, new: Option<Timestamp>, remaining| {
        let mut record = waiting(remaining);
        record.head.wake_at = stored;
        one(on(&[(CHILD, record)], vec![release_at(new, None)])).head.wake_at
    };
    assert_eq!(timer(Some(at(50)), Some(at(60)), 1), Some(at(50)));
    assert_eq!(timer(Some(at(50)), Some(at(40)), 1), Some(at(40)));
    assert_eq!(timer(None, Some(at(40)), 1), Some(at(40)));
    assert_eq!(timer(Some(at(50)), None, 1), Some(at(50)), "an expiry is not lost");
    assert_eq!(timer(Some(at(50)), Some(at(40)), 2), Some(at(50)), "it only counts");
}

#[test]
fn a_release_with_a_claim_runs_the_job_at_once_unless_it_has_limit_keys() {
    let owner = WorkerId::from_u128(4);
    let claim = Claim { owner, now: at(10), wake_at: at(25), nonce: 55 };
    let mut stored = waiting(1);
    stored.progress = Bytes::from_static(b"old");
    let applied = on(&[(CHILD, stored.clone())], vec![release_at(Some(at(7)), Some(claim))]);
    assert!(ready(&applied).is_empty());
    let Applied::Writes { writes, claimed, .. } = applied else { unreachable!() };
    let head = &writes[0].record.head;
    assert_eq!((head.state, head.attempt, head.owner, head.started_at), (JobState::Running, 3, Some(owner), Some(at(10))));
    assert_eq!((head.wake_at, head.revision, head.remaining), (Some(at(25)), AT.next(55), 0));
    assert!(writes[0].record.progress.is_empty());
    assert_eq!(claimed, [(CHILD, writes[0].record.clone())]);

    stored.head.limits.push(LimitKey { limit: LimitName::new("customer").unwrap(), value: SmallText::new("42") });
    let applied = on(&[(CHILD, stored)], vec![release_at(None, Some(claim))]);
    assert_eq!((ready(&applied)[0].place, ready(&applied).len()), (Place::Back, 1));
    assert_eq!(one(applied).head.attempt, 2);
}

#[test]
fn the_first_operation_that_is_refused_decides_and_nothing_is_written() {
    let third = JobId::new(RUN, 2);
    let ops = vec![insert(CHILD, job(JobState::Ready), None), update(job(JobState::Succeeded)), insert(third, job(JobState::Ready), None)];
    let mut moved = job(JobState::Running);
    moved.head.revision.count = 4;
    let revision = moved.head.revision;
    assert!(is_refused(&on(&[(ID, moved), (third, job(JobState::Ready))], ops), ID, Some(revision)));
}

#[test]
fn what_load_says_comes_through() {
    let broken = || crate::Error::new(crate::ErrorKind::Damaged, "load", "job");
    let error = apply(&Commit { run: RUN, nonce: NONCE, ops: vec![beat(at(1), None)] }, |_| Err(broken())).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Damaged);
}
