//! Rows of `heads` and `parts`: how a record lies in the file.
//!
//! A row of `heads` is one byte that says where the parts are; then either the head alone, or the lengths of the parts that lie in the row and
//! of the head, those parts, the head, and zeros. So a job whose parts are all small, as most are, has one row, which is written at its submit,
//! its claim and its end. The zeros keep its length: a row that grows in a full page costs a new page, one that does not is written over.

use bytes::Bytes;
use jobbers_core::record::{Parts, Record, append_versioned, decode_versioned};
use jobbers_core::{Error, ErrorKind, JobId, Result};
use redb::ReadableTable;

use crate::keys::{self, JobKey, PartKey};
use crate::tables::Disk;

/// The parts with their stored codes: the bit in a row's first byte, and the first byte of a part's key. In a row, the same bit four places
/// higher says that the part lies in it. Rows of formats 1 and 2 have none that does.
const PARTS: [(u8, Parts); 4] = [(1, Parts::SPEC), (2, Parts::TRAIL), (4, Parts::PROGRESS), (8, Parts::OUTPUT)];
/// The bits of the parts that have rows of their own.
const APART: u8 = 15;
/// Of the progress: what a claim leaves behind, whatever was stored.
pub(crate) const PROGRESS: u8 = 4;

/// Largest part that lies in its job's row. Each beat writes the row again, and a row of four such parts still shares its page with others.
pub(crate) const WITHIN_BYTES_MAX: usize = 512;

/// What a new row has to spare: a claim and an end add about 80 bytes to a job with a small output.
const SPARE_BYTES: usize = 96;
/// A row that has more to spare than this is made shorter.
const SPARE_BYTES_MAX: usize = 512;

/// How a job is stored.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stored {
    /// The parts that have rows of their own.
    pub(crate) apart: u8,
    /// The length of its row; 0 if there is none.
    pub(crate) length: usize,
}

/// A row of `heads`.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// How it is stored.
    pub(crate) stored: Stored,
    /// The record, without those parts: all that a decision about a commit looks at.
    pub(crate) record: Record,
}

impl Row {
    /// Reads a row of `heads`.
    ///
    /// # Errors
    /// `Damaged`, with the job.
    pub(crate) fn read(id: JobId, bytes: &[u8]) -> Result<Row> {
        let damaged = |kind, what: &dyn std::fmt::Display| Error::new(kind, "read a job", format!("{id}: {what}"));
        let (places, mut rest) = bytes.split_first().unwrap_or((&0, &[]));
        let (apart, within) = (places & APART, places >> 4);
        let mut record = Record::default();
        if within != 0 {
            let short = || damaged(ErrorKind::Damaged, &"its row ends within its parts");
            let mut lengths = [0; 4];
            for (length, (code, _)) in lengths.iter_mut().zip(PARTS) {
                if within & code != 0 {
                    let (stored, behind) = rest.split_first_chunk().ok_or_else(short)?;
                    (*length, rest) = (usize::from(u16::from_be_bytes(*stored)), behind);
                }
            }
            let (head, behind) = rest.split_first_chunk().ok_or_else(short)?;
            let (parts, behind) = behind.split_at_checked(lengths.iter().sum()).ok_or_else(short)?;
            let (head, zeros) = behind.split_at_checked(u32::from_be_bytes(*head) as usize).ok_or_else(short)?;
            if zeros.iter().any(|byte| *byte != 0) {
                return Err(damaged(ErrorKind::Damaged, &"its row goes on behind its end"));
            }
            // One copy that the parts share.
            let parts = Bytes::copy_from_slice(parts);
            let mut from = 0;
            for (length, field) in lengths.into_iter().zip(fields(&mut record)) {
                *field = parts.slice(from..from + length);
                from += length;
            }
            rest = head;
        }
        record.head = decode_versioned(rest).map_err(|error| damaged(error.kind(), &error))?;
        Ok(Row { stored: Stored { apart, length: bytes.len() }, record })
    }
}

fn fields(record: &mut Record) -> [&mut Bytes; 4] {
    [&mut record.spec, &mut record.trail, &mut record.progress, &mut record.output]
}

