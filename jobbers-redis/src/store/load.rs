//! Records as they stand, with the parts that lie apart.

use std::collections::HashMap;

use bytes::Bytes;
use jobbers_core::driver::CALL_JOBS_MAX;
use jobbers_core::record::Record;
use jobbers_core::{JobId, Result};

use super::Store;
use crate::call::{Args, Queues};
use crate::pack::{Part, Stored, damaged, id_bytes, set_part};
use crate::script::Script;
use crate::{answer, fault};

/// How often a record is read anew because a part was replaced between two reads.
const TRIES_COUNT_MAX: usize = 5;
/// Most bytes of parts that are asked for at once.
const PARTS_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Store {
    /// What is stored of these jobs; `None` where there is nothing.
    pub(super) async fn stored(&self, op: &'static str, ids: &[JobId]) -> Result<Vec<Option<Stored>>> {
        let mut all = Vec::with_capacity(ids.len());
        for some in ids.chunks(CALL_JOBS_MAX) {
            let mut args = Args::default();
            for id in some {
                args.push(id_bytes(*id));
            }
            let at = self.caller.link.at(op);
            let mut values = answer::list(at, self.caller.once(op, Script::Load, &Queues::default(), &args).await?)?.into_iter();
            for _ in some {
                let mut stored = answer::stored(at, &mut values)?;
                stored.progress = answer::bytes(at, values.next().unwrap_or_default())?;
                all.push((!stored.record.is_empty()).then_some(stored));
            }
        }
        Ok(all)
    }

    pub(super) async fn load_all(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        let op = "load records";
        let stored = match self.stored(op, ids).await {
            Ok(stored) => stored,
            Err(error) => return ids.iter().map(|_| Err(fault::again(&error))).collect(),
        };
        let mut results: Vec<Result<Option<Record>>> = Vec::with_capacity(ids.len());
        let mut open = Vec::new();
        for (at, (id, stored)) in ids.iter().zip(stored).enumerate() {
            results.push(match stored.map(|stored| stored.record(*id)).transpose() {
                Ok(Some((record, apart))) if !apart.is_empty() => {
                    open.push((at, *id, record, apart));
                    Ok(None)
                }
                other => other.map(|found| found.map(|(record, _)| record)),
            });
        }
        for (at, id, record, apart) in open {
            results[at] = self.with_parts(op, id, record, apart).await;
        }
        results
    }

    /// Records with all their parts, of what a script returned as it made it.
    pub(crate) async fn completed(&self, op: &'static str, found: Vec<(JobId, Stored)>) -> Result<Vec<(JobId, Record)>> {
        let mut records = Vec::with_capacity(found.len());
        let mut apart: Vec<(usize, Vec<Part>)> = Vec::new();
        for (at, (id, stored)) in found.into_iter().enumerate() {
            let (record, parts) = stored.record(id)?;
            records.push((id, record));
            if !parts.is_empty() {
                apart.push((at, parts));
            }
        }
        let wanted: Vec<&Part> = apart.iter().flat_map(|(_, parts)| parts).collect();
        let mut bytes = self.parts(op, &wanted).await?;
        for (at, parts) in &apart {
            let (id, record) = &mut records[*at];
            if fill(record, parts, &mut bytes) {
                continue;
            }
            // Somebody has changed the record since: what it was is gone, what it is now has to do.
            let now = self.load_all(&[*id]).await.remove(0)?;
            *record = now.ok_or_else(|| damaged("a record", format!("{id} is gone")))?;
        }
        Ok(records)
    }

    async fn with_parts(&self, op: &'static str, id: JobId, mut record: Record, mut apart: Vec<Part>) -> Result<Option<Record>> {
        for _ in 0..TRIES_COUNT_MAX {
            let mut bytes = self.parts(op, &apart.iter().collect::<Vec<_>>()).await?;
            if fill(&mut record, &apart, &mut bytes) {
                return Ok(Some(record));
            }
            let Some(stored) = self.stored(op, &[id]).await?.remove(0) else { return Ok(None) };
            (record, apart) = stored.record(id)?;
        }
        Err(damaged("a record", format!("a part of {id} is missing")))
    }

    /// The bytes of parts, by name.
    async fn parts(&self, op: &'static str, parts: &[&Part]) -> Result<HashMap<Vec<u8>, Bytes>> {
        let mut found = HashMap::new();
        let key = self.caller.keys.named("parts");
        let mut rest = parts;
        while !rest.is_empty() {
            let mut bytes = 0;
            let few = rest.iter().take_while(|part| {
                bytes += part.length;
                bytes <= PARTS_BYTES_MAX
            });
            let (some, later) = rest.split_at(few.count().max(1));
            rest = later;
            let mut read = redis::cmd("HMGET");
            read.arg(&key);
            for part in some {
                read.arg(&part.name);
            }
            let at = self.caller.link.at(op);
            for (part, value) in some.iter().zip(answer::list(at, self.caller.link.send(op, &read).await?)?) {
                found.insert(part.name.clone(), answer::bytes(at, value)?);
            }
        }
        Ok(found)
    }
}

/// Puts parts into their record; false if one is not as long as the record says.
fn fill(record: &mut Record, apart: &[Part], bytes: &mut HashMap<Vec<u8>, Bytes>) -> bool {
    apart.iter().all(|part| match bytes.remove(&part.name).filter(|bytes| bytes.len() == part.length) {
        Some(bytes) => {
            set_part(record, part.number, bytes);
            true
        }
        None => false,
    })
}
