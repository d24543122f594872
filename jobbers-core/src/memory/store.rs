//! The store: a thin coat over [`Tables`](super::tables::Tables).

use std::sync::Arc;

use async_trait::async_trait;

use super::Shared;
use crate::driver::{
    Capabilities, Capability, Commit, Count, Cursor, Dispatch, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter, Listing, Page,
    Scanned, StateStore, Verdict,
};
use crate::error::Result;
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{JobState, Record, Revision};
use crate::time::Timestamp;

/// The store of a memory backend.
#[derive(Debug)]
pub(super) struct MemoryStore(pub(super) Arc<Shared>);

#[async_trait]
impl StateStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        match self.0.dispatch {
            Dispatch::Own => Capabilities::of(&[Capability::AtomicDispatch, Capability::List]),
            Dispatch::Caller => Capabilities::of(&[Capability::List]),
        }
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let dispatch = self.0.dispatch;
        self.0.step(|state, bells| commits.iter().map(|commit| state.tables.commit(commit, dispatch, &mut state.lines, bells)).collect())
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        let state = self.0.lock();
        ids.iter().map(|id| Ok(state.tables.get(*id).cloned())).collect()
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        Ok(self.0.lock().tables.index.due.take(now, hide_until, limit))
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        let state = self.0.lock();
        let jobs = state.tables.index.owned(owner).take(limit);
        Ok(jobs.filter_map(|id| Some((id, state.tables.get(id)?.head.revision))).collect())
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.0.lock().tables.scan(cursor.as_ref(), limit)
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.0.lock().tables.list(filter, page)
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        let state = self.0.lock();
        Ok(runs.iter().map(|run| state.tables.unended(*run)).collect())
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        Ok(self.0.lock().tables.index.lists.counts())
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        Ok(self.0.lock().tables.prune(queue, state, before, limit))
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        let state = self.0.lock();
        Ok(keys.iter().map(|key| state.tables.read(key)).collect())
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        let mut state = self.0.lock();
        Ok(writes.iter().map(|write| state.tables.write(write)).collect())
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.0.lock().tables.documents(kind, page)
    }
}
