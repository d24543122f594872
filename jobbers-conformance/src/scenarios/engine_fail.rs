//! The engine: jobs that fail, expire, are retried.

use std::time::Duration;

use jobbers_core::policy::{Jitter, Retry};
use jobbers_core::record::{AttemptEnd, Cause, JobState};
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError};

use crate::crew::{PATIENCE, Tally, hands, stopped};
use crate::{Outcome, Stage, ensure, ensure_eq};

const STEADY: Retry = Retry::constant(Duration::from_secs(20)).jitter(Jitter::None).failures_max(3);
const FLAKY: Task<u32, u32> = Task::new("flaky").retry(STEADY);

/// A handler that fails so often, then succeeds with the number of its attempt.
fn fails(times: u32, tally: &Tally) -> impl Fn(Ctx, u32) -> std::future::Ready<Result<u32, JobError>> + Clone + Send + Sync + 'static {
    let tally = tally.clone();
    move |ctx, _| {
        let failed = tally.add() <= times;
        std::future::ready(if failed { Err(JobError::retry("the disk is full")) } else { Ok(ctx.attempt()) })
    }
}

/// A failed attempt is tried again after the backoff of its policy, and not before.
async fn a_failed_attempt_is_tried_again_after_its_backoff(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let worker = stage.work(hands().task(FLAKY, fails(1, &tally))).await?;
    let job = stage.client().submit(FLAKY, &0).await?;
    let view = stage.reaches(job.id(), JobState::Scheduled).await?;
    ensure_eq!((view.failures, view.wake_at), (1, Some(crate::kit::at(20))), "failures, and when it is tried again");
    ensure_eq!((view.attempts[0].how, view.attempts[0].errors[0].as_str()), (AttemptEnd::Failed, "the disk is full"), "the first attempt");
    ensure_eq!(stage.after(Duration::from_secs(19)).await?.due, 0, "jobs whose time has come a second early");
    stage.after(Duration::from_secs(1)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, 2, "the attempt that succeeded");
    stopped(worker).await.map(drop)
}

/// A job whose failures are used up is dead, with the last error as its reason.
async fn a_job_whose_failures_are_used_up_is_dead(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let worker = stage.work(hands().task(FLAKY, fails(9, &tally))).await?;
    let job = stage.client().submit(FLAKY, &0).await?;
    for failures in 1..3 {
        stage.until(job.id(), "scheduled again", |view| view.state == JobState::Scheduled && view.failures == failures).await?;
        stage.after(Duration::from_secs(20)).await?;
    }
    let view = stage.reaches(job.id(), JobState::Dead).await?;
    ensure_eq!((view.cause, view.failures, view.attempt), (Some(Cause::Failed), 3, 3), "cause, failures, attempts");
    ensure!(view.why.as_str().contains("the disk is full"), "the reason: {:?}", view.why);
    stage.after(Duration::from_secs(3_600)).await?;
    ensure_eq!(tally.count(), 3, "handlers that ran");
    stopped(worker).await.map(drop)
}

/// A dead job that is retried by hand counts its failures anew, and keeps its old attempts.
async fn a_dead_job_is_retried_by_hand(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let once = FLAKY.retry(Retry::none());
    let worker = stage.work(hands().task(once, fails(1, &tally))).await?;
    let job = stage.client().submit(once, &0).await?;
    stage.reaches(job.id(), JobState::Dead).await?;
    job.retry().await?;
    ensure_eq!(job.output_within(PATIENCE).await?, 2, "the attempt that succeeded");
    let view = stage.view(job.id()).await?;
    ensure_eq!((view.failures, view.attempts.len(), view.cause), (0, 2, None), "failures, attempts, cause");
    stopped(worker).await.map(drop)
}

/// An error that says so ends the job: nothing is tried again.
async fn an_error_that_says_so_is_not_retried(stage: Stage) -> Outcome {
    let refuse = |_: u32| std::future::ready(Err::<u32, _>(JobError::fail("no such customer")));
    let worker = stage.work(hands().task(FLAKY, refuse)).await?;
    let job = stage.client().submit(FLAKY, &0).await?;
    let view = stage.reaches(job.id(), JobState::Dead).await?;
    ensure_eq!((view.cause, view.attempt), (Some(Cause::NotRetryable), 1), "cause and attempts");
    stopped(worker).await.map(drop)
}

/// Parameters that do not decode end the job: another attempt would read the same bytes.
async fn parameters_that_do_not_decode_are_not_retried(stage: Stage) -> Outcome {
    const TEXT: Task<String, u32> = Task::new("flaky").retry(STEADY);
    let tally = Tally::default();
    let worker = stage.work(hands().task(FLAKY, fails(0, &tally))).await?;
    let job = stage.client().submit(TEXT, &"no number".to_owned()).await?;
    let view = stage.reaches(job.id(), JobState::Dead).await?;
    ensure_eq!((view.cause, view.attempt, tally.count()), (Some(Cause::NotRetryable), 1, 0), "cause, attempts, handlers that ran");
    stopped(worker).await.map(drop)
}

