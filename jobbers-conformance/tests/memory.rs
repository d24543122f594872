//! The suite, on the memory driver.

use async_trait::async_trait;
use jobbers_conformance::{Fixture, Opening};
use jobbers_core::Result;
use jobbers_core::driver::{Backend, Capabilities, Capability};
use jobbers_core::memory::Memory;

struct InMemory;

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

fn main() {
    jobbers_conformance::run(InMemory)
}
