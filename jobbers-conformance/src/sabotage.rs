//! Backends that break one promise each: a suite that does not notice them proves nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{
    Acquire, Backend, BackendParts, Capabilities, Commit, Count, Cursor, Decision, Delivery, Doc, DocKey, DocKind, DocVerdict, DocWrite,
    Due, Filter, Holder, LimitChange, Listing, Op, Open, Page, Pull, Pulled, Queue, RateLimiter, Receipt, Scanned, StateStore, Turns,
    Verdict,
};
use jobbers_core::record::{JobState, Outcome as Ending, Record, Revision};
use jobbers_core::{JobId, QueueName, Result, RunId, Timestamp, WorkerId};

use crate::{Fixture, Opening};

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// An Update, a beat or a mark is applied whatever revision it expects.
    NoFence,
    /// An Update pays no heed to a timer that was moved on.
    LapsedIgnored,
    /// An Update pays no heed to a mark that its writer has not seen.
    MarkIgnored,
    /// A commit is applied operation by operation, up to the first that is refused.
    HalfApplied,
    /// An insert takes what stands there away.
    InsertOverwrites,
    /// The end of a failed parent is not counted.
    FailedReleaseIgnored,
    /// Each release counts twice.
    ReleaseCountedTwice,
    /// A beat renews the lease of whoever runs the job now.
    BeatExtendsForeignLease,
    /// What was due once is never due again.
    DueForgets,
    /// What is due comes to every scheduler.
    DueNotHidden,
    /// What is due comes the latest first.
    DueUnordered,
    /// The commits of one call after a refused one are dropped.
    NeighboursDropped,
    /// Pruning pays no heed to the time.
    PruneEverything,
    /// A worker owns what it owned once: nothing is ever returned.
    OwnedForgets,
    /// An ack is thrown away.
    AckIgnored,
    /// What is pulled is acked at once: a crash loses it.
    PullAcks,
    /// A pull of a queue serves those whose names start with its name.
    QueuePrefix,
    /// A pulled delivery is not hidden.
    PullNotHidden,
    /// A bound admits one more.
    OneMore,
    /// A hold never runs out.
    HoldForever,
    /// What is given back stays taken.
    GiveBackForgets,
    /// Asking again spends again.
    SpendsTwice,
}

impl Sabotage {
    /// Each, with the scenario that has to notice it.
    pub const ALL: [(Sabotage, &'static str); 22] = [
        (Sabotage::NoFence, "a_stale_revision_is_refused"),
        (Sabotage::LapsedIgnored, "a_rescue_loses_to_a_beat"),
        (Sabotage::MarkIgnored, "a_change_that_has_not_seen_the_mark_is_refused"),
        (Sabotage::HalfApplied, "a_refused_commit_changes_nothing"),
        (Sabotage::InsertOverwrites, "an_insert_of_a_taken_id_is_refused"),
        (Sabotage::FailedReleaseIgnored, "a_release_counts_how_a_parent_ended"),
        (Sabotage::ReleaseCountedTwice, "a_release_counts_in_every_state_but_the_ends"),
        (Sabotage::BeatExtendsForeignLease, "a_beat_after_a_rescue_is_refused"),
        (Sabotage::DueForgets, "a_due_job_is_hidden_from_other_schedulers"),
        (Sabotage::DueNotHidden, "many_schedulers_share_the_due_jobs"),
        (Sabotage::DueUnordered, "due_jobs_come_the_earliest_first"),
        (Sabotage::NeighboursDropped, "commits_of_one_call_are_independent"),
        (Sabotage::PruneEverything, "what_ended_later_is_kept"),
        (Sabotage::OwnedForgets, "a_worker_finds_what_it_owns"),
        (Sabotage::AckIgnored, "what_is_acked_never_comes_back"),
        (Sabotage::PullAcks, "what_is_not_acked_comes_back_in_time"),
        (Sabotage::QueuePrefix, "a_queue_serves_no_other_queue"),
        (Sabotage::PullNotHidden, "a_pulled_delivery_is_hidden_until_it_comes_back"),
        (Sabotage::OneMore, "a_concurrency_bound_is_never_exceeded"),
        (Sabotage::HoldForever, "a_hold_runs_out"),
        (Sabotage::GiveBackForgets, "a_permit_goes_to_the_longest_waiter"),
        (Sabotage::SpendsTwice, "asking_again_spends_nothing_twice"),
    ];
}

/// A fixture whose backend breaks one promise.
pub struct Sabotaged<F> {
    /// The fixture that it breaks.
    pub fixture: F,
    /// What is broken.
    pub sabotage: Sabotage,
}

#[async_trait]
impl<F: Fixture> Fixture for Sabotaged<F> {
    fn name(&self) -> &'static str {
        self.fixture.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.fixture.capabilities()
    }

