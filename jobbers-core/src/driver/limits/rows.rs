//! The state as rows of bytes: for a driver that has to keep it.
//!
//! A row's key is a letter and a name: `d` and a limit; `l` and a limit, a blank, a value; `h` and a job with a nonce; `w` and a job. Its
//! value is a version byte and a map. What follows from other rows (who uses how much, who waits where, what is looked at when) is not
//! written.

use bytes::Bytes;

use super::{Costs, Definition, Held, Hold, HoldKind, Limits, Wait};
use crate::driver::{Bounds, Holder};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, LimitName, SmallText};
use crate::policy::{Gcra, Rate};
use crate::record::{Field, LimitKey, Unknown, Versioned, coded, decode_versioned, encode_versioned, tagged, written};
use crate::time::Timestamp;
use std::time::Duration;

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    Definition(LimitName),
    Line(LimitKey),
    Hold(Holder),
    Wait(JobId),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct DefinitionRow {
    version: u64,
    bounded: bool,
    concurrency: Option<u32>,
    rate_count: Option<u32>,
    rate_nanos: u64,
    rate_burst: u32,
    unknown: Unknown,
}
tagged!(DefinitionRow { 1 => version, 2 => bounded, 3 => concurrency, 4 => rate_count, 5 => rate_nanos, 6 => rate_burst });

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct LineRow {
    closed_until: Option<Timestamp>,
    rate: [u8; 16],
    unknown: Unknown,
}
tagged!(LineRow { 1 => closed_until, 2 => rate });

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct HoldRow {
    keys: Vec<Held>,
    until: Timestamp,
    kind: HoldKind,
    unknown: Unknown,
}
tagged!(HoldRow { 1 => keys, 2 => until, 3 => kind });
coded!(HoldKind { 0 => Claimed, 1 => HandedOver, 2 => Spent });

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct WaitRow {
    nonce: u64,
    keys: Vec<Held>,
    on: Option<LimitKey>,
    place: u64,
    unknown: Unknown,
}
tagged!(WaitRow { 1 => nonce, 2 => keys, 3 => on, 4 => place });

macro_rules! versioned {
    ($($row:ident: $what:literal),*) => {$(
        impl Versioned for $row {
            const WHAT: &'static str = $what;
        }
    )*};
}
versioned!(DefinitionRow: "limit", LineRow: "limit key", HoldRow: "limit holder", WaitRow: "limit waiter");

impl Field for Held {
    fn write(&self, to: &mut minicbor::Encoder<Vec<u8>>) {
        written(to.array(3));
        self.key.write(to);
        self.cost.write(to);
        self.permits.write(to);
    }

    fn read(from: &mut minicbor::Decoder<'_>) -> Result<Held, minicbor::decode::Error> {
        if from.array()? != Some(3) {
            return Err(minicbor::decode::Error::message("permits of a key are a triple"));
        }
        Ok(Held { key: LimitKey::read(from)?, cost: u32::read(from)?, permits: u32::read(from)? })
    }
}

impl Row {
    fn key(&self) -> Bytes {
        let key = match self {
            Row::Definition(limit) => [b"d", limit.as_str().as_bytes()].concat(),
            Row::Line(key) => [b"l", key.limit.as_str().as_bytes(), b" ", key.value.as_str().as_bytes()].concat(),
            Row::Hold(holder) => [b"h", &holder.job.to_bytes()[..], &holder.nonce.to_be_bytes()[..]].concat(),
            Row::Wait(job) => [b"w", &job.to_bytes()[..]].concat(),
        };
        key.into()
    }

    fn read(key: &[u8]) -> Result<Row> {
        let damaged = || Error::new(ErrorKind::Damaged, "read a limiter's row", format!("{} names none", key.escape_ascii()));
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| damaged());
        let (kind, name) = key.split_first().ok_or_else(damaged)?;
        match kind {
            b'd' => Ok(Row::Definition(LimitName::new(text(name)?).map_err(|_| damaged())?)),
            b'l' => {
                let (limit, value) = text(name)?.split_once(' ').ok_or_else(damaged)?;
                Ok(Row::Line(LimitKey { limit: LimitName::new(limit).map_err(|_| damaged())?, value: SmallText::new(value) }))
            }
            b'h' => {
                let (job, nonce) = name.split_first_chunk().ok_or_else(damaged)?;
                let nonce = u64::from_be_bytes(nonce.try_into().map_err(|_| damaged())?);
                Ok(Row::Hold(Holder { job: JobId::from_bytes(*job), nonce }))
            }
            b'w' => Ok(Row::Wait(JobId::from_bytes(name.try_into().map_err(|_| damaged())?))),
            _ => Err(damaged()),
        }
    }
}

