//! Event: an attempt ends.

use bytes::Bytes;

use super::change::{Change, who};
use super::step::number;
use super::submit::insert_numbered;
use super::{Job, Moment, Submission};
use crate::driver::{Claim, Commit, Place};
use crate::id::SmallText;
use crate::policy::Decision;
use crate::record::{AttemptEnd, Cause, JobState};
use crate::time::Timestamp;

/// How an attempt ends.
#[derive(Debug, Clone)]
pub enum End {
    /// With an output. Stands also after the attempt was asked to stop.
    Succeeded {
        /// The output's bytes.
        output: Bytes,
    },
    /// With an error: tried again by policy or decision, or dead. Cancelled if it was asked to stop.
    Failed {
        /// Failed, panicked, timed out.
        how: AttemptEnd,
        /// The error and its causes, outermost first.
        errors: Vec<SmallText>,
        /// What to do about it.
        decision: Decision,
    },
    /// It puts itself off; counts as no failure.
    Snoozed {
        /// Until when.
        until: Timestamp,
    },
    /// Its worker stops; counts as nothing.
    HandedBack,
    /// The handler itself cancels.
    Cancelled {
        /// Why.
        why: SmallText,
    },
}

/// What goes into the commit that ends an attempt.
#[derive(Debug, Clone, Default)]
pub struct Also {
    /// Follow-ups, inserted only by a success, at most [`follow_ups_max`](super::follow_ups_max). Their ids are set by [`end`].
    pub then: Vec<Submission>,
    /// Claims the first child for this worker, if it turns Ready.
    pub inline: Option<Claim>,
}

/// Ends an attempt: one commit with the job's update, one release a child, and the follow-ups. `job` is as claimed; `job.record.head.asked`
/// says whether it was asked to stop; `job.record.progress` is the last that the worker knows (for the trail).
///
/// No attempt is put off behind the deadline: the job is dead then.
///
/// # Panics
/// If the job does not run, or there are more follow-ups than [`follow_ups_max`](super::follow_ups_max).
pub fn end(job: &Job, end: &End, also: &Also, m: &Moment) -> Commit {
    assert_eq!(job.record.head.state, JobState::Running, "only a running attempt ends: job {}", job.id);
    let mut change = Change::of(job, m).inline(also.inline);
    change.trail.waits = 0;
    if let End::Succeeded { output } = end {
        let mut commit = change.attempt_ended(AttemptEnd::Succeeded, &[]).output(output.clone()).succeeded().commit();
        commit.ops.extend(number(job, &also.then).iter().map(|then| insert_numbered(then, None, m)));
        return commit;
    }
    if change.head.asked.is_some() {
        let errors = if let End::Failed { errors, .. } = end { errors.as_slice() } else { &[] };
        return change.attempt_ended(AttemptEnd::Cancelled, errors).gave_up(JobState::Cancelled, Cause::Cancelled, "").commit();
    }
    match end {
        End::Succeeded { .. } => unreachable!("handled above"),
        End::Failed { how, errors, decision } => failed(change.attempt_ended(*how, errors), errors, *decision),
        End::Snoozed { until } => put_off(change.attempt_ended(AttemptEnd::Snoozed, &[]), *until, "it snoozed"),
        End::HandedBack => hand_back(change.attempt_ended(AttemptEnd::HandedBack, &[])),
        End::Cancelled { why } => {
            let why = who("handler", why.as_str());
            change.attempt_ended(AttemptEnd::Cancelled, &[]).gave_up(JobState::Cancelled, Cause::Cancelled, why.as_str())
        }
    }
    .commit()
}

fn failed<'a>(mut change: Change<'a>, errors: &[SmallText], decision: Decision) -> Change<'a> {
    let why = errors.first().map_or("it failed", SmallText::as_str);
    change.trail.failures = change.trail.failures.saturating_add(1);
    let by_policy = change.job.spec.retry.delay(change.trail.failures, change.m.draw.jitter);
    let delay = match (decision, by_policy) {
        (Decision::Fail, _) => return change.gave_up(JobState::Dead, Cause::NotRetryable, why),
        (_, None) => return change.gave_up(JobState::Dead, Cause::Failed, why),
        (Decision::ByPolicy, Some(delay)) | (Decision::RetryAfter(delay), Some(_)) => delay,
    };
    let at = change.m.now + delay;
    put_off(change, at, why)
}

/// Scheduled for `at`; dead if that is not before the deadline.
pub(super) fn put_off<'a>(change: Change<'a>, at: Timestamp, why: &str) -> Change<'a> {
    match change.job.spec.deadline {
        Some(deadline) if deadline <= at => {
            let why = format!("the next attempt would start at {at}, its deadline is {deadline}: {why}");
            change.gave_up(JobState::Dead, Cause::Deadline, &why)
        }
        _ => change.scheduled(at),
    }
}

fn hand_back(change: Change<'_>) -> Change<'_> {
    again(change, Place::Front, "its worker stopped")
}

/// Ready at once; dead if the deadline has passed.
pub(super) fn again<'a>(change: Change<'a>, place: Place, why: &str) -> Change<'a> {
    match change.job.spec.deadline {
        Some(deadline) if deadline <= change.m.now => {
            change.gave_up(JobState::Dead, Cause::Deadline, &format!("its deadline, {deadline}, has passed: {why}"))
        }
        _ => change.ready(place),
    }
}
