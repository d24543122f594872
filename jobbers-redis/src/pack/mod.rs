//! Packed values: what the scripts read field by field, and what only this crate reads.
//!
//! A record lies in up to five places, so that what changes often is small: the packed record itself, what overlays it while the job runs
//! (`live`), its join counters, the mark of somebody who asked it to stop, and the progress of its attempt.

mod live;
mod record;

use jobbers_core::driver::Verdict;
use jobbers_core::record::{Head, ReadyWhen, Stop, decode_versioned, encode_versioned};
use jobbers_core::{Error, ErrorKind, JobId, Result, Timestamp};

pub(crate) use live::Live;
pub(crate) use record::{PART_INLINE_BYTES_MAX, Part, Stored, pack, pack_task, part_name, set_part};

/// Stands for "no time" in 6 bytes.
pub(crate) const NO_TIME: u64 = (1 << 48) - 1;

/// An id as the server knows it: 16 bytes for step 0, 20 for other steps. Both sort as ids do.
pub(crate) fn id_bytes(id: JobId) -> Vec<u8> {
    let bytes = id.to_bytes();
    let length = if id.step == 0 { 16 } else { JobId::BYTES };
    bytes[..length].to_vec()
}

/// Reads what [`id_bytes`] made.
pub(crate) fn read_id(bytes: &[u8]) -> Option<JobId> {
    let mut full = [0; JobId::BYTES];
    if bytes.len() != 16 && bytes.len() != JobId::BYTES {
        return None;
    }
    full[..bytes.len()].copy_from_slice(bytes);
    Some(JobId::from_bytes(full))
}

pub(crate) fn damaged(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, "read a record", format!("{what}: {why}; it is of another version, or was not written by Jobbers"))
}

/// Milliseconds of a time, or what stands for none.
pub(crate) fn millis(at: Option<Timestamp>) -> u64 {
    at.map_or(NO_TIME, Timestamp::as_millis)
}

/// Reads bytes from front to back; runs out with an error, never with a panic.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("a packed value", "it ends early"))?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn number(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.number(1).map(|number| number as u8)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.number(4).map(|number| number as u32)
    }

    pub(crate) fn time(&mut self) -> Result<Option<Timestamp>> {
        match self.number(6)? {
            NO_TIME => Ok(None),
            millis => time(millis).map(Some),
        }
    }

    /// Bytes behind a length of one byte.
    pub(crate) fn short(&mut self) -> Result<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }
}

pub(crate) fn time(millis: u64) -> Result<Timestamp> {
    i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millis(millis).ok()).ok_or_else(|| damaged("a time", millis))
}

/// Appends the low `bytes` bytes of a number, the highest first.
pub(crate) fn put(to: &mut Vec<u8>, number: u64, bytes: usize) {
    to.extend_from_slice(&number.to_be_bytes()[8 - bytes..]);
}

/// The join counters of a head and when it may fire; empty if all are at their default.
pub(crate) fn pack_joins(head: &Head) -> Vec<u8> {
    let (when, n) = match head.ready_when {
        ReadyWhen::AllEnded => (0, 0),
        ReadyWhen::Ended(n) => (1, n),
        ReadyWhen::Succeeded(n) => (2, n),
        ReadyWhen::Failed(n) => (3, n),
    };
    let mut joins = Vec::with_capacity(21);
    [head.remaining, head.succeeded, head.failed, head.skipped].iter().for_each(|count| put(&mut joins, u64::from(*count), 4));
    put(&mut joins, when, 1);
    put(&mut joins, u64::from(n), 4);
    joins
}

/// Puts what [`pack_joins`] made, or nothing, into a head.
pub(crate) fn read_joins(bytes: &[u8], head: &mut Head) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut from = Reader(bytes);
    (head.remaining, head.succeeded, head.failed, head.skipped) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
    let (when, n) = (from.u8()?, from.u32()?);
    head.ready_when = match when {
        0 => ReadyWhen::AllEnded,
        1 => ReadyWhen::Ended(n),
        2 => ReadyWhen::Succeeded(n),
        3 => ReadyWhen::Failed(n),
        code => return Err(damaged("join counters", format!("code {code}"))),
    };
    Ok(())
}

/// A mark to stop; empty for none.
pub(crate) fn pack_asked(asked: Option<&Stop>) -> Vec<u8> {
    // A head holds the one encoding of a mark that outlives a deploy.
    asked.map_or_else(Vec::new, |stop| encode_versioned(&Head { asked: Some(Box::new(stop.clone())), ..Head::default() }).to_vec())
}

/// Reads what [`pack_asked`] made.
pub(crate) fn read_asked(bytes: &[u8]) -> Result<Option<Box<Stop>>> {
    if bytes.is_empty() { Ok(None) } else { Ok(decode_versioned::<Head>(bytes)?.asked) }
}

/// The verdict of a commit that was applied and has nothing to tell.
pub(crate) fn applied() -> Verdict {
    Verdict::Applied { ready: Vec::new(), asked: None, claimed: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbers_core::RunId;

    #[test]
    fn ids_of_both_lengths_read_back_and_sort_as_ids_do() {
        let run = RunId::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let ids = [JobId::new(run, 0), JobId::new(run, 1), JobId::new(run, 256), JobId::new(RunId::from_u128(run.as_u128() + 1), 0)];
        let bytes: Vec<_> = ids.iter().map(|id| id_bytes(*id)).collect();
        assert!(bytes.is_sorted());
        assert_eq!(bytes.iter().map(|bytes| read_id(bytes).unwrap()).collect::<Vec<_>>(), ids);
        assert_eq!(read_id(&[0; 17]), None);
    }

    #[test]
    fn join_counters_and_marks_read_back() {
        let stop = Stop { by: "ops".into(), why: "why".into(), ..Stop::default() };
        let head = Head { remaining: 3, failed: 2, ready_when: ReadyWhen::Succeeded(7), ..Head::default() };
        let mut read = Head::default();
        read_joins(&pack_joins(&head), &mut read).unwrap();
        assert_eq!(read, head);
        assert_eq!(read_asked(&pack_asked(Some(&stop))).unwrap(), Some(Box::new(stop)));
        assert_eq!(read_asked(&pack_asked(None)).unwrap(), None);
    }
}
