//! A store that counts its calls, and fails when it is told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::driver::*;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{JobState, Record, Revision};
use crate::time::Timestamp;

/// What happens to one call of `commit`.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not applied, and the caller is told so.
    Away,
    /// It is not applied, and the caller does not know.
    LostBefore,
    /// It is applied, and the caller does not know.
    LostAfter,
    /// It is applied, and there is never an answer.
    Hangs,
    /// It is refused for good.
    Refused,
    /// Somebody else's commit is applied first.
    Behind(Commit),
}

#[derive(Debug)]
pub(super) struct Probe {
    store: Arc<dyn StateStore>,
    faults: Mutex<VecDeque<Fault>>,
    loads_away: AtomicUsize,
    commit_calls: AtomicUsize,
}

impl Probe {
    pub(super) fn new(store: Arc<dyn StateStore>) -> Probe {
        Probe { store, faults: Mutex::default(), loads_away: AtomicUsize::new(0), commit_calls: AtomicUsize::new(0) }
    }

    /// What happens to the next calls of `commit`.
    pub(super) fn then(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// So many calls of `load` fail.
    pub(super) fn lose_loads(&self, calls: usize) {
        self.loads_away.store(calls, Ordering::SeqCst);
    }

    pub(super) fn commit_calls(&self) -> usize {
        self.commit_calls.load(Ordering::SeqCst)
    }

    /// The store itself, without faults.
    pub(super) fn behind(&self) -> &Arc<dyn StateStore> {
        &self.store
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, "commit", "the probe is away")
}

#[async_trait]
impl StateStore for Probe {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        self.commit_calls.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap().pop_front();
        let all = |error: fn() -> Error| commits.iter().map(|_| Err(error())).collect();
        match fault {
            None => self.store.commit(commits).await,
            Some(Fault::Away) => all(away),
            Some(Fault::LostBefore) => all(|| away().with_outcome_unknown()),
            Some(Fault::Refused) => all(|| Error::new(ErrorKind::Internal, "commit", "the probe refuses")),
            Some(Fault::LostAfter) => {
                self.store.commit(commits).await;
                all(|| away().with_outcome_unknown())
            }
            Some(Fault::Hangs) => {
                self.store.commit(commits).await;
                std::future::pending().await
            }
            Some(Fault::Behind(commit)) => {
                self.store.commit(&[commit]).await;
                self.store.commit(commits).await
            }
        }
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        let lost = self.loads_away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() {
            return ids.iter().map(|_| Err(away())).collect();
        }
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
