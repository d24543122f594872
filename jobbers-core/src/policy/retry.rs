//! When a failed job is tried again.

use std::time::Duration;

use crate::record::coded;

/// When to try again, and when to give up.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::policy::{Jitter, Retry};
/// let retry = Retry::exponential(Duration::from_secs(1)).cap(Duration::from_secs(10)).jitter(Jitter::None).failures_max(5);
/// assert_eq!(retry.delay(1, 0), Some(Duration::from_secs(1)));
/// assert_eq!(retry.delay(4, 0), Some(Duration::from_secs(8)));
/// assert_eq!(retry.delay(5, 0), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How the delay grows.
    pub backoff: Backoff,
    /// The first delay.
    pub base: Duration,
    /// The longest delay, before jitter.
    pub cap: Duration,
    /// How the delay is spread.
    pub jitter: Jitter,
    /// The failure that ends the job; 0 counts as 1.
    pub failures_max: u32,
    /// The loss of a worker that ends the job; 0 counts as 1.
    pub losses_max: u32,
}

impl Default for Retry {
    /// [`Retry::DEFAULT`].
    fn default() -> Retry {
        Retry::DEFAULT
    }
}

impl Retry {
    /// 5 failures, exponential from 1 s to 10 min with full jitter; 3 losses.
    pub const DEFAULT: Retry = Retry {
        backoff: Backoff::Exponential,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(600),
        jitter: Jitter::Full,
        failures_max: 5,
        losses_max: 3,
    };

    /// Never: the first failure ends the job.
    pub const fn none() -> Retry {
        Retry { failures_max: 1, ..Retry::DEFAULT }
    }

    /// After `delay`, each time, with full jitter.
    pub const fn constant(delay: Duration) -> Retry {
        Retry { backoff: Backoff::Constant, base: delay, ..Retry::DEFAULT }
    }

    /// After `base`, 2 `base`, 3 `base`, … with full jitter.
    pub const fn linear(base: Duration) -> Retry {
        Retry { backoff: Backoff::Linear, base, ..Retry::DEFAULT }
    }

    /// After `base`, 2 `base`, 4 `base`, … with full jitter.
    pub const fn exponential(base: Duration) -> Retry {
        Retry { backoff: Backoff::Exponential, base, ..Retry::DEFAULT }
    }

    /// Sets the longest delay; 10 min by default.
    #[must_use]
    pub const fn cap(self, cap: Duration) -> Retry {
        Retry { cap, ..self }
    }

    /// Sets how the delay is spread; full by default.
    #[must_use]
    pub const fn jitter(self, jitter: Jitter) -> Retry {
        Retry { jitter, ..self }
    }

    /// Sets the failure that ends the job; 5 by default.
    #[must_use]
    pub const fn failures_max(self, failures_max: u32) -> Retry {
        Retry { failures_max, ..self }
    }

    /// Sets the loss of a worker that ends the job; 3 by default.
    #[must_use]
    pub const fn losses_max(self, losses_max: u32) -> Retry {
        Retry { losses_max, ..self }
    }

    /// How long to wait after the failure with that number (from 1); `None`: give up. `random` is spread over all of `u64`.
    pub fn delay(&self, failures: u32, random: u64) -> Option<Duration> {
        if failures >= self.failures_max {
            return None;
        }
        let nth = failures.max(1);
        let delay = match self.backoff {
            Backoff::Constant => self.base,
            Backoff::Linear => self.base.saturating_mul(nth),
            Backoff::Exponential => self.base.saturating_mul(1u32.checked_shl(nth - 1).unwrap_or(u32::MAX)),
        }
        .min(self.cap);
        Some(match self.jitter {
            Jitter::None => delay,
            Jitter::Full => share(delay, random),
            Jitter::Half => delay / 2 + share(delay / 2, random),
        })
    }
}

/// A random part of `whole`, in whole milliseconds.
fn share(whole: Duration, random: u64) -> Duration {
    let millis = whole.as_millis().min(u128::from(u64::MAX));
    let part = (millis * u128::from(random)) >> 64;
    Duration::from_millis(u64::try_from(part).expect("a part of 64 bits"))
}

/// How the delay grows with the failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Backoff {
    /// It does not.
    Constant,
    /// By the base each time.
    Linear,
    /// It doubles.
    #[default]
    Exponential,
}
coded!(Backoff { 0 => Constant, 1 => Linear, 2 => Exponential });

/// How a delay is spread, so that jobs that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Evenly from 0 to the delay ("full jitter").
    #[default]
    Full,
    /// Evenly from half the delay to the delay ("equal jitter").
    Half,
}
coded!(Jitter { 0 => None, 1 => Full, 2 => Half });

/// What to do about one error, instead of what the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decision {
    /// What the policy says.
    #[default]
    ByPolicy,
    /// Try again after this time, if the policy has failures left.
    RetryAfter(Duration),
    /// Give up: another attempt is no use.
    Fail,
}

/// What a worker that stops does with an attempt when its grace is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnStop {
    /// Cancels the handler and gives the job back; no failure is counted.
    #[default]
    HandBack,
    /// Waits for the handler, however long it takes.
    Finish,
    /// Cancels the handler and counts a failure.
    Fail,
}
coded!(OnStop { 0 => HandBack, 1 => Finish, 2 => Fail });

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_grow_as_their_backoff_says_and_stop_at_the_cap() {
        let delays =
            |retry: Retry| (1..=4).map(|n| retry.jitter(Jitter::None).cap(10 * SECOND).delay(n, 0).unwrap().as_secs()).collect::<Vec<_>>();
        assert_eq!(delays(Retry::constant(2 * SECOND)), [2, 2, 2, 2]);
        assert_eq!(delays(Retry::linear(2 * SECOND)), [2, 4, 6, 8]);
        assert_eq!(delays(Retry::exponential(2 * SECOND)), [2, 4, 8, 10]);
        assert_eq!(Retry::none().delay(1, 0), None);
        let endless = Retry::exponential(SECOND).failures_max(u32::MAX).jitter(Jitter::None);
        assert_eq!(endless.delay(1_000_000, 0), Some(Duration::from_secs(600)));
    }

    #[test]
    fn jitter_spreads_over_its_range() {
        let full = Retry::constant(SECOND);
        assert_eq!((full.delay(1, 0), full.delay(1, u64::MAX)), (Some(Duration::ZERO), Some(Duration::from_millis(999))));
        let half = full.jitter(Jitter::Half);
        assert_eq!((half.delay(1, 0), half.delay(1, u64::MAX)), (Some(SECOND / 2), Some(Duration::from_millis(999))));
    }
}
