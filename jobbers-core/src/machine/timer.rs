//! The timers of a job: all that its one `wake_at` stands for.

use std::time::Duration;

use super::{Moment, PUSH_AGAIN_FIRST, PUSH_AGAIN_MAX};
use crate::driver::Dispatch;
use crate::record::{Cause, Spec};
use crate::time::Timestamp;

/// The earlier of two timers.
pub(super) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// `first`, doubled so many times, at most `most`.
pub(super) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX)).min(most)
}

/// When a job that does not run gives up: its deadline, or its expiry while no attempt has started.
pub(super) fn gives_up_at(spec: &Spec, attempt: u32) -> Option<Timestamp> {
    earlier(spec.deadline, spec.expires_at.filter(|_| attempt == 0))
}

/// Why a job that has not started gives up now, if it does; `attempt` counts what has started before.
pub(super) fn gave_up(spec: &Spec, attempt: u32, now: Timestamp) -> Option<(Cause, String)> {
    if let Some(at) = spec.deadline.filter(|at| *at <= now) {
        return Some((Cause::Deadline, format!("its deadline, {at}, has passed")));
    }
    let at = spec.expires_at.filter(|at| attempt == 0 && *at <= now)?;
    Some((Cause::Expired, format!("no attempt had started by {at}")))
}

/// When a Ready job's delivery is pushed again, after so many pushes; only where the caller dispatches.
pub(super) fn push_again_at(m: &Moment, pushes: u32) -> Option<Timestamp> {
    (m.dispatch == Dispatch::Caller).then(|| m.now + doubled(PUSH_AGAIN_FIRST, pushes, PUSH_AGAIN_MAX))
}
