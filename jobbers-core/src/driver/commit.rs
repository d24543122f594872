//! What changes records: one commit, whole or not at all.

use bytes::Bytes;

use super::{Delivery, Place};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{Head, Outcome, Parts, Priority, Record, Revision, Stop};
use crate::time::Timestamp;

/// Most operations of one commit: a script of any driver stays short.
pub const COMMIT_OPS_MAX: usize = 256;
/// Most bytes of changed parts in one commit: below the message bound of every server we drive.
pub const COMMIT_BYTES_MAX: usize = 900_000;
/// Most jobs of one call: pulls, takes, batches of commits.
pub const CALL_JOBS_MAX: usize = 300;

/// Changes to records of one run that are applied together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The run that all its ids belong to.
    pub run: RunId,
    /// Drawn for this commit, and kept when it is sent again.
    pub nonce: u64,
    /// At most [`COMMIT_OPS_MAX`]; at most one an id.
    pub ops: Vec<Op>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new record.
    ///
    /// - It is stored with revision `(1, nonce)` and `born = nonce`.
    /// - With `over: None` it is refused if the id is taken.
    /// - With `over: Some(r)` it replaces the ended lone job that stands at revision `r`, and is refused if anything else stands there;
    ///   the count of its revision goes on from `r`.
    Insert {
        /// The job.
        id: JobId,
        /// What is stored; revision and `born` are set by the driver.
        record: Record,
        /// The ended job that it may replace.
        over: Option<Revision>,
    },
    /// The record as loaded and changed.
    ///
    /// - It is refused unless the stored revision is `expect`.
    /// - With `lapsed` it is refused as well if the stored `wake_at` is later than that.
    /// - Unless into Succeeded or out of an end, it is refused as well if the stored `asked` is not the record's.
    /// - It sets the revision to `expect.next(nonce)`; `born` stays.
    /// - The join counters (`remaining`, `succeeded`, `failed`, `skipped`) stay as stored, except out of an end into Waiting.
    /// - Into Waiting with `may_fire()` already true it turns the job Ready.
    /// - Into Ready it enqueues the job, at `place`, also one that was Ready before.
    /// - A job may move to another queue and priority: it is counted and delivered there.
    /// - The parts that are not named in `changed` stay.
    Update {
        /// The job.
        id: JobId,
        /// The revision that was loaded.
        expect: Revision,
        /// Refuses the change of a record whose timer was moved on meanwhile.
        lapsed: Option<Timestamp>,
        /// The whole record.
        record: Record,
        /// The parts that differ, so that a driver may write some or all.
        changed: Parts,
        /// Where its delivery goes, if it turns Ready.
        place: Place,
    },
    /// Renews a lease.
    ///
    /// - It sets `wake_at`, and `progress` where there is one.
    /// - It is alone in its commit.
    /// - It is refused unless the job is Running at `expect`; it leaves the revision.
    /// - The verdict carries the stored `asked`.
    Beat {
        /// The job.
        id: JobId,
        /// The claim's revision.
        expect: Revision,
        /// The new end of the lease.
        wake_at: Timestamp,
        /// What the handler said, if there is news.
        progress: Option<Bytes>,
    },
    /// Marks a running attempt.
    ///
    /// - It is refused, with the head, unless the job is Running at `expect`; it leaves the revision.
    AskToStop {
        /// The job.
        id: JobId,
        /// The attempt that is meant.
        expect: Revision,
        /// Who asks, and why.
        stop: Stop,
    },
    /// Parents of a job have ended, or (`outcome: None`) are added ahead.
    ///
    /// - It is never refused, so its commit holds an operation that can be; a missing target is ignored and counted.
    /// - It counts in every state but the ends: `edges` are added to the counter of `outcome` and taken off `remaining`; with `None` they
    ///   are added to `remaining`.
    /// - Only a Waiting job whose `may_fire()` holds then turns Ready; its revision becomes `next(nonce)`.
    /// - `wake_at` replaces the stored one if the job turns Ready, unless the stored one is earlier.
    /// - With `claim` a job that would turn Ready and has no limit keys is claimed at once for that worker instead.
    /// - However many parents race, their child turns Ready once, and no end is lost.
    /// - The child is delivered where its own record says.
    Release {
        /// The child.
        id: JobId,
        /// Its queue: a driver names its keys before it reads.
        queue: QueueName,
        /// Its priority.
        priority: Priority,
        /// How many edges.
        edges: u32,
        /// How the parents ended; `None` adds edges ahead.
        outcome: Option<Outcome>,
        /// Its timer, should it turn Ready.
        wake_at: Option<Timestamp>,
        /// Who claims it inline.
        claim: Option<Claim>,
    },
}

impl Op {
    /// The job that the operation changes.
    pub fn id(&self) -> JobId {
        match self {
            Op::Insert { id, .. } | Op::Update { id, .. } | Op::Beat { id, .. } | Op::AskToStop { id, .. } | Op::Release { id, .. } => *id,
        }
    }

    /// Bytes of the parts that it changes.
    pub fn part_bytes(&self) -> usize {
        match self {
            Op::Insert { record, .. } => record.part_bytes(),
            Op::Update { record, changed, .. } => {
                let parts = [
                    (Parts::SPEC, &record.spec),
                    (Parts::TRAIL, &record.trail),
                    (Parts::PROGRESS, &record.progress),
                    (Parts::OUTPUT, &record.output),
                ];
                parts.iter().filter(|(part, _)| changed.has(*part)).map(|(_, bytes)| bytes.len()).sum()
            }
            Op::Beat { progress, .. } => progress.as_ref().map_or(0, Bytes::len),
            Op::AskToStop { .. } | Op::Release { .. } => 0,
        }
    }
}

/// Who claims a job, from when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The worker.
    pub owner: WorkerId,
    /// The start of the attempt.
    pub now: Timestamp,
    /// The end of the lease.
    pub wake_at: Timestamp,
    /// The nonce of the claim's revision.
    pub nonce: u64,
}

/// What became of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every operation was applied.
    Applied {
        /// Jobs that turned Ready and that the caller pushes; empty with [`Dispatch::Own`](super::Dispatch::Own).
        ready: Vec<Delivery>,
        /// The mark that a Beat found.
        asked: Option<Box<Stop>>,
        /// Jobs that a Release claimed, as stored.
        claimed: Vec<(JobId, Record)>,
    },
    /// Nothing was applied.
    ///
    /// - It names the first operation that was refused, and carries what stands there.
    /// - `current` settles a resend after an unknown outcome: its nonce (of an Insert: its `born`) is the commit's if that was applied before.
    /// - If it is another's: with a count of `expect` or one more the commit was never applied; with a higher one that is not known, and
    ///   others have settled it.
    Conflict {
        /// The job of the operation.
        id: JobId,
        /// The stored head, if there is one.
        current: Option<Box<Head>>,
    },
}
