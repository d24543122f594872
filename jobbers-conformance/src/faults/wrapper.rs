//! The wrapper between an engine and its backend.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{
    Acquire, Backend, BackendParts, Capabilities, Commit, Count, Cursor, Decision, Delivery, Doc, DocKey, DocKind, DocVerdict, DocWrite,
    Due, Filter, Holder, LimitChange, Listing, Open, Page, Place, Pull, Pulled, Queue, RateLimiter, Receipt, Scanned, StateStore, Take,
    TakeRequest, Taken, Turns, Verdict,
};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::{Clock, DrawSource, JobId, QueueName, Result, RunId, Timestamp, WorkerId};

use super::{Fault, Faults, Hangs, lost, refused};

pub(super) fn around(faults: &Arc<Faults>, backend: &Backend, clock: Arc<dyn Clock>, draw: Arc<dyn DrawSource>) -> Result<Backend> {
    let faulty = Arc::new(Faulty {
        backend: backend.clone(),
        store: backend.store().clone(),
        limiter: backend.limiter().clone(),
        faults: faults.clone(),
    });
    Backend::new(BackendParts {
        queue: faulty.clone(),
        store: faulty.clone(),
        paired: true,
        limiter: faulty.clone(),
        take: backend.take().map(|_| faulty.clone() as Arc<dyn Take>),
        clock,
        draw,
        open: faulty,
        ..backend.parts()
    })
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
        if self.faults.reach().is_err() {
            return commits.iter().map(|_| Err(refused())).collect();
        }
        let hangs = self.faults.hangs();
        if hangs == Some(Hangs::Before) {
            std::future::pending::<()>().await;
        }
        let partial = self.faults.strikes(Fault::Partial);
        let all_before = self.faults.strikes(Fault::Before);
        let before: Vec<bool> = commits.iter().map(|_| all_before || partial && self.faults.draw(3) == 0).collect();
        let sent: Vec<Commit> = commits.iter().zip(&before).filter(|(_, before)| !**before).map(|(commit, _)| commit.clone()).collect();
        let mut answers = if sent.is_empty() { Vec::new() } else { self.store.commit(&sent).await }.into_iter();
        if hangs.is_some() {
            std::future::pending::<()>().await;
        }
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
        if self.faults.reach().is_err() || self.faults.strikes(Fault::Before) {
            return ids.iter().map(|_| Err(refused())).collect();
        }
        let answer = self.store.load(ids).await;
        if self.faults.hangs().is_some() {
            std::future::pending::<()>().await;
        }
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
        self.faults.reach()?;
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
        if self.faults.strikes(Fault::Reorder) {
            let turned = self.faults.draw(kept.len() as u32 + 1) as usize;
            kept.rotate_left(turned);
            kept.reverse();
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

impl Faulty {
    /// What strikes deliveries before a fast path comes to them.
    async fn spoil(&self, pull: &Pull) -> Result<()> {
        let (lost, late) = (self.faults.strikes(Fault::Lost), self.faults.strikes(Fault::Late));
        if !lost && !late {
            return Ok(());
        }
        let first = self.backend.queue().pull(&Pull { max: 1, ..pull.clone() }).await?;
        for (_, receipt) in first.items.iter().filter(|_| lost) {
            self.backend.queue().ack(std::slice::from_ref(receipt)).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Take for Faulty {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        self.spoil(&take.pull).await?;
        let taken = self.faults.call(self.backend.take().expect("it is wrapped only where there is one").take(take)).await?;
        for (id, record) in &taken.claimed {
            if self.faults.strikes(Fault::Twice) {
                let (queue, priority) = (record.head.queue.clone(), record.head.priority);
                self.backend.queue().push(&[Delivery { id: *id, queue, priority, place: Place::Front }]).await?;
            }
        }
        Ok(taken)
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
