//! The thread that writes: what waits for it shares one transaction, and so one sync of the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jobbers_core::driver::Limits;
use jobbers_core::{ErrorKind, Result};
use redb::{Database, Durability, WriteTransaction};
use tokio::sync::mpsc;

use crate::ask::Ask;
use crate::engine::{Shared, Slot};
use crate::fault::Fault;
use crate::file::Opened;
use crate::group::{After, Change, Group, transactions};
use crate::guard::Guard;
use crate::running::{Found, Running};
use crate::source::Source;
use crate::tables::{Disk, begin_read, begin_write};

/// Most requests that share a transaction: what a full channel holds.
const GROUP_REQUESTS_MAX: usize = 1024;
/// Most bytes that a transaction writes, roughly: the first to be asked does not wait long for the last.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// How long the writer waits before it tries to open the file again: doubling from the first to the second.
const REOPEN_AFTER: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A transaction that failed.
struct Failed {
    fault: Fault,
    /// What it does, should it turn out to be made all the same.
    pending: Option<After>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed { fault, pending: None }
    }
}

/// The thread that writes.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Box<dyn Ask>>,
    source: Box<dyn Source>,
    /// The limiter's state, once somebody has asked for it. A transaction that fails leaves it ahead of the file: then it is read again.
    limits: Option<Limits>,
    /// Ahead of the file as well after a transaction that failed, and then read again with it.
    running: Running,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Box<dyn Ask>>, source: Box<dyn Source>, running: Running) -> Writer {
        Writer { shared, requests, source, limits: None, running }
    }

    /// Serves requests until nobody can ask any longer, then closes the file.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            let mut group = self.gather(first);
            let outcome = self.serve(&mut group).or_else(|failed| self.recover(failed));
            for request in group {
                request.answer(outcome.as_ref().copied());
            }
            self.mend();
        }
        let closed = Fault { kind: ErrorKind::Stopped, context: format!("{}: it was closed", self.shared.path), unknown: false };
        self.close(closed);
    }

    /// All that waits, within the bounds of a transaction: no timer, no added latency.
    fn gather(&mut self, first: Box<dyn Ask>) -> Vec<Box<dyn Ask>> {
        let mut weight = first.weight();
        let mut group = vec![first];
        while group.len() < GROUP_REQUESTS_MAX && weight < GROUP_BYTES_MAX {
            let Ok(next) = self.requests.try_recv() else { break };
            weight = weight.saturating_add(next.weight());
            group.push(next);
        }
        group
    }

    /// Does a group's work in one transaction.
    fn serve(&mut self, group: &mut [Box<dyn Ask>]) -> Result<(), Failed> {
        let shared = self.shared.clone();
        let slot = shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        let (database, guard) = match &*slot {
            Slot::Open(database, guard) => (database, guard),
            Slot::Broken(fault) => return Err(fault.clone().into()),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| self.transact(database, guard, group)));
        let after = outcome.unwrap_or_else(|_| {
            let context = format!("{}: a bug, or a damaged file: writing to it panicked; it is opened again", self.shared.path);
            Err(Fault { kind: ErrorKind::Internal, context, unknown: true }.into())
        })?;
        drop(slot);
        after.settle(&shared);
        Ok(())
    }

    fn transact(&mut self, database: &Database, guard: &Guard, group: &mut [Box<dyn Ask>]) -> Result<After, Failed> {
        let shared = self.shared.clone();
        let fault = |error| Fault::of(&shared.path, &error);
        self.source.check()?;
        #[cfg(feature = "trace")]
        crate::trace::begins();
        let mut txn = begin_write(database).map_err(fault)?;
        let after = self.work(&txn, group).map_err(fault)?;
        match after.change {
            // The transaction is dropped: a look at an empty queue costs no sync.
            Change::None => return Ok(after),
            Change::Later => txn.set_durability(Durability::None).expect("one process has the file, and no savepoint was made"),
            Change::Now => {}
        }
        guard.take_header_written();
        let Err(error) = txn.commit() else {
            #[cfg(feature = "trace")]
            crate::trace::made(after.change);
            return Ok(after);
        };
        let fault = match error {
            redb::CommitError::Storage(error) => Fault::of(&self.shared.path, &error),
            other => Fault { kind: ErrorKind::Internal, context: format!("{}: {other}", self.shared.path), unknown: false },
        };
        // A transaction is made by the write of the header, which the guard makes after those of its pages: without it there is none.
        let unknown = guard.take_header_written();
        Err(Failed { fault: Fault { unknown, ..fault }, pending: (unknown && !guard.has_sync_failed()).then_some(after) })
    }

    fn work(&mut self, txn: &WriteTransaction, group: &mut [Box<dyn Ask>]) -> Disk<After> {
        let mut all = Group::new(txn, &self.shared, &mut self.limits, &mut self.running);
        for request in group {
            request.work(&mut all)?;
        }
        all.finish()
    }

    /// After trouble redb refuses everything until the file is opened again. That also tells whether the transaction was made, unless a
    /// sync has failed: then what reads back may be gone tomorrow.
    fn recover(&mut self, failed: Failed) -> Result<(), Fault> {
        let Failed { mut fault, pending } = failed;
        tracing::error!(file = self.shared.path, "{}", fault.context);
        self.limits = None;
        self.running = Running::default();
        self.close(Fault { unknown: false, ..fault.clone() });
        if !self.reopen() {
            return Err(fault);
        }
        let Some(after) = pending else { return Err(fault) };
        let slot = self.shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        let Slot::Open(database, _) = &*slot else { return Err(fault) };
        match begin_read(database).and_then(|txn| transactions(&txn)) {
            Ok(there) if there > after.number => {
                drop(slot);
                after.settle(&self.shared);
                Ok(())
            }
            Ok(_) => {
                fault.unknown = false;
                Err(fault)
            }
            Err(_) => Err(fault),
        }
    }

    /// Opens a closed file again, however long that takes. Who asks meanwhile is told at once why it does not work.
    fn mend(&mut self) {
        if self.is_open() {
            return;
        }
        self.shared.broken.store(true, Ordering::SeqCst);
        let mut pause = REOPEN_AFTER.0;
        let mut next = Instant::now() + pause;
        while !self.requests.is_closed() {
            self.refuse_all();
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                // Who asks ends the pause, and so does who drops the last handle.
                std::thread::park_timeout(left);
                continue;
            }
            if self.reopen() {
                break;
            }
            pause = (pause * 2).min(REOPEN_AFTER.1);
            next = Instant::now() + pause;
        }
        self.shared.broken.store(false, Ordering::SeqCst);
    }

    fn refuse_all(&mut self) {
        let slot = self.shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        let Slot::Broken(fault) = &*slot else { return };
        while let Ok(request) = self.requests.try_recv() {
            request.answer(Err(fault));
        }
    }

    fn is_open(&self) -> bool {
        matches!(&*self.shared.slot.read().unwrap_or_else(PoisonError::into_inner), Slot::Open(..))
    }

    /// Tries to open the closed file; returns whether it is open.
    fn reopen(&mut self) -> bool {
        let opened = catch_unwind(AssertUnwindSafe(|| self.source.open()));
        let slot = match opened {
            Ok(Ok(Opened { database, guard, found: Found { running, leases, listed } })) => {
                tracing::info!(file = self.shared.path, "the file is open again");
                // Nobody knows here whether the last transaction was made; the file does.
                self.running = running;
                let mut volatile = self.shared.volatile();
                (volatile.leases, volatile.running) = (leases, listed);
                Slot::open(database, guard)
            }
            Ok(Err(error)) => {
                tracing::warn!(file = self.shared.path, "can not open the file again: {error}");
                Slot::Broken(Fault { kind: error.kind(), context: error.context().to_owned(), unknown: false })
            }
            // What was told last still holds.
            Err(_) => return false,
        };
        *self.shared.slot.write().unwrap_or_else(PoisonError::into_inner) = slot;
        self.is_open()
    }

    fn close(&self, fault: Fault) {
        let mut slot = self.shared.slot.write().unwrap_or_else(PoisonError::into_inner);
        if let Slot::Open(database, _) = std::mem::replace(&mut *slot, Slot::Broken(fault))
            && let Err(error) = database.close()
        {
            // Nothing is lost: the next open repairs what a clean close would have spared it.
            tracing::warn!(file = self.shared.path, "the file was not closed cleanly: {error}");
        }
    }
}
