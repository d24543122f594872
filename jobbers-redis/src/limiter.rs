//! The limiter: the protocol of [`Limits`](jobbers_core::driver::Limits), played on the server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{Acquire, Bounds, Capabilities, Decision, Holder, LimitChange, Mode, RateLimiter, Turns};
use jobbers_core::policy::Rate;
use jobbers_core::record::LimitKey;
use jobbers_core::{JobId, LimitName, Result, SmallText, Timestamp};
use redis::Value;

use crate::answer;
use crate::fault::{self, At};
use crate::link::Link;
use crate::pack::{put, time};
use crate::script::Script;

/// Most requests of one script: each key of each costs some twenty calls.
const REQUESTS_COUNT_MAX: usize = 50;
/// Most holders that one script gives back: each may hand over to 32 waiters.
const HOLDERS_COUNT_MAX: usize = 16;
/// Most turns that one script gives.
const TURNS_COUNT_MAX: usize = 100;
/// A rate's arrival time lies no further ahead of its bound than this, or it is one of a clock that jumped back.
const JUMP_MIN: Duration = Duration::from_secs(60);

/// The limiter of a Redis backend.
#[derive(Debug)]
pub(crate) struct RedisLimiter {
    pub(crate) link: Arc<Link>,
    pub(crate) keys: Vec<String>,
    pub(crate) guarantees: Capabilities,
}

#[async_trait]
impl RateLimiter for RedisLimiter {
    fn capabilities(&self) -> Capabilities {
        self.guarantees
    }

    async fn set(&self, changes: &[LimitChange], now: Timestamp) -> Result<()> {
        for change in changes {
            match change {
                LimitChange::Bounds { limit, version, bounds } => {
                    self.set_one(now, b"d", limit.as_str().as_bytes(), &definition(*version, bounds.as_ref())).await?;
                    self.look_at_lines(now, limit).await?;
                }
                LimitChange::Closed { key, until } => {
                    self.set_one(now, b"c", &line(key), until.as_millis().to_string().as_bytes()).await?;
                }
            }
        }
        Ok(())
    }

    async fn acquire(&self, requests: &[Acquire], now: Timestamp) -> Result<Vec<Decision>> {
        let op = "acquire permits";
        let mut decisions = Vec::with_capacity(requests.len());
        for some in requests.chunks(REQUESTS_COUNT_MAX) {
            let mut args = Vec::with_capacity(4 * some.len());
            for request in some {
                let mode = match request.mode {
                    Mode::Claim => "0",
                    Mode::Extend => "1",
                    Mode::Spend => "2",
                };
                let hold = request.hold.as_millis().min(u128::from(Timestamp::MAX.as_millis())).to_string();
                args.extend([pack_holder(request.holder), mode.into(), hold.into(), costs(&request.keys)]);
            }
            let at = self.link.at(op);
            for answer in answer::list(at, self.run(op, Script::LimitAcquire, now, &args).await?)? {
                decisions.push(decision(at, answer)?);
            }
        }
        Ok(decisions)
    }

    async fn give_back(&self, holders: &[Holder], now: Timestamp) -> Result<Vec<Holder>> {
        let op = "give permits back";
        let mut handed = Vec::new();
        for some in holders.chunks(HOLDERS_COUNT_MAX) {
            let args: Vec<Vec<u8>> = some.iter().copied().map(pack_holder).collect();
            handed.extend(read_holders(self.link.at(op), self.run(op, Script::LimitGiveBack, now, &args).await?)?);
        }
        Ok(handed)
    }

    async fn turns(&self, now: Timestamp, limit: usize) -> Result<Turns> {
        let op = "take turns";
        let mut turns = Turns::default();
        loop {
            let some = (limit - turns.holders.len()).min(TURNS_COUNT_MAX);
            let at = self.link.at(op);
            let [holders, next] = answer::tuple(at, self.run(op, Script::LimitTurns, now, &[some.to_string().into()]).await?)?;
            let holders = read_holders(at, holders)?;
            let full = holders.len() == some && some > 0;
            turns.holders.extend(holders);
            turns.next = match answer::number(at, &next)? {
                -1 => None,
                millis => Some(time(millis.unsigned_abs())?),
            };
            if !full || turns.holders.len() == limit {
                return Ok(turns);
            }
        }
    }
}

impl RedisLimiter {
    async fn run(&self, op: &'static str, script: Script, now: Timestamp, args: &[Vec<u8>]) -> Result<Value> {
        let now = now.as_millis().to_string();
        let args = std::iter::once(now.as_bytes()).chain(args.iter().map(|arg| &arg[..]));
        self.link.script(op, script, self.keys.iter().map(String::as_str), args).await
    }

