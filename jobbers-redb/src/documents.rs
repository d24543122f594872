//! Documents: settings and presence.

use bytes::Bytes;
use jobbers_core::driver::{Cursor, Doc, DocKey, DocKind, DocVerdict, DocVersion, DocWrite, Page};
use jobbers_core::{Error, ErrorKind, Result, SmallText, Timestamp};
use redb::{ReadTransaction, ReadableTable};

use crate::group::{Change, Group};
use crate::tables::{DOCUMENTS, Disk, open};

/// Stands for a document that is never void; no [`Timestamp`] is so late.
const NEVER: u64 = u64::MAX;

fn kind_prefix(kind: DocKind) -> Vec<u8> {
    let mut key = kind.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

fn key_of(key: &DocKey) -> Vec<u8> {
    let mut bytes = kind_prefix(key.kind);
    bytes.extend_from_slice(key.name.as_str().as_bytes());
    bytes
}

/// Version, when it is void, body.
fn row_of(version: u64, expires_at: Option<Timestamp>, body: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(16 + body.len());
    row.extend_from_slice(&version.to_be_bytes());
    row.extend_from_slice(&expires_at.map_or(NEVER, Timestamp::as_millis).to_be_bytes());
    row.extend_from_slice(body);
    row
}

fn read_row(row: &[u8]) -> Result<Doc> {
    let damaged = || Error::new(ErrorKind::Damaged, "read a document", format!("{} bytes are too few for one", row.len()));
    let (version, rest) = row.split_first_chunk().ok_or_else(damaged)?;
    let (expires_at, body) = rest.split_first_chunk().ok_or_else(damaged)?;
    let expires_at = match u64::from_be_bytes(*expires_at) {
        NEVER => None,
        millis => Some(Timestamp::from_millis(i64::try_from(millis).map_err(|_| damaged())?)?),
    };
    Ok(Doc { version: DocVersion(u64::from_be_bytes(*version)), body: Bytes::copy_from_slice(body), expires_at })
}

/// Documents as they stand.
pub(crate) fn read(txn: &ReadTransaction, keys: &[DocKey]) -> Disk<Result<Vec<Option<Doc>>>> {
    let table = open(txn, DOCUMENTS)?;
    let mut docs = Vec::with_capacity(keys.len());
    for key in keys {
        match table.get(key_of(key).as_slice())?.map(|row| read_row(row.value())).transpose() {
            Ok(doc) => docs.push(doc),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(docs))
}

/// Documents of one kind, by name.
pub(crate) fn documents(txn: &ReadTransaction, kind: DocKind, page: &Page) -> Disk<Result<Vec<(DocKey, Doc)>>> {
    let prefix = kind_prefix(kind);
    let mut from = prefix.clone();
    if let Some(Cursor(name)) = &page.after {
        from.extend_from_slice(name);
        // The first name behind that one.
        from.push(0);
    }
    let mut docs = Vec::new();
    for row in open(txn, DOCUMENTS)?.range(from.as_slice()..)?.take(page.limit) {
        let (key, row) = row?;
        let Some(name) = key.value().strip_prefix(prefix.as_slice()) else { break };
        let name = SmallText::new(&String::from_utf8_lossy(name));
        match read_row(row.value()) {
            Ok(doc) => docs.push((DocKey { kind, name }, doc)),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(docs))
}

impl Group<'_> {
    /// Changes documents by compare-and-set.
    pub(crate) fn write_documents(&mut self, writes: &[DocWrite]) -> Disk<Result<Vec<DocVerdict>>> {
        let mut verdicts = Vec::with_capacity(writes.len());
        for write in writes {
            let key = key_of(&write.key);
            let stored = match self.documents.open()?.get(key.as_slice())?.map(|row| read_row(row.value())).transpose() {
                Ok(stored) => stored,
                Err(error) => return Ok(Err(error)),
            };
            if stored.as_ref().map(|doc| doc.version) != write.expect {
                verdicts.push(DocVerdict::Conflict(stored));
                continue;
            }
            self.changed(Change::Now);
            verdicts.push(DocVerdict::Applied(match (&write.body, stored) {
                (Some(body), _) => {
                    let version = self.next("document", 1, 1)?;
                    self.documents.open()?.insert(key.as_slice(), row_of(version, write.expires_at, body).as_slice())?;
                    DocVersion(version)
                }
                (None, Some(stored)) => {
                    self.documents.open()?.remove(key.as_slice())?;
                    stored.version
                }
                // Nothing was there, and nothing is to be there.
                (None, None) => DocVersion(0),
            }));
        }
        Ok(Ok(verdicts))
    }
}
