//! Event: somebody retries a job by hand.

use super::change::Change;
use super::{Job, Moment};
use crate::driver::{Commit, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SmallText;
use crate::record::{JobState, Spec};
use crate::time::Timestamp;

/// Makes a dead or cancelled lone job Ready again: failures count anew, `asked` is cleared, the trail keeps the old attempts. A deadline
/// or an expiry that has passed is lifted: it would end the job at once.
///
/// # Errors
/// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) for any other state, and for a step of a workflow.
pub fn retry(job: &Job, m: &Moment) -> Result<Commit> {
    let state = job.record.head.state;
    let refused = |why: String| Err(Error::new(ErrorKind::WrongState, "retry a job", format!("job {} {why}", job.id)));
    match state {
        JobState::Dead | JobState::Cancelled => {}
        JobState::Running => return refused("is running; ask it to stop first, by a cancel".into()),
        JobState::Succeeded => return refused("has succeeded; submit it anew to run it once more".into()),
        _ => return refused(format!("is {state}; only a dead or cancelled job can be retried")),
    }
    if !(job.spec.edges.is_empty() && job.spec.parents.is_empty() && job.spec.map.is_none()) {
        return refused("is a step of a workflow, which has told the steps behind it how it ended; submit the run anew".into());
    }
    Ok(afresh(job, m).ready(Place::Back).commit())
}

/// Out of an end: nothing that led to it counts any more.
pub(super) fn afresh<'a>(job: &'a Job, m: &'a Moment) -> Change<'a> {
    let mut change = Change::of(job, m);
    change.head.asked = None;
    let trail = &mut change.trail;
    (trail.failures, trail.losses, trail.waits, trail.cause, trail.why) = (0, 0, 0, None, SmallText::default());
    let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= m.now);
    if passed(job.spec.deadline) || passed(job.spec.expires_at) {
        let spec = &job.spec;
        let (deadline, expires_at) = (spec.deadline.filter(|at| *at > m.now), spec.expires_at.filter(|at| *at > m.now));
        change = change.replace_spec(Spec { deadline, expires_at, ..spec.clone() });
    }
    change
}
