//! One layer around drivers: argument checks, capability refusals, spans and metrics.
//!
//! What a driver may rely on is checked here, once: it sees no call that breaks the contract. A call without items does not reach it.

mod check;
mod limiter;
mod observer;
mod queue;
mod seal;
mod store;
mod take;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::check::SPEC_BYTES_MAX;
use self::observer::Observer;
use super::{Queue, RateLimiter, StateStore, Take};

pub(super) fn queue(inner: Arc<dyn Queue>, driver: &'static str) -> Arc<dyn Queue> {
    Arc::new(queue::Checked { inner, observer: Observer::new(driver) })
}

pub(super) fn store(inner: Arc<dyn StateStore>, driver: &'static str) -> Arc<dyn StateStore> {
    Arc::new(store::Checked { inner, observer: Observer::new(driver) })
}

pub(super) fn limiter(inner: Arc<dyn RateLimiter>, driver: &'static str) -> Arc<dyn RateLimiter> {
    Arc::new(limiter::Checked { inner, observer: Observer::new(driver) })
}

pub(super) fn take(inner: Arc<dyn Take>, driver: &'static str) -> Arc<dyn Take> {
    Arc::new(take::Checked { inner, observer: Observer::new(driver) })
}
