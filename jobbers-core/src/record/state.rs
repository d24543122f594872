//! The states of a job.

use std::fmt;
use std::str::FromStr;

use super::coded;
use crate::error::{Error, ErrorKind, Result};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum JobState {
    /// For parents that have not ended.
    Waiting,
    /// For a time; retries too.
    Scheduled,
    /// In a queue.
    #[default]
    Ready,
    /// Ready, but held on a key: a limit is used up, or no live worker knows the task.
    Parked,
    /// An attempt runs.
    Running,
    /// The end of a success.
    Succeeded,
    /// The end of a job that gave up, or expired.
    Dead,
    /// The end of a job that somebody cancelled.
    Cancelled,
    /// The end of a job whose trigger rule can not hold.
    Skipped,
}
coded!(JobState { 0 => Waiting, 1 => Scheduled, 2 => Ready, 3 => Parked, 4 => Running, 5 => Succeeded, 6 => Dead, 7 => Cancelled, 8 => Skipped });

impl JobState {
    /// Every state, in the order of a job's way.
    pub const ALL: [JobState; 9] = [
        JobState::Waiting,
        JobState::Scheduled,
        JobState::Ready,
        JobState::Parked,
        JobState::Running,
        JobState::Succeeded,
        JobState::Dead,
        JobState::Cancelled,
        JobState::Skipped,
    ];

    /// Whether the job has ended.
    pub const fn is_end(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Dead | JobState::Cancelled | JobState::Skipped)
    }

    /// What an end in this state tells the job's children; `None` if it is no end.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            JobState::Succeeded => Some(Outcome::Succeeded),
            JobState::Skipped => Some(Outcome::Skipped),
            JobState::Dead | JobState::Cancelled => Some(Outcome::Failed),
            _ => None,
        }
    }

    /// The state's place in [`JobState::ALL`]: for keys.
    pub const fn index(self) -> u8 {
        self as u8
    }

    /// The state with that [`index`](JobState::index).
    pub const fn from_index(index: u8) -> Option<JobState> {
        if (index as usize) < JobState::ALL.len() { Some(JobState::ALL[index as usize]) } else { None }
    }

    /// The state's name: `waiting`, `scheduled`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            JobState::Waiting => "waiting",
            JobState::Scheduled => "scheduled",
            JobState::Ready => "ready",
            JobState::Parked => "parked",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Dead => "dead",
            JobState::Cancelled => "cancelled",
            JobState::Skipped => "skipped",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = Error;

    fn from_str(text: &str) -> Result<JobState> {
        JobState::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names = JobState::ALL.map(JobState::as_str).join(", ");
            Error::new(ErrorKind::Invalid, "read a state", format!("{text:?} is none of {names}"))
        })
    }
}

/// How a parent ended, as its children count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It succeeded.
    Succeeded,
    /// It ended dead or cancelled.
    Failed,
    /// It was skipped.
    Skipped,
}
