//! Where `now` comes from.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Timestamp;

/// Tells the time. A backend has one: the system's, or one that its driver measured against the server's.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::MIN + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// A clock that moves only by hand: for tests.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_millis(1_000)?);
/// clock.advance(Duration::from_secs(15));
/// assert_eq!(clock.now().as_millis(), 16_000);
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn new(at: Timestamp) -> ManualClock {
        ManualClock(AtomicU64::new(at.as_millis()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Puts the clock to `at`, also back.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::MIN + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}
