//! Documents: a hash of them, and their names in order.
//!
//! A document's field is its kind's number and its name; its value 8 bytes of version, 6 of expiry, then the body.

use bytes::Bytes;
use jobbers_core::driver::{Doc, DocKey, DocKind, DocVerdict, DocVersion, DocWrite, Page};
use jobbers_core::{Result, SmallText};

use super::{Store, foreign_cursor};
use crate::answer;
use crate::fault;
use crate::pack::{Reader, millis, put};
use crate::script::Script;

fn kind_byte(kind: DocKind) -> u8 {
    match kind {
        DocKind::Role => b'r',
        DocKind::Queue => b'q',
        DocKind::Task => b't',
        DocKind::Schedule => b's',
        DocKind::Worker => b'w',
        DocKind::Token => b'k',
        // A kind that a newer core has is one of this crate's next version.
        _ => b'e',
    }
}

fn field(key: &DocKey) -> Vec<u8> {
    [&[kind_byte(key.kind)], key.name.as_str().as_bytes()].concat()
}

pub(crate) fn read(bytes: Bytes) -> Result<Option<Doc>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut from = Reader(&bytes);
    let (version, expires_at) = (DocVersion(from.number(8)?), from.time()?);
    let body = bytes.slice_ref(from.0);
    Ok(Some(Doc { version, body, expires_at }))
}

impl Store {
    pub(super) async fn read_documents(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        let op = "read documents";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("HMGET");
        command.arg(self.caller.keys.named("documents"));
        for key in keys {
            command.arg(field(key));
        }
        let at = self.caller.link.at(op);
        let values = answer::list(at, self.caller.link.send(op, &command).await?)?;
        values.into_iter().map(|value| read(answer::bytes(at, value)?)).collect()
    }

    pub(super) async fn write_documents(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        let op = "write documents";
        let mut args: Vec<Vec<u8>> = Vec::with_capacity(4 * writes.len());
        for write in writes {
            let mut body = Vec::new();
            put(&mut body, millis(write.expires_at), 6);
            body.extend_from_slice(write.body.as_deref().unwrap_or_default());
            let expect = write.expect.map_or_else(Vec::new, |version| version.0.to_be_bytes().to_vec());
            let is_body: &[u8] = if write.body.is_some() { b"1" } else { b"0" };
            args.extend([field(&write.key), expect, is_body.to_vec(), body]);
        }
        let keys = [self.caller.keys.named("documents"), self.caller.keys.named("document-names")];
        let names = keys.iter().map(String::as_str);
        let value = self.caller.link.script(op, Script::Documents, names, args.iter().map(|arg| &arg[..])).await?;
        let at = self.caller.link.at(op);
        let mut verdicts = Vec::with_capacity(writes.len());
        for verdict in answer::list(at, value)? {
            let [applied, what] = answer::tuple(at, verdict)?;
            let what = answer::bytes(at, what)?;
            verdicts.push(match answer::number(at, &applied)? {
                0 => DocVerdict::Conflict(read(what)?),
                // The deletion of what is not there names no version.
                _ if what.is_empty() => DocVerdict::Applied(DocVersion(0)),
                _ => DocVerdict::Applied(DocVersion(Reader(&what).number(8)?)),
            });
        }
        Ok(verdicts)
    }

    pub(super) async fn list_documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        let op = "list documents";
        let kind_of = kind_byte(kind);
        let (from, after) = match &page.after {
            None => (vec![b'[', kind_of], None),
            Some(cursor) => {
                let after = std::str::from_utf8(&cursor.0).map_err(|_| foreign_cursor(op))?;
                ([&[b'(', kind_of], after.as_bytes()].concat(), Some(after))
            }
        };
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(self.caller.keys.named("document-names")).arg(from).arg(&[b'(', kind_of + 1][..]);
        command.arg("LIMIT").arg(0).arg(page.limit.min(i32::MAX as usize));
        let at = self.caller.link.at(op);
        let mut keys = Vec::new();
        for name in answer::list(at, self.caller.link.send(op, &command).await?)? {
            let name = answer::bytes(at, name)?;
            let text = name.get(1..).and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(|| fault::unexpected(at, "a name"))?;
            debug_assert!(after.is_none_or(|after| text > after));
            keys.push(DocKey { kind, name: SmallText::new(text) });
        }
        let docs = self.read_documents(&keys).await?;
        // One that was deleted between the two reads is left out.
        Ok(keys.into_iter().zip(docs).filter_map(|(key, doc)| Some((key, doc?))).collect())
    }
}
