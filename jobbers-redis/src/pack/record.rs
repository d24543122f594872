//! The packed record: a head that scripts read, a head that they do not, and parts.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | state |
//! | 1 | flags: 1 a count is there, 2 a born, 4 an attempt, 8 a timer; 16 somebody asked it to stop, 32 it has limits, 64 an extension, 128 a part apart |
//! | 8, 6 | the revision's nonce, created_at |
//! | 4, 8, 4, 6 | count, born, attempt, wake_at, where they are not 1, the nonce, 0, none |
//! | 1, 1 + n, 1 + n | priority, queue, task (its version without leading zeros behind their number, then its name) |
//! | 2 + n | the extension: a head of all other fields |
//! | 1 | parts: 1 spec, 2 trail, 4 output are there; 16, 32, 64 they lie apart |
//! | 2 + n, or 4 + 8 | each part, or its length and its name's end |

use bytes::Bytes;
use jobbers_core::record::{Head, JobState, Priority, Record, Revision, decode_versioned, encode_versioned};
use jobbers_core::{JobId, QueueName, Result, TaskName};

use super::{Live, Reader, damaged, put, read_asked, read_joins, time};

const VERSION: u8 = 1;
/// A longer part lies apart: passing it through a script costs more than a read of its own.
pub(crate) const PART_INLINE_BYTES_MAX: usize = 1024;

const COUNT: u8 = 1;
const BORN: u8 = 2;
const ATTEMPT: u8 = 4;
const WAKE: u8 = 8;
const ASKED: u8 = 16;
const LIMITS: u8 = 32;
const EXTENDED: u8 = 64;
const APART: u8 = 128;

/// A part that lies apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// 0 spec, 1 trail, 2 output.
    pub(crate) number: u8,
    pub(crate) length: usize,
    /// The field's name.
    pub(crate) name: Vec<u8>,
}

/// The field of a part that lies apart. It is named by its content, so that writing it again changes nothing.
pub(crate) fn part_name(id: &[u8], number: u8, bytes: &[u8]) -> Vec<u8> {
    // FNV-1a, 64 bits: it must stay the same over versions, and only tells the contents of one part of one job apart.
    let digest = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    [id, &[number], &digest.to_be_bytes()].concat()
}

/// Packs a record as it stands at `revision`.
pub(crate) fn pack(id: &[u8], record: &Record, revision: Revision, born: u64) -> Vec<u8> {
    let head = &record.head;
    let parts = [&record.spec, &record.trail, &record.output];
    let extension = extension(head);
    let flag = |flag, holds: bool| if holds { flag } else { 0 };
    let flags = flag(COUNT, revision.count != 1)
        | flag(BORN, born != revision.nonce)
        | flag(ATTEMPT, head.attempt != 0)
        | flag(WAKE, head.wake_at.is_some())
        | flag(ASKED, head.asked.is_some())
        | flag(LIMITS, !head.limits.is_empty())
        | flag(EXTENDED, !extension.is_empty())
        | flag(APART, parts.iter().any(|part| part.len() > PART_INLINE_BYTES_MAX));
    let mut to = Vec::with_capacity(128 + parts.iter().map(|part| part.len().min(PART_INLINE_BYTES_MAX)).sum::<usize>());
    to.extend_from_slice(&[VERSION, head.state.index(), flags]);
    put(&mut to, revision.nonce, 8);
    put(&mut to, head.created_at.as_millis(), 6);
    if flags & COUNT != 0 {
        put(&mut to, u64::from(revision.count), 4);
    }
    if flags & BORN != 0 {
        put(&mut to, born, 8);
    }
    if flags & ATTEMPT != 0 {
        put(&mut to, u64::from(head.attempt), 4);
    }
    if let Some(wake_at) = head.wake_at {
        put(&mut to, wake_at.as_millis(), 6);
    }
    to.push(head.priority as u8);
    short(&mut to, head.queue.as_str().as_bytes());
    short(&mut to, &pack_task(&head.task, head.version));
    if !extension.is_empty() {
        put(&mut to, extension.len() as u64, 2);
        to.extend_from_slice(&extension);
    }
    pack_parts(&mut to, id, parts);
    to
}

fn short(to: &mut Vec<u8>, bytes: &[u8]) {
    to.push(u8::try_from(bytes.len()).expect("names have at most 128 bytes"));
    to.extend_from_slice(bytes);
}

