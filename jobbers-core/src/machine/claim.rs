//! Event: a delivered job is looked at; a worker claims it, or ends it.

use super::change::Change;
use super::timer::gave_up;
use super::{Job, Moment};
use crate::driver::{Claim, Commit};
use crate::record::{Cause, JobState};

/// What to do with a delivered job.
#[derive(Debug, Clone)]
pub enum Look {
    /// Claim it by this commit.
    Claim(Commit),
    /// It has expired, passed its deadline, or its rule can not hold: end it by this commit.
    End(Commit),
    /// It is not Ready: drop the delivery.
    Drop,
}

/// Looks at a delivered job. A claim is committed under `claim.nonce`.
pub fn claim(job: &Job, claim: &Claim, m: &Moment) -> Look {
    if job.record.head.state != JobState::Ready {
        return Look::Drop;
    }
    match unfit(job, job.record.head.attempt, m) {
        Some(commit) => Look::End(commit),
        None => Look::Claim(Change::of(job, m).running(claim).commit_as(claim.nonce)),
    }
}

/// Looks at a job that was claimed unseen (by a take, or inline): the commit that ends it instead (skipped, expired, past its
/// deadline); the claim does not count.
pub fn look(job: &Job, m: &Moment) -> Option<Commit> {
    let head = &job.record.head;
    if head.state != JobState::Running {
        return None;
    }
    unfit(job, head.attempt.saturating_sub(1), m)
}

/// The end of a job that must not start (any more); `attempt` counts what has started before.
fn unfit(job: &Job, attempt: u32, m: &Moment) -> Option<Commit> {
    if let Some((cause, why)) = gave_up(&job.spec, attempt, m.now) {
        return Some(Change::of(job, m).gave_up(JobState::Dead, cause, &why).commit());
    }
    let head = &job.record.head;
    if job.spec.rule.holds(head) {
        return None;
    }
    let why = format!("of its parents {} failed and {} were skipped", head.failed, head.skipped);
    Some(Change::of(job, m).gave_up(JobState::Skipped, Cause::Rule, &why).commit())
}
