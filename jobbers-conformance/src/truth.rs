//! Writes what a backend really did into a history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jobbers_core::driver::{
    Acquire, Backend, BackendParts, Capabilities, Commit, Count, Cursor, Decision, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter,
    HAND_OVER_HOLD, Holder, LimitChange, Listing, Mode, Op, Open, Page, Rate, RateLimiter, Scanned, StateStore, Take, TakeRequest, Taken,
    Turns, Verdict,
};
use jobbers_core::record::{Head, JobState, Record, Revision};
use jobbers_core::{JobId, QueueName, Result, RunId, Timestamp, WorkerId};

use crate::history::{By, History, What, Write};

/// A backend that is recorded: the same one, whose every write goes into the history, in the order in which the store applied them.
///
/// Commits and takes go one after the other, so that the history is what happened, and not what was seen of it.
///
/// # Errors
/// If the backend can not be put together.
pub fn recorded(backend: &Backend, history: &Arc<History>) -> Result<Backend> {
    let shared =
        Arc::new(Shared { backend: backend.clone(), history: history.clone(), turn: tokio::sync::Mutex::new(()), waits: Mutex::default() });
    let store = Arc::new(Truth { store: backend.store().clone(), limiter: backend.limiter().clone(), shared: shared.clone() });
    Backend::new(BackendParts {
        store: store.clone(),
        paired: true,
        limiter: store.clone(),
        take: backend.take().map(|_| store.clone() as Arc<dyn Take>),
        open: store,
        ..backend.parts()
    })
}

#[derive(Debug)]
struct Shared {
    backend: Backend,
    history: Arc<History>,
    turn: tokio::sync::Mutex<()>,
    /// What jobs wait for, or were handed over.
    waits: Mutex<HashMap<JobId, Acquire>>,
}

/// A store and a limiter that are recorded.
#[derive(Debug)]
struct Truth {
    store: Arc<dyn StateStore>,
    limiter: Arc<dyn RateLimiter>,
    shared: Arc<Shared>,
}

impl Truth {
    fn add(&self, what: What) {
        self.shared.history.add(self.shared.backend.clock().now(), what);
    }

    /// Of a limiter, which knows only the time that its callers tell it.
    fn add_at(&self, now: Timestamp, what: What) {
        self.shared.history.add(now, what);
    }

    async fn head(&self, id: JobId) -> Option<Head> {
        Some(self.store.load(&[id]).await.pop()?.ok()??.head)
    }

    async fn learn(&self, commit: &Commit) {
        let mut ends = commit.ops.iter().filter_map(|op| match op {
            Op::Update { id, record, .. } if record.head.state.is_end() => Some(*id),
            _ => None,
        });
        let parent = ends.next().filter(|_| ends.next().is_none());
        for op in &commit.ops {
            let (by, expect) = match op {
                Op::Insert { over, .. } => (By::Insert, *over),
                Op::Update { expect, .. } => (By::Update, Some(*expect)),
                Op::Beat { id, expect, wake_at, .. } => {
                    self.add(What::Renewed { job: *id, revision: *expect, until: *wake_at });
                    continue;
                }
                Op::AskToStop { .. } => continue,
                Op::Release { .. } => (By::Release, None),
            };
            let Some(head) = self.head(op.id()).await else { continue };
            if let Op::Release { id, edges, outcome: Some(_), .. } = op {
                self.add(What::Settled { commit: commit.nonce, parent, child: *id, edges: *edges });
            }
            let claimed = matches!(op, Op::Release { claim: Some(claim), .. } if claim.nonce == head.revision.nonce);
            if head.revision.nonce == commit.nonce || claimed {
                self.add(What::Wrote(write_of(op.id(), expect, by, &head)));
            }
        }
    }

    fn permits(&self, request: &Acquire, now: Timestamp, until: Timestamp) {
        for (key, cost) in &request.keys {
            self.add_at(now, What::Permit { key: key.clone(), holder: request.holder, cost: (*cost).max(1), until });
        }
    }

