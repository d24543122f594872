//! What a handler's error means for its job.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::id::SmallText;
use crate::policy::Decision;

/// Most errors of a chain that a trail keeps.
const CHAIN_LENGTH_MAX: usize = 4;

/// What a handler returns when it does not succeed: an error, and what to do about it.
///
/// `?` on any error makes one that means "try again by the task's policy". It is no [`std::error::Error`] itself, since it could not be made
/// from all of them then.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::worker::JobError;
/// fn parse(text: &str) -> Result<u16, JobError> {
///     Ok(text.parse::<u16>()?)
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// assert_eq!(JobError::retry_after(Duration::from_secs(5), "the mailbox is busy").to_string(), "the mailbox is busy");
/// ```
pub struct JobError {
    pub(super) ask: Ask,
    source: Box<dyn StdError + Send + Sync>,
}

/// What an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// A failed attempt, and what comes after it.
    Fail(Decision),
    /// The job is cancelled by its own handler.
    Cancel,
    /// The job puts itself off.
    Snooze(Duration),
    /// The job goes back to its queue.
    HandBack,
}

impl JobError {
    fn with(ask: Ask, source: impl Into<Box<dyn StdError + Send + Sync>>) -> JobError {
        JobError { ask, source: source.into() }
    }

    /// Fails the attempt; the task's policy says whether there is another one. What `?` does.
    pub fn retry(error: impl Into<Box<dyn StdError + Send + Sync>>) -> JobError {
        JobError::with(Ask::Fail(Decision::ByPolicy), error)
    }

    /// Fails the attempt; the next one, if the policy has failures left, comes after `delay`.
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> JobError {
        JobError::with(Ask::Fail(Decision::RetryAfter(delay)), error)
    }

    /// Fails the job: another attempt is no use.
    pub fn fail(error: impl Into<Box<dyn StdError + Send + Sync>>) -> JobError {
        JobError::with(Ask::Fail(Decision::Fail), error)
    }

    /// Cancels the job.
    pub fn cancel(why: impl Into<String>) -> JobError {
        JobError::with(Ask::Cancel, why.into())
    }

    /// Puts the job off for `delay`; counts as no failure.
    pub fn snooze(delay: Duration) -> JobError {
        JobError::with(Ask::Snooze(delay), format!("put off for {delay:?}"))
    }

    /// Puts the job off for `after`, since what `key` names asked for fewer calls; counts as no failure.
    pub fn rate_limited(key: impl fmt::Display, after: Duration) -> JobError {
        JobError::with(Ask::Snooze(after), format!("{key} asked to wait for {after:?}"))
    }

    /// Gives the job back to its queue, for another worker to start anew: for handlers that end early because
    /// [`Ctx::stopping`](super::Ctx::stopping) says so. Counts as no failure.
    pub fn hand_back() -> JobError {
        JobError::with(Ask::HandBack, "its worker stops")
    }

    /// The error.
    pub fn error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.source
    }

    /// What it says should come after the attempt; `None` if it is no failure.
    pub fn decision(&self) -> Option<Decision> {
        match self.ask {
            Ask::Fail(decision) => Some(decision),
            Ask::Cancel | Ask::Snooze(_) | Ask::HandBack => None,
        }
    }

    /// The error and its causes, outermost first, cut to what a trail keeps.
    pub(super) fn chain(&self) -> Vec<SmallText> {
        let mut chain = Vec::new();
        let mut next: Option<&(dyn StdError + 'static)> = Some(&*self.source);
        while let Some(error) = next.filter(|_| chain.len() < CHAIN_LENGTH_MAX) {
            chain.push(SmallText::new(&error.to_string()));
            next = error.source();
        }
        chain
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> JobError {
        JobError::retry(error)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.ask, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    #[test]
    fn the_chain_keeps_the_outermost_four_errors() {
        let mut error = Error::new(ErrorKind::Unavailable, "deepest", "0");
        for depth in 1..6 {
            error = Error::new(ErrorKind::Unavailable, format!("level {depth}"), "x").with_source(error);
        }
        let chain = JobError::from(error).chain();
        assert_eq!(chain.len(), CHAIN_LENGTH_MAX);
        assert!(chain[0].as_str().starts_with("level 5"), "{chain:?}");
        assert!(chain[3].as_str().starts_with("level 2"), "{chain:?}");
    }
}
