//! Jobs as people and programs look at them: records, decoded.

use serde::Serialize;

use super::words::{self, shown, shown_each, shown_some};
use crate::driver::{Cursor, Listing};
use crate::error::{Error, Result};
use crate::id::{JobId, QueueName, SmallText, TaskName, WorkerId};
use crate::machine::Job;
use crate::record::{
    AttemptEnd, Cause, Head, JobState, LimitKey, PastAttempt, Priority, Progress, Record, Revision, Spec, Stop, decode_versioned,
};
use crate::task::payload::Payload;
use crate::time::Timestamp;

/// A job as it stood when it was loaded.
///
/// Its JSON has ids and names as text, times as RFC 3339, parameters and output as the values that they are.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobView {
    /// Its id.
    #[serde(serialize_with = "shown")]
    pub id: JobId,
    /// Where it stands.
    #[serde(serialize_with = "shown")]
    pub state: JobState,
    /// Its task.
    #[serde(serialize_with = "shown")]
    pub task: TaskName,
    /// The task's version.
    pub version: u32,
    /// Its queue.
    #[serde(serialize_with = "shown")]
    pub queue: QueueName,
    /// Its level there.
    #[serde(serialize_with = "priority")]
    pub priority: Priority,
    /// When it was submitted.
    #[serde(serialize_with = "shown")]
    pub created_at: Timestamp,
    /// When its next timer comes: the end of a lease, a retry, an expiry.
    #[serde(serialize_with = "shown_some")]
    pub wake_at: Option<Timestamp>,
    /// When it ended.
    #[serde(serialize_with = "shown_some")]
    pub ended_at: Option<Timestamp>,
    /// Claims so far.
    pub attempt: u32,
    /// Failed attempts that count.
    pub failures: u32,
    /// Attempts lost with their worker that count.
    pub losses: u32,
    /// Who runs it.
    #[serde(serialize_with = "shown_some")]
    pub owner: Option<WorkerId>,
    /// Since when the attempt runs.
    #[serde(serialize_with = "shown_some")]
    pub started_at: Option<Timestamp>,
    /// What the attempt that runs last said of itself.
    pub progress: Option<ProgressView>,
    /// Who asked the attempt to stop.
    pub asked: Option<StopView>,
    /// The limit that it is held on.
    #[serde(serialize_with = "limit_key")]
    pub parked_on: Option<LimitKey>,
    /// Parents that have not ended.
    pub parents_left: u32,
    /// Why it ended, if otherwise than succeeded.
    #[serde(serialize_with = "cause")]
    pub cause: Option<Cause>,
    /// Words for that.
    #[serde(serialize_with = "shown")]
    pub why: SmallText,
    /// Attempts that ended, oldest first; the middle ones are forgotten.
    pub attempts: Vec<AttemptView>,
    /// How many were forgotten.
    pub attempts_forgotten: u32,
    /// When the whole job gives up.
    #[serde(serialize_with = "shown_some")]
    pub deadline: Option<Timestamp>,
    /// When it gives up if no attempt has started.
    #[serde(serialize_with = "shown_some")]
    pub expires_at: Option<Timestamp>,
    /// What it was submitted with.
    pub parameters: Payload,
    /// What its success returned; empty until then.
    pub output: Payload,
    /// For a map: items inserted so far.
    pub items_added: Option<u64>,
    /// What a change of it is checked against.
    #[serde(skip)]
    pub revision: Revision,
}

/// What an attempt said of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProgressView {
    /// Its step, as "resizing 3/9"; empty until it named one.
    #[serde(serialize_with = "shown")]
    pub step: SmallText,
    /// Since when it is there.
    #[serde(serialize_with = "shown_some")]
    pub step_at: Option<Timestamp>,
    /// Share done, from 0 to 1.
    pub share: Option<f64>,
    /// Its last sign of life.
    #[serde(serialize_with = "shown_some")]
    pub alive_at: Option<Timestamp>,
}

/// Who asked an attempt to stop.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StopView {
    /// Who.
    #[serde(serialize_with = "shown")]
    pub by: SmallText,
    /// Why.
    #[serde(serialize_with = "shown")]
    pub why: SmallText,
    /// When.
    #[serde(serialize_with = "shown")]
    pub at: Timestamp,
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttemptView {
    /// Its number.
    pub attempt: u32,
    /// How it ended.
    #[serde(serialize_with = "attempt_end")]
    pub how: AttemptEnd,
    /// Who ran it.
    #[serde(serialize_with = "shown_some")]
    pub worker: Option<WorkerId>,
    /// When it started.
    #[serde(serialize_with = "shown_some")]
    pub started_at: Option<Timestamp>,
    /// When it ended, or was found to have.
    #[serde(serialize_with = "shown")]
    pub ended_at: Timestamp,
    /// Its error and the causes of that, outermost first.
    #[serde(serialize_with = "shown_each")]
    pub errors: Vec<SmallText>,
    /// The step that it was last at.
    #[serde(serialize_with = "shown")]
    pub step: SmallText,
}

