//! The state machine: every transition of a job as a pure function from a job and an event to a commit.
//!
//! No clock, no chance, no I/O: `now` and the draw come in a [`Moment`].

use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::driver::{Claim, Commit, Dispatch, Op};
use crate::error::Result;
use crate::id::{JobId, QueueName, SmallText, TaskName};
use crate::policy::Decision;
use crate::record::{AttemptEnd, LimitKey, Priority, ReadyWhen, Record, Revision, Spec, Trail, decode_versioned};
use crate::time::{Draw, Timestamp};

/// When a Ready record whose delivery may be lost is first pushed again; doubles with each push.
pub const PUSH_AGAIN_FIRST: Duration = Duration::from_secs(10);
/// The longest time between two pushes of one Ready record.
pub const PUSH_AGAIN_MAX: Duration = Duration::from_secs(300);

/// What a decision may know beyond the job and the event.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// The commit's nonce, and jitter.
    pub draw: Draw,
    /// Who dispatches: with [`Dispatch::Caller`] each Ready record has a timer to be pushed again.
    pub dispatch: Dispatch,
}

/// A record with the parts that the machine reads, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// As loaded, or as claimed.
    pub record: Record,
    /// What was submitted.
    pub spec: Spec,
    /// What happened to it.
    pub trail: Trail,
}

impl Job {
    /// Decodes a record.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) if spec or trail do not decode.
    pub fn read(id: JobId, record: Record) -> Result<Job> {
        Ok(Job { id, spec: decode_versioned(&record.spec)?, trail: decode_versioned(&record.trail)?, record })
    }

    /// The job as it stands once `commit`, which updates it, was applied.
    #[must_use]
    pub fn after(&self, commit: &Commit) -> Job {
        let _ = commit;
        unimplemented!()
    }
}

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
    pub limits: SmallVec<[LimitKey; 2]>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Parents that have not ended: with one or more the job waits.
    pub remaining: u32,
    /// When it may be looked at although parents are left.
    pub ready_when: ReadyWhen,
    /// The rest.
    pub spec: Spec,
}

/// Inserts a job: Ready; Scheduled with `run_at` later than now; Waiting with `remaining`. Several make one commit.
pub fn insert(submission: &Submission, over: Option<Revision>, m: &Moment) -> Op {
    let _ = (submission, over, m);
    unimplemented!()
}

/// Submits one job.
pub fn submit(submission: &Submission, over: Option<Revision>, m: &Moment) -> Commit {
    Commit { run: submission.id.run, nonce: m.draw.nonce, ops: vec![insert(submission, over, m)] }
}

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

/// Looks at a delivered job.
pub fn claim(job: &Job, claim: &Claim, m: &Moment) -> Look {
    let _ = (job, claim, m);
    unimplemented!()
}

/// Looks at a job that was claimed unseen (by a take, or inline): the commit that ends it instead (skipped, expired, past its
/// deadline); the claim does not count.
pub fn look(job: &Job, m: &Moment) -> Option<Commit> {
    let _ = (job, m);
    unimplemented!()
}

/// Renews the lease of a claim until `wake_at`.
pub fn beat(id: JobId, expect: Revision, wake_at: Timestamp, progress: Option<Bytes>, nonce: u64) -> Commit {
    Commit { run: id.run, nonce, ops: vec![Op::Beat { id, expect, wake_at, progress }] }
}

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
    /// Follow-ups, inserted only by a success.
    pub then: Vec<Submission>,
    /// Claims one child that turns Ready for this worker.
    pub inline: Option<Claim>,
}

/// Ends an attempt: one commit with the job's update, one release a child, and the follow-ups. `job` is as claimed; `job.record.head.asked`
/// says whether it was asked to stop; `job.record.progress` is the last that the worker knows (for the trail).
pub fn end(job: &Job, end: &End, also: &Also, m: &Moment) -> Commit {
    let _ = (job, end, also, m);
    unimplemented!()
}

/// Acts on a running attempt whose lease is over (`lapsed`), or whose worker is provably gone (`None`).
pub fn lost(job: &Job, lapsed: Option<Timestamp>, m: &Moment) -> Commit {
    let _ = (job, lapsed, m);
    unimplemented!()
}

/// Acts on a job whose `wake_at` has come; `None` if it has not, or if there is nothing to do.
pub fn due(job: &Job, m: &Moment) -> Option<Commit> {
    let _ = (job, m);
    unimplemented!()
}

/// Cancels a job that does not run, or asks its running attempt to stop; `None` if it has ended.
pub fn cancel(job: &Job, by: &str, why: &str, grace: Duration, m: &Moment) -> Option<Commit> {
    let _ = (job, by, why, grace, m);
    unimplemented!()
}

/// Makes a dead or cancelled lone job Ready again: failures count anew, `asked` is cleared, the trail keeps the old attempts.
///
/// # Errors
/// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) for any other state, and for a step of a workflow.
pub fn retry(job: &Job, m: &Moment) -> Result<Commit> {
    let _ = (job, m);
    unimplemented!()
}

/// Puts off a Ready job whose task is unknown here: 250 ms, doubling to 10 s; counts as nothing.
pub fn defer(job: &Job, m: &Moment) -> Commit {
    let _ = (job, m);
    unimplemented!()
}

/// Holds a Ready job on a key; the commit's nonce is the waiting holder's. Its own `wake_at` doubles from 2 leases to 10 min.
pub fn park(job: &Job, key: &LimitKey, lease: Duration, m: &Moment) -> Commit {
    let _ = (job, key, lease, m);
    unimplemented!()
}

/// Its turn has come: a Parked or Ready job turns Ready at the front, with a new revision; `None` in any other state.
pub fn hand_over(job: &Job, m: &Moment) -> Option<Commit> {
    let _ = (job, m);
    unimplemented!()
}

/// Opens an ended step of a run again: Waiting for `remaining` parents, counters reset.
///
/// # Errors
/// [`ErrorKind::WrongState`](crate::ErrorKind::WrongState) if it has not ended.
pub fn reopen(job: &Job, remaining: u32, m: &Moment) -> Result<Commit> {
    let _ = (job, remaining, m);
    unimplemented!()
}

/// Inserts the next items of a running map (their parameters, at most [`MAP_CHUNK_ITEMS_MAX`]): the map turns Scheduled for `pause`, the
/// join waits for so many more, and the items are Ready; all in one commit. Without items it only pauses.
pub fn map_chunk(job: &Job, items: &[Bytes], pause: Duration, m: &Moment) -> Commit {
    let _ = (job, items, pause, m);
    unimplemented!()
}

/// Most items of one chunk: with the map and the release of the join they fill a commit.
pub const MAP_CHUNK_ITEMS_MAX: usize = crate::driver::COMMIT_OPS_MAX - 2;