/// A panic is a failed attempt; the worker goes on.
async fn a_panic_is_a_failed_attempt(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let count = tally.clone();
    let panics = move |n: u32| {
        let first = count.add() == 1;
        async move {
            assert!(!first, "a bug of the handler, on purpose");
            Ok::<u32, JobError>(n)
        }
    };
    let worker = stage.work(hands().task(FLAKY, panics)).await?;
    let job = stage.client().submit(FLAKY, &7).await?;
    let view = stage.reaches(job.id(), JobState::Scheduled).await?;
    ensure_eq!((view.failures, view.attempts[0].how), (1, AttemptEnd::Panicked), "failures, and how the attempt ended");
    stage.after(Duration::from_secs(20)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, 7, "the output");
    stopped(worker).await.map(drop)
}

/// An attempt that takes longer than it may is ended, and counts as a failure.
async fn an_attempt_that_takes_too_long_is_ended(stage: Stage) -> Outcome {
    let slow = FLAKY.timeout(Duration::from_millis(50));
    let worker = stage.work(hands().task(slow, |_: u32| std::future::pending::<Result<u32, JobError>>())).await?;
    let job = stage.client().submit(slow, &0).await?;
    let view = stage.reaches(job.id(), JobState::Scheduled).await?;
    ensure_eq!((view.failures, view.attempts[0].how), (1, AttemptEnd::TimedOut), "failures, and how the attempt ended");
    stopped(worker).await.map(drop)
}

/// A job that puts itself off counts no failure, however often.
async fn a_snooze_counts_no_failure(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let count = tally.clone();
    let snoozes = move |n: u32| {
        let later = count.add() <= 5;
        std::future::ready(if later { Err(JobError::snooze(Duration::from_secs(30))) } else { Ok(n) })
    };
    let worker = stage.work(hands().task(FLAKY, snoozes)).await?;
    let job = stage.client().submit(FLAKY, &3).await?;
    for attempt in 1..6 {
        let view = stage.until(job.id(), "put off", |view| view.state == JobState::Scheduled && view.attempt == attempt).await?;
        ensure_eq!(view.failures, 0, "failures");
        stage.after(Duration::from_secs(30)).await?;
    }
    ensure_eq!(job.output_within(PATIENCE).await?, 3, "the output");
    stopped(worker).await.map(drop)
}

/// A job that nobody started in time is dead.
async fn a_job_that_nobody_started_in_time_expires(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let job = stage.client().submit(FLAKY, &0).expires_after(Duration::from_secs(60)).await?;
    stage.after(Duration::from_secs(59)).await?;
    ensure_eq!(stage.view(job.id()).await?.state, JobState::Ready, "the state a second early");
    stage.after(Duration::from_secs(1)).await?;
    let view = stage.view(job.id()).await?;
    ensure_eq!((view.state, view.cause, view.attempt), (JobState::Dead, Some(Cause::Expired), 0), "state, cause, attempts");
    let worker = stage.work(hands().task(FLAKY, fails(0, &tally))).await?;
    let other = stage.client().submit(FLAKY, &0).await?;
    stage.reaches(other.id(), JobState::Succeeded).await?;
    ensure_eq!(tally.count(), 1, "handlers that ran: that of the other job");
    stopped(worker).await.map(drop)
}

/// A job that expired is never started, also if nobody has tended yet.
async fn a_job_that_expired_is_not_started(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let job = stage.client().submit(FLAKY, &0).expires_after(Duration::from_secs(60)).await?;
    stage.clock.set(crate::kit::at(61));
    let worker = stage.work(hands().task(FLAKY, fails(0, &tally))).await?;
    let other = stage.client().submit(FLAKY, &0).await?;
    stage.reaches(other.id(), JobState::Succeeded).await?;
    stage.tend().await?;
    let view = stage.reaches(job.id(), JobState::Dead).await?;
    ensure_eq!((view.cause, view.attempt, tally.count()), (Some(Cause::Expired), 0, 1), "cause, attempts, handlers that ran");
    stopped(worker).await.map(drop)
}

/// A job whose deadline has passed gives up, although failures are left.
async fn a_job_whose_deadline_has_passed_gives_up(stage: Stage) -> Outcome {
    let tally = Tally::default();
    let worker = stage.work(hands().task(FLAKY, fails(9, &tally))).await?;
    let job = stage.client().submit(FLAKY, &0).deadline_after(Duration::from_secs(30)).await?;
    stage.until(job.id(), "scheduled again", |view| view.state == JobState::Scheduled && view.failures == 1).await?;
    stage.after(Duration::from_secs(20)).await?;
    let gone = |view: &jobbers_core::client::JobView| view.state == JobState::Dead || view.failures == 2 && view.state == JobState::Scheduled;
    stage.until(job.id(), "through its second attempt", gone).await?;
    stage.after(Duration::from_secs(20)).await?;
    let view = stage.reaches(job.id(), JobState::Dead).await?;
    ensure_eq!((view.cause, view.failures, tally.count()), (Some(Cause::Deadline), 2, 2), "cause, failures, handlers that ran");
    stopped(worker).await.map(drop)
}

table! { "failures", "engine_fail.rs";
    Engine: [
        a_failed_attempt_is_tried_again_after_its_backoff,
        a_job_whose_failures_are_used_up_is_dead,
        a_dead_job_is_retried_by_hand,
        an_error_that_says_so_is_not_retried,
        parameters_that_do_not_decode_are_not_retried,
        a_panic_is_a_failed_attempt,
        an_attempt_that_takes_too_long_is_ended,
        a_snooze_counts_no_failure,
        a_job_that_nobody_started_in_time_expires,
        a_job_that_expired_is_not_started,
        a_job_whose_deadline_has_passed_gives_up,
    ];
}
