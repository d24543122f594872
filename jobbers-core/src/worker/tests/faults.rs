//! A backend that gives trouble on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::driver::*;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::memory::Memory;
use crate::record::{JobState, Record, Revision};
use crate::time::Timestamp;

/// What is wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// No call is answered.
    pub(super) down: AtomicBool,
    /// The answers of so many takes are lost.
    pub(super) takes_lost: AtomicUsize,
    /// The answers of so many commits are lost.
    pub(super) commits_lost: AtomicUsize,
    /// So many loads, and looks at what is due, never return.
    pub(super) silences: AtomicUsize,
    /// Beats that were sent.
    pub(super) beats: AtomicUsize,
    /// Pulls and takes that were sent.
    pub(super) fetches: AtomicUsize,
}

impl Faults {
    fn check(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) { Err(Error::new(ErrorKind::Unavailable, "call", "it is down")) } else { Ok(()) }
    }

    async fn silence(&self) {
        if self.loses(&self.silences) {
            std::future::pending::<()>().await;
        }
    }

    fn loses(&self, counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "call", "its answer is lost").with_outcome_unknown()
}

/// Opens a memory backend that gives trouble on demand.
pub(super) fn open(memory: Memory) -> (Backend, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let mut parts = memory.parts();
    let store = Arc::new(Store(parts.store, faults.clone()));
    parts.queue = Arc::new(Line(parts.queue, faults.clone()));
    parts.take = parts.take.map(|take| Arc::new(Fast(take, faults.clone())) as _);
    parts.open = Arc::new(Second(store.clone(), parts.limiter.clone()));
    parts.store = store;
    (Backend::new(parts).unwrap(), faults)
}

#[derive(Debug)]
struct Second(Arc<Store>, Arc<dyn RateLimiter>);

#[async_trait]
impl Open for Second {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        Ok((self.0.clone(), self.1.clone()))
    }
}

#[derive(Debug)]
struct Fast(Arc<dyn Take>, Arc<Faults>);

#[async_trait]
impl Take for Fast {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        self.1.fetches.fetch_add(1, Ordering::SeqCst);
        self.1.check()?;
        let taken = self.0.take(take).await?;
        let empty = taken.claimed.is_empty() && taken.pulled.is_empty();
        if !empty && self.1.loses(&self.1.takes_lost) { Err(lost()) } else { Ok(taken) }
    }
}

#[derive(Debug)]
struct Line(Arc<dyn Queue>, Arc<Faults>);

#[async_trait]
impl Queue for Line {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.1.check()?;
        self.0.push(deliveries).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        self.1.fetches.fetch_add(1, Ordering::SeqCst);
        self.1.check()?;
        self.0.pull(pull).await
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.1.check()?;
        self.0.listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.1.check()?;
        self.0.ack(receipts).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.1.check()?;
        self.0.depth(queues).await
    }
}

#[derive(Debug)]
struct Store(Arc<dyn StateStore>, Arc<Faults>);

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let beats = commits.iter().filter(|commit| matches!(commit.ops[..], [Op::Beat { .. }])).count();
        self.1.beats.fetch_add(beats, Ordering::SeqCst);
        if self.1.check().is_err() {
            return commits.iter().map(|_| self.1.check().and(Err(lost()))).collect();
        }
        let verdicts = self.0.commit(commits).await;
        if beats == 0 && self.1.loses(&self.1.commits_lost) { commits.iter().map(|_| Err(lost())).collect() } else { verdicts }
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        self.1.silence().await;
        if self.1.check().is_err() {
            return ids.iter().map(|_| Err(lost())).collect();
        }
        self.0.load(ids).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.1.silence().await;
        self.1.check()?;
        self.0.due(now, hide_until, limit).await
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.1.check()?;
        self.0.owned(owner, limit).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.1.check()?;
        self.0.scan(cursor, limit).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.1.check()?;
        self.0.list(filter, page).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.1.check()?;
        self.0.unended(runs).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.1.check()?;
        self.0.counts().await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        self.1.check()?;
        self.0.prune(queue, state, before, limit).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.1.check()?;
        self.0.read(keys).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.1.check()?;
        self.0.write(writes).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.1.check()?;
        self.0.documents(kind, page).await
    }
}
