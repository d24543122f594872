//! What a worker holds: its claims, and what each attempt knows and says of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use crate::id::JobId;
use crate::machine::{Job, Submission};
use crate::policy::OnStop;
use crate::record::{Progress, Revision, Stop, encode_versioned};
use crate::time::Timestamp;

/// A year, which no attempt lives: added to an instant, a time of any length would overflow it.
pub(super) const SPAN_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why an attempt is told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Somebody asked it to stop: it has that grace.
    Asked(Box<Stop>),
    /// Its worker stops and its grace is over: the job goes back to its queue.
    HandBack,
    /// Its worker stops and its grace is over: the attempt counts as failed.
    Fail,
    /// Its handler has given no sign of life for so long.
    Silent(Duration),
    /// Its lease is over, since the store could not be reached: somebody else may run the job.
    LeaseOver,
    /// Its claim no longer stands: somebody else decides over the job.
    Gone,
}

impl Told {
    /// How long the handler may go on after it was told.
    pub(super) fn grace(&self) -> Duration {
        match self {
            // What comes from a store may be any number.
            Told::Asked(stop) => stop.grace.min(SPAN_MAX),
            _ => Duration::ZERO,
        }
    }

    /// Whether this replaces what the attempt was told before.
    fn outweighs(&self, before: &Told) -> bool {
        match (self, before) {
            (_, Told::Gone) => false,
            (Told::Gone, _) => true,
            // The mark that stands in the store is settled by the end's commit; what cuts the grace short is stronger here.
            (_, Told::Asked(_)) => true,
            _ => false,
        }
    }
}

/// A lease, by the clock that all share and by one that never jumps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    /// The time that the claim was made with.
    pub(super) claimed_at: Timestamp,
    /// Taken before the claim was sent.
    pub(super) claimed: Instant,
    /// How long a claim or a beat holds.
    pub(super) length: Duration,
}

impl Lease {
    /// The time for a new end of the lease: never behind what passed since the claim, so that a clock that jumps back shortens nothing.
    pub(super) fn now(&self, clock: Timestamp) -> Timestamp {
        clock.max(self.claimed_at + self.claimed.elapsed())
    }
}

/// One claim that the worker holds.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) id: JobId,
    pub(super) revision: Revision,
    pub(super) attempt: u32,
    pub(super) lease: Lease,
    pub(super) heartbeat_every: Option<Duration>,
    pub(super) on_stop: OnStop,
    news: Notify,
    /// When it was won.
    since: Instant,
    /// Milliseconds in its slot that are counted already.
    counted: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    /// When the claim, or the last beat that the store answered, was sent.
    pub(super) renewed: Instant,
    /// The end of the lease that stands in the store.
    pub(super) wake_at: Timestamp,
    /// What the handler last said.
    pub(super) said: Progress,
    /// Since when there is something that the store does not know.
    pub(super) unsaid: Option<Instant>,
    /// When the store was last told what the handler said.
    pub(super) told_store: Instant,
    /// The handler's last sign of life.
    pub(super) alive: Instant,
    /// It has been silent for longer than it may.
    pub(super) stalled: bool,
    /// The mark that stands in the store.
    pub(super) asked: Option<Box<Stop>>,
    /// What the attempt was told.
    told: Option<Told>,
    /// For a handler that waits to hear that it is told to end, or has ended.
    token: Option<CancellationToken>,
    cancelled: bool,
    /// Its end is on the way: a refused beat means nothing now.
    pub(super) ending: bool,
    /// Follow-ups for the commit of its success.
    pub(super) then: Vec<Submission>,
}

impl Claimed {
    /// A claim as won: `job` is what is stored now.
    pub(super) fn new(job: &Job, lease: Lease) -> Arc<Claimed> {
        let (head, since) = (&job.record.head, Instant::now());
        let state = State {
            renewed: lease.claimed,
            wake_at: head.wake_at.unwrap_or(lease.claimed_at + lease.length),
            said: Progress { attempt: head.attempt, ..Progress::default() },
            unsaid: None,
            told_store: lease.claimed,
            alive: since,
            stalled: false,
            asked: head.asked.clone(),
            told: None,
            token: None,
            cancelled: false,
            ending: false,
            then: Vec::new(),
        };
        Arc::new(Claimed {
            id: job.id,
            revision: head.revision,
            attempt: head.attempt,
            lease,
            heartbeat_every: job.spec.heartbeat_every.map(|every| every.min(SPAN_MAX)),
            on_stop: job.spec.on_stop,
            news: Notify::new(),
            since,
            counted: AtomicU64::new(0),
            state: Mutex::new(state),
        })
    }

    /// Its time in its slot that is counted already.
    pub(super) fn slot_time(&self) -> Duration {
        Duration::from_millis(self.counted.load(Ordering::Relaxed))
    }

    /// The time in its slot that is not counted yet, which it is now.
    pub(super) fn more_slot_time(&self) -> Duration {
        let all = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(all.saturating_sub(self.counted.fetch_max(all, Ordering::Relaxed)))
    }

    /// What changes over the attempt.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the attempt to end; answers whether that is news to it.
    pub(super) fn tell(&self, told: Told) -> bool {
        {
            let mut state = self.state();
            if let Told::Asked(stop) = &told {
                state.asked = Some(stop.clone());
            }
            if state.told.as_ref().is_some_and(|before| !told.outweighs(before) || *before == told) {
                return false;
            }
            state.told = Some(told);
        }
        // In that order: the handler hears of it, and can do what it does without waiting, before it is dropped.
        self.cancel();
        self.news.notify_one();
        true
    }

    /// Tells whoever waits for [`cancelled`](Claimed::cancelled).
    pub(super) fn cancel(&self) {
        let token = {
            let mut state = self.state();
            state.cancelled = true;
            state.token.take()
        };
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Whether the attempt is told to end, or has ended.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Returns once it [is](Claimed::is_cancelled). Cancel safe.
    pub(super) async fn cancelled(&self) {
        let token = {
            let mut state = self.state();
            if state.cancelled {
                return;
            }
            state.token.get_or_insert_default().clone()
        };
        token.cancelled().await;
    }

    /// Whether the end of its lease is still news to the attempt.
    pub(super) fn may_lapse(&self) -> bool {
        let state = self.state();
        matches!(state.told, None | Some(Told::Asked(_))) && !state.ending
    }

    /// What the attempt was told.
    pub(super) fn told(&self) -> Option<Told> {
        self.state().told.clone()
    }

    /// Returns what the attempt was told, once its grace is over. Only one waits at a time. Cancel safe.
    pub(super) async fn cut(&self) -> Told {
        let mut since = None;
        loop {
            let Some(told) = self.told() else {
                self.news.notified().await;
                continue;
            };
            let over = *since.get_or_insert_with(Instant::now) + told.grace();
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(over) => return told,
                () = self.news.notified() => {}
            }
        }
    }

    /// Changes what the handler said; a sign of life in any case.
    pub(super) fn say(&self, claims: &Claims, now: Timestamp, change: impl FnOnce(&mut Progress)) {
        let first = {
            let mut state = self.state();
            state.alive = Instant::now();
            state.stalled = false;
            state.said.alive_at = Some(now);
            change(&mut state.said);
            let first = state.unsaid.is_none();
            state.unsaid.get_or_insert_with(Instant::now);
            first
        };
        if first {
            claims.ring();
        }
    }

    /// What the handler last said, for the store; empty if it said nothing.
    pub(super) fn said(&self) -> bytes::Bytes {
        let state = self.state();
        if state.said.alive_at.is_none() { bytes::Bytes::new() } else { encode_versioned(&state.said) }
    }
}