impl JobView {
    pub(super) fn read(id: JobId, record: Record) -> Result<JobView> {
        JobView::of(Job::read(id, record)?)
    }

    pub(super) fn of(job: Job) -> Result<JobView> {
        let Job { id, record, spec, trail } = job;
        let progress: Progress = decode_versioned(&record.progress)?;
        let Head { revision, state, task, version, queue, priority, attempt, owner, started_at, .. } = record.head;
        let Head { asked, parked_on, remaining, wake_at, created_at, ended_at, .. } = record.head;
        let Spec { parameters, content_type, deadline, expires_at, map, .. } = spec;
        let said = !record.progress.is_empty() && state == JobState::Running && progress.attempt == attempt;
        Ok(JobView {
            id,
            state,
            task,
            version,
            queue,
            priority,
            created_at,
            wake_at,
            ended_at,
            attempt,
            failures: trail.failures,
            losses: trail.losses,
            owner,
            started_at,
            progress: said.then(|| ProgressView::from(progress)),
            asked: asked.map(|stop| StopView::from(*stop)),
            parked_on: parked_on.map(|key| *key),
            parents_left: remaining,
            cause: trail.cause,
            why: trail.why,
            attempts: trail.attempts.into_iter().map(AttemptView::from).collect(),
            attempts_forgotten: trail.forgotten,
            deadline,
            expires_at,
            parameters: Payload::new(content_type.clone(), parameters),
            output: Payload::new(content_type, record.output),
            items_added: map.map(|plan| plan.cursor),
            revision,
        })
    }

    /// Why it ended otherwise than succeeded, in one line.
    pub(super) fn end_in_words(&self) -> String {
        let cause = self.cause.map_or("", words::cause);
        match (cause, self.why.as_str()) {
            ("", why) => why.to_owned(),
            (cause, "") => cause.to_owned(),
            (cause, why) => format!("{cause}: {why}"),
        }
    }
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> ProgressView {
        let Progress { step, step_at, permille, alive_at, .. } = progress;
        ProgressView { step, step_at, share: permille.map(|permille| f64::from(permille) / 1_000.0), alive_at }
    }
}

impl From<Stop> for StopView {
    fn from(stop: Stop) -> StopView {
        StopView { by: stop.by, why: stop.why, at: stop.at }
    }
}

impl From<PastAttempt> for AttemptView {
    fn from(past: PastAttempt) -> AttemptView {
        let PastAttempt { attempt, worker, started_at, ended_at, how, errors, step, .. } = past;
        AttemptView { attempt, how, worker, started_at, ended_at, errors, step }
    }
}

/// One page of a listing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Jobs {
    /// Jobs, in the state's order.
    pub jobs: Vec<JobView>,
    /// Jobs whose records can not be read; the others are not held up by them.
    pub damaged: Vec<(JobId, Error)>,
    /// Where the next page starts; `None`: there is none.
    pub next: Option<Cursor>,
}

impl Jobs {
    pub(super) fn read(listing: Listing) -> Jobs {
        let mut page = Jobs { jobs: Vec::with_capacity(listing.records.len()), damaged: Vec::new(), next: listing.next };
        for (id, record) in listing.records {
            match JobView::read(id, record) {
                Ok(job) => page.jobs.push(job),
                Err(error) => page.damaged.push((id, error)),
            }
        }
        page
    }
}

fn priority<S: serde::Serializer>(level: &Priority, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(words::priority(*level))
}

fn attempt_end<S: serde::Serializer>(how: &AttemptEnd, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(words::attempt_end(*how))
}

fn cause<S: serde::Serializer>(cause: &Option<Cause>, to: S) -> Result<S::Ok, S::Error> {
    shown_some(&cause.map(words::cause_code), to)
}

fn limit_key<S: serde::Serializer>(key: &Option<LimitKey>, to: S) -> Result<S::Ok, S::Error> {
    shown_some(&key.as_ref().map(words::limit_key), to)
}