/// A task with its version, as scripts compare it.
pub(crate) fn pack_task(task: &TaskName, version: u32) -> Vec<u8> {
    let bytes = version.to_be_bytes();
    let number = &bytes[version.leading_zeros() as usize / 8..];
    [&[number.len() as u8], number, task.as_str().as_bytes()].concat()
}

/// The fields that no script reads; empty if all are at their default.
fn extension(head: &Head) -> Bytes {
    let rest = Head {
        owner: head.owner,
        started_at: head.started_at,
        limits: head.limits.clone(),
        parked_on: head.parked_on.clone(),
        ended_at: head.ended_at,
        unknown: head.unknown.clone(),
        ..Head::default()
    };
    if rest == Head::default() { Bytes::new() } else { encode_versioned(&rest) }
}

fn pack_parts(to: &mut Vec<u8>, id: &[u8], parts: [&Bytes; 3]) {
    let at = to.len();
    to.push(0);
    for (number, part) in (0u8..).zip(parts).filter(|(_, part)| !part.is_empty()) {
        to[at] |= 1 << number;
        if part.len() > PART_INLINE_BYTES_MAX {
            to[at] |= 16 << number;
            put(to, part.len() as u64, 4);
            let name = part_name(id, number, part);
            to.extend_from_slice(&name[id.len() + 1..]);
        } else {
            put(to, part.len() as u64, 2);
            to.extend_from_slice(part);
        }
    }
}

/// What is stored of one job, as scripts return it; empty where there is nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) record: Bytes,
    pub(crate) live: Bytes,
    pub(crate) joins: Bytes,
    pub(crate) asked: Bytes,
    pub(crate) progress: Bytes,
}

impl Stored {
    /// The head as it stands.
    pub(crate) fn head(&self) -> Result<Head> {
        self.read().map(|(head, _)| head)
    }

    /// The record as it stands, and its parts that lie apart: they are empty in it.
    pub(crate) fn record(&self, id: JobId) -> Result<(Record, Vec<Part>)> {
        let (head, at) = self.read()?;
        let mut record = Record { head, progress: self.progress.clone(), ..Record::default() };
        let mut from = Reader(&self.record[at..]);
        let present = from.u8()?;
        let mut apart = Vec::new();
        for number in 0..3u8 {
            if present & (1 << number) == 0 {
                continue;
            }
            if present & (16 << number) != 0 {
                let length = from.u32()? as usize;
                let name = [&super::id_bytes(id), &[number][..], from.take(8)?].concat();
                apart.push(Part { number, length, name });
                continue;
            }
            let length = from.number(2)? as usize;
            let bytes = from.take(length)?;
            set_part(&mut record, number, self.record.slice_ref(bytes));
        }
        if !from.0.is_empty() {
            return Err(damaged("a packed record", "bytes are left over behind it"));
        }
        Ok((record, apart))
    }

    fn read(&self) -> Result<(Head, usize)> {
        let mut from = Reader(&self.record);
        let version = from.u8()?;
        if version != VERSION {
            return Err(damaged("a packed record", format!("its version is {version}, this build reads {VERSION}")));
        }
        let state = from.u8()?;
        let flags = from.u8()?;
        let (nonce, created_at) = (from.number(8)?, time(from.number(6)?)?);
        let count = if flags & COUNT != 0 { from.u32()? } else { 1 };
        let born = if flags & BORN != 0 { from.number(8)? } else { nonce };
        let attempt = if flags & ATTEMPT != 0 { from.u32()? } else { 0 };
        let wake_at = if flags & WAKE != 0 { Some(time(from.number(6)?)?) } else { None };
        let priority = from.u8()?;
        let priority = Priority::ALL.get(usize::from(priority)).copied().ok_or_else(|| damaged("a priority", priority))?;
        let queue = QueueName::new(text(from.short()?)?).map_err(|error| damaged("a queue", error))?;
        let (task, version) = read_task(from.short()?)?;
        let mut head = if flags & EXTENDED != 0 {
            let length = from.number(2)? as usize;
            decode_versioned::<Head>(from.take(length)?)?
        } else {
            Head::default()
        };
        head.state = JobState::from_index(state).ok_or_else(|| damaged("a packed record", format!("state {state}")))?;
        head.revision = Revision { count, nonce };
        (head.task, head.version, head.queue, head.priority) = (task, version, queue, priority);
        (head.born, head.attempt, head.wake_at, head.created_at) = (born, attempt, wake_at, created_at);
        head.asked = read_asked(&self.asked)?;
        read_joins(&self.joins, &mut head)?;
        if !self.live.is_empty() {
            Live(&self.live).apply(&mut head)?;
        }
        Ok((head, self.record.len() - from.0.len()))
    }
}

