//! How a worker does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::settings::Settings;
use crate::error::Error;

/// How a worker does, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What its fetch loop does.
    pub fetching: Fetching,
    /// How long ago a fetch was answered, or the worker had no free slot to fetch for.
    pub fetched_ago: Duration,
    /// How long ago the store answered a renewal of leases, or there was none to renew.
    pub renewed_ago: Duration,
    /// Attempts that run, or whose end is on the way to the store.
    pub attempts: usize,
    /// Slots.
    pub slots: usize,
    /// Attempts whose handlers have been silent for longer than they may.
    pub stalled: usize,
    /// The last trouble, until the call that met it succeeds again.
    pub trouble: Option<String>,
    late: Duration,
}

impl Health {
    /// Whether it fetches, and holds its leases: false once either has failed for longer than two thirds of a lease.
    pub fn is_good(&self) -> bool {
        self.fetching == Fetching::Stopped || (self.fetched_ago <= self.late && self.renewed_ago <= self.late)
    }
}

/// What a fetch loop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fetching {
    /// It fetches, or waits for jobs or for a slot.
    Working,
    /// Its backend gives trouble: it tries again, at the latest every 5 s.
    Retrying,
    /// The worker stops, or has stopped.
    Stopped,
}

/// What the parts of a worker say of themselves.
#[derive(Debug)]
pub(super) struct Vitals {
    slots: usize,
    late: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fetching: Fetching,
    fetched: Instant,
    renewed: Instant,
    fetch_trouble: Option<String>,
    lease_trouble: Option<String>,
}

impl Vitals {
    pub(super) fn new(settings: &Settings) -> Vitals {
        let now = Instant::now();
        let state = State { fetching: Fetching::Working, fetched: now, renewed: now, fetch_trouble: None, lease_trouble: None };
        // Below that a healthy worker that waits for a hint would look late.
        let late = (settings.lease * 2 / 3).max(Duration::from_secs(5));
        Vitals { slots: settings.slots, late, state: Mutex::new(state) }
    }

    /// The fetch loop gets on.
    pub(super) fn fetched(&self) {
        let mut state = self.state();
        (state.fetching, state.fetched, state.fetch_trouble) = (Fetching::Working, Instant::now(), None);
    }

    /// The fetch loop has trouble.
    pub(super) fn fetch_failed(&self, error: &Error) {
        let mut state = self.state();
        (state.fetching, state.fetch_trouble) = (Fetching::Retrying, Some(error.to_string()));
    }

    /// The fetch loop has ended.
    pub(super) fn stopped(&self) {
        self.state().fetching = Fetching::Stopped;
    }

    /// The lease loop gets on.
    pub(super) fn renewed(&self) {
        let mut state = self.state();
        (state.renewed, state.lease_trouble) = (Instant::now(), None);
    }

    /// The lease loop has trouble.
    pub(super) fn renewal_failed(&self, error: &Error) {
        self.state().lease_trouble = Some(error.to_string());
    }

    pub(super) fn health(&self, attempts: usize, stalled: usize, free_slots: usize) -> Health {
        let state = self.state();
        // Without a free slot there is nothing to fetch for.
        let waits_for_slot = free_slots == 0 && state.fetching == Fetching::Working;
        Health {
            fetching: state.fetching,
            fetched_ago: if waits_for_slot { Duration::ZERO } else { state.fetched.elapsed() },
            renewed_ago: state.renewed.elapsed(),
            attempts,
            slots: self.slots,
            stalled,
            trouble: state.fetch_trouble.clone().or_else(|| state.lease_trouble.clone()),
            late: self.late,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
