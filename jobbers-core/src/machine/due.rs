//! Event: a job's `wake_at` has come.

use super::change::Change;
use super::timer::gave_up;
use super::{Job, Moment, lost};
use crate::driver::{Commit, Place};
use crate::record::JobState;

/// Acts on a job whose `wake_at` has come; `None` if it has not, or if there is nothing to do.
///
/// A lease that is over is a lost attempt; a job past its deadline or expiry is dead; a Scheduled or Parked one turns Ready; a Ready one is
/// pushed again, and sleeps twice as long. Each is refused if the timer was moved on meanwhile.
pub fn due(job: &Job, m: &Moment) -> Option<Commit> {
    let head = &job.record.head;
    if head.state.is_end() || head.wake_at.is_none_or(|wake_at| wake_at > m.now) {
        return None;
    }
    if head.state == JobState::Running {
        return Some(lost(job, Some(m.now), m));
    }
    let mut change = Change::of(job, m).lapsed(Some(m.now));
    if let Some((cause, why)) = gave_up(&job.spec, head.attempt, m.now) {
        return Some(change.gave_up(JobState::Dead, cause, &why).commit());
    }
    let change = match head.state {
        // A timer that stands for nothing, as another version may leave one: it is set right.
        JobState::Waiting => change.waiting(),
        JobState::Ready => {
            change.trail.waits = change.trail.waits.saturating_add(1);
            let pushes = change.trail.waits;
            change.ready_after(Place::Back, pushes)
        }
        _ => change.ready(Place::Back),
    };
    Some(change.commit())
}
