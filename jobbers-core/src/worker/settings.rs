//! How a worker works.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{QueueName, SmallText};
use crate::policy::Rate;

/// Most slots of one worker: each may hold a parameter and an output of the largest size.
pub const SLOTS_COUNT_MAX: usize = 65_536;
/// How long a claim holds by default.
pub(crate) const LEASE: Duration = Duration::from_secs(15);
/// The shortest lease: a third of it has to cover a round trip to a busy store.
pub const LEASE_MIN: Duration = Duration::from_millis(100);
/// The longest lease: what a vanished worker held waits so long.
pub const LEASE_MAX: Duration = Duration::from_secs(3600);

/// Where the leases of a worker are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeaseRuntime {
    /// On a thread, a runtime and connections of its own: a handler that blocks its runtime loses no lease.
    #[default]
    Own,
    /// On the runtime that started the worker: for tests that move the time of that runtime.
    Shared,
}

/// Whether a worker runs a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WithScheduler {
    /// It does; any number of them may run.
    #[default]
    On,
    /// It does not: another process of this backend has to.
    Off,
}

/// What happens to an attempt whose handler is silent for longer than its task's `heartbeat_every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnSilence {
    /// It is shown as stalled.
    #[default]
    Show,
    /// It is dropped at its next await, and counts as an attempt that timed out.
    Retry,
}

/// Whoever is told of each moment at which a handler meets its attempt: what it says, and each of its awaits that waits.
#[derive(Clone)]
pub(crate) struct Watch(pub(crate) Arc<dyn Fn(&'static str) + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// How a worker works; what the builder collects.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) name: Option<SmallText>,
    pub(super) queues: Vec<QueueName>,
    pub(super) slots: usize,
    pub(super) rate: Option<Rate>,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
    pub(super) step_interval: Duration,
    pub(super) scheduler: WithScheduler,
    pub(super) lease_runtime: LeaseRuntime,
    pub(super) on_silence: OnSilence,
    /// How long the ends of attempts that were told to end may wait for the store when the worker stops.
    pub(super) patience: Duration,
    /// Of tests.
    pub(super) watch: Option<Watch>,
}

impl Settings {
    pub(super) fn new() -> Settings {
        Settings {
            name: None,
            queues: Vec::new(),
            slots: std::thread::available_parallelism().map_or(1, usize::from),
            rate: None,
            lease: LEASE,
            grace: Duration::from_secs(30),
            step_interval: Duration::from_secs(1),
            scheduler: WithScheduler::On,
            lease_runtime: LeaseRuntime::Own,
            on_silence: OnSilence::Show,
            patience: Duration::from_secs(10),
            watch: None,
        }
    }

    /// # Errors
    /// [`ErrorKind::Invalid`] with what is wrong, and what to write instead.
    pub(super) fn check(&self) -> Result<()> {
        let refused = |why: String| Err(Error::new(ErrorKind::Invalid, "start a worker", why));
        if self.queues.is_empty() {
            return refused("it serves no queue; name one: Worker::queues([\"default\"])".into());
        }
        if let Some(twice) = self.queues.iter().enumerate().find_map(|(at, queue)| self.queues[..at].contains(queue).then_some(queue)) {
            return refused(format!("queue {twice} is named twice; name it once"));
        }
        if self.slots == 0 || self.slots > SLOTS_COUNT_MAX {
            return refused(format!("{} slots; it needs 1 to {SLOTS_COUNT_MAX}, as many as attempts may run at once", self.slots));
        }
        if self.lease < LEASE_MIN || self.lease > LEASE_MAX {
            return refused(format!("a lease of {:?}; it has to be from {LEASE_MIN:?} to {LEASE_MAX:?}", self.lease));
        }
        if self.name.as_ref().is_some_and(|name| name.as_str().is_empty()) {
            return refused("its name is empty; leave the name out, or give it one that it keeps over restarts".into());
        }
        Ok(())
    }
}
