mod asking;
mod histories;
mod keeping;
mod passing_on;

use std::time::Duration;

use super::*;
use crate::driver::{Acquire, Decision, HAND_OVER_HOLD, Mode, Turns};
use crate::id::{RunId, SmallText};
use crate::policy::Rate;

/// How long a hold lasts in these tests.
const HOLD: u64 = 20_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::MIN + Duration::from_millis(millis)
}

fn limit(name: &str) -> LimitName {
    LimitName::new(name).unwrap()
}

fn key(name: &str) -> LimitKey {
    LimitKey { limit: limit(name), value: SmallText::new("42") }
}

fn who(job: u128, nonce: u64) -> Holder {
    Holder { job: JobId::from(RunId::from_u128(job)), nonce }
}

fn at_once(most: u32) -> Option<Bounds> {
    Some(Bounds { concurrency: Some(most), rate: None })
}

/// `count` a second, `burst` at once.
fn a_second(count: u32, burst: u32) -> Option<Bounds> {
    Some(Bounds { concurrency: None, rate: Some(Rate { count, period: Duration::from_secs(1), burst }) })
}

/// A limiter with these bounds, at version 1.
fn with(bounds: &[(&str, Option<Bounds>)]) -> Limits {
    let mut limits = Limits::new();
    bounds.iter().for_each(|(name, bounds)| define(&mut limits, name, 1, *bounds, 0));
    limits
}

fn define(limits: &mut Limits, name: &str, version: u64, bounds: Option<Bounds>, now: u64) {
    limits.set(&[LimitChange::Bounds { limit: limit(name), version, bounds }], at(now));
}

fn close(limits: &mut Limits, name: &str, until: Timestamp, now: u64) {
    limits.set(&[LimitChange::Closed { key: key(name), until }], at(now));
}

fn ask(limits: &mut Limits, mode: Mode, holder: Holder, keys: &[(&str, u32)], now: u64) -> Decision {
    let keys = keys.iter().map(|(name, cost)| (key(name), *cost)).collect();
    limits.acquire(&[Acquire { holder, keys, hold: Duration::from_millis(HOLD), mode }], at(now)).remove(0)
}

fn claim(limits: &mut Limits, holder: Holder, keys: &[&str], now: u64) -> Decision {
    let keys: Vec<(&str, u32)> = keys.iter().map(|name| (*name, 1)).collect();
    ask(limits, Mode::Claim, holder, &keys, now)
}

fn granted(limits: &mut Limits, holder: Holder, keys: &[&str], now: u64) {
    assert_eq!(claim(limits, holder, keys, now), Decision::Granted, "{holder:?}");
}

fn denied(limits: &mut Limits, holder: Holder, keys: &[&str], by: &str, now: u64) {
    assert_eq!(claim(limits, holder, keys, now), no(by, None), "{holder:?}");
}

fn no(by: &str, retry_at: Option<u64>) -> Decision {
    Decision::Denied { key: key(by), retry_at: retry_at.map(at) }
}

fn turns(limits: &mut Limits, now: u64) -> (Vec<Holder>, Option<u64>) {
    let Turns { holders, next } = limits.turns(at(now), 100);
    (holders, next.map(Timestamp::as_millis))
}
