//! Event: a worker was given a job whose task it does not know.

use std::time::Duration;

use super::change::Change;
use super::timer::doubled;
use super::{Job, Moment};
use crate::driver::Commit;
use crate::record::JobState;

/// The first deferral: another worker that knows the task is seldom further away.
const DEFER_FIRST: Duration = Duration::from_millis(250);
/// The longest deferral.
const DEFER_MAX: Duration = Duration::from_secs(10);

/// Puts off a Ready job whose task is unknown here: 250 ms, doubling to 10 s; counts as nothing.
///
/// # Panics
/// If the job is not Ready.
pub fn defer(job: &Job, m: &Moment) -> Commit {
    assert_eq!(job.record.head.state, JobState::Ready, "only a ready job is deferred: job {}", job.id);
    let mut change = Change::of(job, m);
    let at = m.now + doubled(DEFER_FIRST, change.trail.waits, DEFER_MAX);
    change.trail.waits = change.trail.waits.saturating_add(1);
    change.scheduled(at).commit()
}
