//! The fetch loop: jobs for free slots, for as long as the worker lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::claim::Lease;
use super::engine::{Engine, jittered};
use super::metrics::meters;
use crate::driver::{CALL_JOBS_MAX, Delivery, Pull, Receipt, TakeRequest, Taken};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::patience::{answered, loaded};
use crate::record::Record;
use crate::seldom::seldom;

/// The pause after the first trouble; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause after trouble: a backend that is back is noticed within that time.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a worker waits for a hint before it looks for itself.
const LISTEN_MAX: Duration = Duration::from_secs(4);
/// The first and the longest pause after a hint that was wrong.
const WRONG_HINT_PAUSES: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(250));
/// Hints that may be wrong in a row before there is a pause. Where jobs keep coming, one that was rung for a job which the fetch before had
/// found is ordinary; a pause after it would make the next job wait.
const WRONG_HINTS_FREE: u32 = 3;

/// So many jobs start beside the fetch loop, which asks for more meanwhile: a backend that has many should not wait for their starts. Fewer
/// start at once.
const APART_COUNT_MIN: usize = CALL_JOBS_MAX / 4;

/// The slots that a fetch fills.
pub(super) struct Slots(OwnedSemaphorePermit);

impl Slots {
    pub(super) fn count(&self) -> usize {
        self.0.num_permits()
    }

    /// So many of them, or all.
    fn split(&mut self, count: usize) -> Slots {
        let count = count.min(self.count());
        Slots(self.0.split(count).expect("there are so many"))
    }

    pub(super) fn one(&mut self) -> Option<OwnedSemaphorePermit> {
        self.0.split(1)
    }
}

/// Fetches until the worker stops. Whatever the backend does, it never ends by itself: a panic in there, a bug, is reported, and the loop goes
/// on.
pub(super) async fn run(engine: Arc<Engine>) {
    while let Err(error) = tokio::spawn(fetch_until_stopped(engine.clone())).await {
        if !error.is_panic() {
            // The runtime is shutting down.
            break;
        }
        tracing::error!(worker = %engine.id, %error, "the fetch loop panicked, which is a bug; it goes on");
        wait(&engine, PAUSE_MAX).await;
    }
    engine.vitals.stopped();
}

async fn fetch_until_stopped(engine: Arc<Engine>) {
    let mut pace = Pace { failures: 0, empty: 0 };
    let mut turn = 0;
    while let Some(most) = engine.allowed().await
        && let Some(mut slots) = free_slots(&engine, most).await
    {
        turn += 1;
        let free = slots.count();
        let fetched = engine.fetch(&mut slots, turn).await;
        if let Some(pace) = &engine.pace {
            pace.started(free - slots.count());
        }
        // What it did not fill is free again.
        drop(slots);
        let rest = match fetched {
            Ok(deliveries) => pace.found(&engine, deliveries).await,
            Err(error) => Err(error),
        };
        if let Err(error) = rest {
            pace.failed(&engine, &error).await;
        }
    }
}

/// All free slots, up to `most` and to a call's worth; waits for one. `None` once the worker stops.
async fn free_slots(engine: &Engine, most: usize) -> Option<Slots> {
    let mut slots = tokio::select! {
        biased;
        () = engine.stopping.cancelled() => return None,
        slot = engine.slots.clone().acquire_owned() => slot.ok()?,
    };
    let most = engine.slots.available_permits().min(CALL_JOBS_MAX.min(most) - 1);
    if let Ok(others) = engine.slots.clone().try_acquire_many_owned(u32::try_from(most).expect("at most a call's jobs")) {
        slots.merge(others);
    }
    Some(Slots(slots))
}

/// How fast the loop goes.
struct Pace {
    failures: u32,
    empty: u32,
}

impl Pace {
    /// Waits for a hint, if there was nothing.
    async fn found(&mut self, engine: &Engine, deliveries: usize) -> Result<()> {
        if self.failures > 0 {
            tracing::info!(worker = %engine.id, failures = self.failures, "the worker fetches again");
        }
        self.failures = 0;
        engine.vitals.fetched();
        meters().fetch(if deliveries > 0 { "jobs" } else { "empty" });
        if deliveries > 0 {
            self.empty = 0;
            return Ok(());
        }
        let asked = Instant::now();
        let listen = engine.backend.queue().listen(&engine.settings.queues, jittered(LISTEN_MAX, &engine.backend));
        tokio::select! {
            biased;
            // A queue that never answers does not stop the loop.
            heard = timeout(2 * LISTEN_MAX, listen) => heard.unwrap_or(Ok(()))?,
            () = engine.stopping.cancelled() => return Ok(()),
        }
        // A hint is wrong both ways: one that keeps coming for nothing is believed less and less.
        let (first, most) = WRONG_HINT_PAUSES;
        if asked.elapsed() >= most {
            self.empty = 0;
            return Ok(());
        }
        if let Some(wrong) = self.empty.checked_sub(WRONG_HINTS_FREE) {
            wait(engine, first.saturating_mul(1 << wrong.min(10)).min(most)).await;
        }
        self.empty = self.empty.saturating_add(1);
        Ok(())
    }