/// Puts a part into its place.
pub(crate) fn set_part(record: &mut Record, number: u8, bytes: Bytes) {
    match number {
        0 => record.spec = bytes,
        1 => record.trail = bytes,
        _ => record.output = bytes,
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| damaged("a name", "it is no text"))
}

fn read_task(bytes: &[u8]) -> Result<(TaskName, u32)> {
    let mut from = Reader(bytes);
    let length = from.u8()?;
    let version = from.number(length.into())?;
    let version = u32::try_from(version).map_err(|_| damaged("a task's version", version))?;
    Ok((TaskName::new(text(from.0)?).map_err(|error| damaged("a task", error))?, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbers_core::record::LimitKey;
    use jobbers_core::{LimitName, RunId, Timestamp, WorkerId};

    const ID: JobId = JobId::new(RunId::from_u128(77), 3);

    fn full() -> Record {
        let head = Head {
            state: JobState::Parked,
            task: TaskName::new("mail.send").unwrap(),
            version: 300,
            queue: QueueName::new("mail").unwrap(),
            priority: Priority::Urgent,
            attempt: 4,
            owner: Some(WorkerId::from_u128(9)),
            started_at: Some(Timestamp::from_millis(5).unwrap()),
            limits: [LimitKey { limit: LimitName::new("customer").unwrap(), value: "42".into() }].into_iter().collect(),
            parked_on: Some(Box::new(LimitKey { limit: LimitName::new("customer").unwrap(), value: "42".into() })),
            wake_at: Some(Timestamp::MAX),
            created_at: Timestamp::from_millis(1_700_000_000_000).unwrap(),
            ended_at: Some(Timestamp::from_millis(6).unwrap()),
            ..Head::default()
        };
        Record { head, spec: "spec".into(), trail: Bytes::new(), progress: Bytes::new(), output: vec![7; 1024].into() }
    }

    fn stored(record: &Record, revision: Revision, born: u64) -> Stored {
        Stored { record: pack(&super::super::id_bytes(ID), record, revision, born).into(), ..Stored::default() }
    }

    #[test]
    fn a_record_reads_back() {
        for (revision, born) in [(Revision { count: 9, nonce: u64::MAX }, 3), (Revision { count: 1, nonce: 3 }, 3)] {
            for mut record in [full(), Record { head: Head { version: 0, ..Head::default() }, ..Record::default() }] {
                (record.head.revision, record.head.born) = (revision, born);
                assert_eq!(stored(&record, revision, born).record(ID).unwrap(), (record, vec![]));
            }
        }
    }

    #[test]
    fn a_long_part_lies_apart_under_a_name_of_its_content() {
        let mut record = full();
        record.spec = vec![1; 1025].into();
        let (read, apart) = stored(&record, Revision::default(), 0).record(ID).unwrap();
        assert!(read.spec.is_empty() && read.output == record.output);
        let name = part_name(&super::super::id_bytes(ID), 0, &record.spec);
        assert_eq!(apart, [Part { number: 0, length: 1025, name: name.clone() }]);
        assert_ne!(part_name(&super::super::id_bytes(ID), 0, &[2; 1025]), name);
    }

    #[test]
    fn a_record_that_was_cut_or_lengthened_is_no_other_record() {
        let whole = stored(&full(), Revision { count: 2, nonce: 1 }, 5);
        for length in 0..whole.record.len() {
            let cut = Stored { record: whole.record.slice(..length), ..Stored::default() };
            assert!(cut.record(ID).is_err(), "{length} bytes");
        }
        let longer = Stored { record: [&whole.record[..], b"x"].concat().into(), ..Stored::default() };
        assert!(longer.record(ID).is_err());
        let newer = Stored { record: [&[2], &whole.record[1..]].concat().into(), ..Stored::default() };
        assert!(newer.head().unwrap_err().to_string().contains("version is 2"));
    }
}
