//! The memory driver, as a fixture.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jobbers_core::driver::{Backend, Capabilities, Capability};
use jobbers_core::memory::{self, Rewinder};
use jobbers_core::{Namespace, Result};

use crate::{Fixture, Opening, Snapshot};

/// The memory driver: the reference that others are compared with.
#[derive(Debug, Clone, Copy, Default)]
pub struct InMemory;

#[async_trait]
impl Fixture for InMemory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::AtomicDispatch, Capability::Priority, Capability::Fifo, Capability::List])
    }

    async fn open(&self, opening: &Opening) -> Result<Backend> {
        Ok(opening.memory().open())
    }
}

/// The memory driver that can come back older than it was. Its namespaces are kept for as long as the fixture.
#[derive(Debug, Default)]
pub struct RewindableMemory {
    rewinders: Mutex<HashMap<Namespace, Rewinder>>,
}

#[async_trait]
impl Fixture for RewindableMemory {
    fn name(&self) -> &'static str {
        InMemory.name()
    }

    fn capabilities(&self) -> Capabilities {
        InMemory.capabilities()
    }

    async fn open(&self, opening: &Opening) -> Result<Backend> {
        let (backend, rewinder) = opening.memory().open_with_rewinder();
        self.rewinders.lock().unwrap_or_else(PoisonError::into_inner).insert(opening.namespace.clone(), rewinder);
        Ok(backend)
    }

    async fn snapshot(&self, opening: &Opening) -> Result<Option<Box<dyn Snapshot>>> {
        let rewinders = self.rewinders.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rewinders.get(&opening.namespace).map(kept))
    }
}

/// What a backend in memory holds now.
pub(crate) fn kept(rewinder: &Rewinder) -> Box<dyn Snapshot> {
    Box::new(Kept { rewinder: rewinder.clone(), held: rewinder.snapshot() })
}

#[derive(Debug)]
struct Kept {
    rewinder: Rewinder,
    held: memory::Snapshot,
}

#[async_trait]
impl Snapshot for Kept {
    async fn restore(&self) -> Result<()> {
        self.rewinder.restore(&self.held);
        Ok(())
    }
}
