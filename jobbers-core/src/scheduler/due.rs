//! Due: jobs whose time has come.

use std::collections::HashMap;
use std::time::Duration;

use crate::client::{Committer, Patience, Settled};
use crate::driver::{Backend, CALL_JOBS_MAX, Commit, Dispatch, Op, Place};
use crate::error::{Error, Result};
use crate::id::{JobId, QueueName};
use crate::machine::{self, Job, PUSH_AGAIN_MAX};
use crate::record::{JobState, Parts, Record};
use crate::seldom::seldom;
use crate::time::Timestamp;
use crate::worker::{meters, moment};

/// How long what one scheduler was given is hidden from the others.
const HIDE: Duration = Duration::from_secs(5);
/// How long a record that does not decode is hidden.
const POISON_HIDE: Duration = Duration::from_secs(3600);
/// Unreadable records that are remembered, so that each is reported once: their number is in the metric.
const POISON_COUNT_MAX: usize = 1000;

/// What a look found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looked {
    /// Jobs on which it acted.
    pub(super) acted: usize,
    /// There may be more at once.
    pub(super) full: bool,
    /// When the next one comes.
    pub(super) next: Option<Timestamp>,
}

/// Looks at due jobs.
#[derive(Debug, Default)]
pub(super) struct DueLook {
    /// Unreadable records, and when each was last reported.
    reported: HashMap<JobId, Timestamp>,
}

impl DueLook {
    /// Acts on one batch of due jobs.
    ///
    /// # Errors
    /// What the store says to the look itself. A job that could not be acted on comes back after some seconds.
    pub(super) async fn look(&mut self, backend: &Backend, committer: &Committer) -> Result<Looked> {
        let now = backend.clock().now();
        let due = backend.store().due(now, now + HIDE, CALL_JOBS_MAX).await?;
        let looked = Looked { acted: 0, full: due.ids.len() >= CALL_JOBS_MAX, next: due.next };
        if due.ids.is_empty() {
            return Ok(looked);
        }
        let (mut commits, mut postponed) = (Vec::with_capacity(due.ids.len()), Vec::new());
        for (id, loaded) in due.ids.iter().zip(backend.store().load(&due.ids).await) {
            match loaded {
                Ok(None) => {}
                Ok(Some(record)) => match Job::read(*id, record.clone()) {
                    Ok(job) => commits.extend(machine::due(&job, &moment(backend)).map(|commit| (job, commit))),
                    Err(error) => {
                        self.report(*id, now, &error);
                        postponed.extend(hide(*id, record, now, backend));
                    }
                },
                Err(error) if error.is_transient() => tracing::debug!(%error, job = %id, "a due job was not loaded; it comes back"),
                Err(error) => self.report(*id, now, &error),
            }
        }
        let silent = self.silent(backend, &mut commits, now).await;
        let acted = send(committer, commits).await + silent.len();
        postponed.extend(silent);
        postpone(backend, postponed).await;
        Ok(Looked { acted, ..looked })
    }

    /// An unreadable record can not stop the loop: it is reported and counted, each hour anew.
    fn report(&mut self, id: JobId, now: Timestamp, error: &Error) {
        meters().poison();
        let last = self.reported.get(&id);
        if last.is_some_and(|last| now.since(*last) < POISON_HIDE) {
            return;
        }
        if self.reported.len() >= POISON_COUNT_MAX {
            self.reported.clear();
        }
        self.reported.insert(id, now);
        seldom!(error, %error, job = %id, "a due job is unreadable; nothing is done with it for an hour");
    }

    /// Takes out the ready jobs that need no second delivery: deliveries wait in their queue, so theirs most likely does. Their timers go
    /// on all the same. Of a queue that can not be asked they stay as they are: pushing there would fail too, and they are due again soon.
    async fn silent(&self, backend: &Backend, commits: &mut Vec<(Job, Commit)>, now: Timestamp) -> Vec<Commit> {
        let waits = |job: &Job, commit: &Commit| job.record.head.state == JobState::Ready && next_push(commit, now).is_some();
        if backend.dispatch() == Dispatch::Own || !commits.iter().any(|(job, commit)| waits(job, commit)) {
            return Vec::new();
        }
        let mut queues: Vec<QueueName> = commits.iter().map(|(job, _)| job.record.head.queue.clone()).collect();
        queues.sort_unstable();
        queues.dedup();
        let depths: HashMap<QueueName, u64> = match backend.queue().depth(&queues).await {
            Ok(depths) => queues.into_iter().zip(depths).collect(),
            Err(error) => {
                seldom!(warn, %error, "the queue can not be asked what waits in it; ready jobs are pushed again later");
                commits.retain(|(job, commit)| !waits(job, commit));
                return Vec::new();
            }
        };
        let filled = |job: &Job| depths.get(&job.record.head.queue).is_some_and(|depth| *depth > 0);
        let taken = commits.extract_if(.., |(job, commit)| {
            waits(job, commit) && filled(job) && next_push(commit, now).is_some_and(|pause| pause < PUSH_AGAIN_MAX)
        });
        taken.map(|(_, commit)| commit).collect()
    }
}

/// How long a job that stays ready sleeps after this commit; `None` if it does not stay ready.
fn next_push(commit: &Commit, now: Timestamp) -> Option<Duration> {
    match commit.ops.as_slice() {
        [Op::Update { record, .. }] if record.head.state == JobState::Ready => Some(record.head.wake_at?.since(now)),
        _ => None,
    }
}

/// Moves the timer of a record that nobody can read by an hour; everything else stays as it is.
fn hide(id: JobId, mut record: Record, now: Timestamp, backend: &Backend) -> Option<Commit> {
    // What an update of a ready job does beyond that is to deliver it again, an hour later again: nobody can run it.
    let expect = record.head.revision;
    record.head.wake_at = Some(now + POISON_HIDE);
    let update = Op::Update { id, expect, lapsed: Some(now), record, changed: Parts::NONE, place: Place::Back };
    Some(Commit { run: id.run, nonce: backend.draws().draw().nonce, ops: vec![update] })
}

/// Sends what changes jobs; answers on how many it acted.
async fn send(committer: &Committer, commits: Vec<(Job, Commit)>) -> usize {
    let (mut under_way, mut acted) = (Vec::with_capacity(commits.len()), 0);
    for (job, commit) in commits {
        under_way.push((job.id, committer.enqueue(commit, Patience::within(HIDE)).await));
    }
    for (id, sent) in under_way {
        let answer = match sent {
            Ok(pending) => pending.settled(committer).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Settled::Conflict { .. }) => meters().stale("due"),
            Ok(_) => acted += 1,
            Err(error) => seldom!(warn, %error, job = %id, "a due job was not acted on; it comes back"),
        }
    }
    acted
}

/// Commits what only moves timers. What fails is due again soon.
async fn postpone(backend: &Backend, commits: Vec<Commit>) {
    for commits in commits.chunks(CALL_JOBS_MAX) {
        for result in backend.store().commit(commits).await {
            if let Err(error) = result {
                seldom!(warn, %error, "a timer was not moved on; the job comes back");
            }
        }
    }
}
