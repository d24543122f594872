//! Faults between an engine and its backend, drawn from a seed: calls that fail before or after they were applied, late answers, and
//! deliveries that are lost, doubled or late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{
    Acquire, Backend, BackendParts, Capabilities, Commit, Count, Cursor, Decision, Delivery, Doc, DocKey, DocKind, DocVerdict, DocWrite,
    Due, Filter, Holder, LimitChange, Listing, Open, Page, Pull, Pulled, Queue, RateLimiter, Receipt, Scanned, StateStore, Take,
    TakeRequest, Taken, Turns, Verdict,
};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::{Error, ErrorKind, JobId, QueueName, Result, RunId, Timestamp, WorkerId};

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The call fails, and was not applied.
    Before,
    /// The call fails although it was applied: the outcome is unknown.
    After,
    /// Of a call of several commits some fail, before or after.
    Partial,
    /// The answer comes late.
    Delay,
    /// A delivery vanishes.
    Lost,
    /// A delivery comes twice.
    Twice,
    /// A delivery comes only after its time to come back.
    Late,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 7] = [Fault::Before, Fault::After, Fault::Partial, Fault::Delay, Fault::Lost, Fault::Twice, Fault::Late];
}

/// How often each fault strikes, in a thousand calls; 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    permille: [u32; Fault::ALL.len()],
}

impl Profile {
    /// The same profile, with this fault so often.
    #[must_use]
    pub fn with(mut self, fault: Fault, permille: u32) -> Profile {
        self.permille[fault as usize] = permille;
        self
    }

    /// A profile drawn from a seed: about half of the faults are off, so that each can show what the others would hide.
    pub fn swarm(seed: u64) -> Profile {
        let mut rng = fastrand::Rng::with_seed(seed);
        Fault::ALL.into_iter().fold(Profile::default(), |all, fault| if rng.bool() { all.with(fault, rng.u32(10..200)) } else { all })
    }
}

/// What strikes, drawn from a seed; shared by all wrappers of one backend.
#[derive(Debug)]
pub struct Faults {
    profile: Profile,
    rng: Mutex<fastrand::Rng>,
    struck: Mutex<BTreeMap<Fault, u64>>,
    on: AtomicBool,
}

impl Faults {
    /// Faults of this profile, on from the start.
    pub fn new(seed: u64, profile: Profile) -> Arc<Faults> {
        let rng = Mutex::new(fastrand::Rng::with_seed(seed));
        Arc::new(Faults { profile, rng, struck: Mutex::default(), on: AtomicBool::new(true) })
    }

    /// Ends all faults: what comes now is answered as it should be.
    pub fn stop(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    /// How often each fault has struck.
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A backend between which and its user these faults strike.
    ///
    /// # Errors
    /// If the backend can not be put together.
    pub fn around(self: &Arc<Faults>, backend: &Backend) -> Result<Backend> {
        let faulty = Arc::new(Faulty {
            backend: backend.clone(),
            store: backend.store().clone(),
            limiter: backend.limiter().clone(),
            faults: self.clone(),
        });
        Backend::new(BackendParts {
            name: backend.name(),
            location: backend.location().to_owned(),
            queue: faulty.clone(),
            store: faulty.clone(),
            dispatch: backend.dispatch(),
            paired: true,
            limiter: faulty.clone(),
            take: backend.take().map(|_| faulty.clone() as Arc<dyn Take>),
            clock: backend.clock().clone(),
            draw: backend.draws().clone(),
            open: faulty,
        })
    }

    fn strikes(&self, fault: Fault) -> bool {
        let permille = self.profile.permille[fault as usize];
        let strikes = self.on.load(Ordering::SeqCst) && permille > 0 && self.draw(1_000) < permille;
        if strikes {
            *self.struck.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
        }
        strikes
    }

    fn draw(&self, below: u32) -> u32 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).u32(..below)
    }

    /// Makes a call, and what may become of it.
    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        if self.strikes(Fault::Before) {
            return Err(refused());
        }
        let answer = call.await;
        self.delay().await;
        if self.strikes(Fault::After) { Err(lost()) } else { answer }
    }

    async fn delay(&self) {
        if self.strikes(Fault::Delay) {
            tokio::time::sleep(Duration::from_millis(u64::from(self.draw(30)))).await;
        }
    }
}

