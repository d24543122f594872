//! What is kept of running jobs in memory: their rows for the writer, which of them a row of `running` names, and for readers their queues
//! and the ends of their leases.
//!
//! A claim and an end leave the job where it is listed, among the Ready ones, and write no row of an index. What has to be found when the
//! file is opened is who runs: that is one row for all jobs that one transaction has claimed, gone when the last of them runs no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jobbers_core::record::{Head, JobState};
use jobbers_core::{JobId, QueueName, Result, Timestamp};
use redb::{ReadTransaction, ReadableTable};

use crate::group::Group;
use crate::keys::{self, JobKey, Place};
use crate::quick::Quick;
use crate::rows::{self, Row};
use crate::tables::{Disk, HEADS, LIST, RUNNING, open};

/// Most rows that are kept: those of more jobs than a process has slots are read from the file again. About 10 MB.
const ROWS_COUNT_MAX: usize = 10_000;
/// Most jobs that a row of `running` names.
const BATCH_JOBS_MAX: usize = 1_000;
/// The first format that has a row for the jobs that one transaction has claimed.
const BATCHES_SINCE: u64 = 3;

/// When the leases of running jobs end.
pub(crate) type Leases = BTreeSet<(Timestamp, JobId)>;

/// Running jobs, with what lists them.
pub(crate) type Listed = BTreeMap<JobId, (QueueName, Timestamp)>;

/// What a listing needs of a running job.
pub(crate) fn listed(head: &Head) -> Option<(QueueName, Timestamp)> {
    (head.state == JobState::Running).then(|| (head.queue.clone(), head.created_at))
}

/// Running jobs as the writer knows them.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// As it has written them: each is read once more at the job's end, and that is soon.
    rows: HashMap<JobId, Row, Quick>,
    /// No job of the file has a larger id; `None` until it was looked up. A new job's id is larger than all others, most often.
    largest: Option<JobId>,
    /// Which row of `running` names a job.
    batch_of: HashMap<JobId, u64, Quick>,
    /// How many jobs each of those rows still stands for.
    left: HashMap<u64, usize>,
    /// The number of the next of those rows.
    next: u64,
    /// Jobs that it will name.
    claimed: Vec<JobId>,
}

impl Running {
    /// Looks up what saves later look-ups.
    pub(crate) fn look(&mut self, heads: &impl ReadableTable<&'static JobKey, &'static [u8]>) -> Disk<()> {
        if self.largest.is_none() {
            // Of an empty file, the smallest of all: no job has that one, and if one had, it would be looked for.
            let largest = heads.last()?.map_or([0; JobId::BYTES], |(key, _)| *key.value());
            self.largest = Some(JobId::from_bytes(largest));
        }
        Ok(())
    }

    /// A job's row, from here or from the file. What is kept here is given away: who writes the row keeps it again, and who does not finds it
    /// in the file the next time.
    pub(crate) fn row(&mut self, heads: &impl ReadableTable<&'static JobKey, &'static [u8]>, id: JobId) -> Disk<Result<Option<Row>>> {
        if self.largest.is_some_and(|largest| id > largest) {
            return Ok(Ok(None));
        }
        match self.rows.remove(&id) {
            Some(row) => Ok(Ok(Some(row))),
            None => rows::row(heads, id),
        }
    }

    /// Keeps up with a row that was written; of a job that runs, keeps it.
    pub(crate) fn note(&mut self, id: JobId, row: impl FnOnce() -> Row, head: &Head) {
        self.largest = self.largest.map(|largest| largest.max(id));
        if head.state != JobState::Running {
            self.forget(id);
        } else if self.rows.len() < ROWS_COUNT_MAX || self.rows.contains_key(&id) {
            self.rows.insert(id, row());
        }
    }

    pub(crate) fn forget(&mut self, id: JobId) {
        self.rows.remove(&id);
    }

    fn named(&mut self, batch: u64, id: JobId) {
        // Of two rows that name a job the later one counts: it was claimed again while others of the earlier one were still running.
        if let Some(earlier) = self.batch_of.insert(id, batch)
            && let Some(left) = self.left.get_mut(&earlier)
        {
            *left -= 1;
        }
        *self.left.entry(batch).or_default() += 1;
        self.next = self.next.max(batch + 1);
    }
}

