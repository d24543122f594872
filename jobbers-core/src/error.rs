//! One error type for everything that Jobbers does.

use std::borrow::Cow;
use std::fmt;

/// A result whose error is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input is wrong; trying again will not help.
    Invalid,
    /// Something with this id exists already, with other content.
    Conflict,
    /// There is no such job, run or document.
    NotFound,
    /// The job is in a state in which this can not be done.
    WrongState,
    /// The backend can not do this: it lacks a [`Capability`](crate::driver::Capability), or the feature is not compiled in.
    Unsupported,
    /// The backend can not be reached, or is not ready. Trying again may help.
    Unavailable,
    /// The backend is out of room: disk, memory, a bound on a queue. Nothing was written.
    Full,
    /// Somebody else holds what was asked for: a file, a name.
    Held,
    /// Bytes that were read are damaged, foreign, or of a newer version.
    Damaged,
    /// A wait took longer than its caller allowed.
    TimedOut,
    /// The attempt that asked is no longer the owner of its job.
    Fenced,
    /// A worker or client that was stopped was asked for more.
    Stopped,
    /// A bug in Jobbers or in a driver.
    Internal,
}

/// Trouble: what was tried, on what, and what to do about it.
///
/// Expected outcomes (a lost race, a full limit) are values, never errors.
///
/// ```
/// use jobbers_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Unavailable, "claim job", "queue mail: is the server running?");
/// assert_eq!(error.to_string(), "claim job: queue mail: is the server running?");
/// assert!(!error.outcome_unknown());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    op: Cow<'static, str>,
    context: String,
    unknown: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error: `op` is what was tried ("claim job"), `context` on what, and what to do.
    pub fn new(kind: ErrorKind, op: impl Into<Cow<'static, str>>, context: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, op: op.into(), context: context.into(), unknown: false, source: None }))
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Says that the call may have been applied all the same.
    #[must_use]
    pub fn with_outcome_unknown(mut self) -> Error {
        self.0.unknown = true;
        self
    }

    /// The kind of trouble.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was tried.
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// On what it was tried, and what to do.
    pub fn context(&self) -> &str {
        &self.0.context
    }

    /// Whether the call may have been applied although it failed. Such a call is settled by sending it again unchanged.
    pub fn outcome_unknown(&self) -> bool {
        self.0.unknown
    }

    /// Whether the same call may succeed later without a change: the backend is unavailable or full, or the outcome is unknown.
    pub fn is_transient(&self) -> bool {
        self.0.unknown || matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::TimedOut)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.op, self.0.context)?;
        if let Some(source) = &self.0.source {
            write!(f, " ({source})")?;
        }
        if self.0.unknown {
            f.write_str(" [the outcome is unknown]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}
