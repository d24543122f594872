//! Submits: one job, or many.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use ::bytes::Bytes;
use serde::Serialize;

use super::committer::Pending;
use super::content::Content;
use super::options::{Options, Times, When};
use super::{Client, JobHandle, Settled, trace};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, QueueName, RunId, SmallText};
use crate::machine::{self, Job, Submission};
use crate::record::{Head, Priority, ReadyWhen, Revision, Spec};
use crate::task::payload::{self, Payload};
use crate::task::{CheckedTask, Task, TaskDef};
use crate::telemetry::{Count, tally};
use crate::time::Timestamp;

/// Submits of one [`Client::submit_each`] that are under way at a time: enough for two full store calls.
const UNDER_WAY_COUNT_MAX: usize = 600;

impl Client {
    /// Submits a job: `.await` it, or say more first.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use jobbers_core::{client::Client, task::Task, RunId};
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let now = client.submit(MAIL, &"hello".to_owned()).await?;
    /// let later = client.submit(MAIL, &"hello".to_owned()).delay(Duration::from_secs(60)).queue("bulk").await?;
    ///
    /// // With an id of its own it can be sent again safely: the same content is the same job.
    /// let id = RunId::derived(&["order", "4711", "confirmation"]);
    /// let first = client.submit(MAIL, &"order 4711".to_owned()).id(id).await?;
    /// let second = client.submit(MAIL, &"order 4711".to_owned()).id(id).await?;
    /// assert_eq!(first.id(), second.id());
    /// # Ok(()) }
    /// ```
    pub fn submit<P: Serialize, O>(&self, task: Task<P, O>, parameters: &P) -> Submit<O> {
        let def = *task.def();
        Submit {
            client: self.clone(),
            def,
            parameters: payload::encode_parameters(def.codec, def.name, parameters),
            run: self.next_run(),
            options: Options::default(),
            output: PhantomData,
        }
    }

    /// Submits a job for each of `parameters`, and answers for each, in their order. They share round trips.
    ///
    /// Not cancel safe: dropped, any of them may have been submitted. To be able to send them again, give them ids with
    /// [`submit_each`](Client::submit_each).
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task};
    /// # const MAIL: Task<String> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let answers = client.submit_all(MAIL, ["anna", "ben"].map(String::from)).await;
    /// assert!(answers.iter().all(|answer| answer.is_ok()));
    /// # Ok(()) }
    /// ```
    pub async fn submit_all<P, O, I>(&self, task: Task<P, O>, parameters: I) -> Vec<Result<JobHandle<O>>>
    where
        P: Serialize,
        I: IntoIterator<Item: Borrow<P>>,
    {
        self.submit_each(parameters.into_iter().map(|parameters| self.submit(task, parameters.borrow()))).await
    }

    /// Sends submits that were made before, with ids and options of their own, and answers for each, in their order.
    ///
    /// Not cancel safe: dropped, any of them may have been submitted; their ids tell.
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task, RunId};
    /// # const MAIL: Task<u32> = Task::new("mail.send");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let order = |n: u32| client.submit(MAIL, &n).id(RunId::derived(&["order", &n.to_string()]));
    /// assert_eq!(client.submit_each([1, 2].map(order)).await.len(), 2);
    /// # Ok(()) }
    /// ```
    pub async fn submit_each<O>(&self, submits: impl IntoIterator<Item = Submit<O>>) -> Vec<Result<JobHandle<O>>> {
        let (mut answers, mut under_way) = (Vec::new(), VecDeque::new());
        for submit in submits {
            if under_way.len() >= UNDER_WAY_COUNT_MAX {
                answers.push(finish(under_way.pop_front()).await);
            }
            under_way.push_back(match submit.prepare() {
                Ok(prepared) => prepared.send().await,
                Err(error) => Err(error),
            });
        }
        while !under_way.is_empty() {
            answers.push(finish(under_way.pop_front()).await);
        }
        answers
    }
}

