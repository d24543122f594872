//! One attempt: from a claim that was won to an end that is decided.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};
use tracing::Span;

use super::claim::{Claimed, Lease, SPAN_MAX, Told};
use super::engine::{Engine, is_over};
use super::error::Ask;
use super::finish;
use super::metrics::{self, meters};
use super::registry::{Call, Done, Registration, Running};
use super::{Ctx, JobError};
use crate::id::{JobId, SmallText};
use crate::machine::{self, End, Job};
use crate::policy::Decision;
use crate::record::{AttemptEnd, Record};
use crate::seldom::seldom;
use crate::telemetry::Count;
use crate::time::Timestamp;

/// A handler that gives its job back although no worker stops would get it again at once.
const HAND_BACK_PAUSE: Duration = Duration::from_secs(1);

/// What the end of an attempt commits.
#[derive(Debug)]
pub(super) enum Ending {
    /// This end.
    End(End),
    /// It did not start: the job had expired, or its rule can not hold.
    Unfit,
    /// The next items of a map, and a pause.
    Chunk { items: Vec<Bytes>, pause: Duration },
    /// Nothing: the claim no longer stands.
    Nothing,
}

impl Engine {
    /// Runs a job that this worker has claimed, in a task of its own; the slot is free once its handler has ended.
    pub(super) fn start(self: &Arc<Engine>, id: JobId, record: Record, lease: Lease, slot: OwnedSemaphorePermit) {
        let job = match Job::read(id, record) {
            Ok(job) => Arc::new(job),
            Err(error) => {
                meters().poison();
                seldom!(error, %error, job = %id, "a claimed job is unreadable; its lease runs out, and the scheduler reports it");
                return;
            }
        };
        let hold = self.claims.hold(Claimed::new(&job, lease));
        let engine = self.clone();
        let trace = metrics::trace(&job);
        let span = trace.span().clone();
        // In a box of its own: it is large, and each of the layers around it would move it.
        let attempt = Box::pin(async move {
            let slot = Arc::new(slot);
            // In a box, made only where a task has a rate.
            let held_up = if engine.registry.has_rates() { Box::pin(engine.held_up(&job, &hold.claimed)).await } else { None };
            let ending = match held_up {
                Some(ending) => ending,
                None => engine.run(&job, &hold.claimed, &slot, &span).await,
            };
            hold.claimed.state().ending = true;
            // Fewer ends wait for the store than the worker has slots; until there is room, the slot stays taken.
            let _room = engine.ends.acquire().await;
            drop(slot);
            finish::finish(&engine, job, &hold.claimed, ending).await;
            drop(hold);
        });
        self.attempts.spawn(trace.around(attempt));
    }

    async fn run(self: &Arc<Engine>, job: &Arc<Job>, claimed: &Arc<Claimed>, slot: &Arc<OwnedSemaphorePermit>, span: &Span) -> Ending {
        let (started, moment) = (Instant::now(), self.moment());
        let head = &job.record.head;
        let _busy = metrics::busy();
        let ending = match self.registry.get(&head.task, head.version) {
            // By the time a busy runtime comes here somebody else may run it.
            _ if is_over(&claimed.lease, started, moment.now) || self.stopping.is_cancelled() => Ending::End(End::HandedBack),
            // A take claims unseen.
            _ if machine::look(job, &moment).is_some() => Ending::Unfit,
            // It was claimed for a task that another build of this worker knew.
            None => Ending::End(End::HandedBack),
            Some(registration) => {
                let ctx = Ctx::new(self, job, claimed);
                self.drive(job, claimed, registration, Call { ctx, slot: slot.clone() }, started).await
            }
        };
        let outcome = outcome(&ending);
        span.record("outcome", outcome.as_str());
        meters().attempt(job, outcome, started.elapsed(), claimed.slot_time());
        ending
    }

    /// Runs the handler until it ends, its time is up, or it is told to end and does not.
    async fn drive(&self, job: &Job, claimed: &Claimed, registration: &Registration, call: Call, started: Instant) -> Ending {
        let mut handler = Some((registration.run)(call));
        let mut cut = None;
        let ended = poll_fn(|context| {
            // The handler first: it may have heard that it is told to end, and be done.
            if let Poll::Ready(ended) = poll_caught(&mut handler, context) {
                return Poll::Ready(Ok(ended));
            }
            self.passes("an await of the handler");
            // In a box, made only for a handler that waits: it is large.
            let cut = cut.get_or_insert_with(|| Box::pin(self.cut(job, claimed, registration, started)));
            cut.as_mut().poll(context).map(Err)
        })
        .await;
        claimed.cancel();
        drop_quietly(handler, job.id);
        match ended {
            Ok(Ok(Ok(Done::Output(output)))) => Ending::End(End::Succeeded { output }),
            Ok(Ok(Ok(Done::Chunk { items, pause }))) => Ending::Chunk { items, pause },
            Ok(Ok(Err(error))) => self.by_error(job, claimed, registration, &error),
            Ok(Err(panic)) => {
                tracing::error!(job = %job.id, panic, "the handler panicked");
                let error = JobError::retry(format!("panicked: {panic}"));
                failed(AttemptEnd::Panicked, error.chain(), decision(registration, &error, Decision::ByPolicy))
            }
            Err(ending) => ending,
        }
    }

