//! Why a job is where it is.

mod reason;
mod text;

use serde::Serialize;

use super::view::{AttemptView, JobView, ProgressView, StopView};
use super::words::{shown, shown_some};
use super::{Client, words};
use crate::error::Result;
use crate::id::{JobId, QueueName, TaskName, WorkerId};
use crate::machine::Job;
use crate::record::JobState;
use crate::time::Timestamp;

impl Client {
    /// Why a job is where it is: in one sentence, and in fields. What it prints is made for whoever is on call.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such job; what the store says, once the client's patience is over.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use jobbers_core::{client::Client, task::Task};
    /// # const MAIL: Task<String> = Task::new("mail.send").queue("mail");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let job = client.submit(MAIL, &"hello".to_owned()).delay(Duration::from_secs(90)).await?;
    /// let explanation = client.explain(job.id()).await?;
    /// assert!(explanation.reason.starts_with("it was submitted to start at"));
    /// assert!(explanation.to_string().contains("is scheduled"));
    /// # Ok(()) }
    /// ```
    pub async fn explain(&self, id: impl Into<JobId>) -> Result<Explanation> {
        let id = id.into();
        let job = self.job("explain a job", id).await?;
        let queue = [job.record.head.queue.clone()];
        // A queue that can not be asked is no reason to say nothing.
        let depth = match job.record.head.state {
            JobState::Ready => self.backend().queue().depth(&queue).await.ok().and_then(|depths| depths.first().copied()),
            _ => None,
        };
        let unended = if job.record.head.state == JobState::Waiting { self.unended_parents(&job).await? } else { Vec::new() };
        Explanation::of(job, self.backend().clock().now(), depth, unended)
    }

    /// Some parents that have not ended: the first, of a bounded look. A parent that is a map stands for its items too.
    async fn unended_parents(&self, job: &Job) -> Result<Vec<UnendedParent>> {
        let steps = |first: u32, count: u64| (u64::from(first)..u64::from(first) + count).filter_map(|step| u32::try_from(step).ok());
        let mut next: Vec<u32> =
            job.spec.parents.iter().flat_map(|span| steps(span.first, span.count.into())).take(LOOK_PARENTS_MAX).collect();
        let mut unended = Vec::new();
        // Twice: parents, and the items of those that are maps.
        for _ in 0..2 {
            let ids: Vec<JobId> = std::mem::take(&mut next).into_iter().map(|step| JobId::new(job.id.run, step)).collect();
            if ids.is_empty() {
                break;
            }
            for (id, record) in ids.iter().zip(self.load_all(&ids).await?) {
                let Some(record) = record else { continue };
                let (state, parent) = (record.head.state, Job::read(*id, record)?);
                if !state.is_end() {
                    unended.push(UnendedParent { id: *id, state });
                }
                if let Some(plan) = parent.spec.map {
                    next.extend(steps(super::map::ITEMS_FIRST, plan.cursor).take(LOOK_PARENTS_MAX - next.len().min(LOOK_PARENTS_MAX)));
                }
            }
        }
        unended.truncate(UNENDED_PARENTS_MAX);
        Ok(unended)
    }
}

/// Parents that are looked at: one page.
const LOOK_PARENTS_MAX: usize = 256;
/// Unended parents that are named: enough to go on with.
const UNENDED_PARENTS_MAX: usize = 8;

/// Why a job is where it is.
///
/// It prints as a few lines of text; its JSON has the same fields, ids and times as text.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// When it was looked at.
    #[serde(serialize_with = "shown")]
    pub at: Timestamp,
    /// The job.
    #[serde(serialize_with = "shown")]
    pub id: JobId,
    /// Where it stands.
    #[serde(serialize_with = "shown")]
    pub state: JobState,
    /// Why it stands there, in one sentence.
    pub reason: String,
    /// What may help, where something does.
    pub advice: Option<String>,
    /// Since when it stands there, as far as is known.
    #[serde(serialize_with = "shown")]
    pub since: Timestamp,
    /// Its task.
    #[serde(serialize_with = "shown")]
    pub task: TaskName,
    /// The task's version.
    pub version: u32,
    /// Its queue.
    #[serde(serialize_with = "shown")]
    pub queue: QueueName,
    /// Its level there.
    pub priority: &'static str,
    /// Deliveries that wait in its queue, approximately; of a ready job.
    pub queue_depth: Option<u64>,
    /// When it was submitted.
    #[serde(serialize_with = "shown")]
    pub created_at: Timestamp,
    /// When something happens to it next, if nothing else does before.
    #[serde(serialize_with = "shown_some")]
    pub wake_at: Option<Timestamp>,
    /// When it gives up, whatever it is doing.
    #[serde(serialize_with = "shown_some")]
    pub deadline: Option<Timestamp>,
    /// When it gives up if no attempt has started.
    #[serde(serialize_with = "shown_some")]
    pub expires_at: Option<Timestamp>,
    /// Its parents, if it has any.
    pub parents: Option<ParentCounts>,
    /// The attempt that runs.
    pub running: Option<RunningAttempt>,
    /// Failed attempts that count, and the one that ends the job.
    pub failures: (u32, u32),
    /// Attempts lost with their worker that count, and the one that ends the job.
    pub losses: (u32, u32),
    /// Attempts that ended, oldest first; the middle ones are forgotten.
    pub attempts: Vec<AttemptView>,
    /// How many were forgotten.
    pub attempts_forgotten: u32,
}

