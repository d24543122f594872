//! A disk in memory that knows what was synced, and that can fail.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use jobbers_core::Result;
use jobbers_core::driver::Dispatch;
use redb::StorageBackend;

use crate::driver::Handle;
use crate::engine::Engine;
use crate::fault::Fault;
use crate::file::{self, Opened};
use crate::source::Source;

const SECTOR: usize = 512;

/// A simulated disk; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// On which side of a sync the power goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

#[derive(Default)]
pub(crate) struct State {
    /// What reads see.
    now: Vec<u8>,
    /// What survives for certain.
    synced: Vec<u8>,
    /// Writes, resizes and syncs until the power goes off.
    pub(crate) power_for: Option<u64>,
    /// Syncs until the power goes off, and on which side of the last one.
    pub(crate) off_at_sync: Option<(u64, Side)>,
    /// Writes fail for want of room.
    pub(crate) full: bool,
    /// After so many writes one fails for want of room, and no other.
    pub(crate) writes_until_full_once: Option<u64>,
    /// The next sync fails.
    pub(crate) sync_fails: bool,
    /// Every read fails.
    pub(crate) unreadable: bool,
    /// Syncs say that they are done, and do nothing.
    pub(crate) lies: bool,
    /// Bytes that were written so far.
    pub(crate) written: u64,
    pub(crate) syncs: u64,
}

impl Disk {
    /// A disk with an empty store.
    pub(crate) fn new() -> Disk {
        let disk = Disk::default();
        file::initialise(disk.clone()).unwrap();
        disk
    }

    /// A disk that holds `bytes`.
    pub(crate) fn of(bytes: Vec<u8>) -> Disk {
        Disk(Arc::new(Mutex::new(State { now: bytes.clone(), synced: bytes, ..State::default() })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state().now.clone()
    }

    /// What is there after the power comes back: each sector that was not synced may be old or new.
    pub(crate) fn after_power_cut(&self, mut coin: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let mut left = state.synced.clone();
        if left.len() != state.now.len() && coin() {
            left.resize(state.now.len(), 0);
        }
        for at in (0..left.len().min(state.now.len())).step_by(SECTOR) {
            let end = (at + SECTOR).min(left.len()).min(state.now.len());
            if left[at..end] != state.now[at..end] && coin() {
                left[at..end].copy_from_slice(&state.now[at..end]);
            }
        }
        left
    }

    /// Opens the store on this disk, as a second start of the process would.
    pub(crate) fn open(&self) -> Result<Handle> {
        let engine = Engine::start("/simulated".to_owned(), Box::new(self.clone()), None)?;
        Ok(Handle { engine: Arc::new(engine), dispatch: Dispatch::Own })
    }
}

impl Source for Disk {
    fn open(&mut self) -> Result<Opened> {
        file::open_on(Path::new("/simulated"), Box::new(self.clone()), 1 << 20)
    }

    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.power_for {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts a sync; at the last one the power goes off.
    fn at_sync(&mut self) -> Option<Side> {
        let (left, side) = self.off_at_sync.as_mut()?;
        *left = left.checked_sub(1)?;
        let side = (*left == 0).then_some(*side)?;
        self.power_for = Some(0);
        Some(side)
    }

    fn room(&self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if state.power_for == Some(0) || state.unreadable {
            return Err(io::Error::other("the disk does not answer"));
        }
        let from = state.now.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        if len as usize > state.now.len() {
            state.room()?;
        }
        state.now.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        if std::mem::take(&mut state.sync_fails) {
            return Err(io::Error::other("the disk could not write"));
        }
        let off = state.at_sync();
        if off == Some(Side::Before) {
            return Err(io::Error::other("the power is off"));
        }
        state.syncs += 1;
        if !state.lies {
            state.synced = state.now.clone();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        state.room()?;
        match &mut state.writes_until_full_once {
            Some(0) => {
                state.writes_until_full_once = None;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.written += data.len() as u64;
        let end = offset as usize + data.len();
        if state.now.len() < end {
            state.now.resize(end, 0);
        }
        state.now[offset as usize..end].copy_from_slice(data);
        Ok(())
    }
}
