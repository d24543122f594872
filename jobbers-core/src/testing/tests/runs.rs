//! Runs: what they do, and how they end when jobs do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::*;
use crate::worker::Attempt;

const FETCH: Task<u32, u32> = Task::new("fetch").retry(Retry::constant(HOUR).cap(Duration::from_secs(20 * 60)).jitter(Jitter::None));

/// Fails as often as it is told.
async fn fetch(Attempt(attempt): Attempt, failures: u32) -> Result<u32, JobError> {
    if attempt <= failures { Err(JobError::retry("connection reset")) } else { Ok(attempt) }
}

fn fetcher() -> Worker {
    Worker::queues(["default"]).task(FETCH, fetch)
}

#[tokio::test]
async fn three_retries_over_an_hour_end_in_a_moment() {
    let (kit, started) = (Kit::new(), Instant::now());
    let job = kit.client().submit(FETCH, &3).await.unwrap();
    let from = kit.now();
    let ran = kit.run_until_idle(fetcher()).await.unwrap();
    assert_eq!(ran, Ran { moved: HOUR, ended: 1, left: 0 });
    assert_eq!(kit.now(), from + HOUR);
    assert_eq!(job.output().await.unwrap(), 4);
    // A second would be a thousand times what it takes on an idle machine.
    assert!(started.elapsed() < SECOND, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_job_that_uses_up_its_failures_has_ended_too() {
    let kit = Kit::new();
    let job = kit.client().submit(FETCH, &u32::MAX).await.unwrap();
    kit.run_until_idle(fetcher()).await.unwrap();
    kit.assert_state(job.id(), JobState::Dead);
    assert_eq!(job.record().await.unwrap().attempt, 5);
}

#[tokio::test]
async fn delays_expiries_and_deadlines_come_in_their_order() {
    let kit = Kit::new();
    let client = kit.client();
    let late = client.submit(MAIL, &text("late")).delay(48 * HOUR).await.unwrap();
    let soon = client.submit(MAIL, &text("soon")).delay(MINUTE).await.unwrap();
    // Nobody serves that queue.
    let expired = client.submit(MAIL, &text("expired")).queue("bulk").expires_after(HOUR).await.unwrap();
    assert_eq!(kit.run_until_idle(mailer()).await.unwrap().moved, 48 * HOUR);
    let ended = async |id| client.get(id).await.unwrap().unwrap().ended_at.unwrap();
    assert!(ended(soon.id()).await < ended(expired.id()).await && ended(expired.id()).await < ended(late.id()).await);
    kit.assert_state(expired.id(), JobState::Dead);
}

#[tokio::test]
async fn a_job_that_is_kept_for_weeks_can_still_be_asked_for() {
    let kit = Kit::new();
    let first = kit.client().submit(MAIL, &text("anna")).await.unwrap();
    kit.client().submit(MAIL, &text("ben")).delay(60 * 24 * HOUR).await.unwrap();
    kit.run_until_idle(mailer()).await.unwrap();
    assert_eq!(first.output().await.unwrap(), "sent to anna");
}

#[tokio::test]
async fn follow_ups_and_maps_run_to_their_end() {
    const CHARGE: Task<u32, u32> = Task::new("charge");
    const TOTAL: Task<u32, u32> = Task::new("total");
    let charge = async |ctx: Ctx, cents: u32| {
        ctx.then(MAIL, &format!("{cents} cents"))?;
        Ok::<u32, JobError>(cents)
    };
    let total = async |ctx: Ctx, mut sum: u32| {
        let mut parents = ctx.parents();
        while let Some(page) = parents.next_page().await? {
            for parent in page {
                sum += parent.output::<u32>()?.unwrap_or_default();
            }
        }
        Ok::<u32, JobError>(sum)
    };
    let kit = Kit::new();
    let map = kit.client().map_join(CHARGE, 1..=200, TOTAL, &0).window(50).await.unwrap();
    let worker = Worker::queues(["default", "mail"]).task(CHARGE, charge).task(TOTAL, total).task(MAIL, send);
    assert_eq!(kit.run_until_idle(worker).await.unwrap().left, 0);
    assert_eq!(map.output().await.unwrap(), 20_100);
    kit.assert_submitted_times(MAIL, 200);
    kit.assert_submitted(MAIL, &text("77 cents"));
}

#[tokio::test]
async fn a_run_for_a_time_leaves_what_comes_later_and_moves_the_clock_to_its_end() {
    let kit = Kit::new();
    let from = kit.now();
    let job = kit.client().submit(FETCH, &3).await.unwrap();
    let ready = kit.run_for(fetcher(), Duration::ZERO).await.unwrap();
    assert_eq!(ready, Ran { moved: Duration::ZERO, ended: 0, left: 1 });
    assert_eq!(job.record().await.unwrap().attempt, 1);
    kit.run_for(fetcher(), 30 * MINUTE).await.unwrap();
    assert_eq!((job.record().await.unwrap().attempt, kit.now()), (2, from + 30 * MINUTE));
    kit.advance(10 * MINUTE);
    kit.run_for(fetcher(), Duration::ZERO).await.unwrap();
    assert_eq!(job.record().await.unwrap().attempt, 3);
}

#[tokio::test]
async fn a_job_that_puts_itself_off_for_ever_runs_for_as_long_as_is_asked() {
    const DAILY: Task<()> = Task::new("daily");
    let runs = Arc::new(AtomicU32::new(0));
    let worker = || {
        let runs = runs.clone();
        Worker::queues(["default"]).task(DAILY, move |_: ()| {
            runs.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err::<(), _>(JobError::snooze(24 * HOUR)))
        })
    };
    let kit = Kit::new();
    kit.client().submit(DAILY, &()).await.unwrap();
    assert_eq!(kit.run_for(worker(), 10 * 24 * HOUR).await.unwrap().left, 1);
    assert_eq!(runs.load(Ordering::SeqCst), 11);

    let error = kit.run_until_idle(worker()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let said = error.to_string();
    assert!(said.contains("1 job has not ended, and the next timer") && said.contains("beyond the horizon of 366 days"), "{said}");
    assert!(said.contains("daily@1") && said.contains("put itself off; the next starts at"), "{said}");
}

#[tokio::test]
async fn jobs_that_nobody_runs_are_named_with_why() {
    let kit = Kit::new();
    kit.client().submit_all(FETCH, [0; 7]).await;
    kit.client().submit(MAIL, &text("anna")).await.unwrap();
    let error = kit.run_until_idle(mailer()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongState);
    let said = format!("{error:?}");
    assert!(said.contains("run until idle: 7 jobs have not ended, and nobody would run them"), "{said}");
    assert_eq!(said.matches("is ready: it waits in queue default for a free slot").count(), 5, "{said}");
    assert!(said.ends_with("and 2 more"), "{said}");
    kit.assert_submitted_times(MAIL, 1);
}

#[tokio::test]
async fn a_task_that_the_worker_does_not_know_is_found_out_at_once() {
    let (kit, started) = (Kit::new(), Instant::now());
    kit.client().submit(MAIL, &text("anna")).await.unwrap();
    let error = kit.run_until_idle(Worker::queues(["mail"]).task(FETCH, fetch)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let said = error.to_string();
    assert!(said.contains("no attempt started") && said.contains("does not know mail.send@1"), "{said}");
    assert!(started.elapsed() < PATIENCE, "it waited until its patience was over");
}

#[tokio::test]
async fn a_handler_that_hangs_ends_the_run_with_its_name() {
    let kit = Kit::new().patience(Duration::from_millis(50));
    kit.client().submit(MAIL, &text("anna")).await.unwrap();
    let hangs = async |ctx: Ctx, _: String| {
        ctx.step("waiting for the server");
        std::future::pending::<Result<String, JobError>>().await
    };
    let error = kit.run_until_idle(Worker::queues(["mail"]).task(MAIL, hangs)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let said = error.to_string();
    assert!(said.contains("not ended within 50ms of real time; does a handler hang?"), "{said}");
    assert!(said.contains("attempt 1 runs on worker") && said.contains("mail.send@1"), "{said}");
}

#[tokio::test]
async fn a_worker_that_can_not_start_is_an_error_of_the_run() {
    let error = Kit::new().run_until_idle(Worker::queues(["mail"])).await.unwrap_err();
    assert!(error.to_string().contains("it knows no task"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn with_paused_time_what_a_handler_waits_for_is_skipped_too() {
    const SLOW: Task<(), ()> = Task::new("slow").timeout(HOUR).retry(Retry::none());
    let started = Instant::now();
    let kit = Kit::new();
    let slow = async |_: ()| {
        tokio::time::sleep(2 * HOUR).await;
        Ok::<(), JobError>(())
    };
    let job = kit.client().submit(SLOW, &()).await.unwrap();
    kit.run_until_idle(Worker::queues(["default"]).task(SLOW, slow)).await.unwrap();
    let ended = job.record().await.unwrap();
    assert_eq!(ended.state, JobState::Dead);
    assert!(ended.attempts[0].errors[0].as_str().contains("took longer than 3600s"), "{ended:?}");
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn many_jobs_with_retries_end_well_within_the_patience() {
    const SHAKY: Task<u32, u32> = Task::new("shaky");
    let kit = Kit::new();
    let answers = kit.client().submit_all(SHAKY, (0..500).map(|n| n % 4)).await;
    assert!(answers.iter().all(Result::is_ok));
    let ran = kit.run_until_idle(Worker::queues(["default"]).slots(64).task(SHAKY, fetch)).await.unwrap();
    assert_eq!((ran.ended, ran.left), (500, 0));
}