    async fn open(&self, opening: &Opening) -> Result<Backend> {
        let backend = self.fixture.open(opening).await?;
        let broken = |inner| Arc::new(Broken { inner, sabotage: self.sabotage });
        Backend::new(BackendParts {
            name: backend.name(),
            location: backend.location().to_owned(),
            queue: broken(backend.clone()),
            store: broken(backend.clone()),
            dispatch: backend.dispatch(),
            paired: true,
            limiter: broken(backend.clone()),
            take: None,
            clock: backend.clock().clone(),
            draw: backend.draws().clone(),
            open: broken(backend),
        })
    }
}

/// Queue, store and limiter that break one promise.
#[derive(Debug)]
struct Broken {
    inner: Backend,
    sabotage: Sabotage,
}

impl Broken {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    async fn stored(&self, id: JobId) -> Option<Record> {
        self.inner.store().load(&[id]).await.pop()?.ok()?
    }

    /// The commit as the broken driver understands it.
    async fn twisted(&self, commit: &Commit) -> Commit {
        let mut ops = Vec::new();
        for op in &commit.ops {
            ops.extend(self.twist(op.clone()).await);
        }
        Commit { ops, ..commit.clone() }
    }

    async fn twist(&self, mut op: Op) -> Option<Op> {
        let stored = self.stored(op.id()).await;
        match (self.sabotage, &mut op, stored) {
            (Sabotage::NoFence, Op::Update { expect, record, .. }, Some(stored)) => {
                (*expect, record.head.asked) = (stored.head.revision, stored.head.asked);
            }
            (Sabotage::NoFence | Sabotage::BeatExtendsForeignLease, Op::Beat { expect, .. }, Some(stored)) => {
                *expect = stored.head.revision
            }
            (Sabotage::NoFence, Op::AskToStop { expect, .. }, Some(stored)) => *expect = stored.head.revision,
            (Sabotage::LapsedIgnored, Op::Update { lapsed, .. }, _) => *lapsed = None,
            (Sabotage::MarkIgnored, Op::Update { record, .. }, Some(stored)) => record.head.asked = stored.head.asked,
            (Sabotage::InsertOverwrites, Op::Insert { id, record, over: None }, Some(stored)) => {
                let (id, record, expect) = (*id, record.clone(), stored.head.revision);
                let changed = jobbers_core::record::Parts::ALL;
                return Some(Op::Update { id, expect, lapsed: None, record, changed, place: jobbers_core::driver::Place::Back });
            }
            (Sabotage::FailedReleaseIgnored, Op::Release { outcome: Some(Ending::Failed), .. }, _) => return None,
            (Sabotage::ReleaseCountedTwice, Op::Release { edges, .. }, _) => *edges *= 2,
            _ => (),
        }
        Some(op)
    }

    async fn one(&self, commit: &Commit) -> Result<Verdict> {
        let commit = self.twisted(commit).await;
        if !self.is(Sabotage::HalfApplied) {
            return self.inner.store().commit(&[commit]).await.remove(0);
        }
        let mut last = None;
        for op in commit.ops {
            let fence = matches!(op, Op::Release { .. });
            let alone = Commit { ops: vec![op], ..commit };
            // A release alone is refused by the layer: this driver would count it all the same.
            if fence {
                continue;
            }
            let verdict = self.inner.store().commit(&[alone]).await.remove(0)?;
            let conflict = matches!(verdict, Verdict::Conflict { .. });
            last = Some(verdict);
            if conflict {
                break;
            }
        }
        Ok(last.unwrap_or(Verdict::Applied { ready: Vec::new(), asked: None, claimed: Vec::new() }))
    }
}