fn parts(record: &Record) -> [(u8, Parts, &Bytes); 4] {
    let [spec, trail, progress, output] = PARTS;
    [
        (spec.0, spec.1, &record.spec),
        (trail.0, trail.1, &record.trail),
        (progress.0, progress.1, &record.progress),
        (output.0, output.1, &record.output),
    ]
}

/// Whether a part lies in its job's row.
pub(crate) fn is_within(part: &Bytes) -> bool {
    part.len() <= WITHIN_BYTES_MAX
}

/// The bytes of a row of `heads`: the head, and the parts but those that are stored apart. `stored` is what it takes the place of; `row` is
/// room that is written over.
pub(crate) fn row_bytes(stored: &mut Stored, record: &Record, mut row: Vec<u8>) -> Vec<u8> {
    let apart = stored.apart;
    let within = || parts(record).into_iter().filter(move |(code, _, bytes)| apart & code == 0 && !bytes.is_empty());
    let places = apart | within().map(|(code, _, _)| code << 4).sum::<u8>();
    row.clear();
    row.push(places);
    if places <= APART {
        row = append_versioned(&record.head, row);
        stored.length = row.len();
        return row;
    }
    for (_, _, bytes) in within() {
        let length = u16::try_from(bytes.len()).expect("what is larger is stored apart");
        row.extend_from_slice(&length.to_be_bytes());
    }
    let length_at = row.len();
    row.extend_from_slice(&[0; 4]);
    within().for_each(|(_, _, bytes)| row.extend_from_slice(bytes));
    let head_at = row.len();
    row = append_versioned(&record.head, row);
    let head = u32::try_from(row.len() - head_at).expect("heads are small");
    row[length_at..length_at + 4].copy_from_slice(&head.to_be_bytes());
    stored.length = match stored.length {
        0 => row.len() + SPARE_BYTES,
        room if room >= row.len() && room - row.len() <= SPARE_BYTES_MAX => room,
        _ => row.len(),
    };
    row.resize(stored.length, 0);
    row
}

/// Each part of a record that `changed` names, with its code.
pub(crate) fn changed_parts(record: &Record, changed: Parts) -> impl Iterator<Item = (u8, &Bytes)> {
    parts(record).into_iter().filter(move |(_, part, _)| changed.has(*part)).map(|(code, _, bytes)| (code, bytes))
}

/// Takes the parts that have rows of their own out of a record.
pub(crate) fn without(apart: u8, mut record: Record) -> Record {
    for ((code, _), field) in PARTS.into_iter().zip(fields(&mut record)) {
        if apart & code != 0 {
            *field = Bytes::new();
        }
    }
    record
}

/// The codes of the parts that have rows of their own.
pub(crate) fn apart(parts: u8) -> impl Iterator<Item = u8> {
    PARTS.into_iter().map(|(code, _)| code).filter(move |code| parts & code != 0)
}

/// A job's row; the inner error is that job's alone.
pub(crate) fn row(heads: &impl ReadableTable<&'static JobKey, &'static [u8]>, id: JobId) -> Disk<Result<Option<Row>>> {
    Ok(match heads.get(&id.to_bytes())? {
        Some(bytes) => Row::read(id, bytes.value()).map(Some),
        None => Ok(None),
    })
}

/// The whole record of a row.
pub(crate) fn whole(parts: &impl ReadableTable<&'static PartKey, &'static [u8]>, id: JobId, row: Row) -> Disk<Record> {
    let Row { stored, mut record } = row;
    fill(parts, id, stored.apart, &mut record)?;
    Ok(record)
}

/// Reads the parts that have rows of their own into a record.
pub(crate) fn fill(parts: &impl ReadableTable<&'static PartKey, &'static [u8]>, id: JobId, apart: u8, record: &mut Record) -> Disk<()> {
    let key = id.to_bytes();
    for ((code, _), field) in PARTS.into_iter().zip(fields(record)) {
        if apart & code == 0 {
            continue;
        }
        if let Some(bytes) = parts.get(&keys::part(code, &key))? {
            *field = Bytes::copy_from_slice(bytes.value());
        }
    }
    Ok(())
}