/// How the parents of a job stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ParentCounts {
    /// They have not ended.
    pub left: u32,
    /// They succeeded.
    pub succeeded: u32,
    /// They ended dead or cancelled.
    pub failed: u32,
    /// They were skipped.
    pub skipped: u32,
    /// Which they are: `step 0`, `steps 3 to 9`.
    pub which: String,
    /// The first of those that have not ended; a map's items are among them.
    pub unended: Vec<UnendedParent>,
}

/// A parent that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnendedParent {
    /// Its id.
    #[serde(serialize_with = "shown")]
    pub id: JobId,
    /// Where it stands.
    #[serde(serialize_with = "shown")]
    pub state: JobState,
}

/// The attempt that runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningAttempt {
    /// Its number.
    pub attempt: u32,
    /// The worker that runs it.
    #[serde(serialize_with = "shown_some")]
    pub owner: Option<WorkerId>,
    /// Since when.
    #[serde(serialize_with = "shown_some")]
    pub started_at: Option<Timestamp>,
    /// When its lease ends, unless its worker renews it.
    #[serde(serialize_with = "shown_some")]
    pub lease_until: Option<Timestamp>,
    /// What it last said of itself.
    pub progress: Option<ProgressView>,
    /// Who asked it to stop.
    pub asked: Option<StopView>,
}

impl Explanation {
    fn of(job: Job, now: Timestamp, queue_depth: Option<u64>, unended: Vec<UnendedParent>) -> Result<Explanation> {
        let parents = parents(&job, unended);
        let (failures, losses) = ((job.trail.failures, job.spec.retry.failures_max), (job.trail.losses, job.spec.retry.losses_max));
        let reason::Reason { reason, advice } = reason::of(&job, now, queue_depth);
        let job = JobView::of(job)?;
        let last_end = job.attempts.last().map_or(job.created_at, |attempt| attempt.ended_at.max(job.created_at));
        let running = (job.state == JobState::Running).then_some(RunningAttempt {
            attempt: job.attempt,
            owner: job.owner,
            started_at: job.started_at,
            lease_until: job.wake_at,
            progress: job.progress,
            asked: job.asked,
        });
        Ok(Explanation {
            at: now,
            id: job.id,
            state: job.state,
            reason,
            advice,
            since: job.ended_at.or(job.started_at).unwrap_or(last_end),
            task: job.task,
            version: job.version,
            queue: job.queue,
            priority: words::priority(job.priority),
            queue_depth,
            created_at: job.created_at,
            wake_at: job.wake_at,
            deadline: job.deadline,
            expires_at: job.expires_at,
            parents,
            running,
            failures,
            losses,
            attempts: job.attempts,
            attempts_forgotten: job.attempts_forgotten,
        })
    }
}

fn parents(job: &Job, unended: Vec<UnendedParent>) -> Option<ParentCounts> {
    let head = &job.record.head;
    let which = |(first, count): (u32, u32)| match count {
        1 => format!("step {first}"),
        count => format!("steps {first} to {}", first.saturating_add(count - 1)),
    };
    let spans = job.spec.parents.iter().map(|span| (span.first, span.count)).filter(|(_, count)| *count > 0);
    let which: Vec<String> = spans.map(which).collect();
    (!which.is_empty()).then(|| ParentCounts {
        left: head.remaining,
        succeeded: head.succeeded,
        failed: head.failed,
        skipped: head.skipped,
        which: which.join(", "),
        unended,
    })
}