    async fn failed(&mut self, engine: &Engine, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        engine.vitals.fetch_failed(error);
        meters().fetch("error");
        if self.failures.is_power_of_two() {
            tracing::warn!(worker = %engine.id, failures = self.failures, %error, "the worker can not fetch; trying again");
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
        wait(engine, pause.mul_f64(0.5 + 0.5 * (engine.backend.draws().number() as f64 / u64::MAX as f64))).await;
    }
}

async fn wait(engine: &Engine, pause: Duration) {
    tokio::select! {
        biased;
        () = sleep(pause) => {}
        () = engine.stopping.cancelled() => {}
    }
}

impl Engine {
    /// Fetches once, and starts what it won; answers how many deliveries it saw.
    async fn fetch(self: &Arc<Engine>, slots: &mut Slots, turn: usize) -> Result<usize> {
        let lease = self.lease();
        let pull = self.pull(slots, turn, &lease);
        let Some(take) = self.backend.take() else {
            let pulled = timeout(lease.length, self.backend.queue().pull(&pull)).await.unwrap_or_else(|_| self.late())?;
            let found = pulled.items.len();
            self.claim_pulled(pulled.items, slots).await?;
            return Ok(found);
        };
        let request = TakeRequest { pull, claim: self.claim(&lease), claimable: self.registry.tasks() };
        let taken = timeout(lease.length, take.take(&request)).await.unwrap_or_else(|_| self.late());
        match taken {
            Ok(Taken { claimed, pulled, .. }) => {
                let found = claimed.len() + pulled.len();
                if claimed.len() < APART_COUNT_MIN {
                    self.start_all(claimed, lease, slots).await;
                } else {
                    self.start_apart(claimed, lease, slots);
                }
                self.claim_pulled(pulled, slots).await?;
                Ok(found)
            }
            Err(error) if error.outcome_unknown() => {
                self.find_taken(request.claim.nonce, lease, slots).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What takes longer than a lease has nothing left that could start.
    fn late<T>(&self) -> Result<T> {
        let why = format!("{}: no answer within a lease; is the backend reachable?", self.backend.location());
        Err(Error::new(ErrorKind::Unavailable, "fetch jobs", why).with_outcome_unknown())
    }

    fn pull(&self, slots: &Slots, turn: usize, lease: &Lease) -> Pull {
        let most = u32::try_from(slots.count()).expect("at most a call's jobs");
        let queues = &self.settings.queues;
        // Each queue comes first in its turn, so that a full one starves no other.
        let queues = queues.iter().cycle().skip(turn % queues.len()).take(queues.len());
        Pull {
            queues: queues.map(|queue| (queue.clone(), most)).collect(),
            max: most,
            now: lease.claimed_at,
            back_at: lease.claimed_at + lease.length,
        }
    }

    /// Starts jobs that this worker has claimed.
    pub(super) async fn start_all(self: &Arc<Engine>, claimed: Vec<(JobId, Record)>, lease: Lease, slots: &mut Slots) {
        for (id, record) in claimed {
            match slots.one() {
                Some(slot) => self.start(id, record, lease, slot),
                // Found after a lost answer: they may be more than were asked for.
                None => match self.slots.clone().acquire_owned().await {
                    Ok(slot) => self.start(id, record, lease, slot),
                    Err(_) => return,
                },
            }
        }
    }

    /// Starts jobs while the loop goes on. They count as attempts: a worker that stops waits for them.
    fn start_apart(self: &Arc<Engine>, claimed: Vec<(JobId, Record)>, lease: Lease, slots: &mut Slots) {
        let engine = self.clone();
        let mut own = slots.split(claimed.len());
        self.attempts.spawn(async move { engine.start_all(claimed, lease, &mut own).await });
    }

    /// The answer of a take is lost: what this worker owns under its nonce was taken.
    async fn find_taken(self: &Arc<Engine>, nonce: u64, lease: Lease, slots: &mut Slots) -> Result<()> {
        let limit = self.claims.count() + CALL_JOBS_MAX;
        let owned = answered(&self.backend, "find what was taken", self.backend.store().owned(self.id, limit)).await?;
        let ids: Vec<JobId> = owned.into_iter().filter(|(_, revision)| revision.nonce == nonce).map(|(id, _)| id).collect();
        let mut claimed = Vec::with_capacity(ids.len());
        for (id, record) in ids.iter().zip(loaded(&self.backend, &**self.backend.store(), &ids).await) {
            claimed.extend(record?.filter(|record| record.head.revision.nonce == nonce).map(|record| (*id, record)));
        }
        if !claimed.is_empty() {
            tracing::info!(worker = %self.id, jobs = claimed.len(), "jobs of a take whose answer was lost were found");
        }
        self.start_all(claimed, lease, slots).await;
        Ok(())
    }

    /// Removes deliveries for good; what stays comes back, and is dropped then.
    pub(super) async fn ack(&self, receipts: &[Receipt]) {
        for receipts in receipts.chunks(CALL_JOBS_MAX) {
            if let Err(error) = answered(&self.backend, "ack deliveries", self.backend.queue().ack(receipts)).await {
                seldom!(warn, %error, deliveries = receipts.len(), "deliveries were not acked; they come back, and are dropped then");
            }
        }
    }
}

/// Deliveries that were pulled.
pub(super) type Pulled = Vec<(Delivery, Receipt)>;
