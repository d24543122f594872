//! Ids of runs, jobs and workers.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use ulid::Ulid;

use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

fn parse_ulid(what: &'static str, text: &str) -> Result<u128> {
    let bad = |why: &str| {
        Error::new(
            ErrorKind::Invalid,
            format!("parse a {what}"),
            format!("{text:?} {why}; a {what} is a ULID: 26 characters of Crockford's base 32"),
        )
    };
    let ulid = Ulid::from_string(text).map_err(|_| bad("is no ULID"))?;
    // The decoder accepts a first digit above 7 and wraps, and lower case and look-alikes: two texts must not name one id.
    if ulid.array_to_str(&mut [0; ulid::ULID_LEN]) != text {
        return Err(bad("does not read back as itself"));
    }
    Ok(ulid.0)
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Makes the id from its 128 bits.
            pub const fn from_u128(bits: u128) -> $name {
                $name(bits)
            }

            /// The id's 128 bits.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(Ulid(self.0).array_to_str(&mut [0; ulid::ULID_LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name> {
                parse_ulid($what, text).map($name)
            }
        }
    };
}

ulid_id! {
    /// One execution of a workflow, or of a lone job: a ULID that the client may make.
    ///
    /// ```
    /// use jobbers_core::RunId;
    /// let run: RunId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse()?;
    /// assert_eq!(run.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    /// assert!("8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<RunId>().is_err());
    /// # Ok::<(), jobbers_core::Error>(())
    /// ```
    RunId, "run id"
}
ulid_id! {
    /// One incarnation of a worker: a ULID that is drawn at each start.
    WorkerId, "worker id"
}

impl RunId {
    /// Derives a run's id from a key: the same parts always give the same id, so that whoever submits it second finds the first.
    ///
    /// The id is the first 128 bits of SHA-256 over the length-prefixed parts; its time part means nothing.
    ///
    /// ```
    /// use jobbers_core::RunId;
    /// assert_eq!(RunId::derived(&["a", "bc"]), RunId::derived(&["a", "bc"]));
    /// assert_ne!(RunId::derived(&["a", "bc"]), RunId::derived(&["ab", "c"]));
    /// ```
    pub fn derived<T: AsRef<[u8]>>(parts: &[T]) -> RunId {
        RunId(u128::from_be_bytes(crate::record::digest(parts)))
    }
}

/// A job: its run and its step there. Step 0 prints as the bare ULID, others as `01J…-17`.
///
/// ```
/// use jobbers_core::JobId;
/// let job: JobId = "01ARZ3NDEKTSV4RRFFQ69G5FAV-17".parse()?;
/// assert_eq!((job.step, job.to_string().as_str()), (17, "01ARZ3NDEKTSV4RRFFQ69G5FAV-17"));
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The run that the job belongs to.
    pub run: RunId,
    /// Its number there; 0 is the run's own record.
    pub step: u32,
}

impl JobId {
    /// Bytes of [`to_bytes`](JobId::to_bytes).
    pub const BYTES: usize = 20;

    /// Names step `step` of `run`.
    pub const fn new(run: RunId, step: u32) -> JobId {
        JobId { run, step }
    }

    /// The id as 20 bytes in its own order: for keys.
    pub fn to_bytes(self) -> [u8; JobId::BYTES] {
        let mut bytes = [0; JobId::BYTES];
        bytes[..16].copy_from_slice(&self.run.0.to_be_bytes());
        bytes[16..].copy_from_slice(&self.step.to_be_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](JobId::to_bytes) wrote.
    pub fn from_bytes(bytes: [u8; JobId::BYTES]) -> JobId {
        let (mut run, mut step) = ([0; 16], [0; 4]);
        run.copy_from_slice(&bytes[..16]);
        step.copy_from_slice(&bytes[16..]);
        JobId { run: RunId(u128::from_be_bytes(run)), step: u32::from_be_bytes(step) }
    }
}

impl From<RunId> for JobId {
    fn from(run: RunId) -> JobId {
        JobId { run, step: 0 }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            0 => write!(f, "{}", self.run),
            step => write!(f, "{}-{step}", self.run),
        }
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<JobId> {
        let Some((run, step)) = text.split_once('-') else {
            return Ok(JobId::from(text.parse::<RunId>()?));
        };
        let bad = || {
            Error::new(
                ErrorKind::Invalid,
                "parse a job id",
                format!("{text:?} ends in no step number; write 01J… for step 0, 01J…-17 for step 17"),
            )
        };
        let number: u32 = step.parse().map_err(|_| bad())?;
        if number == 0 || number.to_string() != step {
            return Err(bad());
        }
        Ok(JobId { run: run.parse()?, step: number })
    }
}

/// Makes ULIDs that only grow, also within one millisecond and when the clock jumps back.
#[derive(Debug, Default)]
pub struct Ids {
    last: Mutex<u128>,
}

impl Ids {
    /// The next id: of `now`, with `random` bits, or the last one plus one where that would not grow.
    ///
    /// ```
    /// use jobbers_core::{Ids, Timestamp};
    /// let ids = Ids::default();
    /// let first = ids.next(Timestamp::from_millis(5_000)?, 7);
    /// assert!(ids.next(Timestamp::from_millis(4_000)?, 1) > first);
    /// # Ok::<(), jobbers_core::Error>(())
    /// ```
    pub fn next(&self, now: Timestamp, random: u128) -> u128 {
        let fresh = Ulid::from_parts(now.as_millis(), random).0;
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = if fresh > *last { fresh } else { last.wrapping_add(1) };
        *last
    }

    /// The next id, as a run's.
    pub fn run(&self, now: Timestamp, random: u128) -> RunId {
        RunId(self.next(now, random))
    }

    /// The next id, as a worker's.
    pub fn worker(&self, now: Timestamp, random: u128) -> WorkerId {
        WorkerId(self.next(now, random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_read_back_as_itself_is_refused() {
        for text in [
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01arz3ndektsv4rrffq69g5fav",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "01ARZ3NDEKTSV4RRFFQ69G5FAVV",
            "",
            "O1ARZ3NDEKTSV4RRFFQ69G5FAV",
            "é",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
        for text in [
            "01ARZ3NDEKTSV4RRFFQ69G5FAV-0",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV-01",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV-4294967296",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV-",
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }

    #[test]
    fn ids_grow_within_a_millisecond_and_when_the_clock_jumps_back() {
        let ids = Ids::default();
        let mut last = 0;
        for (at, random) in [(10_000, u128::MAX), (10_000, 3), (3, 9), (10_001, 0), (10_001, 0)] {
            let next = ids.next(Timestamp::from_millis(at).unwrap(), random);
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn a_job_id_sorts_as_its_bytes() {
        let id = JobId::new(RunId(77), 258);
        assert_eq!(JobId::from_bytes(id.to_bytes()), id);
        assert!(JobId::new(RunId(77), 259).to_bytes() > id.to_bytes());
    }
}
