//! A store that comes back older than it was: what it forgot is no violation, and all else is.

use jobbers_conformance::checker::{End, Violation, check};
use jobbers_conformance::history::{By, Event, What};
use jobbers_conformance::kit::at;
use jobbers_core::record::{JobState, Revision};

use super::{found, id, permit, revision, start, write};

/// A job that is claimed, forgotten to be, and claimed again as the same count: each by a claim of its own.
fn rewound(behind: Vec<What>) -> Vec<Violation> {
    let mut lost = write(id(1), 2, By::Update, JobState::Running, 1);
    lost.revision.nonce = 77;
    let mut history = vec![
        What::Invoke { call: 1, jobs: vec![id(1)] },
        What::Wrote(write(id(1), 1, By::Insert, JobState::Ready, 0)),
        What::Ok { call: 1 },
        What::Kept { mark: 1 },
        What::Wrote(lost),
        What::Invoke { call: 2, jobs: vec![id(2)] },
        What::Wrote(write(id(2), 1, By::Insert, JobState::Ready, 0)),
        What::Rewound { mark: 1 },
        // Both answers come only now.
        What::Ok { call: 2 },
        What::HandlerStart { job: id(1), fence: of_the_future(), worker: jobbers_core::WorkerId::from_u128(9) },
        What::Wrote(write(id(1), 2, By::Update, JobState::Running, 1)),
        start(1, 2),
        What::HandlerEnd { job: id(1), fence: of_the_future() },
    ];
    history.extend(behind);
    history.push(What::Found { job: id(1), state: JobState::Succeeded });
    found(history)
}

fn of_the_future() -> Revision {
    Revision { count: 2, nonce: 77 }
}

#[test]
fn what_a_store_forgot_is_no_violation() {
    assert_eq!(rewound(vec![What::Wrote(write(id(1), 3, By::Update, JobState::Succeeded, 1))]), vec![]);
}

#[test]
fn an_end_or_a_beat_by_a_worker_of_the_lost_future_is_found() {
    let mut stale = write(id(1), 3, By::Update, JobState::Succeeded, 1);
    stale.expect = Some(of_the_future());
    assert_eq!(rewound(vec![What::Wrote(stale.clone())]), vec![Violation::Stale(stale, Some(revision(2)))]);
    let beat = What::Renewed { job: id(1), revision: of_the_future(), until: at(9) };
    assert_eq!(rewound(vec![beat]), vec![Violation::TwoOwners(id(1), revision(2), of_the_future())]);
}

#[test]
fn a_job_that_was_there_before_may_not_be_forgotten() {
    let history = vec![
        What::Invoke { call: 1, jobs: vec![id(1)] },
        What::Wrote(write(id(1), 1, By::Insert, JobState::Ready, 0)),
        What::Ok { call: 1 },
        What::Kept { mark: 1 },
        What::Rewound { mark: 1 },
    ];
    assert_eq!(found(history), vec![Violation::Lost(id(1))]);
}

#[test]
fn a_job_that_was_forgotten_and_sent_again_may_not_be_lost() {
    let submit = |call| {
        let insert = What::Wrote(write(id(1), 1, By::Insert, JobState::Ready, 0));
        vec![What::Invoke { call, jobs: vec![id(1)] }, insert, What::Ok { call }]
    };
    let once = [vec![What::Kept { mark: 1 }], submit(1), vec![What::Rewound { mark: 1 }]].concat();
    assert_eq!(found(once.clone()), vec![]);
    assert_eq!(found([once, submit(2)].concat()), vec![Violation::Lost(id(1)), Violation::Lost(id(1))], "once for each answer");
}

#[test]
fn a_cancel_binds_unless_the_store_may_have_forgotten_it() {
    let ran = |before: Vec<What>, between: Vec<What>| {
        let insert = What::Wrote(write(id(1), 1, By::Insert, JobState::Ready, 0));
        let claim = What::Wrote(write(id(1), 2, By::Take, JobState::Running, 1));
        found([vec![insert, What::Kept { mark: 1 }], before, between, vec![claim]].concat())
    };
    let (asks, answered, rewinds) = (What::Stopping { job: id(1) }, What::Stopped { job: id(1) }, What::Rewound { mark: 1 });
    let binds = vec![Violation::RanAfterCancel(id(1), revision(2))];
    assert_eq!(ran(vec![asks.clone(), answered.clone()], vec![]), binds);
    assert_eq!(ran(vec![asks.clone(), answered.clone()], vec![rewinds.clone()]), vec![]);
    assert_eq!(ran(vec![asks.clone(), rewinds.clone()], vec![answered.clone()]), vec![]);
    assert_eq!(ran(vec![rewinds], vec![asks, answered]), binds);
}

#[test]
fn permits_go_back_with_the_limiter() {
    let bound = What::Bounded { limit: jobbers_conformance::kit::limit_name("customer"), most: Some(1) };
    let history = |rewinds: bool| {
        let mut all = vec![bound.clone(), What::Kept { mark: 1 }, permit(1, 15)];
        all.extend(rewinds.then_some(What::Rewound { mark: 1 }));
        all.push(permit(2, 15));
        check(&all.into_iter().map(|what| Event { at: at(1), what }).collect::<Vec<_>>(), End::Drained)
    };
    assert_eq!((history(true).len(), history(false).len()), (0, 1));
}