    fn decided(&self, request: &Acquire, decision: &Decision, now: Timestamp) {
        let mut waits = self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match (decision, request.mode) {
            (Decision::Granted, Mode::Claim | Mode::Extend) => {
                // A claim adopts what was handed over to an older name of the job.
                if let Some(waited) = waits.remove(&request.holder.job).filter(|waited| waited.holder != request.holder) {
                    self.add(What::Freed { holder: waited.holder });
                }
                drop(waits);
                self.permits(request, now, now + request.hold);
            }
            (Decision::Granted, Mode::Spend) => {
                let keys = request.keys.iter().map(|(key, cost)| (key.clone(), (*cost).max(1))).collect();
                self.add_at(now, What::Spent { holder: request.holder, keys, until: now + request.hold });
            }
            (Decision::Denied { .. }, Mode::Claim) => drop(waits.insert(request.holder.job, request.clone())),
            _ => (),
        }
    }

    fn handed_over(&self, holders: &[Holder], now: Timestamp) {
        for holder in holders {
            let waited = self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner).get(&holder.job).cloned();
            if let Some(waited) = waited {
                self.permits(&waited, now, now + HAND_OVER_HOLD);
            }
        }
    }
}

fn write_of(job: JobId, expect: Option<Revision>, by: By, head: &Head) -> Write {
    Write {
        job,
        task: head.task.clone(),
        expect,
        by,
        revision: head.revision,
        state: head.state,
        attempt: head.attempt,
        owner: head.owner,
        until: head.wake_at.filter(|_| head.state == JobState::Running),
    }
}

#[async_trait]
impl StateStore for Truth {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let _turn = self.shared.turn.lock().await;
        let results = self.store.commit(commits).await;
        for (commit, result) in commits.iter().zip(&results) {
            if matches!(result, Ok(Verdict::Applied { .. })) {
                self.learn(commit).await;
            }
        }
        results
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        self.store.load(ids).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.store.due(now, hide_until, limit).await
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.store.owned(owner, limit).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.store.scan(cursor, limit).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.store.list(filter, page).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.store.unended(runs).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.store.counts().await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        self.store.prune(queue, state, before, limit).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.store.read(keys).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.store.write(writes).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.store.documents(kind, page).await
    }
}

#[async_trait]
impl Take for Truth {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        let _turn = self.shared.turn.lock().await;
        let taken = self.shared.backend.take().expect("it is recorded only where there is one").take(take).await?;
        for (id, record) in &taken.claimed {
            self.add(What::Wrote(write_of(*id, None, By::Take, &record.head)));
        }
        Ok(taken)
    }
}

#[async_trait]
impl RateLimiter for Truth {
    fn capabilities(&self) -> Capabilities {
        self.limiter.capabilities()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        let _turn = self.shared.turn.lock().await;
        self.limiter.set(changes, now).await?;
        for change in changes {
            if let LimitChange::Bounds { limit, bounds, .. } = change {
                let most = bounds.and_then(|bounds| bounds.concurrency);
                self.add(What::Bounded { limit: limit.clone(), most });
                if let Some(Rate { count, period, burst }) = bounds.and_then(|bounds| bounds.rate) {
                    self.add(What::Rated { limit: limit.clone(), count, period, burst });
                }
            }
        }
        Ok(())
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        let _turn = self.shared.turn.lock().await;
        self.add_at(now, What::Asked);
        let decisions = self.limiter.acquire(requests, now).await?;
        for (request, decision) in requests.iter().zip(&decisions) {
            self.decided(request, decision, now);
        }
        Ok(decisions)
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        let _turn = self.shared.turn.lock().await;
        self.add_at(now, What::Asked);
        let next = self.limiter.give_back(holders, now).await?;
        holders.iter().for_each(|holder| self.add(What::Freed { holder: *holder }));
        self.handed_over(&next, now);
        Ok(next)
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        let _turn = self.shared.turn.lock().await;
        self.add_at(now, What::Asked);
        let turns = self.limiter.turns(now, limit).await?;
        self.handed_over(&turns.holders, now);
        Ok(turns)
    }
}

#[async_trait]
impl Open for Truth {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        let (store, limiter) = self.shared.backend.open_second().await?;
        let second = Arc::new(Truth { store, limiter, shared: self.shared.clone() });
        Ok((second.clone(), second))
    }
}

/// Adds every record that is there now, for the end of a history.
///
/// # Errors
/// What the store says.
pub async fn found(backend: &Backend, history: &History) -> Result<()> {
    let mut cursor = None;
    loop {
        let page = backend.store().scan(cursor, 300).await?;
        page.heads.iter().for_each(|(job, head)| history.add(backend.clock().now(), What::Found { job: *job, state: head.state }));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}
