//! Rows of `heads` and `parts`: how a record lies in the file.

use bytes::Bytes;
use jobbers_core::record::{Head, Parts, Record, decode_versioned, encode_versioned};
use jobbers_core::{Error, JobId, Result};
use redb::ReadableTable;

use crate::keys::{self, JobKey, PartKey};
use crate::tables::Disk;

/// The parts with their stored codes: the bit in a head's first byte, and the first byte of a part's key.
const PARTS: [(u8, Parts); 4] = [(1, Parts::SPEC), (2, Parts::TRAIL), (4, Parts::PROGRESS), (8, Parts::OUTPUT)];

/// A row of `heads`.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// The parts that have rows of their own.
    pub(crate) parts: u8,
    /// The head.
    pub(crate) head: Head,
}

impl Row {
    /// Reads a row of `heads`.
    ///
    /// # Errors
    /// `Damaged`, with the job.
    pub(crate) fn read(id: JobId, bytes: &[u8]) -> Result<Row> {
        let (parts, head) = bytes.split_first().unwrap_or((&0, &[]));
        let head = decode_versioned(head).map_err(|error| Error::new(error.kind(), "read a job", format!("{id}: {error}")))?;
        Ok(Row { parts: *parts, head })
    }

    /// The record without its parts: all that a decision about a commit looks at.
    pub(crate) fn bare(self) -> Record {
        let empty = Bytes::new();
        Record { head: self.head, spec: empty.clone(), trail: empty.clone(), progress: empty.clone(), output: empty }
    }
}

/// The bytes of a row of `heads`.
pub(crate) fn head_row(parts: u8, head: &Head) -> Vec<u8> {
    let head = encode_versioned(head);
    let mut row = Vec::with_capacity(head.len() + 1);
    row.push(parts);
    row.extend_from_slice(&head);
    row
}

/// Each part of a record that `changed` names, with its code.
pub(crate) fn changed_parts(record: &Record, changed: Parts) -> impl Iterator<Item = (u8, &Bytes)> {
    let bytes = [&record.spec, &record.trail, &record.progress, &record.output];
    PARTS.into_iter().zip(bytes).filter(move |((_, part), _)| changed.has(*part)).map(|((code, _), bytes)| (code, bytes))
}

/// The codes of the parts in a head's first byte.
pub(crate) fn stored_parts(parts: u8) -> impl Iterator<Item = u8> {
    PARTS.into_iter().map(|(code, _)| code).filter(move |code| parts & code != 0)
}

/// A job's row; the inner error is that job's alone.
pub(crate) fn row(heads: &impl ReadableTable<&'static JobKey, &'static [u8]>, id: JobId) -> Disk<Result<Option<Row>>> {
    Ok(match heads.get(&id.to_bytes())? {
        Some(bytes) => Row::read(id, bytes.value()).map(Some),
        None => Ok(None),
    })
}

/// A job's parts beside `row`, read from their own rows.
pub(crate) fn whole(parts: &impl ReadableTable<&'static PartKey, &'static [u8]>, id: JobId, row: Row) -> Disk<Record> {
    let (key, stored) = (id.to_bytes(), row.parts);
    let mut record = row.bare();
    let fields = [&mut record.spec, &mut record.trail, &mut record.progress, &mut record.output];
    for ((code, _), field) in PARTS.into_iter().zip(fields) {
        if stored & code == 0 {
            continue;
        }
        if let Some(bytes) = parts.get(&keys::part(code, &key))? {
            *field = Bytes::copy_from_slice(bytes.value());
        }
    }
    Ok(record)
}