impl Limits {
    /// A state that keeps account of what changes, from the rows that [`changed`](Limits::changed) returned over its life; without rows, an
    /// empty one.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if a row is none of this state's, or of a newer version.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(rows: impl IntoIterator<Item = (K, V)>) -> Result<Limits> {
        let mut limits = Limits::new();
        for (key, value) in rows {
            limits.put(Row::read(key.as_ref())?, value.as_ref())?;
        }
        let keys: Vec<LimitKey> = limits.lines.keys().cloned().collect();
        // All lines with waiters are looked at once: at which time they were left is not known.
        keys.iter().for_each(|key| limits.refresh(key, Timestamp::MIN));
        limits.changed = Some(Default::default());
        Ok(limits)
    }

    /// The rows that changed since this was last asked: what stands there now, or `None` for those that are gone. Empty for a state that
    /// [`Limits::new`] made.
    ///
    /// A driver whose write of them fails has to [`restore`](Limits::restore) from what it has: the state is ahead of it then.
    pub fn changed(&mut self) -> Vec<(Bytes, Option<Bytes>)> {
        let rows = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        rows.into_iter().map(|row| (row.key(), self.encode(&row))).collect()
    }

    fn encode(&self, row: &Row) -> Option<Bytes> {
        match row {
            Row::Definition(limit) => self.definitions.get(limit).map(|known| encode_versioned(&DefinitionRow::from(known))),
            Row::Line(key) => {
                let line = self.lines.get(key)?;
                let row = LineRow { closed_until: line.closed_until, rate: line.rate.bits().to_be_bytes(), ..LineRow::default() };
                (row != LineRow::default()).then(|| encode_versioned(&row))
            }
            Row::Hold(holder) => {
                let Hold { keys, until, kind } = self.holds.get(holder)?.clone();
                Some(encode_versioned(&HoldRow { keys, until, kind, ..HoldRow::default() }))
            }
            Row::Wait(job) => {
                let Wait { nonce, keys, on, place } = self.waits.get(job)?.clone();
                let keys = keys.into_iter().map(|(key, cost)| Held { key, cost, permits: 0 }).collect();
                Some(encode_versioned(&WaitRow { nonce, keys, on: Some(on), place, ..WaitRow::default() }))
            }
        }
    }

    fn put(&mut self, row: Row, value: &[u8]) -> Result<()> {
        match row {
            Row::Definition(limit) => {
                self.definitions.insert(limit, decode_versioned::<DefinitionRow>(value)?.into());
            }
            Row::Line(key) => {
                let LineRow { closed_until, rate, .. } = decode_versioned(value)?;
                let line = self.line(&key);
                (line.closed_until, line.rate) = (closed_until, Gcra::from_bits(u128::from_be_bytes(rate)));
            }
            Row::Hold(holder) => {
                let HoldRow { keys, until, kind, .. } = decode_versioned(value)?;
                keys.iter().for_each(|held| self.line(&held.key).used += u64::from(held.permits));
                self.keep(holder, Hold { keys, until, kind }, Timestamp::MIN);
            }
            Row::Wait(job) => {
                let WaitRow { nonce, keys, on, place, .. } = decode_versioned(value)?;
                let on = on.ok_or_else(|| Error::new(ErrorKind::Damaged, "read a limiter's row", format!("{job} waits on no key")))?;
                let keys: Costs = keys.into_iter().map(|held| (held.key, held.cost)).collect();
                self.last = self.last.max(place);
                self.line(&on).waiters.insert(place, job);
                self.waits.insert(job, Wait { nonce, keys, on, place });
            }
        }
        Ok(())
    }
}

impl From<&Definition> for DefinitionRow {
    fn from(known: &Definition) -> DefinitionRow {
        let bounds = known.bounds.unwrap_or_default();
        let mut row = DefinitionRow { version: known.version, bounded: known.bounds.is_some(), ..DefinitionRow::default() };
        row.concurrency = bounds.concurrency;
        if let Some(rate) = bounds.rate {
            row.rate_count = Some(rate.count);
            row.rate_nanos = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX);
            row.rate_burst = rate.burst;
        }
        row
    }
}

impl From<DefinitionRow> for Definition {
    fn from(row: DefinitionRow) -> Definition {
        let (period, burst) = (Duration::from_nanos(row.rate_nanos), row.rate_burst);
        let rate = row.rate_count.map(|count| Rate { count, period, burst });
        let bounds = row.bounded.then_some(Bounds { concurrency: row.concurrency, rate });
        Definition { version: row.version, bounds }
    }
}