impl Group<'_> {
    /// Notes that a job runs from now on.
    pub(crate) fn runs(&mut self, id: JobId) {
        self.running.batch_of.insert(id, self.running.next);
        self.running.claimed.push(id);
    }

    /// Notes that a job runs no more.
    pub(crate) fn runs_no_more(&mut self, id: JobId) -> Disk<()> {
        let Some(batch) = self.running.batch_of.remove(&id) else { return Ok(()) };
        // One that was claimed in this very transaction has no row yet.
        let Some(left) = self.running.left.get_mut(&batch) else { return Ok(()) };
        *left -= 1;
        if *left == 0 {
            self.running.left.remove(&batch);
            self.running_rows.open()?.remove(batch)?;
        }
        Ok(())
    }

    /// Writes which jobs the transaction has claimed.
    pub(crate) fn write_running(&mut self) -> Disk<()> {
        let mut claimed = std::mem::take(&mut self.running.claimed);
        claimed.sort_unstable();
        claimed.dedup();
        let next = self.running.next;
        claimed.retain(|id| self.running.batch_of.get(id) == Some(&next));
        for batch in claimed.chunks(BATCH_JOBS_MAX) {
            let number = self.running.next;
            self.running_rows.open()?.insert(number, batch_row(batch).as_slice())?;
            self.running.left.insert(number, batch.len());
            for id in batch {
                self.running.batch_of.insert(*id, number);
            }
            self.running.next += 1;
        }
        Ok(())
    }
}

/// A row of `running`: ids, one after the other.
pub(crate) fn batch_row(ids: &[JobId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_bytes()).collect()
}

/// The jobs that a row of `running` names.
pub(crate) fn read_batch(row: &[u8]) -> impl Iterator<Item = JobId> {
    row.chunks_exact(JobId::BYTES).map(|id| JobId::from_bytes(id.try_into().expect("a chunk is as long as it was asked to be")))
}

/// The running jobs of a file that is being opened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) running: Running,
    pub(crate) leases: Leases,
    pub(crate) listed: Listed,
}

impl Found {
    /// Reads them: as many as were running when the file was closed, and those that were claimed together with one of them.
    pub(crate) fn read(txn: &ReadTransaction, format: u64) -> Disk<Found> {
        let heads = open(txn, HEADS)?;
        let mut found = Found::default();
        for (batch, id) in if format < BATCHES_SINCE { of_list(txn)? } else { of_batches(txn)? } {
            match rows::row(&heads, id)? {
                Ok(Some(Row { record, .. })) => {
                    let Some(listed) = listed(&record.head) else { continue };
                    found.leases.extend(record.head.wake_at.map(|at| (at, id)));
                    found.listed.insert(id, listed);
                }
                Ok(None) => continue,
                // One that does not decode is due at once: whoever loads it is told.
                Err(_) => found.leases.extend([(Timestamp::MIN, id)]),
            }
            found.running.named(batch, id);
        }
        Ok(found)
    }

    /// What `running` holds for them.
    pub(crate) fn batches(&self) -> BTreeMap<u64, Vec<JobId>> {
        let mut batches: BTreeMap<u64, Vec<JobId>> = BTreeMap::new();
        for (id, batch) in &self.running.batch_of {
            batches.entry(*batch).or_default().push(*id);
        }
        batches
    }
}

/// What earlier formats list as Running, as batches.
fn of_list(txn: &ReadTransaction) -> Disk<Vec<(u64, JobId)>> {
    let mut found = Vec::new();
    for key in listed_as_running(&open(txn, LIST)?)? {
        let (_, id) = keys::read_place(&key.1);
        found.push(((found.len() / BATCH_JOBS_MAX) as u64, id));
    }
    Ok(found)
}

/// Keys of `list` that earlier formats have for running jobs.
pub(crate) fn listed_as_running(list: &impl ReadableTable<&'static [u8], ()>) -> Disk<Vec<(Vec<u8>, Place)>> {
    let prefix = [JobState::Running.index()];
    let mut found = Vec::new();
    for row in list.range::<&[u8]>(prefix.as_slice()..keys::behind(&prefix).as_slice())? {
        let key = row?.0.value().to_vec();
        found.extend(keys::place_of(&key).map(|place| (key, place)));
    }
    Ok(found)
}

fn of_batches(txn: &ReadTransaction) -> Disk<Vec<(u64, JobId)>> {
    let mut found = Vec::new();
    for row in open(txn, RUNNING)?.iter()? {
        let (batch, ids) = row?;
        found.extend(read_batch(ids.value()).map(|id| (batch.value(), id)));
    }
    Ok(found)
}
