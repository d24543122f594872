//! What is kept of running jobs in memory: their heads for the writer, and the ends of their leases for who looks for due jobs.

use std::collections::{BTreeSet, HashMap};

use jobbers_core::record::{Head, JobState};
use jobbers_core::{JobId, Result, Timestamp};
use redb::{ReadTransaction, ReadableTable};

use crate::keys::{self, JobKey};
use crate::rows::{self, Row};
use crate::tables::{Disk, HEADS, LIST, open};

/// Most heads that are kept: those of more jobs than a process has slots are read from the file again. About 3 MB.
const HEADS_COUNT_MAX: usize = 10_000;

/// Heads of running jobs, as the writer has written them: each is read once more at the job's end, and that is soon.
#[derive(Debug, Default)]
pub(crate) struct Running(HashMap<JobId, Row>);

impl Running {
    /// A job's row, from here or from the file.
    pub(crate) fn row(&self, heads: &impl ReadableTable<&'static JobKey, &'static [u8]>, id: JobId) -> Disk<Result<Option<Row>>> {
        match self.0.get(&id) {
            Some(row) => Ok(Ok(Some(row.clone()))),
            None => rows::row(heads, id),
        }
    }

    /// Keeps up with a row that was written.
    pub(crate) fn note(&mut self, id: JobId, parts: u8, head: &Head) {
        if head.state != JobState::Running {
            self.forget(id);
        } else if self.0.len() < HEADS_COUNT_MAX || self.0.contains_key(&id) {
            self.0.insert(id, Row { parts, head: head.clone() });
        }
    }

    pub(crate) fn forget(&mut self, id: JobId) {
        self.0.remove(&id);
    }
}

/// When the leases of running jobs end.
pub(crate) type Leases = BTreeSet<(Timestamp, JobId)>;

/// Reads them from a file: as many as were running when it was closed.
pub(crate) fn leases(txn: &ReadTransaction) -> Disk<Leases> {
    let mut leases = BTreeSet::new();
    for job in jobs(txn)? {
        let (id, row) = job?;
        // One that does not decode is due at once: whoever loads it is told.
        leases.extend(row.map_or(Some(Timestamp::MIN), |row| row.and_then(|row| row.head.wake_at)).map(|at| (at, id)));
    }
    Ok(leases)
}

/// Every running job of a file; the inner error is that job's alone.
pub(crate) fn jobs(txn: &ReadTransaction) -> Disk<impl Iterator<Item = Disk<(JobId, Result<Option<Row>>)>>> {
    let (list, heads) = (open(txn, LIST)?, open(txn, HEADS)?);
    let running = [JobState::Running.index()];
    let places = list.range::<&[u8]>(running.as_slice()..keys::behind(&running).as_slice())?;
    Ok(places.filter_map(move |place| {
        let place = match place {
            Ok((key, _)) => keys::place_of(key.value())?,
            Err(error) => return Some(Err(error)),
        };
        let (_, id) = keys::read_place(&place);
        Some(rows::row(&heads, id).map(|row| (id, row)))
    }))
}