    async fn set_one(&self, now: Timestamp, what: &[u8], name: &[u8], value: &[u8]) -> Result<Value> {
        self.run("set limits", Script::LimitSet, now, &[what.to_vec(), name.to_vec(), value.to_vec()]).await
    }

    /// Looks at the lines of a limit, some at a time. It is done also if the bounds were known: whoever set them first may not have come to
    /// an end.
    async fn look_at_lines(&self, now: Timestamp, limit: &LimitName) -> Result<()> {
        let at = self.link.at("set limits");
        let mut last = bytes::Bytes::new();
        loop {
            last = answer::bytes(at, self.set_one(now, b"r", limit.as_str().as_bytes(), &last).await?)?;
            if last.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A limit's key in the limiter: a name has no blanks.
fn line(key: &LimitKey) -> Vec<u8> {
    [key.limit.as_str().as_bytes(), b" ", key.value.as_str().as_bytes()].concat()
}

fn read_line(bytes: &[u8]) -> Option<LimitKey> {
    let (limit, value) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    Some(LimitKey { limit: LimitName::new(limit).ok()?, value: SmallText::new(value) })
}

/// One entry a key; a cost of 0 counts as 1.
fn costs(keys: &[(LimitKey, u32)]) -> Vec<u8> {
    let mut sums: Vec<(&LimitKey, u32)> = Vec::with_capacity(keys.len());
    for (key, cost) in keys {
        match sums.iter_mut().find(|(of, _)| *of == key) {
            Some((_, sum)) => *sum = sum.saturating_add((*cost).max(1)),
            None => sums.push((key, (*cost).max(1))),
        }
    }
    let mut to = Vec::new();
    for (key, cost) in sums {
        let key = line(key);
        put(&mut to, key.len() as u64, 2);
        to.extend_from_slice(&key);
        put(&mut to, u64::from(cost), 4);
        put(&mut to, 0, 4);
    }
    to
}

fn pack_holder(holder: Holder) -> Vec<u8> {
    [&holder.job.to_bytes()[..], &holder.nonce.to_be_bytes()].concat()
}

fn read_holders(at: At<'_>, value: Value) -> Result<Vec<Holder>> {
    let mut holders = Vec::new();
    for holder in answer::list(at, value)? {
        let bytes = answer::bytes(at, holder)?;
        let parts = bytes.split_first_chunk::<{ JobId::BYTES }>().and_then(|(job, nonce)| Some((*job, nonce.try_into().ok()?)));
        let (job, nonce) = parts.ok_or_else(|| fault::unexpected(at, "a holder"))?;
        holders.push(Holder { job: JobId::from_bytes(job), nonce: u64::from_be_bytes(nonce) });
    }
    Ok(holders)
}

fn decision(at: At<'_>, value: Value) -> Result<Decision> {
    let Value::Array(items) = value else { return Ok(Decision::Granted) };
    let mut items = items.into_iter();
    let mut next = || items.next().unwrap_or_default();
    let what = answer::number(at, &next())?;
    let name = answer::bytes(at, next())?;
    if what == 2 {
        let limit = std::str::from_utf8(&name).ok().and_then(|name| LimitName::new(name).ok());
        return Ok(Decision::Undefined { limit: limit.ok_or_else(|| fault::unexpected(at, "a limit"))? });
    }
    let key = read_line(&name).ok_or_else(|| fault::unexpected(at, "a key of a limit"))?;
    let retry_at = match answer::number(at, &next())? {
        -1 => None,
        millis => Some(time(millis.unsigned_abs())?),
    };
    Ok(Decision::Denied { key, retry_at })
}

/// A definition: version, whether it is bounded, concurrency, rate. What one permit of a rate takes is counted in 2^-32 ms, rounded up.
fn definition(version: u64, bounds: Option<&Bounds>) -> Vec<u8> {
    let mut to = version.to_be_bytes().to_vec();
    let Bounds { concurrency, rate } = bounds.copied().unwrap_or_default();
    to.push(u8::from(bounds.is_some()));
    to.push(u8::from(concurrency.is_some()));
    put(&mut to, u64::from(concurrency.unwrap_or(0)), 4);
    to.push(u8::from(rate.is_some()));
    let Rate { count, period, burst } = rate.unwrap_or(Rate { count: 1, period: Duration::ZERO, burst: 1 });
    let nanos = u128::from(u64::try_from(period.as_nanos()).unwrap_or(u64::MAX));
    let one = (nanos << 32).div_ceil(1_000_000 * u128::from(count.max(1)));
    put(&mut to, (one >> 32) as u64, 8);
    put(&mut to, (one & u128::from(u32::MAX)) as u64, 4);
    put(&mut to, u64::from(burst.max(1)), 4);
    put(&mut to, u64::try_from(JUMP_MIN.max(period).as_millis()).unwrap_or(u64::MAX).min(1 << 50), 8);
    to
}
