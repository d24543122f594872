//! The limiter's protocol as a state machine without I/O and without a clock: what a driver puts behind a lock or into a file.
//!
//! - [`line`]: one key: how much of it is in use, who waits, when somebody may have a turn.
//! - [`acquire`]: the three ways to ask.
//! - [`turns`]: handing over, giving back, running out.
//! - [`rows`]: the state as rows of bytes, for a driver that has to keep it.

mod acquire;
mod line;
mod rows;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use self::line::Line;
use self::rows::Row;
use super::{Bounds, Holder, LimitChange};
use crate::id::{JobId, LimitName};
use crate::record::LimitKey;
use crate::time::Timestamp;

/// What is asked for: a cost of each key.
type Costs = Vec<(LimitKey, u32)>;

/// The state of a limiter, with the calls of [`RateLimiter`](super::RateLimiter): each does what that trait says of it, in one step.
///
/// A cost above a concurrency bound counts as the bound, and one above a burst as the burst: such a job gets the key alone, and no cost can
/// block a key for ever. A request that names a key twice asks for the sum.
///
/// [`Limits::new`] keeps its state in memory alone. A driver that has to keep it starts with [`Limits::restore`], and writes what
/// [`changed`](Limits::changed) returns after each call.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::driver::{Acquire, Bounds, Decision, Holder, LimitChange, Limits, Mode};
/// use jobbers_core::record::LimitKey;
/// use jobbers_core::{JobId, LimitName, RunId, SmallText, Timestamp};
/// let now = Timestamp::from_millis(5_000)?;
/// let limit = LimitName::new("customer")?;
/// let mut limits = Limits::new();
/// let bounds = Some(Bounds { concurrency: Some(1), rate: None });
/// limits.set(&[LimitChange::Bounds { limit: limit.clone(), version: 1, bounds }], now);
///
/// let key = LimitKey { limit, value: SmallText::new("42") };
/// let ask = |job| Acquire {
///     holder: Holder { job: JobId::from(RunId::from_u128(job)), nonce: 7 },
///     keys: vec![(key.clone(), 1)],
///     hold: Duration::from_secs(20),
///     mode: Mode::Claim,
/// };
/// assert_eq!(limits.acquire(&[ask(1), ask(2)], now), [Decision::Granted, Decision::Denied { key: key.clone(), retry_at: None }]);
/// assert_eq!(limits.give_back(&[ask(1).holder], now), [ask(2).holder]);
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Limits {
    definitions: BTreeMap<LimitName, Definition>,
    lines: BTreeMap<LimitKey, Line>,
    holds: HashMap<Holder, Hold>,
    /// When each hold runs out.
    ends: BTreeSet<(Timestamp, Holder)>,
    /// The nonce of the hand-over of each job that has one.
    handed: HashMap<JobId, u64>,
    waits: HashMap<JobId, Wait>,
    /// Lines whose first waiter may have a turn, from when on; the number makes those of one time take turns themselves.
    looks: BTreeMap<(Timestamp, u64), LimitKey>,
    /// Lines that say nothing any more, from when on.
    idle: BTreeSet<(Timestamp, LimitKey)>,
    /// Counts places in lines, and looks.
    last: u64,
    /// Rows that differ from what was last asked for; `None`: nobody asks.
    changed: Option<BTreeSet<Row>>,
}

/// What a limit's document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Definition {
    version: u64,
    bounds: Option<Bounds>,
}

/// Permits of one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hold {
    keys: Vec<Held>,
    until: Timestamp,
    kind: HoldKind,
}

/// Permits of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    key: LimitKey,
    /// What was asked for.
    cost: u32,
    /// What that took: no more than the bound was.
    permits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum HoldKind {
    /// Asked for.
    #[default]
    Claimed,
    /// Handed over to a waiter, and not asked for since.
    HandedOver,
    /// A spent rate: holds no permit, and is known only so that it is not spent twice.
    Spent,
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wait {
    nonce: u64,
    keys: Costs,
    /// The key whose line it stands in.
    on: LimitKey,
    /// Its place there.
    place: u64,
}

impl Limits {
    /// No limits, nobody that holds or waits.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// What [`RateLimiter::set`](super::RateLimiter::set) does.
    pub fn set(&mut self, changes: &[LimitChange], now: Timestamp) {
        self.run_out(now);
        for change in changes {
            match change {
                LimitChange::Bounds { limit, version, bounds } => self.define(limit, *version, *bounds, now),
                LimitChange::Closed { key, until } => {
                    self.line(key).closed_until = (*until > now).then_some(*until);
                    self.mark(|| Row::Line(key.clone()));
                    self.refresh(key, now);
                }
            }
        }
    }

    fn define(&mut self, limit: &LimitName, version: u64, bounds: Option<Bounds>, now: Timestamp) {
        if self.definitions.get(limit).is_some_and(|known| known.version >= version) {
            return;
        }
        self.definitions.insert(limit.clone(), Definition { version, bounds });
        self.mark(|| Row::Definition(limit.clone()));
        let keys: Vec<LimitKey> = self.keys_of(limit).cloned().collect();
        for key in keys {
            if let Some(rate) = bounds.and_then(|bounds| bounds.rate) {
                self.line(&key).rate.rebase(&rate, now);
                self.mark(|| Row::Line(key.clone()));
            }
            self.refresh(&key, now);
        }
    }

    fn keys_of(&self, limit: &LimitName) -> impl Iterator<Item = &LimitKey> {
        let first = LimitKey { limit: limit.clone(), value: Default::default() };
        self.lines.range(first..).map(|(key, _)| key).take_while(move |key| key.limit == *limit)
    }

    fn bounds(&self, limit: &LimitName) -> Bounds {
        self.definitions.get(limit).and_then(|known| known.bounds).unwrap_or_default()
    }

    fn line(&mut self, key: &LimitKey) -> &mut Line {
        if !self.lines.contains_key(key) {
            self.lines.insert(key.clone(), Line::default());
        }
        self.lines.get_mut(key).expect("inserted above")
    }

    /// Notes that a row changed, if somebody keeps them.
    fn mark(&mut self, row: impl FnOnce() -> Row) {
        if let Some(changed) = &mut self.changed {
            changed.insert(row());
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}
