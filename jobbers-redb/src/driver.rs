//! The traits of the seam, on an opened file.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{
    Capabilities, Capability, Commit, Count, Cursor, Delivery, Dispatch, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter, Listing,
    Open, Page, Pull, Pulled, Queue, RateLimiter, Receipt, Scanned, StateStore, Take, TakeRequest, Taken, Verdict,
};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::{JobId, QueueName, Result, RunId, Timestamp, WorkerId};

use crate::engine::Engine;
use crate::fault::again;
use crate::running::Listed;
use crate::tables::Disk;
use crate::{documents, find, ready};

/// What a job costs beside its parts, for the bound of a transaction.
const JOB_BYTES: usize = 400;

/// One handle of an opened file. Handles share the file, and each dispatches its own way.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
    pub(crate) dispatch: Dispatch,
}

impl Handle {
    pub(crate) fn all(&self) -> Capabilities {
        const ALWAYS: Capabilities = Capabilities::of(&[Capability::Priority, Capability::Fifo, Capability::List, Capability::Durable]);
        match self.dispatch {
            Dispatch::Own => ALWAYS.either(Capabilities::of(&[Capability::AtomicDispatch])),
            Dispatch::Caller => ALWAYS,
        }
    }
}

#[async_trait]
impl Queue for Handle {
    fn capabilities(&self) -> Capabilities {
        self.all()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        let deliveries = deliveries.to_vec();
        let weight = deliveries.len() * JOB_BYTES;
        self.engine.ask("push deliveries", weight, move |group| deliveries.iter().try_for_each(|one| group.enqueue(one))).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        // Memory first, then the file: what is acked meanwhile is gone from both by then, or in both still. The thread that writes takes
        // them the other way round; that is safe as long as it alone closes the file.
        let mut volatile = self.engine.shared.volatile();
        self.engine.read("pull deliveries", |txn| ready::pull(txn, &mut volatile, pull))
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        let listening = self.engine.shared.bells.listen(queues);
        let waits = {
            let volatile = self.engine.shared.volatile();
            self.engine.read("listen to queues", |txn| ready::any(txn, &volatile, queues))?
        };
        if !waits {
            // Both ends of the wait are an answer.
            let _ = tokio::time::timeout(most, listening.rung()).await;
        }
        Ok(())
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        let receipts = receipts.to_vec();
        let weight = receipts.len() * JOB_BYTES / 4;
        // Not synced by itself: a delivery that comes again after a crash is a hint that the record refuses.
        self.engine.ask("ack deliveries", weight, move |group| group.ack(&receipts)).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        let volatile = self.engine.shared.volatile();
        self.engine.read("count deliveries", |txn| ready::depth(txn, &volatile, queues))
    }
}

#[async_trait]
impl StateStore for Handle {
    fn capabilities(&self) -> Capabilities {
        self.all()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let (all, dispatch) = (commits.to_vec(), self.dispatch);
        let ops = all.iter().flat_map(|commit| &commit.ops);
        let weight = ops.map(|op| op.part_bytes() + JOB_BYTES).sum();
        // The commits come back with their verdicts, so that the one thread that writes does not spend its time on freeing them.
        let work = move |group: &mut crate::group::Group<'_>| {
            let verdicts: Disk<Vec<Result<Verdict>>> = all.iter().map(|commit| group.commit(commit, dispatch)).collect();
            Ok((verdicts?, all))
        };
        match self.engine.ask("commit", weight, work).await {
            Ok((verdicts, _)) => verdicts,
            Err(error) => commits.iter().map(|_| Err(again(&error))).collect(),
        }
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        match self.engine.read("load jobs", |txn| find::load(txn, ids)) {
            Ok(records) => records,
            Err(error) => ids.iter().map(|_| Err(again(&error))).collect(),
        }
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        let mut volatile = self.engine.shared.volatile();
        self.engine.read("find due jobs", |txn| find::due(txn, &mut volatile, now, hide_until, limit))
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        let volatile = self.engine.shared.volatile();
        self.engine.read("find a worker's jobs", |txn| find::owned(txn, &volatile, owner, limit))
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.engine.read("scan the jobs", |txn| find::scan(txn, cursor, limit))?
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        // Taken over first: whose head says otherwise by then is left out.
        let running = match filter.state {
            JobState::Ready | JobState::Running => self.engine.shared.volatile().running.clone(),
            _ => Listed::new(),
        };
        self.engine.read("list jobs", |txn| find::list(txn, &running, filter, page))?
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.engine.read("count a run's jobs", |txn| find::unended(txn, runs))
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.engine.read("count jobs", find::counts)
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        let queue = queue.clone();
        self.engine.ask("prune ended runs", limit.saturating_mul(JOB_BYTES), move |group| group.prune(&queue, state, before, limit)).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.engine.read("read documents", |txn| documents::read(txn, keys))?
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        let writes = writes.to_vec();
        let weight = writes.iter().map(|write| write.body.as_ref().map_or(0, |body| body.len()) + JOB_BYTES).sum();
        self.engine.ask("write documents", weight, move |group| group.write_documents(&writes)).await?
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.engine.read("list documents", |txn| documents::documents(txn, kind, page))?
    }
}

#[async_trait]
impl Take for Handle {
    async fn take(&self, take: &TakeRequest) -> Result<Taken> {
        let take = take.clone();
        let weight = take.pull.max as usize * JOB_BYTES;
        self.engine.ask("take jobs", weight, move |group| group.take(&take)).await
    }
}

#[async_trait]
impl Open for Handle {
    /// The same ones: the file is bound to no runtime.
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        Ok((Arc::new(self.clone()), Arc::new(self.clone())))
    }
}
