//! What is known of a task without its types.

use std::fmt;
use std::time::Duration;

use super::Codec;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{QueueName, TaskName};
use crate::policy::{OnStop, Retry};
use crate::record::{Priority, Template};

/// The builtin task of a map whose items are given with it: its parameters are the JSON list of them. Every worker runs it.
pub const MAP_TASK: &str = "jobbers.map";

/// Names that start so are the engine's own.
const OWN_PREFIX: &str = "jobbers.";

/// A task without its types: what a worker registers, and what a submit starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskDef {
    /// Its name, not checked yet.
    pub name: &'static str,
    /// Its version.
    pub version: u32,
    /// The queue of its jobs, not checked yet.
    pub queue: &'static str,
    /// Their level there.
    pub priority: Priority,
    /// How their parameters and outputs are written.
    pub codec: Codec,
    /// When they are tried again.
    pub retry: Retry,
    /// How long one attempt may take.
    pub attempt_timeout: Option<Duration>,
    /// How often the handler has to give a sign of life.
    pub heartbeat_every: Option<Duration>,
    /// What a worker that stops does with an attempt when its grace is over.
    pub on_stop: OnStop,
    /// How long after its submit a job gives up.
    pub deadline_after: Option<Duration>,
    /// How long after its submit a job gives up if no attempt has started.
    pub expires_after: Option<Duration>,
}

/// The checked names of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedTask {
    /// Its name.
    pub task: TaskName,
    /// The queue of its jobs.
    pub queue: QueueName,
}

impl TaskDef {
    /// Names a task: version 1, queue `default`, JSON, [`Retry::DEFAULT`], no time limits.
    pub const fn new(name: &'static str) -> TaskDef {
        TaskDef {
            name,
            version: 1,
            queue: "default",
            priority: Priority::Normal,
            codec: Codec::Json,
            retry: Retry::DEFAULT,
            attempt_timeout: None,
            heartbeat_every: None,
            on_stop: OnStop::HandBack,
            deadline_after: None,
            expires_after: None,
        }
    }

    /// Checks the names, and that no limit is zero.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that breaks its rule or starts with `jobbers.`, and for a time limit of zero.
    ///
    /// ```
    /// use jobbers_core::task::TaskDef;
    /// assert!(TaskDef::new("mail.send").checked().is_ok());
    /// let error = TaskDef::new("Mail!").checked().unwrap_err();
    /// assert!(error.to_string().contains("\"Mail!\" is not allowed"), "{error}");
    /// ```
    pub fn checked(&self) -> Result<CheckedTask> {
        if self.name.starts_with(OWN_PREFIX) {
            return Err(self.invalid(format!("names that start with {OWN_PREFIX} are the engine's own; choose another")));
        }
        let limits = [("timeout", self.attempt_timeout), ("heartbeat", self.heartbeat_every)];
        if let Some((what, _)) = limits.iter().find(|(_, limit)| limit.is_some_and(|limit| limit < Duration::from_millis(1))) {
            return Err(self.invalid(format!("a {what} below a millisecond would stop every attempt; give it more, or leave it out")));
        }
        Ok(CheckedTask { task: TaskName::new(self.name)?, queue: QueueName::new(self.queue)? })
    }

    fn invalid(&self, why: String) -> Error {
        Error::new(ErrorKind::Invalid, "use a task", format!("{self}: {why}"))
    }

    /// The task as a map's template of its items. What is counted from a submit does not go into it: items appear over time. Nor does the
    /// codec: items are JSON.
    ///
    /// # Errors
    /// As [`checked`](TaskDef::checked).
    pub fn template(&self) -> Result<Template> {
        let CheckedTask { task, queue } = self.checked()?;
        Ok(Template {
            task,
            version: self.version,
            queue,
            priority: self.priority,
            retry: self.retry,
            attempt_timeout: self.attempt_timeout,
            heartbeat_every: self.heartbeat_every,
            on_stop: self.on_stop,
            ..Template::default()
        })
    }
}

impl fmt::Display for TaskDef {
    /// `mail.send@2`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_own_names_are_refused() {
        assert_eq!(TaskDef::new(MAP_TASK).checked().unwrap_err().kind(), ErrorKind::Invalid);
        assert!(TaskDef::new("jobbers").checked().is_ok());
    }

    #[test]
    fn a_limit_of_zero_is_refused_and_named() {
        let def = TaskDef { heartbeat_every: Some(Duration::ZERO), ..TaskDef::new("a") };
        assert!(def.checked().unwrap_err().to_string().contains("heartbeat"));
    }

    #[test]
    fn a_queue_that_is_none_is_refused() {
        let def = TaskDef { queue: "no_underscore", ..TaskDef::new("a") };
        assert!(def.checked().unwrap_err().to_string().contains("name a queue"));
    }
}
