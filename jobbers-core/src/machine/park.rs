//! Events: a job is held on a key, and its turn comes.

use std::time::Duration;

use super::change::Change;
use super::timer::doubled;
use super::{Job, Moment};
use crate::driver::{Commit, Place};
use crate::record::{JobState, LimitKey};

/// The longest time until a parked job asks for its key again by itself: a lost wake-up costs as much.
const PARK_MAX: Duration = Duration::from_secs(600);

/// Holds a Ready job on a key; the commit's nonce is the waiting holder's. Its own `wake_at` doubles from 2 leases to 10 min.
///
/// # Panics
/// If the job is not Ready.
pub fn park(job: &Job, key: &LimitKey, lease: Duration, m: &Moment) -> Commit {
    assert_eq!(job.record.head.state, JobState::Ready, "only a ready job is parked: job {}", job.id);
    let mut change = Change::of(job, m);
    let at = m.now + doubled(lease.saturating_mul(2), change.trail.waits, PARK_MAX);
    change.trail.waits = change.trail.waits.saturating_add(1);
    change.parked(key, at).commit()
}

/// Its turn has come: a Parked or Ready job turns Ready at the front, with a new revision; `None` in any other state.
pub fn hand_over(job: &Job, m: &Moment) -> Option<Commit> {
    matches!(job.record.head.state, JobState::Parked | JobState::Ready).then(|| Change::of(job, m).ready(Place::Front).commit())
}
