//! What lies between a process and its backend.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Cutter;
use crate::driver::{
    Acquire, Backend, BackendParts, Capabilities, Commit, Count, Cursor, Decision, Delivery, Doc, DocKey, DocKind, DocVerdict, DocWrite,
    Due, Filter, Holder, LimitChange, Listing, Op, Open, Page, Pull, Pulled, Queue, RateLimiter, Receipt, Scanned, StateStore, Take,
    TakeRequest, Taken, Turns, Verdict,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{JobState, Record, Revision};
use crate::time::{Clock, DrawSource, Timestamp};

pub(super) fn around(cutter: &Arc<Cutter>, backend: &Backend, clock: Arc<dyn Clock>, draw: Arc<dyn DrawSource>) -> Result<Backend> {
    let parts = Arc::new(Parts {
        store: backend.store().clone(),
        limiter: backend.limiter().clone(),
        cutter: cutter.clone(),
        backend: backend.clone(),
    });
    Backend::new(BackendParts {
        queue: parts.clone(),
        store: parts.clone(),
        paired: true,
        limiter: parts.clone(),
        take: backend.take().map(|_| parts.clone() as Arc<dyn Take>),
        clock,
        draw,
        open: parts,
        ..backend.parts()
    })
}

#[derive(Debug)]
struct Parts {
    backend: Backend,
    store: Arc<dyn StateStore>,
    limiter: Arc<dyn RateLimiter>,
    cutter: Arc<Cutter>,
}

impl Parts {
    async fn one<T>(&self, what: impl Into<String>, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.cutter.call(what.into(), call, Err).await
    }

    /// A call that is answered for each of its items.
    async fn each<T>(&self, what: String, items: usize, call: impl Future<Output = Vec<Result<T>>>) -> Vec<Result<T>> {
        self.cutter.call(what, call, |error| (0..items).map(|_| Err(copy(&error))).collect()).await
    }
}

fn copy(error: &Error) -> Error {
    let copy = Error::new(ErrorKind::Unavailable, error.op().to_owned(), error.context());
    if error.outcome_unknown() { copy.with_outcome_unknown() } else { copy }
}

/// What a commit does, by its first operation.
fn words(commits: &[Commit]) -> String {
    let first = commits.first().and_then(|commit| commit.ops.first()).map_or_else(String::new, |op| match op {
        Op::Insert { id, record, .. } => format!("insert {} {id}", record.head.task),
        Op::Update { id, record, .. } => format!("update {id} to {}", record.head.state),
        Op::Beat { id, .. } => format!("beat of {id}"),
        Op::AskToStop { id, .. } => format!("ask {id} to stop"),
        Op::Release { id, .. } => format!("release {id}"),
    });
    match commits.len() {
        1 => format!("store.commit ({first})"),
        more => format!("store.commit of {more} ({first}, ..)"),
    }
}

#[async_trait]
impl StateStore for Parts {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        self.each(words(commits), commits.len(), self.store.commit(commits)).await
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        self.each(format!("store.load of {}", ids.len()), ids.len(), self.store.load(ids)).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.one("store.due", self.store.due(now, hide_until, limit)).await
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.one("store.owned", self.store.owned(owner, limit)).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.one("store.scan", self.store.scan(cursor, limit)).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.one("store.list", self.store.list(filter, page)).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.one("store.unended", self.store.unended(runs)).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.one("store.counts", self.store.counts()).await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        self.one("store.prune", self.store.prune(queue, state, before, limit)).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.one("store.read", self.store.read(keys)).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.one("store.write", self.store.write(writes)).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.one("store.documents", self.store.documents(kind, page)).await
    }
}

#[async_trait]
impl Queue for Parts {
    fn capabilities(&self) -> Capabilities {
        self.backend.queue().capabilities()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.one(format!("queue.push of {}", deliveries.len()), self.backend.queue().push(deliveries)).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        self.one("queue.pull", self.backend.queue().pull(pull)).await
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.one("queue.listen", self.backend.queue().listen(queues, most)).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.one(format!("queue.ack of {}", receipts.len()), self.backend.queue().ack(receipts)).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.one("queue.depth", self.backend.queue().depth(queues)).await
    }
}

#[async_trait]
impl Take for Parts {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        self.one("take", self.backend.take().expect("it is wrapped only where there is one").take(take)).await
    }
}

#[async_trait]
impl RateLimiter for Parts {
    fn capabilities(&self) -> Capabilities {
        self.limiter.capabilities()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        self.one("limiter.set", self.limiter.set(changes, now)).await
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        self.one(format!("limiter.acquire of {}", requests.len()), self.limiter.acquire(requests, now)).await
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        self.one(format!("limiter.give_back of {}", holders.len()), self.limiter.give_back(holders, now)).await
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        self.one("limiter.turns", self.limiter.turns(now, limit)).await
    }
}

#[async_trait]
impl Open for Parts {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        let (store, limiter) = self.backend.open_second().await?;
        let second = Arc::new(Parts { backend: self.backend.clone(), store, limiter, cutter: self.cutter.clone() });
        Ok((second.clone(), second))
    }
}
