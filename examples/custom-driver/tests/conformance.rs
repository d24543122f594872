//! The suite, on this driver.
use jobbers_conformance::{Backend, Capabilities, Capability, Fixture, Opening};
struct Directory;
#[async_trait::async_trait]
#[rustfmt::skip]
impl Fixture for Directory {
    fn name(&self) -> &'static str { "custom-driver" }
    fn capabilities(&self) -> Capabilities { Capabilities::of(&[Capability::Priority, Capability::List]) }
    async fn open(&self, opening: &Opening) -> jobbers_core::Result<Backend> {
        custom_driver::open(opening.scratch(), opening.memory())
    }
}
#[rustfmt::skip]
fn main() { jobbers_conformance::run(Directory) }
