//! What scenarios of the limiter say often.

use std::time::Duration;

use jobbers_core::Timestamp;
use jobbers_core::driver::{Acquire, Bounds, Decision, Holder, LimitChange, Mode, Rate};
use jobbers_core::record::LimitKey;

use crate::kit::{at, key, limit_name};
use crate::{Broken, Outcome, Stage};

/// How long scenarios hold what they acquire.
pub(crate) const HOLD: Duration = Duration::from_secs(15);

/// A holder that nobody has been: a new job, a new nonce.
pub(crate) fn holder(stage: &Stage) -> Holder {
    Holder { job: stage.id(), nonce: stage.nonce() }
}

/// The same job, with another nonce.
pub(crate) fn renamed(stage: &Stage, holder: Holder) -> Holder {
    Holder { nonce: stage.nonce(), ..holder }
}

/// A request to claim, of one permit of each of these values of the limit `customer`.
pub(crate) fn claim(holder: Holder, customers: &[&str]) -> Acquire {
    Acquire { holder, keys: customers.iter().map(|one| (customer(one), 1)).collect(), hold: HOLD, mode: Mode::Claim }
}

/// The same holder goes on holding.
pub(crate) fn extend(holder: Holder, customers: &[&str]) -> Acquire {
    Acquire { mode: Mode::Extend, ..claim(holder, customers) }
}

/// A value of the limit `customer`.
pub(crate) fn customer(value: &str) -> LimitKey {
    key("customer", value)
}

/// At most so many at once, for each customer.
pub(crate) fn at_most(concurrency: u32) -> Bounds {
    Bounds { concurrency: Some(concurrency), rate: None }
}

/// So many per period, and a burst, for each customer.
pub(crate) fn rate(count: u32, period: Duration, burst: u32) -> Bounds {
    Bounds { concurrency: None, rate: Some(Rate { count, period, burst }) }
}

impl Stage {
    /// Sets the bounds of the limit `customer`, at `at(0)`.
    pub(crate) async fn bound(&self, version: u64, bounds: impl Into<Option<Bounds>>) -> Outcome {
        self.bound_at("customer", version, bounds.into(), at(0)).await
    }

    /// Sets the bounds of a limit.
    pub(crate) async fn bound_at(&self, limit: &str, version: u64, bounds: Option<Bounds>, now: Timestamp) -> Outcome {
        Ok(self.limiter().set(&[LimitChange::Bounds { limit: limit_name(limit), version, bounds }], now).await?)
    }

    /// Closes a key.
    pub(crate) async fn close(&self, key: LimitKey, until: Timestamp, now: Timestamp) -> Outcome {
        Ok(self.limiter().set(&[LimitChange::Closed { key, until }], now).await?)
    }

    /// Asks once.
    pub(crate) async fn decide(&self, request: Acquire, now: Timestamp) -> Outcome<Decision> {
        let mut decisions = self.limiter().acquire(&[request], now).await?;
        match (decisions.pop(), decisions.len()) {
            (Some(decision), 0) => Ok(decision),
            _ => Err(Broken::failed("one request has one decision")),
        }
    }

    /// Asks, and has to get it.
    pub(crate) async fn granted(&self, request: Acquire, now: Timestamp) -> Outcome {
        match self.decide(request.clone(), now).await? {
            Decision::Granted => Ok(()),
            other => Err(Broken::failed(format_args!("{request:?} at {now}: {other:?}, promised Granted"))),
        }
    }

    /// Asks, and may not get it; returns the key, and when to ask again.
    pub(crate) async fn denied(&self, request: Acquire, now: Timestamp) -> Outcome<(LimitKey, Option<Timestamp>)> {
        match self.decide(request.clone(), now).await? {
            Decision::Denied { key, retry_at } => Ok((key, retry_at)),
            other => Err(Broken::failed(format_args!("{request:?} at {now}: {other:?}, promised Denied"))),
        }
    }

    /// Gives back; returns who holds by it now.
    pub(crate) async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Outcome<Vec<Holder>> {
        Ok(self.limiter().give_back(holders, now).await?)
    }

    /// Whose turn has come; at most 100.
    pub(crate) async fn turns(&self, now: Timestamp) -> Outcome<Vec<Holder>> {
        Ok(self.limiter().turns(now, 100).await?.holders)
    }
}
