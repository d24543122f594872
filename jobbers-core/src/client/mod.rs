//! The client: it submits jobs, waits for them, and looks at them.
//!
//! # A first job
//!
//! A [`Task`](crate::task::Task) is a constant that producers and workers share. A producer needs nothing else of the worker's code:
//!
//! ```
//! use jobbers_core::client::Client;
//! use jobbers_core::task::Task;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Mail { to: String }
//!
//! const MAIL: Task<Mail> = Task::new("mail.send").queue("mail");
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
//! let client = Client::new(&jobbers_core::memory::open());
//! let job = client.submit(MAIL, &Mail { to: "anna@example.org".into() }).await?;
//! println!("{}", job.id());
//! # Ok(()) }
//! ```
//!
//! Once a submit has answered, the job is stored: it is not lost when this process, or a worker, ends.
//!
//! # Sending it again
//!
//! The id of a job is made before the first try, so an answer that was lost is asked for again by itself. To be safe across restarts of the
//! producer too, derive the id from what the job is about. The same id with the same content is the same job; with other content it is a
//! [`Conflict`](crate::ErrorKind::Conflict):
//!
//! ```
//! # use jobbers_core::{client::Client, task::Task, ErrorKind, RunId};
//! # const MAIL: Task<String> = Task::new("mail.send").queue("mail");
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
//! # let client = Client::new(&jobbers_core::memory::open());
//! let id = RunId::derived(&["invoice", "4711"]);
//! client.submit(MAIL, &"invoice 4711".to_owned()).id(id).await?;
//! client.submit(MAIL, &"invoice 4711".to_owned()).id(id).await?;
//! let error = client.submit(MAIL, &"another".to_owned()).id(id).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Conflict);
//! # Ok(()) }
//! ```
//!
//! # Looking at it
//!
//! [`JobHandle::output`] waits for what the handler returns; [`Client::get`], [`Client::list`] and [`Client::counts`] look at jobs as they
//! stand; [`Client::explain`] says why one is not running, in words. [`Client::cancel`] and [`Client::retry`] change what happens to it.
//!
//! ```
//! # use jobbers_core::{client::Client, task::Task};
//! # const MAIL: Task<String> = Task::new("mail.send").queue("mail");
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
//! # let client = Client::new(&jobbers_core::memory::open());
//! let job = client.submit(MAIL, &"hello".to_owned()).await?;
//! assert!(job.explain().await?.reason.starts_with("it waits in queue mail for a free slot"));
//! job.cancel("not needed").await?;
//! let error = job.output().await.unwrap_err();
//! assert!(error.to_string().contains("is cancelled"));
//! # Ok(()) }
//! ```
//!
//! # Many, and one behind them
//!
//! [`Client::submit_all`] sends many jobs in a few round trips. [`Client::map_join`] runs one task over a list, and another behind all of
//! it, as one run.

mod committer;
mod content;
mod control;
mod explain;
mod handle;
mod map;
mod options;
mod run;
mod submit;
mod trace;
mod view;
mod wait;
mod words;

pub(crate) use committer::Pending;
pub use committer::{Committer, GATHERED_BYTES_MAX, Patience, Settled};
pub use control::{CANCEL_GRACE, Cancelled};
pub use explain::{Explanation, ParentCounts, RunningAttempt, UnendedParent};
pub use handle::JobHandle;
pub use map::{MAP_WINDOW, MapJoin};
pub use run::{CancelledRun, MapView, RunHandle, RunView};
pub use submit::Submit;
pub(crate) use trace::current as current_trace;
pub use view::{AttemptView, JobView, Jobs, ProgressView, StopView};

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::driver::{Backend, Count, Filter, Page};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Ids, JobId, RunId, SmallText};
use crate::machine::{Job, Moment};
use crate::patience::CALL_WAIT_MAX;
use crate::record::Record;

/// How long a client tries to reach its store before it gives up, unless [`Client::patience`] says otherwise: a server that restarts is
/// back by then.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two tries of a read; a read is cheap and harmless to repeat.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Submits jobs to a backend, waits for them, and looks at them. Cheap to clone; clones share round trips.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    patience: Duration,
    by: SmallText,
}

#[derive(Debug)]
struct Shared {
    backend: Backend,
    committer: Committer,
    ids: Ids,
}

impl Client {
    /// Makes a client of a backend.
    pub fn new(backend: &Backend) -> Client {
        let (backend, committer) = (backend.clone(), Committer::start(backend));
        let shared = Shared { backend, committer, ids: Ids::default() };
        Client { shared: Arc::new(shared), patience: PATIENCE, by: SmallText::new("client") }
    }

    /// The same client, which tries for so long to reach its store; [`PATIENCE`] by default.
    #[must_use]
    pub fn patience(self, most: Duration) -> Client {
        Client { patience: most, ..self }
    }

    /// The same client under a name: it is written to what this client cancels. `client` by default.
    #[must_use]
    pub fn acting_as(self, name: &str) -> Client {
        Client { by: SmallText::new(name), ..self }
    }

