//! Handle of one job.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Cancelled, Client, Explanation, JobView};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::record::JobState;
use crate::task::payload;

/// A job that was submitted: what a submit answers. Cheap to clone; dropping it does nothing to the job.
///
/// ```
/// # use jobbers_core::{client::Client, task::Task, record::JobState};
/// # const MAIL: Task<String> = Task::new("mail.send");
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
/// # let client = Client::new(&jobbers_core::memory::open());
/// let job = client.submit(MAIL, &"hello".to_owned()).await?;
/// assert_eq!(job.record().await?.state, JobState::Ready);
/// println!("{}", job.explain().await?);
/// job.cancel("the order was withdrawn").await?;
/// assert_eq!(job.ended().await?.state, JobState::Cancelled);
/// # Ok(()) }
/// ```
pub struct JobHandle<O> {
    client: Client,
    id: JobId,
    output: PhantomData<fn() -> O>,
}

impl<O> JobHandle<O> {
    pub(super) fn new(client: Client, id: JobId) -> JobHandle<O> {
        JobHandle { client, id, output: PhantomData }
    }

    /// The job's id: write it down to find the job again.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The job as it stands.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none; what the store says.
    pub async fn record(&self) -> Result<JobView> {
        self.client.get(self.id).await?.ok_or_else(|| self.client.not_found("get a job", self.id))
    }

    /// Why it is where it is, in words and fields.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`Client::explain`].
    pub async fn explain(&self) -> Result<Explanation> {
        self.client.explain(self.id).await
    }

    /// Cancels it; see [`Client::cancel`], also for what a dropped future leaves.
    ///
    /// # Errors
    /// As [`Client::cancel`].
    pub async fn cancel(&self, why: &str) -> Result<Cancelled> {
        self.client.cancel(self.id, why).await
    }

    /// Retries it; see [`Client::retry`], also for what a dropped future leaves.
    ///
    /// # Errors
    /// As [`Client::retry`].
    pub async fn retry(&self) -> Result<()> {
        self.client.retry(self.id).await
    }

    /// Waits until the job has ended, however.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such job; what the store says, once the client's patience is over.
    pub async fn ended(&self) -> Result<JobView> {
        self.client.ended("wait for a job", self.id, None).await
    }

    /// Waits until the job has ended, however, for at most that time.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`ended`](JobHandle::ended); [`ErrorKind::TimedOut`] with the state that was seen last.
    pub async fn ended_within(&self, most: Duration) -> Result<JobView> {
        self.client.ended("wait for a job", self.id, Instant::now().checked_add(most)).await
    }
}

impl<O: DeserializeOwned> JobHandle<O> {
    /// Waits for the output of the job's success.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// - [`ErrorKind::WrongState`] if it ended otherwise: dead, cancelled or skipped, with the cause.
    /// - [`ErrorKind::Invalid`] if the output is no `O`, with the path of the field.
    /// - As [`ended`](JobHandle::ended).
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task, worker::Worker};
    /// const ADD: Task<(u64, u64), u64> = Task::new("add");
    ///
    /// async fn add((a, b): (u64, u64)) -> jobbers_core::Result<u64> {
    ///     Ok(a + b)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let backend = jobbers_core::memory::open();
    /// let worker = Worker::queues(["default"]).task(ADD, add).start(&backend).await?;
    /// let job = Client::new(&backend).submit(ADD, &(1, 2)).await?;
    /// assert_eq!(job.output().await?, 3);
    /// worker.stop().await?;
    /// # Ok(()) }
    /// ```
    pub async fn output(&self) -> Result<O> {
        output_of(&self.ended().await?)
    }

    /// Waits for the output of the job's success, for at most that time.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`output`](JobHandle::output); [`ErrorKind::TimedOut`] with the state that was seen last.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use jobbers_core::{client::Client, task::Task, ErrorKind};
    /// # const ADD: Task<(u64, u64), u64> = Task::new("add");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let job = client.submit(ADD, &(1, 2)).await?;
    /// // No worker runs here.
    /// let error = job.output_within(Duration::from_millis(5)).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::TimedOut);
    /// assert!(error.to_string().contains("it was ready"));
    /// # Ok(()) }
    /// ```
    pub async fn output_within(&self, most: Duration) -> Result<O> {
        output_of(&self.ended_within(most).await?)
    }
}

fn output_of<O: DeserializeOwned>(job: &JobView) -> Result<O> {
    let named = format!("job {}, {}@{}", job.id, job.task, job.version);
    if job.state == JobState::Succeeded {
        return payload::decode_output(job.output.content_type(), &named, job.output.bytes());
    }
    let why = format!(
        "{named} is {} after {}: {}",
        job.state,
        super::words::counted(job.attempt.into(), "attempt", "attempts"),
        job.end_in_words()
    );
    Err(Error::new(ErrorKind::WrongState, "wait for an output", why))
}

impl<O> Clone for JobHandle<O> {
    fn clone(&self) -> JobHandle<O> {
        JobHandle::new(self.client.clone(), self.id)
    }
}

impl<O> fmt::Debug for JobHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobHandle").field(&self.id).finish()
    }
}
