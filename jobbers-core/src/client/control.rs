//! What an operator does to a job: cancel it, retry it.

use std::time::Duration;

use super::{Client, Settled};
use crate::driver::{Commit, Op};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::machine::{self, Job};
use crate::record::JobState;

/// How long a handler that is asked to stop may go on, unless the cancel says otherwise.
pub const CANCEL_GRACE: Duration = Duration::from_secs(30);

/// How often a change is decided anew because the job changed meanwhile: a job changes a few times a second at most.
const DECISIONS_MAX: u32 = 16;

/// What a cancel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cancelled {
    /// The job did not run: it is cancelled.
    Now,
    /// An attempt runs: it was asked to stop, and is cancelled when it does, unless it succeeds before.
    Asked,
}

impl Client {
    /// Cancels a job: at once if it does not run; otherwise its attempt is asked to stop, within [`CANCEL_GRACE`].
    ///
    /// Not cancel safe: a cancel whose future was dropped may still happen. It can be sent again.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] if it has ended, with the state; [`ErrorKind::NotFound`] if there is none; what the store says.
    ///
    /// ```
    /// # use jobbers_core::{client::{Cancelled, Client}, task::Task, ErrorKind};
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let job = client.submit(MAIL, &"hello".to_owned()).await?;
    /// assert_eq!(client.cancel(job.id(), "not needed").await?, Cancelled::Now);
    /// let error = client.cancel(job.id(), "not needed").await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WrongState);
    /// # Ok(()) }
    /// ```
    pub async fn cancel(&self, id: impl Into<JobId>, why: &str) -> Result<Cancelled> {
        self.cancel_within(id, why, CANCEL_GRACE).await
    }

    /// Cancels a job as [`cancel`](Client::cancel) does; an attempt that runs may go on for `grace` from when it is told.
    ///
    /// Not cancel safe, as [`cancel`](Client::cancel).
    ///
    /// # Errors
    /// As [`cancel`](Client::cancel).
    pub async fn cancel_within(&self, id: impl Into<JobId>, why: &str, grace: Duration) -> Result<Cancelled> {
        let id = id.into();
        let mut asked = false;
        for _ in 0..DECISIONS_MAX {
            let job = self.job("cancel a job", id).await?;
            let Some(commit) = machine::cancel(&job, self.by.as_str(), why, grace, &self.moment()) else {
                // The mark of an ask whose answer was lost may have done it.
                return if asked && job.record.head.state == JobState::Cancelled { Ok(Cancelled::Now) } else { Err(ended_before(&job)) };
            };
            let asks = matches!(commit.ops.as_slice(), [Op::AskToStop { .. }]);
            asked |= asks;
            match self.send("cancel a job", id, commit).await? {
                Settled::Applied { .. } | Settled::AppliedBefore if asks => return Ok(Cancelled::Asked),
                Settled::Applied { .. } | Settled::AppliedBefore => return Ok(Cancelled::Now),
                Settled::Conflict { .. } => {}
            }
        }
        Err(restless("cancel a job", id))
    }

    /// Makes a dead or cancelled job ready again: failures count anew, the trail keeps the old attempts.
    ///
    /// Not cancel safe: a retry whose future was dropped may still happen. It can be sent again.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] if it is in another state, or a step of a workflow; [`ErrorKind::NotFound`] if there is none; what the store
    /// says.
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task, ErrorKind};
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let job = client.submit(MAIL, &"hello".to_owned()).await?;
    /// job.cancel("by mistake").await?;
    /// client.retry(job.id()).await?;
    /// assert_eq!(client.retry(job.id()).await.unwrap_err().kind(), ErrorKind::WrongState);
    /// # Ok(()) }
    /// ```
    pub async fn retry(&self, id: impl Into<JobId>) -> Result<()> {
        let id = id.into();
        let job = self.job("retry a job", id).await?;
        let commit = machine::retry(&job, &self.moment())?;
        match self.send("retry a job", id, commit).await? {
            Settled::Applied { .. } | Settled::AppliedBefore => Ok(()),
            // Only a retry leaves an end: this one, whose answer was lost, or somebody else's at the same time.
            Settled::Conflict { current: Some(head), .. } if head.revision.count > job.record.head.revision.count => Ok(()),
            Settled::Conflict { .. } => Err(self.not_found("retry a job", id)),
        }
    }

    /// Sends a commit that changes a job.
    pub(super) async fn send(&self, op: &'static str, id: JobId, commit: Commit) -> Result<Settled> {
        self.shared.committer.commit(commit, self.patience_from_now()).await.map_err(|error| {
            let advice = if error.outcome_unknown() { "it may have happened; look, or send it again" } else { "nothing has changed" };
            let wrapped = Error::new(error.kind(), op, format!("job {id} at {}: {advice}", self.backend().location()));
            let wrapped = if error.outcome_unknown() { wrapped.with_outcome_unknown() } else { wrapped };
            wrapped.with_source(error)
        })
    }
}

fn ended_before(job: &Job) -> Error {
    let (head, why) = (&job.record.head, job.trail.why.as_str());
    let at = head.ended_at.map_or(String::new(), |at| format!(" since {at}"));
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let context = format!("job {}, {}@{}, is {}{at}{why}; an ended job can not be cancelled", job.id, head.task, head.version, head.state);
    Error::new(ErrorKind::WrongState, "cancel a job", context)
}

fn restless(op: &'static str, id: JobId) -> Error {
    let why = format!("job {id} changed {DECISIONS_MAX} times in between; try again");
    Error::new(ErrorKind::Unavailable, op, why)
}
