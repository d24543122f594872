//! Around a store.

use std::sync::Arc;

use async_trait::async_trait;

use super::check;
use super::observer::Observer;
use super::seal::Question;
use crate::driver::{
    Capabilities, Capability, Commit, Count, Cursor, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter, Listing, Page, Scanned,
    StateStore, Verdict,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, WorkerId};
use crate::record::{JobState, Record, Revision};
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) inner: Arc<dyn StateStore>,
    pub(super) observer: Observer,
}

#[async_trait]
impl StateStore for Checked {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        let checks = check::commits(commits);
        if checks.iter().all(Result::is_ok) {
            return self.send(commits).await;
        }
        // One that is wrong fails alone: its neighbours are sent without it.
        let good: Vec<Commit> = commits.iter().zip(&checks).filter(|(_, check)| check.is_ok()).map(|(commit, _)| commit.clone()).collect();
        let mut verdicts = self.send(&good).await.into_iter();
        let answer = |check: Result<()>| check.and_then(|()| verdicts.next().expect("a verdict a commit"));
        checks.into_iter().map(answer).collect()
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        if ids.is_empty() {
            return Vec::new();
        }
        self.observer.call("load", ids.len(), self.inner.load(ids)).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.observer.call("due", limit, self.inner.due(now, hide_until, limit)).await
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.observer.call("owned", limit, self.inner.owned(owner, limit)).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        check::page("scan records", limit)?;
        let question = Question::scan(self.observer.driver());
        let scan = async { self.inner.scan(question.open(cursor)?, limit).await };
        let mut scanned = self.observer.call("scan", limit, scan).await?;
        scanned.next = question.seal(scanned.next);
        Ok(scanned)
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        if !self.capabilities().has(Capability::List) {
            return Err(unsupported("list jobs", "this store keeps no lists; scan it, or use a backend with the capability `list`"));
        }
        check::page("list jobs", page.limit)?;
        let question = Question::list(self.observer.driver(), filter);
        let list = async {
            let page = Page { after: question.open(page.after.clone())?, limit: page.limit };
            self.inner.list(filter, &page).await
        };
        let mut listing = self.observer.call("list", page.limit, list).await?;
        listing.next = question.seal(listing.next);
        Ok(listing)
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.call("unended", runs.len(), self.inner.unended(runs)).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.observer.call("counts", 1, self.inner.counts()).await
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        if !state.is_end() {
            return check::invalid("prune jobs", format!("queue {queue}: {state} is no end; only jobs that have ended are forgotten"));
        }
        self.observer.call("prune", limit, self.inner.prune(queue, state, before, limit)).await
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.call("read", keys.len(), self.inner.read(keys)).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        writes.iter().try_for_each(check::document)?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.call("write", writes.len(), self.inner.write(writes)).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        check::page("list documents", page.limit)?;
        self.observer.call("documents", page.limit, self.inner.documents(kind, page)).await
    }
}

impl Checked {
    async fn send(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        if commits.is_empty() {
            return Vec::new();
        }
        let verdicts = self.observer.call("commit", commits.len(), self.inner.commit(commits)).await;
        assert_eq!(verdicts.len(), commits.len(), "a driver answers each commit");
        verdicts
    }
}

fn unsupported(op: &'static str, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, op, why)
}