    /// The backend.
    pub fn backend(&self) -> &Backend {
        &self.shared.backend
    }

    /// A handle of a job that was submitted before, here or elsewhere. Whether it exists is not looked at.
    ///
    /// ```
    /// use jobbers_core::RunId;
    /// # let client = jobbers_core::client::Client::new(&jobbers_core::memory::open());
    /// let id: RunId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse()?;
    /// let job = client.handle::<u64>(id);
    /// assert_eq!(job.id().run, id);
    /// # Ok::<(), jobbers_core::Error>(())
    /// ```
    pub fn handle<O>(&self, id: impl Into<JobId>) -> JobHandle<O> {
        JobHandle::new(self.clone(), id.into())
    }

    /// A job as it stands; `None` if there is none with this id.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What the store says, once the client's patience is over; [`ErrorKind::Damaged`] if the record can not be read.
    pub async fn get(&self, id: impl Into<JobId>) -> Result<Option<JobView>> {
        let id = id.into();
        self.load(id).await?.map(|record| JobView::read(id, record)).transpose()
    }

    /// One page of the jobs of a state: ends newest first, Scheduled by time, others by their submit.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] without [`Capability::List`](crate::driver::Capability::List); what the store says.
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task};
    /// use jobbers_core::driver::{Filter, Page};
    /// use jobbers_core::record::JobState;
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// client.submit(MAIL, &"hello".to_owned()).await?;
    /// let ready = Filter { state: JobState::Ready, queue: None, task: None };
    /// let page = client.list(&ready, &Page { after: None, limit: 100 }).await?;
    /// assert_eq!(page.jobs[0].task.as_str(), "mail.send");
    /// # Ok(()) }
    /// ```
    pub async fn list(&self, filter: &Filter, page: &Page) -> Result<Jobs> {
        let store = self.backend().store();
        self.read(|| store.list(filter, page)).await.map(Jobs::read)
    }

    /// How many jobs there are in each (queue, state).
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What the store says.
    pub async fn counts(&self) -> Result<Vec<Count>> {
        let store = self.backend().store();
        self.read(|| store.counts()).await
    }

    /// Waits until the commits under way have their answers, and refuses further ones, of its clones too.
    ///
    /// Cancel safe: what is under way goes on.
    pub async fn close(&self) {
        self.shared.committer.close().await;
    }

    fn moment(&self) -> Moment {
        let backend = self.backend();
        Moment { now: backend.clock().now(), draw: backend.draws().draw(), dispatch: backend.dispatch() }
    }

    fn next_run(&self) -> RunId {
        let backend = self.backend();
        self.shared.ids.run(backend.clock().now(), backend.draws().wide())
    }

    fn patience_from_now(&self) -> Patience {
        Patience::within(self.patience)
    }

    /// Reads, again and again while that may help and patience lasts.
    async fn read<T, F: Future<Output = Result<T>>>(&self, mut once: impl FnMut() -> F) -> Result<T> {
        let until = Instant::now().checked_add(self.patience);
        loop {
            // A store that never answers takes no longer than one that says so.
            let most = until.map_or(CALL_WAIT_MAX, |until| until.saturating_duration_since(Instant::now()).min(CALL_WAIT_MAX));
            match tokio::time::timeout(most, once()).await.unwrap_or_else(|_| Err(self.silent())) {
                Err(error) if error.is_transient() && until.is_none_or(|until| Instant::now() + READ_PAUSE < until) => {
                    tracing::debug!(%error, "a read is tried again");
                    tokio::time::sleep(READ_PAUSE).await;
                }
                done => return done,
            }
        }
    }

    fn silent(&self) -> Error {
        let why = format!("{}: no answer within the client's patience; is the backend reachable?", self.backend().location());
        Error::new(ErrorKind::TimedOut, "read from a backend", why)
    }

    async fn load(&self, id: JobId) -> Result<Option<Record>> {
        let mut records = self.load_all(&[id]).await?;
        Ok(records.pop().flatten())
    }

    /// Loads at most [`CALL_JOBS_MAX`](crate::driver::CALL_JOBS_MAX) records.
    async fn load_all(&self, ids: &[JobId]) -> Result<Vec<Option<Record>>> {
        let store = self.backend().store();
        self.read(move || async move { store.load(ids).await.into_iter().collect() }).await
    }

    /// A job that has to be there.
    async fn job(&self, op: &'static str, id: JobId) -> Result<Job> {
        match self.load(id).await? {
            Some(record) => Job::read(id, record),
            None => Err(self.not_found(op, id)),
        }
    }

    fn not_found(&self, op: &'static str, id: JobId) -> Error {
        let at = self.backend().location();
        Error::new(
            ErrorKind::NotFound,
            op,
            format!("there is no job {id} at {at}; was it submitted there, and is its end not long forgotten?"),
        )
    }
}

#[cfg(test)]
mod tests;
