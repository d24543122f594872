//! The memory driver, as a fixture.

use async_trait::async_trait;
use jobbers_core::Result;
use jobbers_core::driver::{Backend, Capabilities, Capability};
use jobbers_core::memory::Memory;

use crate::{Fixture, Opening};

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
        Ok(Memory::new().dispatch(opening.dispatch).clock(opening.clock.clone()).draws(opening.draws.clone()).open())
    }
}
