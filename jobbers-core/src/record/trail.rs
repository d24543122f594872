//! What happened to a job: counters, and the attempts that ended.

use super::bytes::Versioned;
use super::{Unknown, coded, tagged};
use crate::id::{SmallText, WorkerId};
use crate::time::Timestamp;

/// Attempts that a trail keeps: the first, and the newest of the others. With bounded errors they stay within
/// [`TRAIL_BYTES_MAX`](super::TRAIL_BYTES_MAX).
pub const TRAIL_ATTEMPTS_MAX: usize = 12;

/// Counters, and the attempts that ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail {
    /// Failed attempts that count, since the job was submitted or retried by hand.
    pub failures: u32,
    /// Attempts lost with their worker, since then.
    pub losses: u32,
    /// Waits in a row: deferrals, or pushes of one Ready record.
    pub waits: u32,
    /// Why the job ended, if it ended otherwise than succeeded.
    pub cause: Option<Cause>,
    /// Words for it: of the last error, of who cancelled it.
    pub why: SmallText,
    /// Attempts that ended, oldest first; the middle ones are forgotten.
    pub attempts: Vec<PastAttempt>,
    /// How many were forgotten.
    pub forgotten: u32,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Trail { 1 => failures, 2 => losses, 3 => waits, 4 => cause, 5 => why, 6 => attempts, 7 => forgotten });

impl Versioned for Trail {
    const WHAT: &'static str = "trail";
}

impl Trail {
    /// Adds an attempt; forgets the second oldest where there are too many.
    pub fn push(&mut self, attempt: PastAttempt) {
        if self.attempts.len() >= TRAIL_ATTEMPTS_MAX {
            self.attempts.remove(1);
            self.forgotten = self.forgotten.saturating_add(1);
        }
        self.attempts.push(attempt);
    }
}

/// One attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastAttempt {
    /// Its number.
    pub attempt: u32,
    /// Who ran it.
    pub worker: Option<WorkerId>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended, or was found to have.
    pub ended_at: Timestamp,
    /// How it ended.
    pub how: AttemptEnd,
    /// Its error and the causes of that, outermost first; at most four.
    pub errors: Vec<SmallText>,
    /// The step that it was last at.
    pub step: SmallText,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(PastAttempt { 1 => attempt, 2 => worker, 3 => started_at, 4 => ended_at, 5 => how, 6 => errors, 7 => step });

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AttemptEnd {
    /// With an output.
    #[default]
    Succeeded,
    /// With an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It took longer than it may.
    TimedOut,
    /// Its worker vanished.
    Lost,
    /// It was asked to stop.
    Cancelled,
    /// It put itself off.
    Snoozed,
    /// Its worker stopped and gave the job back.
    HandedBack,
}
coded!(AttemptEnd { 0 => Succeeded, 1 => Failed, 2 => Panicked, 3 => TimedOut, 4 => Lost, 5 => Cancelled, 6 => Snoozed, 7 => HandedBack });

/// Why a job ended, if it ended otherwise than succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its failures are used up.
    Failed,
    /// Its error, or its task, said that another attempt is no use.
    NotRetryable,
    /// Its deadline has passed.
    Deadline,
    /// Nobody started it in time.
    Expired,
    /// Its workers vanished too often.
    WorkerLost,
    /// Somebody cancelled it.
    Cancelled,
    /// Its trigger rule can not hold.
    Rule,
}
coded!(Cause { 1 => Failed, 2 => NotRetryable, 3 => Deadline, 4 => Expired, 5 => WorkerLost, 6 => Cancelled, 7 => Rule });