async fn finish<O>(sent: Option<Result<Sent<O>>>) -> Result<JobHandle<O>> {
    sent.expect("the caller saw that there is one")?.finish().await
}

/// A submit that is being put together; `.await` sends it.
///
/// Its id is made at once, so that it is known before the first try. An answer that was lost is asked for again by itself, for as long as
/// the client's [`patience`](Client::patience) lasts; the same id with the same content is the same job.
///
/// Not cancel safe: a submit whose future was dropped may still be applied; [`job_id`](Submit::job_id) tells where to look, and sending the
/// same again is safe.
///
/// # Errors
/// - [`ErrorKind::Invalid`]: a name, a time or the parameters break a rule (they may be 512 KiB, encoded).
/// - [`ErrorKind::Conflict`]: the id is taken by other content.
/// - Others: what the store says once patience is over. If [`Error::outcome_unknown`], it may have been submitted.
#[derive(Debug)]
#[must_use = "a submit does nothing until it is awaited"]
pub struct Submit<O> {
    client: Client,
    def: TaskDef,
    parameters: Result<Bytes>,
    run: RunId,
    options: Options,
    output: PhantomData<fn() -> O>,
}

impl<O> Submit<O> {
    /// Sets the id; one is made otherwise.
    pub fn id(mut self, run: RunId) -> Submit<O> {
        self.run = run;
        self
    }

    /// The id that the job will have.
    pub fn job_id(&self) -> JobId {
        self.run.into()
    }

    /// Sets the queue; the task's by default.
    pub fn queue(mut self, queue: &str) -> Submit<O> {
        self.options.queue = Some(queue.to_owned());
        self
    }

    /// Sets the level in the queue; the task's by default.
    pub fn priority(mut self, priority: Priority) -> Submit<O> {
        self.options.priority = Some(priority);
        self
    }

    /// Starts the job no earlier than after that time; at once by default.
    pub fn delay(mut self, delay: Duration) -> Submit<O> {
        self.options.start = Some(When::After(delay));
        self
    }

    /// Starts the job no earlier than at that time; a time in the past is now.
    pub fn run_at(mut self, at: Timestamp) -> Submit<O> {
        self.options.start = Some(When::At(at));
        self
    }

    /// Gives the job up if no attempt has started after that time; the task's by default.
    pub fn expires_after(mut self, after: Duration) -> Submit<O> {
        self.options.expiry = Some(When::After(after));
        self
    }

    /// Gives the job up if no attempt has started by that time.
    pub fn expires_at(mut self, at: Timestamp) -> Submit<O> {
        self.options.expiry = Some(When::At(at));
        self
    }

    /// Gives the job up after that time, whatever it is doing; the task's by default.
    pub fn deadline_after(mut self, after: Duration) -> Submit<O> {
        self.options.deadline = Some(When::After(after));
        self
    }

    /// Gives the job up at that time, whatever it is doing.
    pub fn deadline(mut self, at: Timestamp) -> Submit<O> {
        self.options.deadline = Some(When::At(at));
        self
    }

    /// Replaces the ended lone job with this id that stands at that revision ([`JobView::revision`](super::JobView::revision)); refused, as a
    /// conflict, if it does not.
    pub fn over(mut self, revision: Revision) -> Submit<O> {
        self.options.over = Some(revision);
        self
    }

