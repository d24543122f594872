//! The time, as the server has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jobbers_core::{Clock, Result, SystemClock, Timestamp};
use tokio::sync::Mutex;

use crate::answer;
use crate::link::Link;

/// The offset is measured again after this long: clocks drift by less than a millisecond in it.
const MEASURED_EVERY: Duration = Duration::from_secs(60);
/// A difference above this is reported: a third of the default lease, beyond which an early rescue is possible between two processes that
/// do not correct their clocks.
pub(crate) const SKEW_REPORTED: Duration = Duration::from_secs(5);
/// A smaller difference is left alone: the way to the server and back is as uncertain.
const OFFSET_IGNORED_MILLIS: u64 = 3;

/// The system's clock, corrected by what a server's says.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    /// Server minus system, in milliseconds.
    offset: AtomicI64,
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        let (now, offset) = (SystemClock.now(), self.offset.load(Ordering::Relaxed));
        let by = Duration::from_millis(offset.unsigned_abs());
        if offset < 0 { now - by } else { now + by }
    }
}

impl ServerClock {
    /// Asks the server for its time. The answer is taken for the middle of the time that it took.
    pub(crate) async fn measure(&self, link: &Link) -> Result<Duration> {
        let op = "read the server's time";
        let before = SystemClock.now();
        let answer = link.send(op, &redis::cmd("TIME")).await?;
        let middle = before + SystemClock.now().since(before) / 2;
        let at = link.at(op);
        let [seconds, micros] = answer::tuple(at, answer)?;
        let millis = answer::number(at, &seconds)? * 1_000 + answer::number(at, &micros)? / 1_000;
        let offset = millis - i64::try_from(middle.as_millis()).unwrap_or(i64::MAX);
        let offset = if offset.unsigned_abs() <= OFFSET_IGNORED_MILLIS { 0 } else { offset };
        self.offset.store(offset, Ordering::Relaxed);
        let skew = Duration::from_millis(offset.unsigned_abs());
        if skew > SKEW_REPORTED {
            tracing::warn!(location = link.location(), skew_ms = offset, "the clock of this machine differs from the server's");
        }
        Ok(skew)
    }
}

/// When the offset was measured last.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    clock: Arc<ServerClock>,
    last: Arc<Mutex<Instant>>,
}

impl Measured {
    pub(crate) fn now(clock: Arc<ServerClock>) -> Measured {
        Measured { clock, last: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Measures again if it is time to, and nobody else does.
    pub(crate) async fn again(&self, link: &Link) {
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < MEASURED_EVERY {
            return;
        }
        // A measurement that fails leaves the last one; the call that comes next says what is wrong.
        if self.clock.measure(link).await.is_ok() {
            *last = Instant::now();
        }
    }
}
