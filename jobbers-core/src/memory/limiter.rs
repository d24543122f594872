//! The limiter: [`Limits`] behind a mutex.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::driver::{Acquire, Capabilities, Decision, Holder, LimitChange, Limits, RateLimiter, Turns};
use crate::error::Result;
use crate::time::Timestamp;

/// The limiter of a memory backend.
#[derive(Debug)]
pub(super) struct MemoryLimiter(pub(super) Mutex<Limits>);

impl MemoryLimiter {
    pub(super) fn lock(&self) -> MutexGuard<'_, Limits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RateLimiter for MemoryLimiter {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        self.lock().set(changes, now);
        Ok(())
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        Ok(self.lock().acquire(requests, now))
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        Ok(self.lock().give_back(holders, now))
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        Ok(self.lock().turns(now, limit))
    }
}