fn refused() -> Error {
    Error::new(ErrorKind::Unavailable, "call a faulty backend", "a fault before the call was applied")
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "call a faulty backend", "a fault after the call was applied").with_outcome_unknown()
}

#[derive(Debug)]
struct Faulty {
    backend: Backend,
    store: Arc<dyn StateStore>,
    limiter: Arc<dyn RateLimiter>,
    faults: Arc<Faults>,
}

#[async_trait]
impl StateStore for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let partial = self.faults.strikes(Fault::Partial);
        let all_before = self.faults.strikes(Fault::Before);
        let before: Vec<bool> = commits.iter().map(|_| all_before || partial && self.faults.draw(3) == 0).collect();
        let sent: Vec<Commit> = commits.iter().zip(&before).filter(|(_, before)| !**before).map(|(commit, _)| commit.clone()).collect();
        let mut answers = self.store.commit(&sent).await.into_iter();
        self.faults.delay().await;
        let all_after = self.faults.strikes(Fault::After);
        let answer = |before: bool| match before {
            true => Err(refused()),
            false => {
                let answer = answers.next().expect("one result each");
                if all_after || partial && self.faults.draw(3) == 0 { Err(lost()) } else { answer }
            }
        };
        before.into_iter().map(answer).collect()
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        if self.faults.strikes(Fault::Before) {
            return ids.iter().map(|_| Err(refused())).collect();
        }
        let answer = self.store.load(ids).await;
        self.faults.delay().await;
        answer
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.faults.call(self.store.due(now, hide_until, limit)).await
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.faults.call(self.store.owned(owner, limit)).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.faults.call(self.store.scan(cursor, limit)).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.faults.call(self.store.list(filter, page)).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.faults.call(self.store.unended(runs)).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.faults.call(self.store.counts()).await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        self.faults.call(self.store.prune(queue, state, before, limit)).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.faults.call(self.store.read(keys)).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.faults.call(self.store.write(writes)).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.faults.call(self.store.documents(kind, page)).await
    }
}

#[async_trait]
impl Queue for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.backend.queue().capabilities()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        if self.faults.strikes(Fault::Partial) {
            let some = self.faults.draw(deliveries.len() as u32 + 1) as usize;
            self.backend.queue().push(&deliveries[..some]).await?;
            return Err(lost());
        }
        self.faults.call(self.backend.queue().push(deliveries)).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        let mut pulled = self.faults.call(self.backend.queue().pull(pull)).await?;
        let mut kept = Vec::new();
        for (delivery, receipt) in pulled.items {
            if self.faults.strikes(Fault::Lost) {
                self.backend.queue().ack(&[receipt]).await?;
                continue;
            }
            if self.faults.strikes(Fault::Twice) {
                self.backend.queue().push(std::slice::from_ref(&delivery)).await?;
            }
            // What is neither handed over nor acked comes back in its time.
            if !self.faults.strikes(Fault::Late) {
                kept.push((delivery, receipt));
            }
        }
        pulled.items = kept;
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.faults.call(self.backend.queue().listen(queues, most)).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.faults.call(self.backend.queue().ack(receipts)).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.faults.call(self.backend.queue().depth(queues)).await
    }
}

#[async_trait]
impl Take for Faulty {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        self.faults.call(self.backend.take().expect("it is wrapped only where there is one").take(take)).await
    }
}

#[async_trait]
impl RateLimiter for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.limiter.capabilities()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        self.faults.call(self.limiter.set(changes, now)).await
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        self.faults.call(self.limiter.acquire(requests, now)).await
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        self.faults.call(self.limiter.give_back(holders, now)).await
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        self.faults.call(self.limiter.turns(now, limit)).await
    }
}

#[async_trait]
impl Open for Faulty {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        let (store, limiter) = self.backend.open_second().await?;
        let second = Arc::new(Faulty { backend: self.backend.clone(), store, limiter, faults: self.faults.clone() });
        Ok((second.clone(), second))
    }
}
