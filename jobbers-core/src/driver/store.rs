//! The store: it decides.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Capabilities, Commit, Doc, DocKey, DocKind, DocVerdict, DocWrite, Verdict};
use crate::error::Result;
use crate::id::{JobId, QueueName, RunId, TaskName, WorkerId};
use crate::record::{Head, JobState, Record, Revision};
use crate::time::Timestamp;

/// Records and documents, changed by compare-and-set.
#[async_trait]
pub trait StateStore: Debug + Send + Sync + 'static {
    /// What it can do beyond the contract; constant over its life, no I/O.
    fn capabilities(&self) -> Capabilities;

    /// Applies commits; one result each, in their order.
    ///
    /// # Behavior
    /// - Each commit is applied whole or not at all, as its [`Op`](super::Op)s say.
    /// - A refused commit changes nothing.
    /// - Of two commits with one `expect` exactly one is applied, however they race.
    /// - Commits of one call are independent: one that is refused or fails leaves its neighbours alone.
    /// - Commits of one call share no id, except as targets of `Release`; they are applied in any order.
    /// - A job that turns Ready is enqueued in the same step with [`Dispatch::Own`](super::Dispatch::Own), and named in `ready` with
    ///   [`Dispatch::Caller`](super::Dispatch::Caller).
    /// - An error whose `outcome_unknown()` holds may stand for a commit that was applied; any other was not.
    async fn commit(&self, commits: &[Commit]) -> Vec<Result<Verdict>>;

    /// Records as they stand.
    ///
    /// # Behavior
    /// - Records come in the order asked; `None` where there is none.
    /// - Every field of the head and every part comes back as it was written.
    /// - A load sees every commit that was acknowledged before it began.
    async fn load(&self, ids: &[JobId]) -> Vec<Result<Option<Record>>>;

    /// Ids whose `wake_at` has come, oldest first, and when the next one comes.
    ///
    /// # Behavior
    /// - A record of any state but the ends is due when its `wake_at` is not later than `now`.
    /// - A record whose `wake_at` was cleared, or that ended, is due no more.
    /// - At most `limit` ids are returned, the earliest `wake_at` first.
    /// - What is returned is hidden from other calls until `hide_until`, and due until it is committed away.
    /// - A commit that sets a new `wake_at` ends the hiding.
    /// - `next` is the earliest `wake_at`, or end of a hiding, that was not returned.
    async fn due(&self, now: Timestamp, hide_until: Timestamp, limit: usize) -> Result<Due>;

    /// Running jobs of one worker, with their revisions.
    ///
    /// # Behavior
    /// - At most `limit` are returned, of this worker alone.
    /// - None is returned that ended, was rescued, or that another worker claimed.
    async fn owned(&self, owner: WorkerId, limit: usize) -> Result<Vec<(JobId, Revision)>>;

    /// Heads of records in any order, a page at a time.
    ///
    /// # Behavior
    /// - Each record that is present throughout a whole scan comes at least once.
    /// - Records that come and change meanwhile do not hide others.
    /// - The last page has no `next`.
    /// - A cursor of another question or another driver, or one that was changed, is refused as `Invalid`; a driver sees none of those.
    async fn scan(&self, cursor: Option<Cursor>, limit: usize) -> Result<Scanned>;

    /// One page of a state (of one queue, if asked) in the state's own order.
    ///
    /// # Behavior
    /// - Ends come newest first by `ended_at`, Scheduled by `wake_at`, all others by `created_at`.
    /// - Pages go on while jobs come and go: what is there throughout is neither left out nor listed twice.
    /// - Other filters are applied over a bounded look: a page may be short, or empty, and still have a `next`.
    /// - A cursor of another question or another driver, or one that was changed, is refused as `Invalid`; a driver sees none of those.
    /// - Without [`Capability::List`](super::Capability::List) it is refused as `Unsupported`.
    async fn list(&self, filter: &Filter, page: &Page) -> Result<Listing>;

    /// How many records of each run have not ended, in the order asked.
    async fn unended(&self, runs: &[RunId]) -> Result<Vec<u64>>;

    /// How many jobs there are in each (queue, state), from counters that every commit keeps; pairs without jobs are left out.
    async fn counts(&self) -> Result<Vec<Count>>;

    /// Forgets up to `limit` records of ended runs; returns how many.
    ///
    /// # Behavior
    /// - A run is forgotten if its step 0 is in `queue` and `state`, it ended before `before`, and no record of the run is unended.
    /// - Step 0 goes last.
    /// - Of what was forgotten nothing is counted, listed or found, and its id is free again.
    async fn prune(&self, queue: &QueueName, state: JobState, before: Timestamp, limit: usize) -> Result<usize>;

    /// Documents as they stand, in the order asked.
    async fn read(&self, keys: &[DocKey]) -> Result<Vec<Option<Doc>>>;

    /// Changes documents by compare-and-set; one verdict each, in their order.
    ///
    /// # Behavior
    /// - A write is refused, with what stands there, unless the stored version is `expect` (`None`: absent).
    /// - A body replaces the document, with a version that was never used for that key; none deletes it.
    /// - Of racing writes with one `expect` exactly one is applied.
    /// - A name is free text, a body any bytes: both are kept as they are.
    /// - A void document is returned until it is deleted: the reader compares.
    async fn write(&self, writes: &[DocWrite]) -> Result<Vec<DocVerdict>>;

    /// Documents of one kind, by name, a page at a time.
    async fn documents(&self, kind: DocKind, page: &Page) -> Result<Vec<(DocKey, Doc)>>;
}

/// Jobs whose time has come.
#[derive(Debug, Clone, Default)]
pub struct Due {
    /// Their ids, the earliest first.
    pub ids: Vec<JobId>,
    /// When the next one comes.
    pub next: Option<Timestamp>,
    /// A part of the store could not be reached.
    pub partial: bool,
}

/// Where a scan or a listing goes on; opaque to all but its store. [`Backend`](super::Backend) seals it with the question: see
/// [`StateStore::scan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Bytes);

/// One page of a scan.
#[derive(Debug, Clone, Default)]
pub struct Scanned {
    /// Heads, in any order.
    pub heads: Vec<(JobId, Head)>,
    /// Where the next page starts; `None`: there is none.
    pub next: Option<Cursor>,
}

/// Which jobs to list.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Of this state.
    pub state: JobState,
    /// Of this queue; `None`: of every queue.
    pub queue: Option<QueueName>,
    /// Of this task; `None`: of every task.
    pub task: Option<TaskName>,
}

/// Which page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Behind this place; `None`: from the start. For documents, the name of the last one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: usize,
}

/// One page of a listing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Records, in the state's order.
    pub records: Vec<(JobId, Record)>,
    /// Where the next page starts; `None`: there is none.
    pub next: Option<Cursor>,
}

/// How many jobs of a queue are in a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The queue.
    pub queue: QueueName,
    /// The state.
    pub state: JobState,
    /// How many.
    pub jobs: u64,
}
