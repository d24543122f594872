//! What is planted: each goes wrong at a crash point, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_conformance::InMemory;
use jobbers_conformance::crash::{Flow, Road, points, points_of};
use jobbers_conformance::sabotage::{Sabotage, Sabotaged};
use jobbers_core::driver::{
    Backend, BackendParts, Capabilities, Commit, Count, Cursor, Delivery, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter, Listing,
    Op, Page, Pull, Pulled, Queue, Receipt, Scanned, StateStore, Verdict,
};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::testing::cut::{Broken, Points};
use jobbers_core::{JobId, QueueName, Result, RunId, Timestamp, WorkerId};
use libtest_mimic::Failed;

type Noticed = std::result::Result<(), Failed>;

/// Whether it was noticed, at a point, in these words.
fn noticed(played: std::result::Result<Points, Broken>, words: &str) -> Noticed {
    let broken = played.err().ok_or("it is not noticed")?;
    let said = broken.to_string();
    if broken.point.is_some() && said.contains(words) { Ok(()) } else { Err(said.into()) }
}

/// Without a fence, what a lost answer hides is written twice.
pub(super) fn no_fence() -> Noticed {
    let played = points(&Flow::ALL[0], Road::Take, || Sabotaged::by(Sabotage::NoFence), None);
    noticed(played, "by a writer that had loaded")
}

pub(super) fn fresh_id() -> Noticed {
    noticed(points(&Flow::FORGETFUL, Road::Take, || InMemory, None), "the jobs ended as {Succeeded: 2}")
}

/// A queue that acks what it gives out, before anybody has claimed it.
pub(super) fn early_ack() -> Noticed {
    let hasty = |backend: Backend| {
        let queue = Arc::new(Hasty(backend.queue().clone()));
        Backend::new(BackendParts { queue, take: None, ..backend.parts() })
    };
    noticed(points_of(&Flow::ALL[0], Road::Pull, || InMemory, hasty, None), "not all has ended: {Ready: 1}")
}

#[derive(Debug)]
struct Hasty(Arc<dyn Queue>);

#[async_trait]
impl Queue for Hasty {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.0.push(deliveries).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        let pulled = self.0.pull(pull).await?;
        let receipts: Vec<Receipt> = pulled.items.iter().map(|(_, receipt)| receipt.clone()).collect();
        self.0.ack(&receipts).await?;
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.0.listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.0.ack(receipts).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.0.depth(queues).await
    }
}

/// A driver that writes a commit's inserts one by one, each by a request of its own: those that wait first, so that only a crash shows it.
pub(super) fn several_requests() -> Noticed {
    let flow = Flow::ALL.into_iter().find(|flow| flow.name == "map-join").ok_or("there is no such flow")?;
    let split = |backend: Backend| {
        let store = Arc::new(Split(backend.store().clone()));
        Backend::new(BackendParts { store, take: None, ..backend.parts() })
    };
    noticed(points_of(&flow, Road::Pull, || InMemory, split, None), "not all has ended: {Waiting: 1}")
}

#[derive(Debug)]
struct Split(Arc<dyn StateStore>);

impl Split {
    async fn send(&self, commit: &Commit, ops: Vec<Op>) -> Result<Verdict> {
        self.0.commit(&[Commit { ops, ..commit.clone() }]).await.remove(0)
    }

    async fn one_by_one(&self, commit: &Commit) -> Result<Verdict> {
        let (inserts, others): (Vec<Op>, Vec<Op>) = commit.ops.iter().cloned().partition(|op| matches!(op, Op::Insert { .. }));
        let parts = [others].into_iter().filter(|ops| !ops.is_empty()).chain(inserts.into_iter().rev().map(|op| vec![op]));
        let mut all = Vec::new();
        for ops in parts {
            match self.send(commit, ops).await? {
                Verdict::Applied { ready, .. } => all.extend(ready),
                refused @ Verdict::Conflict { .. } => return Ok(refused),
            }
        }
        Ok(Verdict::Applied { ready: all, asked: None, claimed: Vec::new() })
    }
}

#[async_trait]
impl StateStore for Split {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let mut verdicts = Vec::new();
        for commit in commits {
            verdicts.push(match commit.ops.iter().any(|op| matches!(op, Op::Insert { .. })) {
                true => self.one_by_one(commit).await,
                false => self.send(commit, commit.ops.clone()).await,
            });
        }
        verdicts
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        self.0.load(ids).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.0.due(now, hide_until, limit).await
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.0.owned(owner, limit).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.0.scan(cursor, limit).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.0.list(filter, page).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.0.unended(runs).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.0.counts().await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        self.0.prune(queue, state, before, limit).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.0.read(keys).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.0.write(writes).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.0.documents(kind, page).await
    }
}
