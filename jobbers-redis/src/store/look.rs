//! Looking around without a place to look up: scans of records, and of what runs.

use jobbers_core::driver::{Cursor, Scanned};
use jobbers_core::record::Revision;
use jobbers_core::{JobId, Result, WorkerId};

use super::{Store, foreign_cursor, pairs};
use crate::answer;
use crate::call::{Args, Queues};
use crate::fault;
use crate::keys::BUCKETS_COUNT;
use crate::pack::{Live, read_id};
use crate::script::Script;

/// How much of the claims one step of a scan looks at: well below a millisecond.
const CLAIMS_LOOK_COUNT: usize = 500;

impl Store {
    /// Goes through the buckets one after the other; the cursor is a bucket and the server's own cursor in it.
    pub(super) async fn scan_from(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        let op = "scan records";
        let (mut number, mut within) = match cursor {
            None => (0, 0),
            Some(cursor) => read_cursor(&cursor).ok_or_else(|| foreign_cursor(op))?,
        };
        let mut scanned = Scanned::default();
        let at = self.caller.link.at(op);
        loop {
            let mut args = Args::default();
            args.number(number).number(within).number(limit.clamp(1, 300));
            let value = self.caller.once(op, Script::Scan, &Queues::default(), &args).await?;
            let [next, found] = answer::tuple(at, value)?;
            let next = std::str::from_utf8(&answer::bytes(at, next)?).ok().and_then(|text| text.parse().ok());
            within = next.ok_or_else(|| fault::unexpected(at, "a cursor"))?;
            let mut values = answer::list(at, found)?.into_iter();
            while let Some(id) = values.next() {
                let id = answer::bytes(at, id)?;
                let stored = answer::stored(at, &mut values)?;
                let id = read_id(&id).ok_or_else(|| fault::unexpected(at, "an id"))?;
                scanned.heads.push((id, stored.head()?));
            }
            if within == 0 {
                number += 1;
            }
            if number == BUCKETS_COUNT {
                return Ok(scanned);
            }
            if scanned.heads.len() >= limit {
                scanned.next = Some(write_cursor(number, within));
                return Ok(scanned);
            }
        }
    }

    /// Each id with its overlay, of all jobs that run or that a release turned Ready.
    pub(super) async fn lives(&self, op: &'static str) -> Result<Vec<(JobId, bytes::Bytes)>> {
        let (mut cursor, mut lives) = (0_u64, std::collections::BTreeMap::new());
        let key = self.caller.keys.named("live");
        let at = self.caller.link.at(op);
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(&key).arg(cursor).arg("COUNT").arg(CLAIMS_LOOK_COUNT);
            let [next, found] = answer::tuple(at, self.caller.link.send(op, &command).await?)?;
            let next = std::str::from_utf8(&answer::bytes(at, next)?).ok().and_then(|text| text.parse().ok());
            for (id, live) in pairs(answer::list(at, found)?) {
                // A key of somebody else's making is no job of ours.
                if let Some(id) = read_id(&answer::bytes(at, id)?) {
                    lives.insert(id, answer::bytes(at, live)?);
                }
            }
            cursor = next.ok_or_else(|| fault::unexpected(at, "a cursor"))?;
            if cursor == 0 {
                return Ok(lives.into_iter().collect());
            }
        }
    }

    pub(super) async fn owned_by(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        let lives = self.lives("find the jobs of a worker").await?;
        let owned = lives.iter().filter_map(|(id, live)| Some((*id, Live(live).owned_by(owner)?)));
        Ok(owned.take(limit).collect())
    }
}

pub(super) fn write_cursor(bucket: usize, within: u64) -> Cursor {
    Cursor([&[bucket as u8][..], &within.to_be_bytes()].concat().into())
}

pub(super) fn read_cursor(cursor: &Cursor) -> Option<(usize, u64)> {
    let (bucket, within) = cursor.0.split_first()?;
    let within = u64::from_be_bytes(within.try_into().ok()?);
    (usize::from(*bucket) < BUCKETS_COUNT).then_some((usize::from(*bucket), within))
}
