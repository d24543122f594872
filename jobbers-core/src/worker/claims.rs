//! All claims of a worker, shared by its attempts and its lease loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::Notify;

use super::claim::Claimed;

/// The claims that a worker holds.
#[derive(Debug, Default)]
pub(super) struct Claims {
    // Two of one job may be there: an attempt that was lost and its successor may both run here.
    held: Mutex<Slab<Arc<Claimed>>>,
    news: Notify,
}

impl Claims {
    /// Adds a claim; it is held until the guard is dropped.
    pub(super) fn hold(self: &Arc<Claims>, claimed: Arc<Claimed>) -> Hold {
        let place = self.lock().insert(claimed.clone());
        if claimed.heartbeat_every.is_some() {
            // The loop sleeps until the next sign of life is due, and does not know of this one.
            self.ring();
        }
        Hold { claims: self.clone(), place, claimed }
    }

    /// The claims, in no order.
    pub(super) fn all(&self) -> Vec<Arc<Claimed>> {
        self.lock().iter().map(|(_, claimed)| claimed.clone()).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Wakes the lease loop: a handler has said something.
    pub(super) fn ring(&self) {
        self.news.notify_one();
    }

    /// Returns when a handler has said something since the last return. Cancel safe.
    pub(super) async fn rung(&self) {
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<Claimed>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds one claim; gives it up when it is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Hold {
    claims: Arc<Claims>,
    place: usize,
    pub(super) claimed: Arc<Claimed>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.claims.lock().remove(self.place);
    }
}
