//! Guards of one worker alone: how often its attempts may start.
//!
//! They protect what is on this machine, or what it alone talks to; what all workers share is a matter of limits. A worker's own rate holds
//! back its fetches, so that the jobs stay where others can take them. A task's rate holds back attempts that are claimed already: they wait
//! in their slots, at most half a lease, and are put off after that.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::{Instant, sleep};

use super::attempt::{Ending, by_told};
use super::claim::{Claimed, SPAN_MAX};
use super::engine::{Engine, jittered};
use crate::machine::{End, Job};
use crate::policy::Rate;

/// How long a worker waits for its rate before it says again that it is well.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The time of the runtime, which tests move.
#[derive(Debug, Clone)]
struct Uptime(Instant);

impl Clock for Uptime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A rate, and what is spent of it.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: RateLimiter<NotKeyed, InMemoryState, Uptime, StateInformationMiddleware>,
    clock: Uptime,
    /// For a fetch: one that is spent already, and how many were left then.
    held: Mutex<Option<u32>>,
}

impl Pace {
    /// For fetches: one of the burst is what is spent ahead, and may be full again when that is used.
    pub(super) fn of_fetches(rate: &Rate) -> Pace {
        Pace::new(&Rate { burst: rate.burst.saturating_sub(1), ..*rate })
    }

    pub(super) fn new(rate: &Rate) -> Pace {
        let every = (rate.period.min(SPAN_MAX) / rate.count.max(1)).max(Duration::from_nanos(1));
        // A burst that takes longer than that to fill up again is none that anybody waits for.
        let most = u32::try_from(SPAN_MAX.as_nanos() / every.as_nanos()).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(rate.burst.min(most)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(every).expect("it is longer than nothing").allow_burst(burst);
        let clock = Uptime(Instant::now());
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        Pace { limiter, clock, held: Mutex::new(None) }
    }

    /// Spends one; answers how many are left.
    ///
    /// # Errors
    /// How long it is until the next one, if nobody else comes.
    pub(super) fn spend(&self) -> Result<u32, Duration> {
        match self.limiter.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_yet) => Err(not_yet.wait_time_from(self.clock.now()).max(Duration::from_millis(1))),
        }
    }

    /// How many a fetch may start: one is spent ahead, and kept until it is used, since the others can be counted only so.
    fn allowed(&self) -> Result<usize, Duration> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match *held {
            Some(left) => left,
            None => *held.insert(self.spend()?),
        };
        Ok(1 + usize::try_from(left).unwrap_or(usize::MAX - 1))
    }

    /// A fetch has started so many of those that it was allowed.
    pub(super) fn started(&self, jobs: usize) {
        if jobs > 0 {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        if let Some(others) = u32::try_from(jobs).ok().and_then(|jobs| NonZeroU32::new(jobs.saturating_sub(1))) {
            // They fit: they were left a moment ago, and only the fetch loop spends.
            let _ = self.limiter.check_n(others);
        }
    }
}

impl Engine {
    /// How many jobs a fetch may start by the worker's rate; waits until it is one. `None` once the worker stops.
    pub(super) async fn allowed(&self) -> Option<usize> {
        let Some(pace) = &self.pace else { return Some(usize::MAX) };
        loop {
            match pace.allowed() {
                Ok(jobs) => return Some(jobs),
                Err(wait) => {
                    tokio::select! {
                        biased;
                        () = sleep(wait.min(LOOK_INTERVAL)) => self.vitals.fetched(),
                        () = self.stopping.cancelled() => return None,
                    }
                }
            }
        }
    }

    /// Waits until the rate of its task allows an attempt; `Some`: it does not start, and this is its end.
    pub(super) async fn held_up(&self, job: &Job, claimed: &Claimed) -> Option<Ending> {
        let head = &job.record.head;
        let registration = self.registry.get(&head.task, head.version)?;
        let pace = registration.pace.as_ref()?;
        let until = claimed.lease.claimed + claimed.lease.length / 2;
        while let Err(wait) = pace.spend() {
            if Instant::now() + wait > until {
                // By then another worker may have taken it.
                let delay = wait.max(jittered(claimed.lease.length, &self.backend));
                return Some(Ending::End(End::Snoozed { until: self.backend.clock().now() + delay }));
            }
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                () = claimed.cancelled() => return claimed.told().map(|told| by_told(&told)),
                // The attempt sees that as well, and is handed back.
                () = self.stopping.cancelled() => return None,
            }
        }
        None
    }
}
