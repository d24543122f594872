//! Event: somebody submits a job.

use bytes::Bytes;

use super::Moment;
use super::step::own_steps;
use super::timer::{earlier, gives_up_at, push_again_at};
use crate::driver::{Commit, Op};
use crate::id::{JobId, QueueName, TaskName};
use crate::record::{Head, JobState, LimitKey, Priority, ReadyWhen, Record, Revision, Spec, encode_versioned};
use crate::time::Timestamp;

/// What is submitted: everything but the time and the draw.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The job.
    pub id: JobId,
    /// Its task.
    pub task: TaskName,
    /// The task's version.
    pub version: u32,
    /// Its queue.
    pub queue: QueueName,
    /// Its level there.
    pub priority: Priority,
    /// Keys made from the parameters.
    pub limits: Vec<LimitKey>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Parents that have not ended: with one or more the job waits.
    pub remaining: u32,
    /// When it may be looked at although parents are left.
    pub ready_when: ReadyWhen,
    /// The rest. `next_step` and `step_room` are set by [`insert`], unless there is a `step_room` already.
    pub spec: Spec,
}

/// Inserts a job: Ready; Scheduled with `run_at` later than now; Waiting with `remaining`. Several make one commit.
pub fn insert(submission: &Submission, over: Option<Revision>, m: &Moment) -> Op {
    if submission.spec.step_room > 0 {
        return insert_numbered(submission, over, m);
    }
    let (next_step, step_room) = own_steps(submission.id.step, &submission.spec);
    insert_with(submission, &Spec { next_step, step_room, ..submission.spec.clone() }, over, m)
}

/// Inserts a job whose `next_step` and `step_room` are set.
pub(super) fn insert_numbered(submission: &Submission, over: Option<Revision>, m: &Moment) -> Op {
    insert_with(submission, &submission.spec, over, m)
}

/// The same with another spec.
fn insert_with(submission: &Submission, spec: &Spec, over: Option<Revision>, m: &Moment) -> Op {
    let mut head = Head {
        task: submission.task.clone(),
        version: submission.version,
        queue: submission.queue.clone(),
        priority: submission.priority,
        limits: submission.limits.clone(),
        remaining: submission.remaining,
        ready_when: submission.ready_when,
        created_at: m.now,
        ..Head::default()
    };
    let timer;
    (head.state, timer) = match submission.run_at {
        _ if !head.may_fire() => (JobState::Waiting, None),
        Some(at) if at > m.now => (JobState::Scheduled, Some(at)),
        _ => (JobState::Ready, push_again_at(m, 0)),
    };
    head.wake_at = earlier(timer, gives_up_at(spec, 0));
    let spec = encode_versioned(spec);
    let record = Record { head, spec, trail: Bytes::new(), progress: Bytes::new(), output: Bytes::new() };
    Op::Insert { id: submission.id, record, over }
}

/// Submits one job.
pub fn submit(submission: &Submission, over: Option<Revision>, m: &Moment) -> Commit {
    Commit { run: submission.id.run, nonce: m.draw.nonce, ops: vec![insert(submission, over, m)] }
}
