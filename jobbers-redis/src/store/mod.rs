//! The store: every call is one script, or few.

mod answers;
mod claims;
mod commit;
mod documents;
mod encode;
mod ends;
mod list;
mod load;
mod look;
mod ready;
mod shapes;

#[cfg(any(test, feature = "fuzz"))]
pub(crate) use documents::read as read_document;

/// Bytes as a cursor of each kind, written again.
#[cfg(any(test, feature = "fuzz"))]
pub(crate) fn cursors_read(bytes: &[u8]) -> [Option<bytes::Bytes>; 3] {
    let cursor = Cursor(bytes::Bytes::copy_from_slice(bytes));
    let rank = list::read_rank(&cursor).map(|rank| list::write_rank(&rank).0);
    [rank, ready::place_read(&cursor), look::read_cursor(&cursor).map(|(bucket, within)| look::write_cursor(bucket, within).0)]
}

use async_trait::async_trait;
use jobbers_core::driver::{
    CALL_JOBS_MAX, Capabilities, Capability, Commit, Count, Cursor, Dispatch, Doc, DocKey, DocKind, DocVerdict, DocWrite, Due, Filter,
    Listing, Page, Scanned, StateStore, Verdict,
};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::{JobId, QueueName, Result, RunId, Timestamp, WorkerId};
use redis::Value;

use self::commit::SCRIPT_OPS_MAX;
use crate::call::{Args, Caller, Queues};
use crate::clock::Measured;
use crate::pack::{NO_TIME, read_id, time};
use crate::script::Script;
use crate::{answer, fault};

/// The store of a Redis backend.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) caller: Caller,
    /// What the server keeps of what it acknowledged, and who else may open it.
    pub(crate) guarantees: Capabilities,
    pub(crate) measured: Measured,
}

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        let own = match self.caller.dispatch {
            Dispatch::Own => Capabilities::of(&[Capability::AtomicDispatch, Capability::List]),
            Dispatch::Caller => Capabilities::of(&[Capability::List]),
        };
        own.either(self.guarantees)
    }

    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>> {
        self.commit_all(commits).await
    }

    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>> {
        self.load_all(ids).await
    }

    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due> {
        self.measured.again(&self.caller.link).await;
        let mut due = Due::default();
        loop {
            let some = (limit - due.ids.len()).min(CALL_JOBS_MAX);
            let (ids, next) = self.due_once(now, hide_until, some).await?;
            let full = ids.len() == some;
            due.ids.extend(ids);
            due.next = next;
            if !full || due.ids.len() == limit {
                return Ok(due);
            }
        }
    }

    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>> {
        self.owned_by(owner, limit).await
    }

    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned> {
        self.scan_from(cursor, limit).await
    }

    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing> {
        self.list_page(filter, page).await
    }

    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>> {
        let mut numbers = Vec::with_capacity(runs.len());
        for some in runs.chunks(CALL_JOBS_MAX) {
            let mut args = Args::default();
            for run in some {
                args.push(run.as_u128().to_be_bytes());
            }
            let op = "count unended records";
            let at = self.caller.link.at(op);
            for value in answer::list(at, self.caller.once(op, Script::Unended, &Queues::default(), &args).await?)? {
                numbers.push(answer::number(at, &value)?.unsigned_abs());
            }
        }
        Ok(numbers)
    }

    async fn counts(&self) -> Result<Vec<Count>> {
        let op = "count jobs";
        let mut read = redis::cmd("HGETALL");
        read.arg(self.caller.keys.named("counts"));
        let at = self.caller.link.at(op);
        let mut values = answer::list(at, self.caller.link.send(op, &read).await?)?.into_iter();
        let mut counts = Vec::new();
        while let (Some(field), Some(jobs)) = (values.next(), values.next()) {
            let field = answer::bytes(at, field)?;
            let jobs = answer::number(at, &jobs)?;
            let (state, queue) = read_count(&field).ok_or_else(|| fault::unexpected(at, "a count of a queue and a state"))?;
            if jobs > 0 {
                counts.push(Count { queue, state, jobs: jobs.unsigned_abs() });
            }
        }
        counts.sort_unstable();
        Ok(counts)
    }

    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize> {
        let op = "prune ended runs";
        let mut pruned = 0;
        let mut queues: Queues = [queue.clone()].into_iter().collect();
        loop {
            let some = (limit - pruned).min(SCRIPT_OPS_MAX);
            if some == 0 {
                return Ok(pruned);
            }
            let mut args = Args::default();
            let young = NO_TIME - before.as_millis() + 1;
            args.number(state.index()).number(young).number(some);
            let value = self.caller.run(op, Script::Prune, &mut queues, &args).await?;
            let gone = answer::number(self.caller.link.at(op), &value)?.unsigned_abs() as usize;
            if gone == 0 {
                return Ok(pruned);
            }
            pruned += gone;
        }
    }

    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>> {
        self.read_documents(keys).await
    }

    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>> {
        self.write_documents(writes).await
    }

    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>> {
        self.list_documents(kind, page).await
    }
}

impl Store {
    async fn due_once(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<(Vec<JobId>, Option<Timestamp>)> {
        let op = "take due jobs";
        let at = self.caller.link.at(op);
        let mut args = Args::default();
        args.number(now.as_millis()).number(hide_until.as_millis()).number(limit);
        let value = self.caller.once(op, Script::Due, &Queues::default(), &args).await?;
        let [ids, next] = answer::tuple(at, value)?;
        let mut due = Vec::new();
        for id in answer::list(at, ids)? {
            let id = answer::bytes(at, id)?;
            due.push(read_id(&id).ok_or_else(|| fault::unexpected(at, "an id"))?);
        }
        let next = match answer::number(at, &next)? {
            -1 => None,
            millis => Some(time(millis.unsigned_abs())?),
        };
        Ok((due, next))
    }
}

fn read_count(field: &[u8]) -> Option<(JobState, QueueName)> {
    let (state, queue) = field.split_first()?;
    let state = JobState::from_index(state.checked_sub(b'0')?)?;
    Some((state, QueueName::new(std::str::from_utf8(queue).ok()?).ok()?))
}

/// The bytes of a value that a page's cursor holds, or that it is none of this store's.
pub(super) fn foreign_cursor(op: &'static str) -> jobbers_core::Error {
    let context = "the cursor is none of this store's; start without one, and pass on what the last page returned";
    jobbers_core::Error::new(jobbers_core::ErrorKind::Invalid, op, context)
}

/// Text or nothing, as a queue of a packed overlay.
pub(super) fn queue_of(bytes: &[u8]) -> Option<QueueName> {
    QueueName::new(std::str::from_utf8(bytes).ok()?).ok()
}

/// Pairs of a reply that lists one thing behind the other.
pub(super) fn pairs(values: Vec<Value>) -> impl Iterator<Item = (Value, Value)> {
    let mut values = values.into_iter();
    std::iter::from_fn(move || Some((values.next()?, values.next()?)))
}