    fn prepare(self) -> Result<Prepared<O>> {
        let def = self.def;
        let parameters = self.parameters?;
        let CheckedTask { task, queue } = def.checked()?;
        let queue = self.options.queue.as_deref().map_or(Ok(queue), QueueName::new)?;
        let content = Content { task, version: def.version, queue, options: self.options.text() };
        let now = self.client.backend().clock().now();
        let Times { run_at, expires_at, deadline } = self.options.times(&def, now)?;
        let spec = Spec {
            content_type: SmallText::new(def.codec.content_type()),
            digest: content.digest(&parameters),
            parameters,
            retry: def.retry,
            attempt_timeout: def.attempt_timeout,
            heartbeat_every: def.heartbeat_every,
            on_stop: def.on_stop,
            expires_at,
            deadline,
            trace: trace::current(),
            ..Spec::default()
        };
        let submission = Submission {
            id: self.run.into(),
            task: content.task.clone(),
            version: content.version,
            queue: content.queue.clone(),
            priority: self.options.priority.unwrap_or(def.priority),
            limits: Vec::new(),
            run_at,
            remaining: 0,
            ready_when: ReadyWhen::AllEnded,
            spec,
        };
        Ok(Prepared { client: self.client, content, submission, over: self.options.over, output: PhantomData })
    }
}

impl<O: 'static> IntoFuture for Submit<O> {
    type Output = Result<JobHandle<O>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<JobHandle<O>>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.prepare()?.send().await?.finish().await })
    }
}

/// A checked submit.
struct Prepared<O> {
    client: Client,
    content: Content,
    submission: Submission,
    over: Option<Revision>,
    output: PhantomData<fn() -> O>,
}

impl<O> Prepared<O> {
    async fn send(self) -> Result<Sent<O>> {
        let commit = machine::submit(&self.submission, self.over, &self.client.moment());
        match self.client.shared.committer.enqueue(commit, self.client.patience_from_now()).await {
            Ok(pending) => Ok(Sent { prepared: self, pending }),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: Error) -> Error {
        let Submission { id, task, version, queue, .. } = &self.submission;
        let advice = if error.outcome_unknown() { "it may be there; submit it again with the same id" } else { "it is not there" };
        let why = format!("{task}@{version} as {id} to queue {queue} at {}: {advice}", self.client.backend().location());
        let wrapped = Error::new(error.kind(), "submit a job", why);
        let wrapped = if error.outcome_unknown() { wrapped.with_outcome_unknown() } else { wrapped };
        wrapped.with_source(error)
    }
}

/// A submit that is under way.
struct Sent<O> {
    prepared: Prepared<O>,
    pending: Pending,
}

impl<O> Sent<O> {
    async fn finish(self) -> Result<JobHandle<O>> {
        let Sent { prepared, pending } = self;
        let Prepared { client, submission: Submission { id, task, queue, .. }, .. } = &prepared;
        let settled = match pending.settled(&client.shared.committer).await {
            Ok(Settled::Applied { .. } | Settled::AppliedBefore) => Ok(Count::SubmitNew),
            Ok(Settled::Conflict { current, .. }) => prepared.taken(current.as_deref()).await,
            Err(error) => Err(prepared.failed(error)),
        };
        let outcome = match &settled {
            Ok(outcome) => *outcome,
            Err(error) if error.kind() == ErrorKind::Conflict => Count::SubmitConflict,
            Err(_) => Count::SubmitFailed,
        };
        tally(queue, task, |tally| tally.count(outcome));
        settled.map(|_| JobHandle::new(client.clone(), *id))
    }
}

impl<O> Prepared<O> {
    /// The id is taken: by the same, or by something else?
    async fn taken(&self, current: Option<&Head>) -> Result<Count> {
        let id = self.submission.id;
        if let Some(over) = self.over {
            let found = current.map_or("there is no such job".to_owned(), |head| format!("it is {} at {:?}", head.state, head.revision));
            let why = format!("{id} was to be replaced as it ended at {over:?}, but {found}; load it again");
            return Err(Error::new(ErrorKind::Conflict, "submit a job", why));
        }
        let stored: Job = self.client.job("submit a job", id).await?;
        let Spec { content_type, parameters, .. } = &self.submission.spec;
        let given = Payload::new(content_type.clone(), parameters.clone());
        if self.content.is_same(&given, &stored) { Ok(Count::SubmitSame) } else { Err(self.content.conflict(id, &stored)) }
    }
}
