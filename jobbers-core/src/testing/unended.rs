//! The error of a run that left jobs: which, and why.

use std::fmt::Write;
use std::time::Duration;

use super::Kit;
use super::at_once::at_once;
use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

/// Jobs that are explained.
const EXPLAINED_COUNT_MAX: usize = 5;

/// Why a run stopped before every job had ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// It took too long.
    Patience { most: Duration },
    /// The next timer is too far away.
    Horizon { at: Timestamp, most: Duration },
    /// The clock moves, and no attempt starts.
    Vain { moves: u32 },
    /// There is no timer left, and nothing that the worker would run.
    Idle,
}

impl Kit {
    pub(super) fn unended(&self, op: &'static str, why: Why) -> Error {
        let unended: Vec<_> = self.heads().into_iter().filter(|(_, head)| !head.state.is_end()).map(|(id, _)| id).collect();
        let jobs = match unended.len() {
            1 => "1 job has".to_owned(),
            count => format!("{count} jobs have"),
        };
        let (kind, why) = match why {
            Why::Patience { most } => (
                ErrorKind::TimedOut,
                format!("{jobs} not ended within {most:?} of real time; does a handler hang? If it is only slow: Kit::patience"),
            ),
            Why::Horizon { at, most } => {
                let days = most.as_secs() / (24 * 3600);
                let why = format!(
                    "{jobs} not ended, and the next timer, {at}, is beyond the horizon of {days} days; does a job put itself off for ever? \
                     Use Kit::run_for, or Kit::horizon"
                );
                (ErrorKind::TimedOut, why)
            }
            Why::Vain { moves } => {
                (ErrorKind::TimedOut, format!("{jobs} not ended: the clock was moved {moves} times in a row, and no attempt started"))
            }
            Why::Idle => (ErrorKind::WrongState, format!("{jobs} not ended, and nobody would run them; to leave jobs, use Kit::run_for")),
        };
        let mut text = why;
        for id in unended.iter().take(EXPLAINED_COUNT_MAX) {
            let explained = at_once(self.client.explain(*id)).map_or_else(|error| error.to_string(), |explained| explained.to_string());
            write!(text, "\n{explained}").expect("a string has room");
        }
        if unended.len() > EXPLAINED_COUNT_MAX {
            write!(text, "\nand {} more", unended.len() - EXPLAINED_COUNT_MAX).expect("a string has room");
        }
        Error::new(kind, op, text)
    }
}
