//! The sentence: why a job stands where it does.

use std::time::Duration;

use crate::client::words;
use crate::machine::Job;
use crate::record::{AttemptEnd, JobState, PastAttempt};
use crate::time::Timestamp;

/// How long a job may wait for a slot or a scheduler before that is worth a word.
const LONG: Duration = Duration::from_secs(30);

/// A sentence, and what may help.
#[derive(Debug, PartialEq)]
pub(super) struct Reason {
    pub(super) reason: String,
    pub(super) advice: Option<String>,
}

pub(super) fn of(job: &Job, now: Timestamp, queue_depth: Option<u64>) -> Reason {
    match job.record.head.state {
        JobState::Waiting => waiting(job),
        JobState::Scheduled => scheduled(job, now),
        JobState::Ready => ready(job, now, queue_depth),
        JobState::Parked => parked(job, now),
        JobState::Running => running(job, now),
        JobState::Succeeded | JobState::Dead | JobState::Cancelled | JobState::Skipped => ended(job),
    }
}

fn plain(reason: String) -> Reason {
    Reason { reason, advice: None }
}

fn waiting(job: &Job) -> Reason {
    let head = &job.record.head;
    let ended = head.succeeded + head.failed + head.skipped;
    let reason = format!(
        "it waits for {} of {} ({} succeeded, {} failed, {} skipped)",
        head.remaining,
        words::counted(u64::from(head.remaining) + u64::from(ended), "parent", "parents"),
        head.succeeded,
        head.failed,
        head.skipped
    );
    Reason { reason, advice: Some("ask for the explanation of a parent that has not ended".into()) }
}

fn scheduled(job: &Job, now: Timestamp) -> Reason {
    let head = &job.record.head;
    let at = head.wake_at.unwrap_or(now);
    let when = moment(at, now);
    if at <= now {
        let reason = format!("its time, {when}, has come; it is ready as soon as a scheduler sees it");
        let advice = (now - at >= LONG).then(|| "does a worker or a scheduler run on this backend? Look into its log".into());
        return Reason { reason, advice };
    }
    let gives_up = job.spec.deadline.filter(|deadline| *deadline == at);
    if gives_up.is_some() || (head.attempt == 0 && job.spec.expires_at == Some(at)) {
        return plain(format!("it gives up at {when}, before it would start"));
    }
    if job.trail.waits > 0 {
        let task = format!("{}@{}", head.task, head.version);
        return Reason {
            reason: format!("a worker that was given it does not know {task}; it is offered again at {when}"),
            advice: Some(format!("start a worker that has registered {task} and serves queue {}", head.queue)),
        };
    }
    if let Some(plan) = &job.spec.map {
        return plain(format!("it has added {} and goes on at {when}", words::counted(plan.cursor, "item", "items")));
    }
    match job.trail.attempts.last() {
        None => plain(format!("it was submitted to start at {when}")),
        Some(last) if last.how == AttemptEnd::Snoozed => {
            plain(format!("attempt {} put itself off; the next starts at {when}", last.attempt))
        }
        Some(last) => plain(format!("attempt {} {}; the next starts at {when}", last.attempt, how(last))),
    }
}

fn ready(job: &Job, now: Timestamp, queue_depth: Option<u64>) -> Reason {
    let head = &job.record.head;
    let depth = match queue_depth {
        Some(depth) => format!("; about {} there", words::counted(depth, "job waits", "jobs wait")),
        None => String::new(),
    };
    let again = match job.trail.attempts.last() {
        Some(last) => format!(" (attempt {} {})", last.attempt, how(last)),
        None => String::new(),
    };
    let since = job.trail.attempts.last().map_or(head.created_at, |last| last.ended_at);
    let advice = format!("does a worker of queue {} run that knows {}@{} and has a free slot?", head.queue, head.task, head.version);
    Reason {
        reason: format!("it waits in queue {} for a free slot{again}{depth}", head.queue),
        advice: (now - since >= LONG).then_some(advice),
    }
}

fn parked(job: &Job, now: Timestamp) -> Reason {
    let head = &job.record.head;
    let key = head.parked_on.as_ref().map_or("a limit".to_owned(), |key| words::limit_key(key));
    let again = head.wake_at.map_or(String::new(), |at| format!("; it is looked at again at {}", moment(at, now)));
    plain(format!("it is held on {key} until its turn comes{again}"))
}

fn running(job: &Job, now: Timestamp) -> Reason {
    let head = &job.record.head;
    let owner = head.owner.map_or("an unknown worker".to_owned(), |owner| format!("worker {owner}"));
    let since = head.started_at.map_or(String::new(), |at| format!(" since {}", moment(at, now)));
    let mut reason = format!("attempt {} runs on {owner}{since}", head.attempt);
    if let Some(stop) = &head.asked {
        let why = if stop.why.as_str().is_empty() { String::new() } else { format!(" ({})", stop.why) };
        reason += &format!("; {} asked it to stop at {}{why}", stop.by, moment(stop.at, now));
    }
    match head.wake_at {
        Some(lease) if lease <= now => Reason {
            reason: reason + &format!("; its lease is over since {}: it is rescued as soon as a scheduler sees it", moment(lease, now)),
            advice: Some("is that worker alive? Does a worker or a scheduler run on this backend?".into()),
        },
        _ => plain(reason),
    }
}

fn ended(job: &Job) -> Reason {
    let head = &job.record.head;
    let attempts = words::counted(head.attempt.into(), "attempt", "attempts");
    let lone = job.spec.edges.is_empty() && job.spec.parents.is_empty() && job.spec.map.is_none();
    let (cause, why) = (job.trail.cause.map_or("", words::cause), job.trail.why.as_str());
    let reason = match (head.state, cause, why) {
        (JobState::Succeeded, ..) => format!("it succeeded after {attempts}"),
        (_, "", "") => format!("it ended after {attempts}"),
        (_, "", words) | (_, words, "") => format!("{words}, after {attempts}"),
        (_, cause, why) => format!("{cause}, after {attempts}: {why}"),
    };
    let advice = match head.state {
        JobState::Dead if lone => Some("mend the cause, then retry it".into()),
        JobState::Dead => Some("mend the cause, then submit its run anew".into()),
        _ => None,
    };
    Reason { reason, advice }
}

/// "failed: connection refused".
fn how(past: &PastAttempt) -> String {
    match past.errors.first() {
        Some(error) => format!("{}: {error}", words::attempt_end(past.how)),
        None => words::attempt_end(past.how).to_owned(),
    }
}

/// A time, and how far away it is.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("{at} (in {})", words::span(at - now)) } else { format!("{at} ({} ago)", words::span(now - at)) }
}
