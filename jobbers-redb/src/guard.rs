//! Keeps redb from writing to a file that has not been found to be ours.
//!
//! redb repairs a file that was not closed cleanly before anything in it can be read, and marks a clean one as in use. So its writes are
//! held in memory while the file is looked at. Then they are made, in their order and with their syncs: a crash in between leaves what a
//! crash of redb's own repair would leave. Or they are dropped, and the file is untouched.
//!
//! Later it holds one thing: the header, until the sync that follows. redb writes the pages of a commit, its header among them, in an order that
//! chance gives. With the header last, a commit is certainly not made where a page could not be written: redb syncs no more after that. It is
//! one of the orders that redb allows for: it counts on none before a sync, and the header is there before each sync begins.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{BackendError, StorageBackend};

/// The size of a block that is held.
const BLOCK: u64 = 4096;

/// A storage whose writes are held until they are released.
#[derive(Clone)]
pub(crate) struct Guard(Arc<State>);

struct State {
    inner: Box<dyn StorageBackend>,
    holding: AtomicBool,
    held: Mutex<Held>,
    /// The header that the next sync writes first.
    header: Mutex<Option<Vec<u8>>>,
    /// The header was written, or a write of it has failed, since somebody last asked.
    header_written: AtomicBool,
    /// A sync has failed: what was written may be on disk or not, and what reads back may be neither.
    sync_failed: AtomicBool,
}

#[derive(Default)]
struct Held {
    /// Bytes of the storage below that still show.
    base: u64,
    len: u64,
    blocks: BTreeMap<u64, Box<[u8; BLOCK as usize]>>,
    steps: Vec<Step>,
}

enum Step {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

impl Guard {
    /// Holds all writes to `inner` from now on.
    pub(crate) fn new(inner: Box<dyn StorageBackend>) -> io::Result<Guard> {
        let len = inner.len()?;
        let held = Mutex::new(Held { base: len, len, ..Held::default() });
        let (header_written, sync_failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let (holding, header) = (AtomicBool::new(true), Mutex::new(None));
        Ok(Guard(Arc::new(State { inner, holding, held, header, header_written, sync_failed })))
    }

    /// Makes the writes that were held, and holds none from now on.
    pub(crate) fn release(&self) -> io::Result<()> {
        let mut held = self.held();
        for step in std::mem::take(&mut held.steps) {
            match step {
                Step::Write(offset, data) => self.0.inner.write(offset, &data)?,
                Step::Resize(len) => self.0.inner.set_len(len)?,
                Step::Sync => self.0.inner.sync_data()?,
            }
        }
        held.blocks.clear();
        self.0.holding.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether the header was written, or may have been, since the last time that somebody asked. A commit that failed before that was not made.
    pub(crate) fn take_header_written(&self) -> bool {
        self.0.header_written.swap(false, Ordering::AcqRel)
    }

    /// Whether a sync has failed.
    pub(crate) fn has_sync_failed(&self) -> bool {
        self.0.sync_failed.load(Ordering::Acquire)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.0.header.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_holding(&self) -> bool {
        self.0.holding.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("inner", &self.0.inner).finish_non_exhaustive()
    }
}

impl Held {
    fn read(&self, inner: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a read behind the end of the file"));
        }
        let mut at = offset;
        for piece in pieces(offset, out.len()) {
            let part = &mut out[(at - offset) as usize..][..piece];
            match self.blocks.get(&(at / BLOCK)) {
                Some(block) => part.copy_from_slice(&block[(at % BLOCK) as usize..][..piece]),
                None => read_base(inner, self.base, at, part)?,
            }
            at += piece as u64;
        }
        Ok(())
    }

    fn write(&mut self, inner: &dyn StorageBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut at = offset;
        for piece in pieces(offset, data.len()) {
            let number = at / BLOCK;
            if !self.blocks.contains_key(&number) {
                let mut block = Box::new([0; BLOCK as usize]);
                read_base(inner, self.base, number * BLOCK, &mut *block)?;
                self.blocks.insert(number, block);
            }
            let block = self.blocks.get_mut(&number).expect("inserted above");
            block[(at % BLOCK) as usize..][..piece].copy_from_slice(&data[(at - offset) as usize..][..piece]);
            at += piece as u64;
        }
        self.len = self.len.max(offset + data.len() as u64);
        self.steps.push(Step::Write(offset, data.to_vec()));
        Ok(())
    }

    fn resize(&mut self, len: u64) {
        // What is cut off reads as zeros should the file grow again.
        self.base = self.base.min(len);
        self.blocks.split_off(&len.div_ceil(BLOCK));
        if let Some(block) = self.blocks.get_mut(&(len / BLOCK)) {
            block[(len % BLOCK) as usize..].fill(0);
        }
        self.len = len;
        self.steps.push(Step::Resize(len));
    }
}

/// The lengths of the pieces that the blocks cut a range into.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = usize> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let piece = (BLOCK - at % BLOCK).min(end - at);
        at += piece;
        (piece > 0).then_some(piece as usize)
    })
}

/// Reads what the storage below still shows; zeros behind that.
fn read_base(inner: &dyn StorageBackend, base: u64, at: u64, out: &mut [u8]) -> io::Result<()> {
    let there = base.saturating_sub(at).min(out.len() as u64) as usize;
    out[there..].fill(0);
    if there > 0 { inner.read(at, &mut out[..there]) } else { Ok(()) }
}

impl StorageBackend for Guard {
    fn len(&self) -> io::Result<u64> {
        if self.is_holding() { Ok(self.held().len) } else { self.0.inner.len() }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.is_holding() {
            return self.held().read(&*self.0.inner, offset, out);
        }
        self.0.inner.read(offset, out)?;
        // The first block holds the header and no page.
        if offset < BLOCK
            && let Some(header) = &*self.header()
        {
            let shown = header.get(offset as usize..).unwrap_or_default();
            let length = shown.len().min(out.len());
            out[..length].copy_from_slice(&shown[..length]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.is_holding() {
            self.held().resize(len);
            return Ok(());
        }
        self.0.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_holding() {
            self.held().steps.push(Step::Sync);
            return Ok(());
        }
        if let Some(header) = self.header().take() {
            self.0.header_written.store(true, Ordering::Release);
            self.0.inner.write(0, &header)?;
        }
        self.0.inner.sync_data().inspect_err(|_| self.0.sync_failed.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.is_holding() {
            return self.held().write(&*self.0.inner, offset, data);
        }
        if offset == 0 {
            *self.header() = Some(data.to_vec());
            return Ok(());
        }
        self.0.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.inner.query_lock_range(start, end)
    }
}
