//! One write transaction: the tables, and what its requests have in common.

use jobbers_core::driver::{Applied, Commit, Dispatch, Limits, Verdict, Write, apply};
use jobbers_core::record::Parts;
use jobbers_core::{Error, ErrorKind, JobId, QueueName, Result, Timestamp, telemetry};
use redb::{ReadTransaction, ReadableTable, StorageError, WriteTransaction};

use crate::batch::Batched;
use crate::engine::Shared;
use crate::keys::{self, JobKey, PartKey, WakeKey};
use crate::moved::Moved;
use crate::rows::{self, Row, Stored};
use crate::running::Running;
use crate::tables::{COUNTS, DOCUMENTS, Disk, HEADS, LIMITS, LIST, Lazy, META, PARTS, READY, RUNNING, RUNS, WAKE, open};
use crate::volatile::Timer;

/// The counter of transactions.
const TRANSACTIONS: &str = "transactions";

/// How many transactions the file has seen.
pub(crate) fn transactions(txn: &ReadTransaction) -> Disk<u64> {
    let stored = open(txn, META)?.get(TRANSACTIONS)?;
    Ok(stored.and_then(|bytes| bytes.value().try_into().ok()).map_or(0, u64::from_be_bytes))
}

/// A write transaction at work.
pub(crate) struct Group<'t> {
    pub(crate) shared: &'t Shared,
    pub(crate) heads: Lazy<'t, &'static JobKey, &'static [u8]>,
    pub(crate) parts: Lazy<'t, &'static PartKey, &'static [u8]>,
    pub(crate) list: Batched<'t, (), 0>,
    pub(crate) running_rows: Lazy<'t, u64, &'static [u8]>,
    pub(crate) wake: Lazy<'t, &'static WakeKey, ()>,
    pub(crate) ready: Batched<'t, &'static JobKey, { JobId::BYTES }>,
    pub(crate) runs: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) documents: Lazy<'t, &'static [u8], &'static [u8]>,
    counts: Lazy<'t, &'static [u8], u64>,
    meta: Lazy<'t, &'static str, &'static [u8]>,
    moved: Moved,
    /// A few, so that to look through them is the fastest.
    counters: Vec<(&'static str, u64)>,
    /// Of the last row that was written, for the next.
    room: Vec<u8>,
    pub(crate) limit_rows: Lazy<'t, &'static [u8], &'static [u8]>,
    pub(crate) limits: &'t mut Option<Limits>,
    pub(crate) running: &'t mut Running,
    pub(crate) after: After,
}

/// What a transaction has changed: the most that a request of it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Change {
    /// Nothing.
    #[default]
    None,
    /// What may be on disk later, with the next that has to be: if it is lost, a hint comes again.
    Later,
    /// What has to be on disk before it is answered.
    Now,
}

/// What a transaction does to what lives in memory, once it is on disk.
#[derive(Debug, Default)]
pub(crate) struct After {
    pub(crate) change: Change,
    /// The transaction's number: the file has it exactly if the transaction was made.
    pub(crate) number: u64,
    /// Queues that have got deliveries.
    pub(crate) rung: Vec<QueueName>,
    /// Jobs whose timer was set anew.
    pub(crate) timers: Vec<Timer>,
    /// Jobs that run since, or run no more, with what lists them.
    pub(crate) running: Vec<(JobId, Option<(QueueName, Timestamp)>)>,
    /// Deliveries that are gone.
    pub(crate) gone: Vec<u64>,
}

impl After {
    pub(crate) fn settle(&self, shared: &Shared) {
        shared.volatile().settle(self);
        shared.bells.ring(&self.rung);
    }
}