#[async_trait]
impl StateStore for Broken {
    fn capabilities(&self) -> Capabilities {
        self.inner.store().capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let mut results = Vec::new();
        let mut dropping = false;
        for commit in commits {
            if dropping {
                results.push(Ok(Verdict::Applied { ready: Vec::new(), asked: None, claimed: Vec::new() }));
                continue;
            }
            let result = self.one(commit).await;
            dropping = self.is(Sabotage::NeighboursDropped) && matches!(result, Ok(Verdict::Conflict { .. }));
            results.push(result);
        }
        results
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        self.inner.store().load(ids).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        let hide_until = match self.sabotage {
            Sabotage::DueForgets => Timestamp::MAX,
            Sabotage::DueNotHidden => now,
            _ => hide_until,
        };
        let mut due = self.inner.store().due(now, hide_until, limit).await?;
        if self.is(Sabotage::DueUnordered) {
            due.ids.reverse();
        }
        Ok(due)
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        let owned = self.inner.store().owned(owner, limit).await?;
        Ok(if self.is(Sabotage::OwnedForgets) { Vec::new() } else { owned })
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.inner.store().scan(cursor, limit).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.inner.store().list(filter, page).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.inner.store().unended(runs).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.inner.store().counts().await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        let before = if self.is(Sabotage::PruneEverything) { Timestamp::MAX } else { before };
        self.inner.store().prune(queue, state, before, limit).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.inner.store().read(keys).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.inner.store().write(writes).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.inner.store().documents(kind, page).await
    }
}

#[async_trait]
impl Queue for Broken {
    fn capabilities(&self) -> Capabilities {
        self.inner.queue().capabilities()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.inner.queue().push(deliveries).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        let mut pull = pull.clone();
        match self.sabotage {
            Sabotage::QueuePrefix => {
                let longer = |name: &QueueName| QueueName::new(&format!("{name}.bulk")).ok();
                let more: Vec<_> = pull.queues.iter().filter_map(|(name, most)| Some((longer(name)?, *most))).collect();
                pull.queues.extend(more);
            }
            Sabotage::PullNotHidden => pull.back_at = pull.now,
            _ => (),
        }
        let pulled = self.inner.queue().pull(&pull).await?;
        if self.is(Sabotage::PullAcks) {
            self.inner.queue().ack(&pulled.items.iter().map(|(_, receipt)| receipt.clone()).collect::<Vec<_>>()).await?;
        }
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.inner.queue().listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        if self.is(Sabotage::AckIgnored) { Ok(()) } else { self.inner.queue().ack(receipts).await }
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.inner.queue().depth(queues).await
    }
}

#[async_trait]
impl RateLimiter for Broken {
    fn capabilities(&self) -> Capabilities {
        self.inner.limiter().capabilities()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        let mut changes = changes.to_vec();
        for change in &mut changes {
            if let LimitChange::Bounds { bounds: Some(bounds), .. } = change
                && self.is(Sabotage::OneMore)
            {
                bounds.concurrency = bounds.concurrency.map(|most| most + 1);
            }
        }
        self.inner.limiter().set(&changes, now).await
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        let mut requests = requests.to_vec();
        for request in &mut requests {
            match self.sabotage {
                Sabotage::HoldForever => request.hold = Duration::from_secs(1 << 30),
                Sabotage::SpendsTwice => request.holder.nonce = self.inner.draws().draw().nonce,
                _ => (),
            }
        }
        self.inner.limiter().acquire(&requests, now).await
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        if self.is(Sabotage::GiveBackForgets) { Ok(Vec::new()) } else { self.inner.limiter().give_back(holders, now).await }
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        self.inner.limiter().turns(now, limit).await
    }
}

#[async_trait]
impl Open for Broken {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        self.inner.open_second().await
    }
}
