//! Snapshots of a backend in memory: for tests of a store that comes back older than it was.

use std::sync::Arc;

use super::limiter::MemoryLimiter;
use super::{Shared, State};
use crate::driver::Limits;

/// Takes snapshots of a backend in memory, and restores them while it is used.
///
/// Store, queue and limiter go back together, numbers of receipts and versions of documents included, as they do on a server that is
/// restored. Who listens goes on listening.
///
/// ```
/// # use jobbers_core::{memory::Memory, task::Task, client::Client};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> jobbers_core::Result<()> {
/// let (backend, rewinder) = Memory::new().open_with_rewinder();
/// let snapshot = rewinder.snapshot();
/// let job = Client::new(&backend).submit(Task::<u32>::new("work"), &1).await?;
/// rewinder.restore(&snapshot);
/// assert!(Client::new(&backend).get(job.id()).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rewinder {
    shared: Arc<Shared>,
    limiter: Arc<MemoryLimiter>,
}

/// What a backend in memory held at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    state: State,
    limits: Limits,
}

impl Rewinder {
    pub(super) fn new(shared: Arc<Shared>, limiter: Arc<MemoryLimiter>) -> Rewinder {
        Rewinder { shared, limiter }
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let (state, limits) = (self.shared.lock(), self.limiter.lock());
        Snapshot { state: state.clone(), limits: limits.clone() }
    }

    /// Puts everything back as it was. What happened since then is forgotten.
    pub fn restore(&self, snapshot: &Snapshot) {
        let (mut state, mut limits) = (self.shared.lock(), self.limiter.lock());
        *limits = snapshot.limits.clone();
        let left = std::mem::replace(&mut *state, snapshot.state.clone());
        state.lines.keep_bells(&left.lines);
    }
}