impl<'t> Group<'t> {
    pub(crate) fn new(
        txn: &'t WriteTransaction,
        shared: &'t Shared,
        limits: &'t mut Option<Limits>,
        running: &'t mut Running,
    ) -> Group<'t> {
        Group {
            shared,
            heads: Lazy::new(txn, HEADS),
            parts: Lazy::new(txn, PARTS),
            list: Batched::new(txn, LIST),
            running_rows: Lazy::new(txn, RUNNING),
            wake: Lazy::new(txn, WAKE),
            ready: Batched::new(txn, READY),
            runs: Lazy::new(txn, RUNS),
            documents: Lazy::new(txn, DOCUMENTS),
            counts: Lazy::new(txn, COUNTS),
            meta: Lazy::new(txn, META),
            moved: Moved::default(),
            counters: Vec::new(),
            room: Vec::new(),
            limit_rows: Lazy::new(txn, LIMITS),
            limits,
            running,
            after: After::default(),
        }
    }

    /// Applies one commit; the inner error is that commit's alone, and then nothing of it is written.
    pub(crate) fn commit(&mut self, commit: &Commit, dispatch: Dispatch) -> Disk<Result<Verdict>> {
        let heads = &**self.heads.open()?;
        self.running.look(heads)?;
        let running = &mut *self.running;
        let mut seen: Vec<(JobId, Stored)> = Vec::with_capacity(commit.ops.len());
        let mut broken: Option<StorageError> = None;
        let applied = apply(commit, |id| match running.row(heads, id) {
            Ok(Ok(Some(row))) => {
                seen.push((id, row.stored));
                Ok(Some(row.record))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(error) => {
                broken = Some(error);
                Err(Error::new(ErrorKind::Unavailable, "read a job", id.to_string()))
            }
        });
        if let Some(error) = broken {
            return Err(error);
        }
        let (writes, ready, asked, mut claimed, missing) = match applied {
            Ok(Applied::Writes { writes, ready, asked, claimed, missing }) => (writes, ready, asked, claimed, missing),
            Ok(Applied::Refused(verdict)) => return Ok(Ok(verdict)),
            Err(error) => return Ok(Err(error)),
        };
        telemetry::releases_missing("redb", missing);
        // What is read comes before what is written: an error after the first write would leave half a commit.
        for (id, record) in &mut claimed {
            let stored = seen.iter().find(|(other, _)| other == id).map_or_else(Stored::default, |(_, stored)| *stored);
            rows::fill(&**self.parts.open()?, *id, stored.apart & !rows::PROGRESS, record)?;
        }
        // Both follow the order of the operations.
        let mut stored = seen.into_iter().peekable();
        for write in &writes {
            let stored = std::iter::from_fn(|| stored.next()).find(|(id, _)| *id == write.id);
            self.put(write, stored.map_or_else(Stored::default, |(_, stored)| stored))?;
        }
        if dispatch == Dispatch::Caller {
            return Ok(Ok(Verdict::Applied { ready, asked, claimed }));
        }
        for delivery in &ready {
            self.enqueue(delivery)?;
        }
        Ok(Ok(Verdict::Applied { ready: Vec::new(), asked, claimed }))
    }

    /// Writes one record: its row, the large parts that changed, and what finds it.
    pub(crate) fn put(&mut self, write: &Write, mut stored: Stored) -> Disk<()> {
        self.changed(Change::Now);
        let key = write.id.to_bytes();
        if write.changed != Parts::NONE {
            for (code, bytes) in rows::changed_parts(&write.record, write.changed) {
                let key = keys::part(code, &key);
                if !rows::is_within(bytes) {
                    self.parts.open()?.insert(&key, &**bytes)?;
                    stored.apart |= code;
                } else if stored.apart & code != 0 {
                    self.parts.open()?.remove(&key)?;
                    stored.apart &= !code;
                }
            }
        }
        self.room = rows::row_bytes(&mut stored, &write.record, std::mem::take(&mut self.room));
        self.heads.open()?.insert(&key, self.room.as_slice())?;
        let row = || Row { stored, record: rows::without(stored.apart, write.record.clone()) };
        self.running.note(write.id, row, &write.record.head);
        self.index(write.id, write.before.as_ref(), Some(&write.record.head))
    }

    /// Notes that something has changed.
    pub(crate) fn changed(&mut self, change: Change) {
        self.after.change = self.after.change.max(change);
    }

    /// Changes a count when the transaction ends.
    pub(crate) fn count(&mut self, queue: &QueueName, code: u8, by: i64) {
        self.moved.add(queue, code, by);
    }

    /// The next number of a counter of the store; it starts at `first`.
    pub(crate) fn next(&mut self, counter: &'static str, first: u64, by: i64) -> Disk<u64> {
        let next = match self.counters.iter_mut().find(|(name, _)| *name == counter) {
            Some((_, next)) => next,
            None => {
                let stored = self.meta.open()?.get(counter)?;
                let stored = stored.and_then(|bytes| bytes.value().try_into().ok()).map_or(first, u64::from_be_bytes);
                self.counters.push((counter, stored));
                &mut self.counters.last_mut().expect("it was added above").1
            }
        };
        let now = *next;
        *next = now.wrapping_add_signed(by);
        Ok(now)
    }

    /// Writes what was gathered.
    pub(crate) fn finish(mut self) -> Disk<After> {
        self.write_limits()?;
        self.write_running()?;
        if self.after.change == Change::None {
            return Ok(self.after);
        }
        self.list.flush()?;
        self.ready.flush()?;
        for (queue, code, by) in std::mem::take(&mut self.moved).changes() {
            let key = keys::count(&queue, code);
            let counts = self.counts.open()?;
            let stored = counts.get(key.as_slice())?.map_or(0, |count| count.value());
            match stored.saturating_add_signed(by) {
                0 => counts.remove(key.as_slice()).map(drop)?,
                count => counts.insert(key.as_slice(), count)?,
            }
        }
        self.after.number = self.next(TRANSACTIONS, 0, 1)?;
        for (counter, next) in std::mem::take(&mut self.counters) {
            self.meta.open()?.insert(counter, next.to_be_bytes().as_slice())?;
        }
        Ok(self.after)
    }
}
