//! The reference driver: queue, store and limiter in this process's memory.
//!
//! It is what the other drivers are compared with, and what tests and examples run on. Nothing outlives the process. One mutex guards the
//! store and the queue, so that a commit and its deliveries are one step; another guards the limiter. No call waits for anything else.
//!
//! ```
//! use jobbers_core::driver::{Capability, Dispatch};
//! use jobbers_core::memory::{self, Memory};
//! assert!(memory::open().capabilities().has(Capability::AtomicDispatch));
//! assert!(!Memory::new().dispatch(Dispatch::Caller).open().capabilities().has(Capability::AtomicDispatch));
//! ```

mod index;
mod limiter;
mod listen;
mod queue;
mod rewind;
mod store;
mod tables;
mod take;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use self::queue::{Bells, Lines};
pub use self::rewind::{Rewinder, Snapshot};
use self::tables::Tables;
use crate::driver::{Backend, BackendParts, Dispatch, Limits, Open, RateLimiter, StateStore};
use crate::error::Result;
use crate::time::{Clock, DrawSource};

/// Opens an empty backend in memory, with the system's clock and draws, whose store dispatches.
pub fn open() -> Backend {
    Memory::new().open()
}

/// How to open a backend in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    dispatch: Dispatch,
    clock: Arc<dyn Clock>,
    draw: Arc<dyn DrawSource>,
}

impl Default for Memory {
    fn default() -> Memory {
        let (clock, draw) = BackendParts::system();
        Memory { dispatch: Dispatch::Own, clock, draw }
    }
}

impl Memory {
    /// The system's clock and draws, and a store that dispatches.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Sets who dispatches; [`Dispatch::Own`] by default.
    #[must_use]
    pub fn dispatch(self, dispatch: Dispatch) -> Memory {
        Memory { dispatch, ..self }
    }

    /// Sets the clock; the system's by default.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Memory {
        Memory { clock, ..self }
    }

    /// Sets where ULIDs, nonces and jitter come from; the system's by default.
    #[must_use]
    pub fn draws(self, draw: Arc<dyn DrawSource>) -> Memory {
        Memory { draw, ..self }
    }

    /// Opens an empty backend. Its clones, and the second stores that they open, share one content; two calls share nothing.
    pub fn open(self) -> Backend {
        Backend::new(self.parts()).expect("a store that dispatches comes with its own queue, and claims what it was opened with")
    }

    /// Opens an empty backend, and what takes it back in time: for tests of a store that comes back older than it was.
    pub fn open_with_rewinder(self) -> (Backend, Rewinder) {
        let (parts, rewinder) = self.parts_with_rewinder();
        (Backend::new(parts).expect("a store that dispatches comes with its own queue, and claims what it was opened with"), rewinder)
    }

    /// The parts of an empty backend: to put one together with wrappers, or with parts of another driver. With another queue, open it with
    /// [`Dispatch::Caller`] and leave out `take`.
    pub fn parts(self) -> BackendParts {
        self.parts_with_rewinder().0
    }

    /// The same, and what takes them back in time.
    pub fn parts_with_rewinder(self) -> (BackendParts, Rewinder) {
        let shared = Arc::new(Shared { dispatch: self.dispatch, state: Mutex::default() });
        let limiter = Arc::new(limiter::MemoryLimiter(Mutex::new(Limits::new())));
        let rewinder = Rewinder::new(shared.clone(), limiter.clone());
        let parts = BackendParts {
            name: "memory",
            location: "memory:".to_owned(),
            queue: Arc::new(queue::MemoryQueue(shared.clone())),
            store: Arc::new(store::MemoryStore(shared.clone())),
            dispatch: self.dispatch,
            paired: true,
            limiter: limiter.clone(),
            take: Some(Arc::new(take::MemoryTake(shared.clone()))),
            clock: self.clock,
            draw: self.draw,
            open: Arc::new(Second { shared, limiter }),
        };
        (parts, rewinder)
    }
}

/// What queue and store share.
#[derive(Debug)]
struct Shared {
    dispatch: Dispatch,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    tables: Tables,
    lines: Lines,
}

impl Shared {
    /// Runs `step` alone, and then wakes those that listen for what it enqueued.
    fn step<T>(&self, step: impl FnOnce(&mut State, &mut Bells) -> T) -> T {
        let mut bells = Bells::default();
        let done = step(&mut self.lock(), &mut bells);
        bells.ring();
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A step that panicked is a bug of this driver; what it left is still worth more than a poisoned store.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No part has I/O bound to a runtime: the second store and limiter are the first.
#[derive(Debug)]
struct Second {
    shared: Arc<Shared>,
    limiter: Arc<limiter::MemoryLimiter>,
}

#[async_trait]
impl Open for Second {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        Ok((Arc::new(store::MemoryStore(self.shared.clone())), self.limiter.clone()))
    }
}
