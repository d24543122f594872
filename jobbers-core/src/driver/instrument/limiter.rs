//! Around a limiter.

use std::sync::Arc;

use async_trait::async_trait;

use super::check;
use super::observer::Observer;
use crate::driver::{Acquire, Capabilities, Decision, Holder, LimitChange, RateLimiter, Turns};
use crate::error::Result;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) inner: Arc<dyn RateLimiter>,
    pub(super) observer: Observer,
}

#[async_trait]
impl RateLimiter for Checked {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.observer.call("set", changes.len(), self.inner.set(changes, now)).await
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        requests.iter().try_for_each(|request| check::keys(request.keys.len()))?;
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.call("acquire", requests.len(), self.inner.acquire(requests, now)).await
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        if holders.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.call("give_back", holders.len(), self.inner.give_back(holders, now)).await
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        self.observer.call("turns", limit, self.inner.turns(now, limit)).await
    }
}
