//! Gathers the commits of concurrent callers into shared store calls, and settles those whose outcome is not known.

mod flights;
mod gather;
mod settle;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::gather::{Call, Gatherer};
use crate::driver::{Backend, CALL_JOBS_MAX, Commit};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, RunId};
use crate::record::{Head, Record};

/// Most bytes of changed parts that are sent together: a call of that size ends within milliseconds on every driver. One commit that is
/// larger goes alone.
pub const GATHERED_BYTES_MAX: usize = 256 * 1024;

/// Calls that wait in the channel: two full store calls, so that the next is there when one returns. More callers wait for room.
const CALLS_COUNT_MAX: usize = 2 * CALL_JOBS_MAX;

/// How long a caller lets its commit be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until this moment.
    Until(Instant),
    /// Until the store has answered: for ends, which are kept until it has.
    Forever,
}

impl Patience {
    /// From now on for that long.
    pub fn within(most: Duration) -> Patience {
        Instant::now().checked_add(most).map_or(Patience::Forever, Patience::Until)
    }

    fn covers(self, at: Instant) -> bool {
        match self {
            Patience::Until(until) => at < until,
            Patience::Forever => true,
        }
    }
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was applied by the call that answered.
    Applied {
        /// Jobs that a Release claimed, as stored.
        claimed: Vec<(JobId, Record)>,
    },
    /// It had been applied by a call whose answer was lost: its nonce stands there. What it claimed has to be asked from
    /// [`StateStore::owned`](crate::driver::StateStore::owned).
    AppliedBefore,
    /// It was refused: the job of the operation that was, and what stands there.
    Conflict {
        /// The job.
        id: JobId,
        /// The stored head, if there is one.
        current: Option<Box<Head>>,
    },
}

/// Sends the commits of concurrent callers together.
///
/// What gathered while the last call was in flight goes out as one: no timer, and no latency added to a lone commit. Where many wait that make
/// no job ready, and that share no job with the call under way, a second call goes out beside it. A commit whose outcome
/// is unknown, or whose store can not be reached, is sent again unchanged, with a growing pause, until its caller's patience is over; its
/// nonce tells whether an earlier try was applied. Where the caller dispatches, jobs that turned Ready are pushed (for at most 1 s; a record
/// whose push failed has a timer of its own). Each applied commit that ends a job or sets a timer rings [`Backend::bell`].
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::client::{Committer, Patience, Settled};
/// use jobbers_core::driver::{Commit, Op};
/// use jobbers_core::record::Record;
/// use jobbers_core::{JobId, RunId};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
/// # let backend = jobbers_core::memory::open();
/// let committer = Committer::start(&backend);
/// let id = JobId::from(RunId::from_u128(7));
/// let commit = Commit { run: id.run, nonce: 42, ops: vec![Op::Insert { id, record: Record::default(), over: None }] };
/// let settled = committer.commit(commit, Patience::within(Duration::from_secs(10))).await?;
/// assert_eq!(settled, Settled::Applied { claimed: vec![] });
/// committer.close().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Committer {
    backend: Backend,
    line: Mutex<Line>,
}

#[derive(Debug)]
enum Line {
    /// Nobody has committed yet, so there may be no runtime yet.
    Idle,
    Open {
        calls: mpsc::Sender<Call>,
        gatherer: JoinHandle<()>,
    },
    Closed,
    Abandoned,
}

impl Committer {
    /// Makes a committer. Its one tokio task is spawned by the first commit, on that caller's runtime, and by the next one anew should that
    /// runtime have ended.
    pub fn start(backend: &Backend) -> Committer {
        Committer { backend: backend.clone(), line: Mutex::new(Line::Idle) }
    }

