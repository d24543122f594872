//! What an answer means: applied, applied by an earlier try, refused, or to be sent again.

use super::Settled;
use super::gather::Answer;
use crate::driver::{Commit, Delivery, Dispatch, Op, Place, Verdict};
use crate::error::Error;
use crate::id::JobId;
use crate::record::{Head, JobState};

/// What to do about an answer.
#[derive(Debug)]
pub(super) enum Judged {
    /// Tell the caller, once these are pushed.
    Done { settled: Settled, ready: Vec<Delivery> },
    /// Send it again, unchanged.
    Again(Error),
    /// Tell the caller.
    Failed(Error),
}

/// Judges an answer; `doubt`: an earlier try may have been applied.
pub(super) fn judge(commit: &Commit, doubt: bool, answer: Answer, dispatch: Dispatch) -> Judged {
    match answer {
        Ok(Verdict::Applied { ready, claimed, .. }) => Judged::Done { settled: Settled::Applied { claimed }, ready },
        Ok(Verdict::Conflict { id, current }) if doubt && current.as_ref().is_some_and(|head| is_ours(commit, id, head)) => {
            let ready = if dispatch == Dispatch::Caller { turned_ready(commit) } else { Vec::new() };
            Judged::Done { settled: Settled::AppliedBefore, ready }
        }
        Ok(Verdict::Conflict { id, current }) => Judged::Done { settled: Settled::Conflict { id, current }, ready: Vec::new() },
        Err(error) if error.is_transient() => Judged::Again(error),
        Err(error) => Judged::Failed(error),
    }
}

/// Whether what stands there was written by this very commit.
fn is_ours(commit: &Commit, id: JobId, head: &Head) -> bool {
    commit.ops.iter().find(|op| op.id() == id).is_some_and(|op| match op {
        Op::Insert { .. } => head.born == commit.nonce,
        Op::Update { .. } => head.revision.nonce == commit.nonce,
        // These leave the revision; sent again they only do the same again.
        Op::Beat { .. } | Op::AskToStop { .. } | Op::Release { .. } => false,
    })
}

/// The jobs that a commit which was applied may have made Ready. A delivery too many is dropped by whoever pulls it.
fn turned_ready(commit: &Commit) -> Vec<Delivery> {
    let delivery = |op: &Op| match op {
        Op::Insert { id, record, .. } if record.head.state == JobState::Ready => {
            Some(Delivery { id: *id, queue: record.head.queue.clone(), priority: record.head.priority, place: Place::Back })
        }
        Op::Update { id, record, place, .. } if record.head.state == JobState::Ready => {
            Some(Delivery { id: *id, queue: record.head.queue.clone(), priority: record.head.priority, place: *place })
        }
        Op::Release { id, queue, priority, outcome: Some(_), claim: None, .. } => {
            Some(Delivery { id: *id, queue: queue.clone(), priority: *priority, place: Place::Back })
        }
        _ => None,
    };
    commit.ops.iter().filter_map(delivery).collect()
}

/// Whether somebody in this process may wait for what the commit did: it ended a job, or set a timer.
pub(super) fn rings(commit: &Commit) -> bool {
    commit.ops.iter().any(|op| match op {
        Op::Insert { record, .. } | Op::Update { record, .. } => record.head.state.is_end() || record.head.wake_at.is_some(),
        Op::Beat { .. } | Op::AskToStop { .. } | Op::Release { .. } => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::id::{QueueName, RunId};
    use crate::record::{Outcome, Parts, Priority, Record, Revision};

    const ID: JobId = JobId::new(RunId::from_u128(1), 0);

    fn record(state: JobState) -> Record {
        Record { head: Head { state, ..Head::default() }, ..Record::default() }
    }

    fn insert() -> Commit {
        Commit { run: ID.run, nonce: 7, ops: vec![Op::Insert { id: ID, record: record(JobState::Ready), over: None }] }
    }

    fn end() -> Commit {
        let expect = Revision { count: 2, nonce: 3 };
        let update =
            Op::Update { id: ID, expect, lapsed: None, record: record(JobState::Succeeded), changed: Parts::ALL, place: Place::Back };
        let release = Op::Release {
            id: JobId::new(ID.run, 1),
            queue: QueueName::default(),
            priority: Priority::Normal,
            edges: 1,
            outcome: Some(Outcome::Succeeded),
            wake_at: None,
            claim: None,
        };
        Commit { run: ID.run, nonce: 7, ops: vec![update, release] }
    }

    fn refused(born: u64, nonce: u64) -> Answer {
        let head = Head { born, revision: Revision { count: 3, nonce }, ..Head::default() };
        Ok(Verdict::Conflict { id: ID, current: Some(Box::new(head)) })
    }

    fn settled(commit: &Commit, doubt: bool, answer: Answer) -> Settled {
        match judge(commit, doubt, answer, Dispatch::Own) {
            Judged::Done { settled, ready } if ready.is_empty() => settled,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_resend_that_finds_its_own_nonce_was_applied_before() {
        assert_eq!(settled(&insert(), true, refused(7, 99)), Settled::AppliedBefore);
        assert_eq!(settled(&end(), true, refused(99, 7)), Settled::AppliedBefore);
    }

    #[test]
    fn a_conflict_with_anybody_else_stays_one() {
        assert!(matches!(settled(&insert(), true, refused(8, 7)), Settled::Conflict { .. }));
        assert!(matches!(settled(&end(), true, refused(7, 8)), Settled::Conflict { .. }));
        assert!(matches!(settled(&end(), true, Ok(Verdict::Conflict { id: ID, current: None })), Settled::Conflict { .. }));
    }

    #[test]
    fn a_first_try_is_never_taken_for_a_resend() {
        assert!(matches!(settled(&insert(), false, refused(7, 7)), Settled::Conflict { .. }));
    }

    #[test]
    fn a_commit_applied_before_is_pushed_where_the_caller_dispatches() {
        let ready = |commit: &Commit, answer| match judge(commit, true, answer, Dispatch::Caller) {
            Judged::Done { ready, .. } => ready.into_iter().map(|delivery| delivery.id.step).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(ready(&insert(), refused(7, 7)), [0]);
        assert_eq!(ready(&end(), refused(7, 7)), [1]);
    }

    #[test]
    fn trouble_that_may_pass_is_sent_again_and_other_trouble_is_not() {
        let again = |error| matches!(judge(&insert(), false, Err(error), Dispatch::Own), Judged::Again(_));
        for kind in [ErrorKind::Unavailable, ErrorKind::Full] {
            assert!(again(Error::new(kind, "commit", "x")));
        }
        assert!(again(Error::new(ErrorKind::Internal, "commit", "x").with_outcome_unknown()));
        assert!(!again(Error::new(ErrorKind::Invalid, "commit", "x")));
    }

    #[test]
    fn ends_and_timers_ring_the_bell() {
        assert!(rings(&end()) && !rings(&insert()));
        let mut later = insert();
        if let Op::Insert { record, .. } = &mut later.ops[0] {
            record.head.wake_at = Some(crate::Timestamp::MIN);
        }
        assert!(rings(&later));
    }
}
