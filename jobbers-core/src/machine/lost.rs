//! Event: an attempt's worker has vanished.

use super::change::Change;
use super::end::again;
use super::{Job, Moment};
use crate::driver::{Commit, Place};
use crate::record::{AttemptEnd, Cause, JobState};
use crate::time::Timestamp;

/// Acts on a running attempt whose lease is over (`lapsed`), or whose worker is provably gone (`None`).
///
/// # Panics
/// If the job does not run.
pub fn lost(job: &Job, lapsed: Option<Timestamp>, m: &Moment) -> Commit {
    assert_eq!(job.record.head.state, JobState::Running, "only a running attempt is lost: job {}", job.id);
    let mut change = Change::of(job, m).lapsed(lapsed).attempt_ended(AttemptEnd::Lost, &[]);
    change.trail.waits = 0;
    if change.head.asked.is_some() {
        return change.gave_up(JobState::Cancelled, Cause::Cancelled, "").commit();
    }
    change.trail.losses = change.trail.losses.saturating_add(1);
    let losses = change.trail.losses;
    if losses >= job.spec.retry.losses_max {
        return change.gave_up(JobState::Dead, Cause::WorkerLost, &format!("its workers vanished, {losses} in all")).commit();
    }
    again(change, Place::Back, "its worker vanished").commit()
}
