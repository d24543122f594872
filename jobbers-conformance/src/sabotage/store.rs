//! Lies about what is stored.

use async_trait::async_trait;
use bytes::Bytes;
use jobbers_core::driver::{
    Capabilities, Capability, Commit, Count, Cursor, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter, Listing, Page, Scanned,
    StateStore, Verdict,
};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::{Error, ErrorKind, JobId, QueueName, Result, RunId, Timestamp, WorkerId};

use super::Sabotage;
use super::home::{Broken, unreachable};

impl Broken {
    fn honest(&self) -> &dyn StateStore {
        &*self.home.parts.store
    }

    async fn everything_in(&self, filter: &Filter) -> Result<Vec<(JobId, Record)>> {
        let whole = Page { after: None, limit: usize::MAX };
        Ok(self.honest().list(filter, &whole).await?.records)
    }

    /// Step 0 of a run that could be pruned, if the run has other records.
    async fn first_step_0(&self, queue: &QueueName, state: JobState, before: Timestamp) -> Result<Option<JobId>> {
        let heads = self.honest().scan(None, usize::MAX).await?.heads;
        let unended = |run: RunId| heads.iter().any(|(id, head)| id.run == run && !head.state.is_end());
        let hidden = |id: JobId| self.home.memo().hidden.contains(&id);
        let found = heads.iter().find(|(id, head)| {
            let ended = head.ended_at.is_some_and(|ended| ended < before);
            id.step == 0 && head.queue == *queue && head.state == state && ended && !unended(id.run) && !hidden(*id)
        });
        Ok(found.map(|(id, _)| *id))
    }
}

/// The part of a whole list that starts at a place counted from its start.
fn by_offset<T>(all: Vec<T>, after: Option<&Cursor>, limit: usize) -> (Vec<T>, Option<Cursor>) {
    let start = after.and_then(|cursor| std::str::from_utf8(&cursor.0).ok()?.parse::<usize>().ok()).unwrap_or(0);
    let left = all.len() > start + limit;
    let page = all.into_iter().skip(start).take(limit).collect();
    (page, left.then(|| Cursor((start + limit).to_string().into())))
}

#[async_trait]
impl StateStore for Broken {
    fn capabilities(&self) -> Capabilities {
        let more = Capabilities::of(&[Capability::Durable, Capability::MultiProcess]).either(self.honest().capabilities());
        let claimed = Capabilities::of(&[Capability::AtomicDispatch]);
        if self.is(Sabotage::AtomicDispatchClaimed) && self.opening.dispatch == jobbers_core::driver::Dispatch::Own {
            return more.either(claimed);
        }
        more
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        if self.sabotage.is_none() && !self.home.is_cut() {
            return self.honest().commit(commits).await;
        }
        self.commit_all(commits).await
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        if self.home.is_cut() {
            return ids.iter().map(|_| Err(unreachable("load"))).collect();
        }
        let mut loaded = self.honest().load(ids).await;
        for (id, found) in ids.iter().zip(&mut loaded) {
            let memo = self.home.memo();
            match (found, memo.previous.get(id)) {
                (Ok(found), _) if memo.hidden.contains(id) => *found = None,
                (Ok(found), Some(previous)) => *found = Some(previous.clone()),
                _ => (),
            }
        }
        loaded
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.reach("due")?;
        let now = self.now(now);
        let (hide_until, limit) = match self.sabotage {
            Some(Sabotage::DueForgets) => (Timestamp::MAX, limit),
            Some(Sabotage::DueNotHidden) => (now, limit),
            Some(Sabotage::DueUnbounded) => (hide_until, usize::MAX),
            _ => (hide_until, limit),
        };
        let mut due = self.honest().due(now, hide_until, limit).await?;
        match self.sabotage {
            Some(Sabotage::DueUnordered) => due.ids.reverse(),
            Some(Sabotage::DueNextForgotten) => due.next = None,
            Some(Sabotage::ClearedTimerComes) => {
                let ghosts = self.home.memo().ghosts.clone();
                due.ids.extend(ghosts.into_iter().filter(|(when, _)| *when <= now).map(|(_, id)| id));
            }
            _ => (),
        }
        Ok(due)
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.reach("owned")?;
        if self.is(Sabotage::OwnedForgets) {
            return Ok(Vec::new());
        }
        self.honest().owned(owner, limit).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.reach("scan")?;
        if !self.is(Sabotage::ScanByOffset) {
            return self.honest().scan(cursor, limit).await;
        }
        let mut heads = self.honest().scan(None, usize::MAX).await?.heads;
        heads.sort_by_key(|(id, head)| (head.wake_at.is_none(), head.wake_at, *id));
        let (heads, next) = by_offset(heads, cursor.as_ref(), limit);
        Ok(Scanned { heads, next })
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.reach("list")?;
        match self.sabotage {
            Some(Sabotage::ListClaimed) => Err(Error::new(ErrorKind::Unsupported, "list jobs", "this store keeps no lists")),
            Some(Sabotage::ListByOffset) => {
                let (records, next) = by_offset(self.everything_in(filter).await?, page.after.as_ref(), page.limit);
                Ok(Listing { records, next })
            }
            _ => self.honest().list(filter, page).await,
        }
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        self.reach("unended")?;
        self.honest().unended(runs).await
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        self.reach("counts")?;
        let counts = self.honest().counts().await?;
        if !self.is(Sabotage::CountsLag) {
            return Ok(counts);
        }
        Ok(std::mem::replace(&mut self.home.memo().counts, counts))
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        self.reach("prune")?;
        let before = if self.is(Sabotage::PruneEverything) { Timestamp::MAX } else { before };
        let pruned = self.honest().prune(queue, state, before, limit).await?;
        if self.is(Sabotage::PruneStep0First)
            && pruned == limit
            && let Some(id) = self.first_step_0(queue, state, before).await?
        {
            self.home.memo().hidden.insert(id);
        }
        Ok(pruned)
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.reach("read documents")?;
        self.documents.parts.store.read(keys).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.reach("write documents")?;
        let mut writes = writes.to_vec();
        for write in &mut writes {
            let text = |body: &Bytes| Bytes::from(String::from_utf8_lossy(body).into_owned());
            match self.sabotage {
                Some(Sabotage::DocumentsAreText) => write.body = write.body.as_ref().map(text),
                Some(Sabotage::DocumentsUnfenced) => {
                    let stored = self.read(std::slice::from_ref(&write.key)).await?.remove(0);
                    write.expect = stored.map(|doc| doc.version);
                }
                _ => (),
            }
        }
        self.documents.parts.store.write(&writes).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.reach("list documents")?;
        self.documents.parts.store.documents(kind, page).await
    }
}
