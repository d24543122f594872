//! What all parts of one worker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::claim::Lease;
use super::claims::Claims;
use super::extract::States;
use super::health::Vitals;
use super::rate::Pace;
use super::registry::Registry;
use super::settings::{Settings, Watch};
use crate::client::Committer;
use crate::driver::{Backend, Claim};
use crate::id::WorkerId;
use crate::machine::Moment;
use crate::time::Timestamp;

/// One worker, as its fetch loop and its attempts see it.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) backend: Backend,
    pub(super) id: WorkerId,
    pub(super) settings: Settings,
    pub(super) registry: Registry,
    pub(super) states: States,
    pub(super) committer: Committer,
    pub(super) claims: Arc<Claims>,
    pub(super) vitals: Arc<Vitals>,
    /// A permit for each handler that may run.
    pub(super) slots: Arc<Semaphore>,
    /// A permit for each end that may wait for the store.
    pub(super) ends: Arc<Semaphore>,
    /// How often its attempts may start.
    pub(super) pace: Option<Pace>,
    pub(super) attempts: TaskTracker,
    /// No more fetches.
    pub(super) stopping: CancellationToken,
    pub(super) tally: Tally,
}

impl Engine {
    pub(super) fn new(backend: &Backend, id: WorkerId, settings: Settings, registry: Registry, states: States) -> Engine {
        let slots = settings.slots;
        Engine {
            backend: backend.clone(),
            id,
            registry,
            states,
            committer: Committer::start(backend),
            claims: Arc::default(),
            vitals: Arc::new(Vitals::new(&settings)),
            slots: Arc::new(Semaphore::new(slots)),
            ends: Arc::new(Semaphore::new(slots)),
            pace: settings.rate.as_ref().map(Pace::of_fetches),
            attempts: TaskTracker::new(),
            stopping: CancellationToken::new(),
            tally: Tally::default(),
            settings,
        }
    }

    /// Tells whoever watches, if anybody does.
    pub(super) fn passes(&self, moment: &'static str) {
        if let Some(Watch(watch)) = &self.settings.watch {
            watch(moment);
        }
    }

    /// What a decision of the machine may know now.
    pub(super) fn moment(&self) -> Moment {
        moment(&self.backend)
    }

    /// A lease that starts now.
    pub(super) fn lease(&self) -> Lease {
        Lease { claimed: Instant::now(), claimed_at: self.backend.clock().now(), length: self.settings.lease }
    }

    /// A claim for this worker, under that lease.
    pub(super) fn claim(&self, lease: &Lease) -> Claim {
        let nonce = self.backend.draws().draw().nonce;
        Claim { owner: self.id, now: lease.claimed_at, wake_at: lease.claimed_at + lease.length, nonce }
    }
}

/// Whether an attempt must not start under that lease any more, by either clock.
pub(super) fn is_over(lease: &Lease, now: Instant, clock: Timestamp) -> bool {
    now.duration_since(lease.claimed) >= lease.length || clock >= lease.claimed_at + lease.length
}

/// What a decision of the machine may know now.
pub(crate) fn moment(backend: &Backend) -> Moment {
    Moment { now: backend.clock().now(), draw: backend.draws().draw(), dispatch: backend.dispatch() }
}

/// From four fifths of a time to all of it: so that many workers do not do the same at once.
pub(crate) fn jittered(whole: Duration, backend: &Backend) -> Duration {
    let share = backend.draws().number() as f64 / u64::MAX as f64;
    whole.mul_f64(0.8 + 0.2 * share)
}

/// How the attempts that ended while the worker was stopping did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) finished: AtomicU64,
    pub(super) handed_back: AtomicU64,
    pub(super) failed: AtomicU64,
}

impl Tally {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The end of a lease, as told to the store.
pub(super) fn lease_end(lease: &Lease, clock: Timestamp) -> Timestamp {
    lease.now(clock) + lease.length
}
