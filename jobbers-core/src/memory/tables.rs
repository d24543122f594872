//! Records and documents, and their indexes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound::{Excluded, Unbounded};

use super::index::{Index, Rank};
use super::queue::{Bells, Lines};
use crate::driver::{
    Applied, Commit, Cursor, Dispatch, Doc, DocKey, DocKind, DocVerdict, DocVersion, DocWrite, Filter, Listing, Page, Scanned, Verdict,
    apply,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, SmallText};
use crate::record::{JobState, Record};
use crate::telemetry;
use crate::time::Timestamp;

/// Most records that one page looks at for its filters: a rare task is found over several pages.
const LIST_LOOK_COUNT_MAX: usize = 1_000;

/// What a store holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    records: BTreeMap<JobId, Box<Record>>,
    pub(super) index: Index,
    docs: BTreeMap<DocKey, Doc>,
    last_version: u64,
}

impl Tables {
    pub(super) fn get(&self, id: JobId) -> Option<&Record> {
        self.records.get(&id).map(Box::as_ref)
    }

    /// Puts a record where another one, or none, stands.
    pub(super) fn put(&mut self, id: JobId, record: Record) {
        let look = match self.records.entry(id) {
            Entry::Occupied(mut found) => {
                let look = self.index.moved(id, Some(&found.get().head), Some(&record.head));
                **found.get_mut() = record;
                look
            }
            Entry::Vacant(place) => {
                let look = self.index.moved(id, None, Some(&record.head));
                place.insert(Box::new(record));
                look
            }
        };
        self.look_if(look, id.run);
    }

    fn look_if(&mut self, look: bool, run: RunId) {
        if look {
            self.index.ended.look(run, self.records.get(&JobId::new(run, 0)).map(|record| &record.head));
        }
    }

    /// How many records of a run have not ended.
    pub(super) fn unended(&self, run: RunId) -> u64 {
        self.index.ended.unended(run, self.get(JobId::new(run, 0)).map(|record| &record.head))
    }

    fn remove(&mut self, id: JobId) {
        if let Some(found) = self.records.remove(&id) {
            let look = self.index.moved(id, Some(&found.head), None);
            self.look_if(look, id.run);
        }
    }

    /// Applies one commit, and enqueues what turned Ready if the store dispatches.
    pub(super) fn commit(&mut self, commit: &Commit, dispatch: Dispatch, lines: &mut Lines, bells: &mut Bells) -> Result<Verdict> {
        let (writes, mut ready, asked, claimed, missing) = match apply(commit, |id| Ok(self.get(id).cloned()))? {
            Applied::Refused(verdict) => return Ok(verdict),
            Applied::Writes { writes, ready, asked, claimed, missing } => (writes, ready, asked, claimed, missing),
        };
        writes.into_iter().for_each(|write| self.put(write.id, write.record));
        telemetry::releases_missing("memory", missing);
        if dispatch == Dispatch::Own {
            ready.drain(..).for_each(|delivery| lines.push(&delivery, bells));
        }
        Ok(Verdict::Applied { ready, asked, claimed })
    }

    pub(super) fn scan(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Scanned> {
        let from = cursor.map(read_id).transpose()?.map_or(Unbounded, Excluded);
        let mut rest = self.records.range((from, Unbounded));
        let heads: Vec<_> = rest.by_ref().take(limit).map(|(id, record)| (*id, record.head.clone())).collect();
        let next = rest.next().and(heads.last()).map(|(id, _)| Cursor(id.to_bytes().to_vec().into()));
        Ok(Scanned { heads, next })
    }

    pub(super) fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        let after = page.after.as_ref().map(read_rank).transpose()?;
        let look = if filter.task.is_some() { LIST_LOOK_COUNT_MAX.max(page.limit) } else { page.limit };
        let ranks = self.index.lists.page(filter.state, filter.queue.as_ref(), after, look.saturating_add(1));
        let mut listing = Listing::default();
        for (looked, rank) in ranks.iter().enumerate() {
            if listing.records.len() == page.limit || looked == look {
                listing.next = ranks[..looked].last().map(write_rank);
                break;
            }
            let record = self.get(rank.1).expect("what is listed is stored");
            if filter.task.as_ref().is_none_or(|task| *task == record.head.task) {
                listing.records.push((rank.1, record.clone()));
            }
        }
        Ok(listing)
    }

    /// Forgets records of ended runs, step 0 of each last.
    pub(super) fn prune(&mut self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> usize {
        let mut pruned = 0;
        while pruned < limit {
            let Some(run) = self.index.ended.first(queue, state, before) else { break };
            let steps = self.records.range(JobId::new(run, 0)..=JobId::new(run, u32::MAX)).rev().map(|(id, _)| *id);
            let steps: Vec<JobId> = steps.take(limit - pruned).collect();
            pruned += steps.len();
            steps.into_iter().for_each(|id| self.remove(id));
        }
        pruned
    }

    pub(super) fn read(&self, key: &DocKey) -> Option<Doc> {
        self.docs.get(key).cloned()
    }

    pub(super) fn write(&mut self, write: &DocWrite) -> DocVerdict {
        let found = self.docs.get(&write.key);
        if found.map(|doc| doc.version) != write.expect {
            return DocVerdict::Conflict(found.cloned());
        }
        let Some(body) = write.body.clone() else {
            let gone = self.docs.remove(&write.key);
            return DocVerdict::Applied(gone.map_or(DocVersion(0), |doc| doc.version));
        };
        // One counter over all keys, so that a document that is made anew never has a version that its name had before.
        self.last_version += 1;
        let version = DocVersion(self.last_version);
        self.docs.insert(write.key.clone(), Doc { version, body, expires_at: write.expires_at });
        DocVerdict::Applied(version)
    }

    pub(super) fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        let after = match &page.after {
            None => None,
            Some(cursor) => Some(std::str::from_utf8(&cursor.0).map_err(|_| foreign("list documents"))?),
        };
        let start = DocKey { kind, name: SmallText::new(after.unwrap_or_default()) };
        let documents = self.docs.range(start..).take_while(|(key, _)| key.kind == kind);
        let documents = documents.filter(|(key, _)| after.is_none_or(|after| key.name.as_str() > after));
        Ok(documents.take(page.limit).map(|(key, doc)| (key.clone(), doc.clone())).collect())
    }
}

fn foreign(op: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, op, "the cursor is none of this store's; start without one, and pass on what the last page returned")
}

fn read_id(cursor: &Cursor) -> Result<JobId> {
    cursor.0.as_ref().try_into().map(JobId::from_bytes).map_err(|_| foreign("scan records"))
}

fn write_rank(rank: &Rank) -> Cursor {
    Cursor([&rank.0.to_be_bytes()[..], &rank.1.to_bytes()[..]].concat().into())
}

fn read_rank(cursor: &Cursor) -> Result<Rank> {
    let (order, id) = cursor.0.split_first_chunk::<8>().ok_or_else(|| foreign("list jobs"))?;
    let id = id.try_into().map_err(|_| foreign("list jobs"))?;
    Ok((u64::from_be_bytes(*order), JobId::from_bytes(id)))
}
