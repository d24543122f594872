//! One process of a simulation: a runtime of its own, whose time and life others decide over.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jobbers_core::{Clock, Timestamp};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, advance, sleep_until};

use super::shapes::Killer;

/// What a process and its master share.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    /// The time of the world, in milliseconds, when the process was started.
    born: u64,
    started: OnceLock<Instant>,
    seen: AtomicU64,
    /// By how many milliseconds its clock is wrong.
    skew: AtomicI64,
    /// It is to stop in good order.
    pub(crate) stop: AtomicBool,
    /// It has killed itself.
    dead: AtomicBool,
    /// It may kill itself.
    mortal: AtomicBool,
}

impl Seat {
    /// The time of the world, as far as the process has come.
    fn world(&self) -> u64 {
        // While its runtime is being dropped there may be no time.
        if let Some(started) = self.started.get().filter(|_| Handle::try_current().is_ok()) {
            let lived = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.seen.store(self.born + lived, Ordering::SeqCst);
        }
        self.seen.load(Ordering::SeqCst)
    }

    pub(crate) fn set_skew(&self, millis: i64) {
        self.skew.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn set_mortal(&self, mortal: bool) {
        self.mortal.store(mortal, Ordering::SeqCst);
    }
}

impl Clock for Seat {
    fn now(&self) -> Timestamp {
        let skewed = i64::try_from(self.world()).unwrap_or(i64::MAX).saturating_add(self.skew.load(Ordering::SeqCst));
        let start = crate::kit::at(0);
        match u64::try_from(skewed) {
            Ok(after) => start + Duration::from_millis(after),
            Err(_) => start - Duration::from_millis(skewed.unsigned_abs()),
        }
    }
}

impl Killer for Seat {
    fn kill(&self) -> bool {
        let dies = self.mortal.load(Ordering::SeqCst);
        self.dead.fetch_or(dies, Ordering::SeqCst);
        dies
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }
}

/// One process.
pub(crate) struct Process {
    runtime: Option<Runtime>,
    pub(crate) seat: Arc<Seat>,
    /// How far it has come.
    at: u64,
    root: Option<tokio::task::JoinHandle<()>>,
}

impl Process {
    /// Starts one at this time of the world.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(now: u64, main: impl FnOnce(Arc<Seat>) -> F) -> Process {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O starts");
        let seat = Arc::new(Seat { born: now, seen: AtomicU64::new(now), ..Seat::default() });
        let guard = runtime.enter();
        seat.started.get_or_init(Instant::now);
        drop(guard);
        let root = runtime.spawn(main(seat.clone()));
        Process { runtime: Some(runtime), seat, at: now, root: Some(root) }
    }

    /// Lives until this time of the world; answers whether it still does.
    pub(crate) fn live_until(&mut self, now: u64) -> bool {
        let started = *self.seat.started.get().expect("it was started");
        let until = started + Duration::from_millis(now.saturating_sub(self.seat.born));
        let Some(runtime) = &self.runtime else { return false };
        if now > self.at {
            runtime.block_on(async { sleep_until(until).await });
            self.at = now;
        }
        if self.seat.dead.load(Ordering::SeqCst) {
            self.kill();
            return false;
        }
        if self.root.as_ref().is_some_and(|root| root.is_finished()) {
            self.kill();
            return false;
        }
        true
    }

    /// Wakes from a freeze: its time jumps, and then goes on.
    pub(crate) fn thaw(&mut self, now: u64) {
        let lag = now.saturating_sub(self.at);
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async { advance(Duration::from_millis(lag)).await });
            self.at = now;
        }
    }

    pub(crate) fn lives(&self) -> bool {
        self.runtime.is_some()
    }

    /// Ends at once: each of its tasks is dropped where it waits.
    pub(crate) fn kill(&mut self) {
        self.root = None;
        self.seat.dead.store(true, Ordering::SeqCst);
        drop(self.runtime.take());
    }
}