    /// Sends a commit, and answers once the store has.
    ///
    /// Not cancel safe: a dropped future's commit may still be applied; its nonce tells.
    ///
    /// # Errors
    /// What the store says, once it is not transient or the patience is over; [`Error::outcome_unknown`] if any try may have been applied.
    /// [`ErrorKind::Stopped`] after [`close`](Committer::close).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn commit(&self, commit: Commit, patience: Patience) -> Result<Settled> {
        self.enqueue(commit, patience).await?.settled(self).await
    }

    /// Hands a commit over, and waits only for room: several can be under way at once. Not cancel safe, as [`commit`](Committer::commit).
    pub(crate) async fn enqueue(&self, commit: Commit, patience: Patience) -> Result<Pending> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending { run: commit.run, patience, answer };
        let mut call = Call::new(commit, patience, reply);
        loop {
            let (calls, unsent) = match self.offer(call, &pending)? {
                None => return Ok(pending),
                Some(full) => full,
            };
            match within(patience, calls.send(unsent)).await {
                None => return Err(pending.impatient(self)),
                Some(Ok(())) => return Ok(pending),
                // The runtime that the gatherer ran on has ended; the commit was not sent.
                Some(Err(mpsc::error::SendError(unsent))) => call = unsent,
            }
        }
    }

    /// Hands a call over; gives it back, with where to wait, while there is no room.
    fn offer(&self, call: Call, pending: &Pending) -> Result<Option<(mpsc::Sender<Call>, Call)>> {
        let mut line = self.lock();
        let call = match &*line {
            Line::Open { calls, .. } => match calls.try_send(call) {
                Ok(()) => return Ok(None),
                Err(TrySendError::Full(unsent)) => return Ok(Some((calls.clone(), unsent))),
                Err(TrySendError::Closed(unsent)) => unsent,
            },
            Line::Closed | Line::Abandoned => {
                let why = format!("{}: it was closed; make another client", pending.what(self));
                return Err(Error::new(ErrorKind::Stopped, "commit", why));
            }
            Line::Idle => call,
        };
        let (calls, received) = mpsc::channel(CALLS_COUNT_MAX);
        let gatherer = tokio::spawn(Gatherer::new(self.backend.clone(), received).run());
        *line = Line::Open { calls: calls.clone(), gatherer };
        Ok(Some((calls, call)))
    }

    /// Refuses further commits, and waits for none: those under way are answered with an error at once, and may still be applied.
    pub(crate) fn abandon(&self) {
        if let Line::Open { gatherer, .. } = std::mem::replace(&mut *self.lock(), Line::Abandoned) {
            gatherer.abort();
        }
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(*self.lock(), Line::Abandoned)
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses further commits, waits until those under way have their answers, and joins the task.
    ///
    /// Cancel safe: what is under way goes on, and the task ends by itself.
    pub async fn close(&self) {
        let line = std::mem::replace(&mut *self.lock(), Line::Closed);
        if let Line::Open { calls, gatherer } = line {
            drop(calls);
            if let Err(error) = gatherer.await {
                tracing::error!(%error, "the task that gathers commits ended badly");
            }
        }
    }
}

/// A commit that is under way. Dropped, it may still be applied.
#[derive(Debug)]
pub(crate) struct Pending {
    run: RunId,
    patience: Patience,
    answer: oneshot::Receiver<Result<Settled>>,
}

impl Pending {
    pub(crate) async fn settled(mut self, committer: &Committer) -> Result<Settled> {
        match within(self.patience, &mut self.answer).await {
            Some(Ok(settled)) => settled,
            Some(Err(_)) => Err(Error::new(
                ErrorKind::Stopped,
                "commit",
                format!("{}: the runtime that sent it has ended; send it again with the same id", self.what(committer)),
            )
            .with_outcome_unknown()),
            None => Err(self.impatient(committer)),
        }
    }

    fn what(&self, committer: &Committer) -> String {
        format!("run {} at {}", self.run, committer.backend.location())
    }

    fn impatient(&self, committer: &Committer) -> Error {
        let what = self.what(committer);
        let why = format!("{what}: no answer within its caller's patience; is the backend reachable? Send it again with the same id");
        Error::new(ErrorKind::TimedOut, "commit", why).with_outcome_unknown()
    }
}

async fn within<T>(patience: Patience, future: impl Future<Output = T>) -> Option<T> {
    match patience {
        // The gatherer answers with the store's own error when the patience ends between two tries: it is given a moment to do so.
        Patience::Until(until) => timeout_at(until + Duration::from_millis(50), future).await.ok(),
        Patience::Forever => Some(future.await),
    }
}
