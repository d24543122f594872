//! The opened file: one thread that writes, and readers beside it.
//!
//! Reads run on the caller's thread. Measured: 3 to 5 us a record while its pages are in memory, of which most is decoding; to hand it to
//! another thread and wait for the answer costs about 20. So a load of the largest batch takes about a millisecond of a runtime's thread.
//! What could be longer (listings, scans) is bounded by page.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use jobbers_core::{Error, ErrorKind, Result};
use redb::{Database, ReadTransaction};
use tokio::sync::{mpsc, oneshot};

use crate::ask::{Ask, Asked};
use crate::bells::Bells;
use crate::fault::Fault;
use crate::file::Opened;
use crate::group::Group;
use crate::guard::Guard;
use crate::registry::Place;
use crate::running::Found;
use crate::source::Source;
use crate::tables::{Disk, begin_read};
use crate::volatile::Volatile;
use crate::writer::Writer;

/// Most requests that wait for the writer: some groups' worth. Who comes later waits for room.
const REQUESTS_COUNT_MAX: usize = 1024;

/// The opened file. Dropping it ends the writer and closes the file, which may take as long as the last sync.
pub(crate) struct Engine {
    requests: Option<mpsc::Sender<Box<dyn Ask>>>,
    writer: Option<JoinHandle<()>>,
    pub(crate) shared: Arc<Shared>,
    place: Option<Arc<Place>>,
}

/// What the writer and the readers share.
pub(crate) struct Shared {
    /// The file, for messages.
    pub(crate) path: String,
    pub(crate) slot: RwLock<Slot>,
    /// The writer pauses between attempts to open the file, and is to be woken.
    pub(crate) broken: AtomicBool,
    volatile: Mutex<Volatile>,
    pub(crate) bells: Bells,
}

/// Where the file is.
pub(crate) enum Slot {
    /// Open. Readers hold the lock while they read, so that who closes it waits for them.
    Open(Box<Database>, Guard),
    /// Closed after trouble; the writer tries to open it again.
    Broken(Fault),
}

impl Slot {
    pub(crate) fn open(database: Database, guard: Guard) -> Slot {
        Slot::Open(Box::new(database), guard)
    }
}

impl Shared {
    pub(crate) fn volatile(&self) -> MutexGuard<'_, Volatile> {
        self.volatile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Opens a storage, and starts what writes to it.
    pub(crate) fn start(path: String, mut source: Box<dyn Source>, place: Option<Arc<Place>>) -> Result<Engine> {
        let Opened { database, guard, found: Found { running, leases, listed } } = source.open()?;
        let shared = Arc::new(Shared {
            path,
            slot: RwLock::new(Slot::open(database, guard)),
            broken: AtomicBool::new(false),
            volatile: Mutex::new(Volatile::new(leases, listed)),
            bells: Bells::default(),
        });
        let (requests, queue) = mpsc::channel(REQUESTS_COUNT_MAX);
        let writer = Writer::new(shared.clone(), queue, source, running);
        let thread = std::thread::Builder::new().name("jobbers-redb".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "open the store", format!("{}: can not start the thread that writes", shared.path))
                .with_source(error)
        })?;
        Ok(Engine { requests: Some(requests), writer: Some(writer), shared, place })
    }

    /// Has the writer do `work` in its next transaction; returns once that is on disk. `weight` is roughly the bytes that it writes.
    ///
    /// If the future is dropped, the work may be done or not.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        op: &'static str,
        weight: usize,
        work: impl FnOnce(&mut Group<'_>) -> Disk<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(Asked::new(op, weight, work, reply));
        let requests = self.requests.as_ref().expect("only a drop takes it");
        let gone = || Error::new(ErrorKind::Internal, op, format!("{}: the thread that writes has ended", self.shared.path));
        requests.send(asked).await.map_err(|_| gone())?;
        if self.shared.broken.load(Ordering::SeqCst)
            && let Some(writer) = &self.writer
        {
            writer.thread().unpark();
        }
        answer.await.map_err(|_| gone().with_outcome_unknown())?
    }

    /// Reads the file as it stands, on this thread.
    pub(crate) fn read<T>(&self, op: &'static str, work: impl FnOnce(&ReadTransaction) -> Disk<T>) -> Result<T> {
        let slot = self.shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        let database = match &*slot {
            Slot::Open(database, _) => database,
            Slot::Broken(fault) => return Err(fault.error(op)),
        };
        // On a file that was damaged behind its back redb may panic; that must not end the caller's loop.
        let outcome = catch_unwind(AssertUnwindSafe(|| begin_read(database).and_then(|txn| work(&txn))));
        let error = match outcome {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => redb::StorageError::Corrupted("a read of it panicked".to_owned()),
        };
        drop(slot);
        // redb fails every call after an I/O error until the file is opened again, which the writer does as soon as it notices.
        self.nudge();
        Err(Fault::of(&self.shared.path, &error).error(op))
    }

    fn nudge(&self) {
        let (reply, _) = oneshot::channel();
        let nothing = Asked::new("look at the file", 0, |_: &mut Group<'_>| Ok(()), reply);
        if let Some(requests) = &self.requests {
            // If there is no room, a request is there that does as well.
            let _ = requests.try_send(Box::new(nothing));
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            if writer.join().is_err() {
                tracing::error!(file = self.shared.path, "the thread that writes has panicked");
            }
        }
        if let Some(place) = &self.place {
            place.closed();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
