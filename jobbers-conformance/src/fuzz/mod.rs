//! Bytes that nobody made on purpose, into everything that reads bytes: many cases from a seed, each a mutation of good ones.
//!
//! Each target is one function of bytes, which panics where a rule is broken. [`play`] runs it in an ordinary test; the targets of `fuzz/`
//! run the same function under cargo-fuzz. `JOBBERS_SEED` replays a run, `JOBBERS_FUZZ_CASES` makes it longer.

mod core;
mod cursors;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;

pub use self::core::{ids, limiter_rows, limiter_rows_corpus, names, record_parts, record_parts_corpus, times};
pub use self::cursors::{cursors, cursors_corpus, states};

/// Cases of one target, unless `JOBBERS_FUZZ_CASES` says how many.
pub const CASES_DEFAULT: u64 = 20_000;
/// More is a loop over something that the bytes do not carry.
const CASE_TIME_MAX: Duration = Duration::from_secs(1);
/// Most bytes of a case: what a longer one may do a shorter one does.
const CASE_BYTES_MAX: usize = 4096;
/// Bytes that mean something in CBOR, RESP, lengths or text.
const TELLING: [u8; 24] =
    [0, 1, 2, 0x17, 0x18, 0x1b, 0x3b, 0x40, 0x5b, 0x5f, 0x7b, 0x7f, 0x80, 0x9b, 0x9f, 0xa0, 0xbb, 0xbf, 0xf6, 0xfb, 0xff, b'*', b'$', b'?'];

/// Runs a target on many mutations of a corpus, and on random bytes.
///
/// # Panics
/// Where the target does, with the seed and the bytes, and where a case takes longer than a second.
pub fn play(name: &str, corpus: &[Vec<u8>], target: fn(&[u8])) {
    let from =
        |variable| std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")));
    let seed = from("JOBBERS_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = from("JOBBERS_FUZZ_CASES").unwrap_or(CASES_DEFAULT);
    // Past the capture of tests: also a run that holds says how it is replayed.
    drop(writeln!(std::io::stdout(), "fuzz {name}: JOBBERS_SEED={seed}, {cases} cases"));
    corpus.iter().for_each(|whole| one(name, seed, whole, target));
    let mut random = Rng::with_seed(seed);
    for _ in 0..cases {
        one(name, seed, &case(&mut random, corpus), target);
    }
}

fn one(name: &str, seed: u64, bytes: &[u8], target: fn(&[u8])) {
    let start = Instant::now();
    let shown = || bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        drop(writeln!(std::io::stderr(), "fuzz {name}: JOBBERS_SEED={seed}: these bytes break a rule: {}", shown()));
        resume_unwind(panic);
    }
    assert!(start.elapsed() < CASE_TIME_MAX, "fuzz {name}: JOBBERS_SEED={seed}: {:?} for {}", start.elapsed(), shown());
}

/// One case: random bytes, or a piece of the corpus that was changed some times.
fn case(random: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    if corpus.is_empty() || random.u8(..16) == 0 {
        return (0..random.usize(..64)).map(|_| random.u8(..)).collect();
    }
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..=random.u8(..6) {
        mutate(random, &mut bytes, corpus);
    }
    bytes.truncate(CASE_BYTES_MAX);
    bytes
}

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.usize(..=bytes.len());
    let telling = TELLING[random.usize(..TELLING.len())];
    match random.u8(..9) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, telling),
        2 => bytes.insert(at, random.u8(..)),
        3 if at < bytes.len() => drop(bytes.remove(at)),
        4 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        5 if at < bytes.len() => bytes[at] = telling,
        // A length of up to 2^64 - 1.
        6 => drop(bytes.splice(at..at, [telling].into_iter().chain([0xff; 8]))),
        7 => {
            let other = &corpus[random.usize(..corpus.len())];
            let from = random.usize(..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        8 => {
            let again = bytes[at..(at + random.usize(..16)).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, again));
        }
        _ => bytes.push(telling),
    }
}
