//! The part of a record that a driver may look at.

use std::time::Duration;

use super::bytes::Versioned;
use super::{JobState, Unknown, coded, tagged};
use crate::id::{LimitName, QueueName, SmallText, TaskName, WorkerId};
use crate::record::{Field, written};
use crate::time::Timestamp;

/// All that a driver may look at. What is rare lies in a box: heads are copied for every job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// The fencing token of the attempt.
    pub revision: Revision,
    /// Where the job stands.
    pub state: JobState,
    /// The code that runs it.
    pub task: TaskName,
    /// The version of the task.
    pub version: u32,
    /// The queue that it is delivered through.
    pub queue: QueueName,
    /// Its level there.
    pub priority: Priority,
    /// The nonce of the insert that made the record: was it my submit?
    pub born: u64,
    /// Claims so far; never falls. Which of them count is the trail's and the policy's matter.
    pub attempt: u32,
    /// Who runs it.
    pub owner: Option<WorkerId>,
    /// Since when the attempt runs.
    pub started_at: Option<Timestamp>,
    /// Somebody asked the running attempt to stop: who, why.
    pub asked: Option<Box<Stop>>,
    /// Keys made from the parameters at submit, at most [`LIMITS_COUNT_MAX`](super::LIMITS_COUNT_MAX).
    pub limits: Vec<LimitKey>,
    /// The key that a parked job is held on.
    pub parked_on: Option<Box<LimitKey>>,
    /// Parents that have not ended.
    pub remaining: u32,
    /// Parents that succeeded.
    pub succeeded: u32,
    /// Parents that ended dead or cancelled.
    pub failed: u32,
    /// Parents that were skipped.
    pub skipped: u32,
    /// When a waiting job may be looked at.
    pub ready_when: ReadyWhen,
    /// The earliest of its timers: lease, retry, expiry, push again. Who acts decides from spec and now which one came.
    pub wake_at: Option<Timestamp>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Head {
    1 => revision, 2 => state, 3 => task, 4 => version, 5 => queue, 6 => priority, 7 => born, 8 => attempt, 9 => owner, 10 => started_at,
    11 => asked, 12 => limits, 13 => parked_on, 14 => remaining, 15 => succeeded, 16 => failed, 17 => skipped, 18 => ready_when,
    19 => wake_at, 20 => created_at, 21 => ended_at,
});

impl Versioned for Head {
    const WHAT: &'static str = "head";
    const MAY_BE_EMPTY: bool = false;
}

impl Head {
    /// Whether a waiting job may be looked at: no parent is left, or `ready_when` holds.
    ///
    /// ```
    /// use jobbers_core::record::{Head, ReadyWhen};
    /// let mut head = Head { remaining: 2, failed: 1, ..Head::default() };
    /// assert!(!head.may_fire());
    /// head.ready_when = ReadyWhen::Failed(1);
    /// assert!(head.may_fire());
    /// ```
    pub fn may_fire(&self) -> bool {
        let ended = u64::from(self.succeeded) + u64::from(self.failed) + u64::from(self.skipped);
        self.remaining == 0
            || match self.ready_when {
                ReadyWhen::AllEnded => false,
                ReadyWhen::Ended(n) => ended >= u64::from(n),
                ReadyWhen::Succeeded(n) => self.succeeded >= n,
                ReadyWhen::Failed(n) => self.failed >= n,
            }
    }
}

/// A count that orders a job's writes, and the nonce of the commit that made the last one. Compared as a pair.
///
/// Every Insert and Update sets it (stored count + 1, the commit's nonce), and a Release that turns a job Ready or claims it. A beat, a
/// mark to stop and a Release that only counts leave it. The nonce keeps a worker of a lost future out when a store comes back older
/// than it was, and tells a resender whether the write was its own; the count orders a handler's fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision {
    /// Writes so far; 1 for a new record.
    pub count: u32,
    /// The nonce of the commit that wrote it.
    pub nonce: u64,
}

impl Revision {
    /// The revision that a write with `nonce` makes of this one.
    #[must_use]
    pub fn next(self, nonce: u64) -> Revision {
        Revision { count: self.count.saturating_add(1), nonce }
    }
}

impl Field for Revision {
    fn write(&self, to: &mut minicbor::Encoder<Vec<u8>>) {
        written(to.array(2));
        self.count.write(to);
        self.nonce.write(to);
    }

    fn read(from: &mut minicbor::Decoder<'_>) -> Result<Revision, minicbor::decode::Error> {
        if from.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a revision is a pair"));
        }
        Ok(Revision { count: u32::read(from)?, nonce: u64::read(from)? })
    }
}

/// A job's level in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Priority {
    /// Before all others.
    Urgent,
    /// Before normal ones.
    High,
    /// The default.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}
coded!(Priority { 0 => Urgent, 1 => High, 2 => Normal, 3 => Low });

impl Priority {
    /// Every level, the most urgent first.
    pub const ALL: [Priority; 4] = [Priority::Urgent, Priority::High, Priority::Normal, Priority::Low];
}

/// When a waiting job may be looked at, although parents are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReadyWhen {
    /// When none is left.
    #[default]
    AllEnded,
    /// When so many have ended.
    Ended(u32),
    /// When so many have succeeded.
    Succeeded(u32),
    /// When so many have failed.
    Failed(u32),
}

impl Field for ReadyWhen {
    fn write(&self, to: &mut minicbor::Encoder<Vec<u8>>) {
        let (code, count) = match *self {
            ReadyWhen::AllEnded => (0u8, 0),
            ReadyWhen::Ended(n) => (1, n),
            ReadyWhen::Succeeded(n) => (2, n),
            ReadyWhen::Failed(n) => (3, n),
        };
        written(to.array(2));
        code.write(to);
        count.write(to);
    }

    fn read(from: &mut minicbor::Decoder<'_>) -> Result<ReadyWhen, minicbor::decode::Error> {
        if from.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("ready_when is a pair"));
        }
        match (u8::read(from)?, u32::read(from)?) {
            (0, _) => Ok(ReadyWhen::AllEnded),
            (1, n) => Ok(ReadyWhen::Ended(n)),
            (2, n) => Ok(ReadyWhen::Succeeded(n)),
            (3, n) => Ok(ReadyWhen::Failed(n)),
            (code, _) => Err(minicbor::decode::Error::message(format!("ready_when {code} is of a newer Jobbers"))),
        }
    }
}

/// Somebody asks a running attempt to stop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stop {
    /// Who asks.
    pub by: SmallText,
    /// Why.
    pub why: SmallText,
    /// When.
    pub at: Timestamp,
    /// How long the handler may go on, from when it is told.
    pub grace: Duration,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Stop { 1 => by, 2 => why, 3 => at, 4 => grace });

/// One value of a limit: `("customer", "42")`; `("queue:img", "")`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey {
    /// Which limit.
    pub limit: LimitName,
    /// Which of its values; empty for a limit without values.
    pub value: SmallText,
}

impl Field for LimitKey {
    fn write(&self, to: &mut minicbor::Encoder<Vec<u8>>) {
        written(to.array(2));
        self.limit.write(to);
        self.value.write(to);
    }

    fn read(from: &mut minicbor::Decoder<'_>) -> Result<LimitKey, minicbor::decode::Error> {
        if from.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a limit key is a pair"));
        }
        Ok(LimitKey { limit: LimitName::read(from)?, value: SmallText::read(from)? })
    }
}
