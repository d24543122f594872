//! The limiter: bounds on how many and how often.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use super::Capabilities;
use crate::error::Result;
use crate::id::{JobId, LimitName};
use crate::policy::Rate;
use crate::record::LimitKey;
use crate::time::Timestamp;

/// Bounds on concurrency and rate, over all processes.
#[async_trait]
pub trait RateLimiter: Debug + Send + Sync + 'static {
    /// What it can do beyond the contract; constant over its life, no I/O.
    fn capabilities(&self) -> Capabilities;

    /// Sets bounds, or closes keys until a time.
    ///
    /// # Behavior
    /// - Bounds of a higher version replace those of a lower one; those of the same or a lower version are ignored.
    /// - Bounds of `None` end the limit: what waits on its keys comes out of `turns`.
    /// - A lowered bound takes no permit away; it admits nobody until enough were given back.
    /// - A closed key admits nobody until its time; closing it with a time that has come opens it.
    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()>;

    /// Asks for permits; one decision each, in their order.
    ///
    /// # Behavior
    /// - Each request gets all its permits or none; one that is denied has spent nothing of a rate.
    /// - Bounds are those of each value of a limit: one value does not use up another's.
    /// - A concurrency bound is never exceeded by holds that have not run out.
    /// - A rate admits at most `count · t / period + burst` in any window of length `t`.
    /// - An idle key gathers no more than its burst, and what a holder gives back is no new token.
    /// - A request that is denied waits on the key that denied it, in the order of first asking, and newcomers queue behind waiters.
    /// - Asking again as the same holder gives the same answer, and spends nothing twice.
    /// - A job has at most one wait; asking again with another nonce renames it and keeps its place.
    /// - A granted hold runs out at `now + hold`; a permit that ran out is free.
    /// - `Extend` never waits and spends no rate: a known holder is extended, also above a lowered bound; an unknown one enters only where
    ///   it fits, and is denied otherwise.
    /// - `Spend` takes from rates only, waits for nothing and holds nothing.
    /// - A key whose limit was never set is answered `Undefined`, unless the key itself is closed; a limit that has ended binds nobody.
    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>>;

    /// Ends holds and waits; returns the waits that hold by it now.
    ///
    /// # Behavior
    /// - A permit goes straight to the longest waiter of its key, all its keys or none.
    /// - A waiter that lacks another key moves to wait on that one.
    /// - At most 32 waiters of a key are looked at; `turns` goes on behind them.
    /// - A hand-over holds for 5 s; one that runs out unused waits again, at the back.
    /// - The next claim of the job adopts what was handed over, under its own nonce.
    /// - A wait that is given back is over.
    /// - What is not known is ignored.
    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>>;

    /// Waits whose turn has come, and when the next comes.
    ///
    /// # Behavior
    /// - A turn comes when tokens have refilled.
    /// - A turn comes when a lost holder's permit ran out.
    /// - A turn comes when a bound was raised.
    /// - What is returned holds, as after [`give_back`](RateLimiter::give_back).
    /// - At most `limit` are returned.
    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns>;
}

/// How long a hand-over holds before it is void: its job is claimed long before, or never.
pub const HAND_OVER_HOLD: Duration = Duration::from_secs(5);
/// Most waiters of a key that one [`RateLimiter::give_back`] looks at.
pub const WAITERS_COUNT_MAX: usize = 32;

/// A limit's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// At most so many at once, for each value.
    pub concurrency: Option<u32>,
    /// At most so often, for each value.
    pub rate: Option<Rate>,
}

/// One change of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitChange {
    /// New bounds of every value.
    Bounds {
        /// Which limit.
        limit: LimitName,
        /// The version of the document that they come from.
        version: u64,
        /// The bounds; `None` ends the limit.
        bounds: Option<Bounds>,
    },
    /// One value closes.
    Closed {
        /// Which.
        key: LimitKey,
        /// Until when; [`Timestamp::MAX`] stands for ever.
        until: Timestamp,
    },
}

/// Who holds or waits: the job, and the nonce of the commit that will follow, claim or park.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The job.
    pub job: JobId,
    /// The nonce of the claim, or of the park.
    pub nonce: u64,
}

/// A request for permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquire {
    /// Who asks.
    pub holder: Holder,
    /// On which keys, and how many permits of each; 0 counts as 1.
    pub keys: Vec<(LimitKey, u32)>,
    /// How long a grant holds.
    pub hold: Duration,
    /// How it asks.
    pub mode: Mode,
}

/// How a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// To claim a job; waits where it does not fit.
    Claim,
    /// To go on holding.
    Extend,
    /// To spend a rate at submit; holds nothing.
    Spend,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All its permits.
    Granted,
    /// None: the key that denied it, and when it may be worth asking again.
    Denied {
        /// The key.
        key: LimitKey,
        /// The earliest time at which it may fit; `None`: when somebody gives back.
        retry_at: Option<Timestamp>,
    },
    /// None: this limit was never set here; set it, and ask again.
    Undefined {
        /// The limit.
        limit: LimitName,
    },
}

/// Waits whose turn has come.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// Who holds now.
    pub holders: Vec<Holder>,
    /// When the next turn comes.
    pub next: Option<Timestamp>,
}
