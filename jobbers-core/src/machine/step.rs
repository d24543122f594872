//! Step numbers of jobs that a handler adds to its run.
//!
//! Two jobs of one run that add follow-ups at the same time must not choose one number twice, and there is nobody to ask. So each job has a
//! range of its own, and hands the rest of it down to its follow-ups in equal shares.

use crate::driver::COMMIT_OPS_MAX;
use crate::id::JobId;
use crate::record::Spec;

use super::{Job, Submission};

/// The first step number that is no item of a map and no step of a plan.
const ADDED_STEPS_FIRST: u32 = 1 << 31;
/// Follow-ups, with those of their own, that an item of a map or a step of a plan can add: the first eight million steps have as many.
const ADDED_STEPS_EACH: u32 = 256;

/// The steps that a submitted job may add: the first, and how many.
pub(super) fn own_steps(step: u32, spec: &Spec) -> (u32, u32) {
    if step == 0 && spec.map.is_none() && spec.edges.is_empty() {
        // Alone in its run.
        return (1, ADDED_STEPS_FIRST - 1);
    }
    match step.checked_mul(ADDED_STEPS_EACH).and_then(|offset| ADDED_STEPS_FIRST.checked_add(offset)) {
        Some(first) => (first, ADDED_STEPS_EACH),
        None => (0, 0),
    }
}

/// How many follow-ups the end of this job can still insert: step numbers that it has left, and room in the commit.
pub fn follow_ups_max(job: &Job) -> usize {
    let in_commit = COMMIT_OPS_MAX.saturating_sub(1 + job.spec.edges.len());
    in_commit.min(usize::try_from(job.spec.step_room).unwrap_or(usize::MAX))
}

/// Numbers follow-ups, and hands the rest of the job's own steps down to them.
///
/// # Panics
/// If there are more than [`follow_ups_max`].
pub(super) fn number(job: &Job, then: &[Submission]) -> Vec<Submission> {
    assert!(then.len() <= follow_ups_max(job), "job {} can not add {} follow-ups, only {}", job.id, then.len(), follow_ups_max(job));
    let Ok(count) = u32::try_from(then.len()) else { unreachable!("bounded by the operations of a commit") };
    let (first, room) = (job.spec.next_step, job.spec.step_room);
    let share = (room - count).checked_div(count).unwrap_or(0);
    let numbered = (0..count).zip(then).map(|(nth, submission)| {
        let mut numbered = submission.clone();
        numbered.id = JobId::new(job.id.run, first + nth);
        numbered.spec.next_step = first + count + nth * share;
        numbered.spec.step_room = share;
        numbered
    });
    numbered.collect()
}