    /// Returns how the attempt ends although its handler goes on: it is told to end, or its time is up.
    async fn cut(&self, job: &Job, claimed: &Claimed, registration: &Registration, started: Instant) -> Ending {
        let now = self.backend.clock().now();
        let timeout =
            job.spec.attempt_timeout.map(|most| (started + most.min(SPAN_MAX), format!("it took longer than {most:?}, its timeout")));
        let deadline = job.spec.deadline.map(|at| (Instant::now() + until(at, now), format!("its deadline, {at}, has passed")));
        let Some((at, why)) = timeout.into_iter().chain(deadline).min_by_key(|(at, _)| *at) else {
            return by_told(&claimed.cut().await);
        };
        tokio::select! {
            biased;
            told = claimed.cut() => by_told(&told),
            () = sleep_until(at) => {
                let error = JobError::retry(why);
                failed(AttemptEnd::TimedOut, error.chain(), decision(registration, &error, Decision::ByPolicy))
            }
        }
    }

    /// What a handler's error means.
    fn by_error(&self, job: &Job, claimed: &Claimed, registration: &Registration, error: &JobError) -> Ending {
        match claimed.told() {
            // It ended because it was told to: what it says then is no verdict on the job.
            Some(told @ (Told::HandBack | Told::LeaseOver | Told::Gone | Told::Silent(_))) => return by_told(&told),
            Some(Told::Asked(_)) => return failed(AttemptEnd::Cancelled, error.chain(), Decision::ByPolicy),
            Some(Told::Fail) | None => {}
        }
        let now = self.backend.clock().now();
        match error.ask {
            Ask::Fail(asked) => {
                tracing::info!(job = %job.id, attempt = claimed.attempt, %error, "the attempt failed");
                failed(AttemptEnd::Failed, error.chain(), decision(registration, error, asked))
            }
            Ask::Cancel => Ending::End(End::Cancelled { why: SmallText::new(&error.to_string()) }),
            Ask::Snooze(delay) => Ending::End(End::Snoozed { until: now + delay }),
            Ask::HandBack if self.stopping.is_cancelled() => Ending::End(End::HandedBack),
            Ask::HandBack => Ending::End(End::Snoozed { until: now + HAND_BACK_PAUSE }),
        }
    }
}

/// How an attempt ended, as metrics say it.
fn outcome(ending: &Ending) -> Count {
    match ending {
        Ending::End(End::Succeeded { .. }) => Count::Succeeded,
        Ending::End(End::Failed { how: AttemptEnd::Panicked, .. }) => Count::Panicked,
        Ending::End(End::Failed { how: AttemptEnd::TimedOut, .. }) => Count::TimedOut,
        Ending::End(End::Failed { how: AttemptEnd::Cancelled, .. } | End::Cancelled { .. }) => Count::Cancelled,
        Ending::End(End::Failed { .. }) => Count::Failed,
        Ending::End(End::Snoozed { .. }) => Count::Snoozed,
        Ending::End(End::HandedBack) => Count::HandedBack,
        Ending::Chunk { .. } => Count::Paused,
        Ending::Unfit => Count::Unfit,
        Ending::Nothing => Count::Gone,
    }
}

fn decision(registration: &Registration, error: &JobError, asked: Decision) -> Decision {
    match (&registration.on_error, asked) {
        // What the handler itself decided stands.
        (Some(on_error), Decision::ByPolicy) => catch_unwind(AssertUnwindSafe(|| on_error(error))).unwrap_or_default(),
        _ => asked,
    }
}

fn failed(how: AttemptEnd, errors: Vec<SmallText>, decision: Decision) -> Ending {
    Ending::End(End::Failed { how, errors, decision })
}

/// The end of a handler that was dropped since it was told to end.
pub(super) fn by_told(told: &Told) -> Ending {
    match told {
        Told::Gone => Ending::Nothing,
        // The claim may still stand: then the job runs again at once, and nothing is counted against it.
        Told::HandBack | Told::LeaseOver => Ending::End(End::HandedBack),
        Told::Asked(stop) => failed(AttemptEnd::Cancelled, vec![stop.why.clone()], Decision::ByPolicy),
        Told::Fail => failed(AttemptEnd::Failed, vec!["its worker stopped before it was done".into()], Decision::ByPolicy),
        Told::Silent(silence) => {
            let why = format!("the handler gave no sign of life for {silence:.1?}");
            failed(AttemptEnd::TimedOut, vec![SmallText::new(&why)], Decision::ByPolicy)
        }
    }
}

/// The time until `at`, and a moment more, so that the clock has passed it.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    (at.since(now) + Duration::from_millis(2)).min(SPAN_MAX)
}

/// Polls a handler; a panic is its message.
fn poll_caught(handler: &mut Option<Running>, context: &mut Context<'_>) -> Poll<Result<Result<Done, JobError>, String>> {
    let running = handler.as_mut().expect("it is there until it is dropped, and polled only until it ends");
    match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(panic) => Poll::Ready(Err(message(&*panic))),
    }
}

/// Drops what is left of a handler; a panic in there ends nothing else.
fn drop_quietly(handler: Option<Running>, id: JobId) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(handler))) {
        tracing::error!(job = %id, panic = message(&*panic), "the handler panicked while it was dropped");
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}
