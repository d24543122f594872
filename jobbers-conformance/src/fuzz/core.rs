//! What the core reads: parts of records, names, ids, rows of a limiter.

use std::collections::BTreeMap;
use std::time::Duration;

use jobbers_core::driver::{Acquire, Bounds, Holder, LimitChange, Limits, Mode, Rate};
use jobbers_core::record::{Head, LimitKey, Progress, Spec, Trail, Versioned, decode_versioned, encode_versioned};
use jobbers_core::{ErrorKind, JobId, LimitName, Namespace, QueueName, RunId, SmallText, TaskName, Timestamp, WorkerId};

use crate::kit::{at, limit_name};

/// Bytes as each part of a record: they are refused as damaged, or read as a value that reads back as itself.
///
/// # Panics
/// If they do neither.
pub fn record_parts(bytes: &[u8]) {
    fn part<T: Versioned + Default>(bytes: &[u8]) {
        match decode_versioned::<T>(bytes) {
            Ok(value) => {
                let once = encode_versioned(&value);
                let again = decode_versioned::<T>(&once).unwrap_or_else(|error| panic!("a {} is not read back: {error}", T::WHAT));
                assert_eq!(encode_versioned(&again), once, "a {} reads back as another one", T::WHAT);
                assert!(once.len() <= bytes.len() + 64, "a {} of {} bytes is written as {}", T::WHAT, bytes.len(), once.len());
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "{error}"),
        }
    }
    part::<Head>(bytes);
    part::<Spec>(bytes);
    part::<Trail>(bytes);
    part::<Progress>(bytes);
}

/// The golden files of every version: what a record of each looks like.
pub fn record_parts_corpus() -> Vec<Vec<u8>> {
    macro_rules! golden {
        ($($name:literal),*) => { vec![$(include_bytes!(concat!("../../../jobbers-core/tests/golden/", $name, ".bin")).to_vec()),*] };
    }
    golden!("head.1", "spec.1", "spec.2", "trail.1", "progress.1")
}

/// Text as each kind of name: it is refused, or is a name that stays what it was and fits its rule.
///
/// # Panics
/// If it is neither.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words = |underscore: bool| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || underscore && b == b'_' || b == b'.';
        text.bytes().all(fits) && !text.is_empty() && !text.starts_with('.') && !text.ends_with('.') && !text.contains("..")
    };
    let refused = |error: &jobbers_core::Error| {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().len() < 2_000, "a message repeats a name of {} bytes", text.len());
    };
    for (named, allowed) in [
        (QueueName::new(&text).map(|name| name.to_string()), words(false) && text.len() <= 80),
        (Namespace::new(&text).map(|name| name.to_string()), words(false) && text.len() <= 80),
        (TaskName::new(&text).map(|name| name.to_string()), words(true) && text.len() <= 128),
        (LimitName::new(&text).map(|name| name.to_string()), (1..=180).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())),
    ] {
        assert_eq!(named.is_ok(), allowed, "{text:?}: {named:?}");
        match named {
            Ok(name) => assert_eq!(name, text),
            Err(error) => refused(&error),
        }
    }
    let small = SmallText::new(&text);
    assert!(text.starts_with(small.as_str()) || small.as_str().len() <= text.len(), "{small:?} is no start of {text:?}");
}

/// Text as each kind of id: it is refused, or reads back as itself; bytes as an id do so always.
///
/// # Panics
/// If they do not.
pub fn ids(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let same = |read: Result<String, jobbers_core::Error>| match read {
        Ok(id) => assert_eq!(id, text, "an id reads back as another text"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
    };
    same(text.parse::<JobId>().map(|id| id.to_string()));
    same(text.parse::<RunId>().map(|id| id.to_string()));
    same(text.parse::<WorkerId>().map(|id| id.to_string()));
    if let Some(bytes) = bytes.first_chunk::<{ JobId::BYTES }>() {
        let id = JobId::from_bytes(*bytes);
        assert_eq!((id.to_bytes(), id.to_string().parse::<JobId>().ok()), (*bytes, Some(id)));
    }
}

/// A time from milliseconds: refused, or within the years that there are.
///
/// # Panics
/// If it is neither.
pub fn times(bytes: &[u8]) {
    let number = bytes.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes));
    match Timestamp::from_millis(number) {
        Ok(time) => {
            assert_eq!(time.as_millis(), number.unsigned_abs());
            assert!(time.to_string().len() <= 24 && time >= Timestamp::MIN && time <= Timestamp::MAX, "{time}");
            let by = Duration::from_millis(number.unsigned_abs());
            assert!(time + by >= time && time - by <= time, "{time}");
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
    }
}

/// Bytes as the rows that a limiter kept: they are refused as damaged, or make a limiter that works and keeps itself.
///
/// # Panics
/// If they do neither.
pub fn limiter_rows(bytes: &[u8]) {
    let mut limits = match Limits::restore(unpack(bytes)) {
        Ok(limits) => limits,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Damaged, "{error}"),
    };
    let asked = limits.acquire(&[ask(1, 7), ask(2, 8)], at(5));
    assert_eq!(asked.len(), 2);
    limits.turns(at(10), 10);
    limits.give_back(&[ask(1, 7).holder], at(11));
    let rows: Vec<_> = limits.changed().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    if let Err(error) = Limits::restore(rows) {
        panic!("what a limiter keeps it does not read: {error}");
    }
}

fn ask(job: u128, nonce: u64) -> Acquire {
    let key = LimitKey { limit: limit_name("customer"), value: SmallText::new("42") };
    let holder = Holder { job: JobId::from(RunId::from_u128(job)), nonce };
    Acquire { holder, keys: vec![(key, 1)], hold: Duration::from_secs(20), mode: Mode::Claim }
}

/// Rows of a limiter with bounds, holders and waiters.
///
/// # Panics
/// If a limiter refuses its own.
pub fn limiter_rows_corpus() -> Vec<Vec<u8>> {
    let mut limits = Limits::restore(Vec::<(Vec<u8>, Vec<u8>)>::new()).expect("no row is damaged");
    let rate = Some(Rate { count: 5, period: Duration::from_secs(1), burst: 2 });
    let bounds = |rate| Some(Bounds { concurrency: Some(1), rate });
    limits.set(&[LimitChange::Bounds { limit: limit_name("customer"), version: 1, bounds: bounds(None) }], at(0));
    let mut corpus = Vec::new();
    for (job, nonce) in [(1, 7), (2, 8), (3, 9)] {
        limits.acquire(&[ask(job, nonce)], at(1));
        corpus.push(pack(&mut limits));
    }
    limits.set(&[LimitChange::Bounds { limit: limit_name("customer"), version: 2, bounds: bounds(rate) }], at(2));
    limits.acquire(&[ask(4, 10)], at(3));
    corpus.push(pack(&mut limits));
    corpus
}

/// Rows as bytes: each a key and a value behind lengths of one byte.
fn pack(limits: &mut Limits) -> Vec<u8> {
    let rows = limits.changed().into_iter().filter_map(|(key, value)| Some([key, value?]));
    let short = |bytes: &bytes::Bytes| [&[bytes.len() as u8], &bytes[..]].concat();
    rows.flatten().filter(|bytes| bytes.len() < 256).flat_map(|bytes| short(&bytes)).collect()
}

/// A store has each key once.
fn unpack(mut bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut next = || {
        let (length, rest) = bytes.split_first()?;
        let (item, rest) = rest.split_at(rest.len().min((*length).into()));
        bytes = rest;
        Some(item.to_vec())
    };
    std::iter::from_fn(|| Some((next()?, next()?))).collect()
}
