//! The limiter.

use async_trait::async_trait;
use jobbers_core::driver::{Acquire, Capabilities, Decision, Holder, LimitChange, RateLimiter, Turns};
use jobbers_core::{Error, ErrorKind, Result, Timestamp};

use crate::driver::Handle;

#[async_trait]
impl RateLimiter for Handle {
    fn capabilities(&self) -> Capabilities {
        self.all()
    }

    async fn set(&self, _: &[LimitChange], _: Timestamp) -> Result<()> {
        Err(not_yet())
    }

    async fn acquire(&self, _: &[Acquire], _: Timestamp) -> Result<Vec<Decision>> {
        Err(not_yet())
    }

    async fn give_back(&self, _: &[Holder], _: Timestamp) -> Result<Vec<Holder>> {
        Err(not_yet())
    }

    async fn turns(&self, _: Timestamp, _: usize) -> Result<Turns> {
        Err(not_yet())
    }
}

fn not_yet() -> Error {
    Error::new(ErrorKind::Unsupported, "limit jobs", "limits are not kept in a file yet")
}
