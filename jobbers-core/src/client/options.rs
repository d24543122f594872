//! Options of a submit, as they are given, and the times that follow from them.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Priority, Revision};
use crate::task::TaskDef;
use crate::time::Timestamp;

/// When something happens, as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    After(Duration),
    At(Timestamp),
}

impl When {
    fn at(self, now: Timestamp, what: &str, of: &TaskDef) -> Result<Timestamp> {
        match self {
            When::At(at) => Ok(at),
            When::After(after) if after > Timestamp::MAX - now => Err(invalid(of, format!("its {what} is after 9999; give it less"))),
            When::After(after) => Ok(now + after),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) queue: Option<String>,
    pub(super) priority: Option<Priority>,
    pub(super) start: Option<When>,
    pub(super) expiry: Option<When>,
    pub(super) deadline: Option<When>,
    pub(super) over: Option<Revision>,
}

impl Options {
    /// All that was given, as one text: `queue` is compared by itself, `over` belongs to one try.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(priority) = self.priority {
            write!(text, "priority={} ", priority as u8).expect("a string takes every byte");
        }
        for (name, when) in [("start", self.start), ("expiry", self.expiry), ("deadline", self.deadline)] {
            let written = match when {
                Some(When::After(after)) => write!(text, "{name}+{} ", after.as_millis()),
                Some(When::At(at)) => write!(text, "{name}={} ", at.as_millis()),
                None => Ok(()),
            };
            written.expect("a string takes every byte");
        }
        text
    }

    /// The times that follow from it and from the task.
    pub(super) fn times(&self, def: &TaskDef, now: Timestamp) -> Result<Times> {
        let start = self.start.map(|start| start.at(now, "start", def)).transpose()?.unwrap_or(now).max(now);
        let ends = |given: Option<When>, task: Option<Duration>, what: &str| -> Result<Option<Timestamp>> {
            let Some(when) = given.or(task.map(When::After)) else { return Ok(None) };
            let at = when.at(now, what, def)?;
            if at <= start {
                return Err(invalid(def, format!("its {what}, {at}, is not after its start, {start}; it could never run")));
            }
            Ok(Some(at))
        };
        Ok(Times {
            run_at: Some(start).filter(|start| *start > now),
            expires_at: ends(self.expiry, def.expires_after, "expiry")?,
            deadline: ends(self.deadline, def.deadline_after, "deadline")?,
        })
    }
}

/// When a job starts and gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// Later than now.
    pub(super) run_at: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) deadline: Option<Timestamp>,
}

fn invalid(of: &TaskDef, why: String) -> Error {
    Error::new(ErrorKind::Invalid, "submit a job", format!("{of}: {why}"))
}
