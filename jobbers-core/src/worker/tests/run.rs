//! Attempts and their ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::*;
use crate::id::WorkerId;
use crate::machine::{self, Look};
use crate::policy::{Decision, Retry};
use crate::record::{AttemptEnd, Cause};
use crate::worker::engine::Engine;
use crate::worker::registry::{Registration, Registry, asynchronous};
use crate::worker::settings::Settings;
use crate::worker::{Ctx, JobError, WithScheduler};

const NUMBER: Task<u32, u32> = Task::new("number").retry(Retry::constant(Duration::ZERO).failures_max(2));

#[tokio::test]
async fn a_job_runs_once_and_its_output_is_stored() {
    for backend in each_way() {
        let worker = worker().task(ECHO, echo).start(&backend).await.unwrap();
        let client = Client::new(&backend);
        let jobs = client.submit_all(ECHO, (0..50).map(|n| n.to_string())).await;
        for (n, job) in jobs.into_iter().enumerate() {
            let job = job.unwrap();
            assert_eq!(output::<String>(&backend, job.id()).await, n.to_string());
            let stored = stored(&backend, job.id()).await;
            assert_eq!((stored.record.head.attempt, stored.trail.attempts.len()), (1, 1));
        }
        assert_eq!(backend.queue().depth(&["default".try_into().unwrap()]).await.unwrap(), [0]);
        stop(worker).await;
    }
}

#[tokio::test]
async fn a_handler_may_block_and_takes_its_context_or_not() {
    const BLOCK: Task<u32, u32> = Task::new("block");
    let backend = memory::open();
    let worker = worker()
        .blocking(NUMBER, |n: u32| Ok::<u32, std::io::Error>(n + 1))
        .blocking(BLOCK, |ctx: Ctx, n: u32| Ok::<u32, std::io::Error>(n + ctx.attempt()))
        .task(ECHO, async |ctx: Ctx, text: String| Ok::<String, std::io::Error>(format!("{text} {}", ctx.id())))
        .start(&backend)
        .await
        .unwrap();
    let client = Client::new(&backend);
    assert_eq!(client.submit(NUMBER, &4).await.unwrap().output_within(PATIENCE).await.unwrap(), 5);
    assert_eq!(client.submit(BLOCK, &4).await.unwrap().output_within(PATIENCE).await.unwrap(), 5);
    let job = client.submit(ECHO, &"it is".to_owned()).await.unwrap();
    assert_eq!(job.output_within(PATIENCE).await.unwrap(), format!("it is {}", job.id()));
    stop(worker).await;
}

#[tokio::test]
async fn parameters_that_do_not_decode_are_dead_at_once_with_the_path_of_the_field() {
    const PAIR: Task<(u8, Vec<u8>)> = Task::new("pair");
    const WRONG: Task<(u8, Vec<&str>)> = Task::new("pair");
    let backend = memory::open();
    let worker = worker().task(PAIR, async |_: (u8, Vec<u8>)| Ok::<(), JobError>(())).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(WRONG, &(1, vec!["x"])).await.unwrap().id();
    ended(&backend, job).await;
    let job = stored(&backend, job).await;
    assert_eq!((job.record.head.state, job.trail.cause, job.record.head.attempt), (JobState::Dead, Some(Cause::NotRetryable), 1));
    assert!(job.trail.why.as_str().contains("[1][0]"), "{}", job.trail.why);
    stop(worker).await;
}

#[tokio::test]
async fn an_output_that_is_too_large_fails_the_job_for_good() {
    let backend = memory::open();
    let worker = worker().task(ECHO, async |_: String| Ok::<_, JobError>("x".repeat(600_000))).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(ECHO, &String::new()).await.unwrap().id();
    ended(&backend, job).await;
    let job = stored(&backend, job).await;
    assert_eq!((job.record.head.state, job.trail.cause), (JobState::Dead, Some(Cause::NotRetryable)));
    assert!(job.trail.why.as_str().contains("600002 bytes"), "{}", job.trail.why);
    stop(worker).await;
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_with_its_message_and_frees_the_slot() {
    let backend = memory::open();
    let handler = async |n: u32| -> Result<u32, JobError> { if n == 0 { panic!("it is {n}") } else { Ok(n) } };
    let block = |n: u32| -> Result<u32, JobError> { if n == 0 { panic!("blocking {n}") } else { Ok(n) } };
    const BLOCK: Task<u32, u32> = Task::new("block").retry(Retry::none());
    let worker = worker().slots(1).task(NUMBER, handler).blocking(BLOCK, block).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    for (task, message, attempts) in [(NUMBER, "panicked: it is 0", 2), (BLOCK, "panicked: blocking 0", 1)] {
        let dead = client.submit(task, &0).await.unwrap().id();
        ended(&backend, dead).await;
        let dead = stored(&backend, dead).await;
        assert_eq!((dead.trail.attempts[0].how, dead.trail.why.as_str()), (AttemptEnd::Panicked, message));
        assert_eq!((dead.record.head.attempt, dead.trail.cause), (attempts, Some(Cause::Failed)));
        assert_eq!(client.submit(task, &1).await.unwrap().output_within(PATIENCE).await.unwrap(), 1);
    }
    stop(worker).await;
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_dropped_and_timed_out() {
    const SLOW: Task<(), ()> = Task::new("slow").timeout(Duration::from_millis(30)).retry(Retry::none());
    const LATE: Task<(), ()> = Task::new("late").deadline_after(Duration::from_millis(60));
    let backend = memory::open();
    let forever = async |(): ()| std::future::pending::<Result<(), JobError>>().await;
    let worker = worker().task(SLOW, forever).task(LATE, forever).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let (slow, late) = (client.submit(SLOW, &()).await.unwrap().id(), client.submit(LATE, &()).await.unwrap().id());
    ended(&backend, slow).await;
    let slow = stored(&backend, slow).await;
    assert_eq!((slow.trail.attempts[0].how, slow.trail.cause), (AttemptEnd::TimedOut, Some(Cause::Failed)));
    assert!(slow.trail.why.as_str().contains("30ms"), "{}", slow.trail.why);
    ended(&backend, late).await;
    assert_eq!(stored(&backend, late).await.trail.cause, Some(Cause::Deadline));
    stop(worker).await;
}

#[tokio::test]
async fn an_error_says_what_comes_after_it() {
    let backend = memory::open();
    let handler = async |ctx: Ctx, n: u32| -> Result<u32, JobError> {
        match (n, ctx.attempt()) {
            (0, _) => Err(JobError::fail("no use")),
            (1, _) => Err(JobError::cancel("not wanted")),
            (2, 1..=3) => Err(JobError::snooze(Duration::ZERO)),
            (3, _) => Err(JobError::retry_after(Duration::from_secs(3600), "later")),
            (4, _) => Err("x".parse::<u8>().unwrap_err().into()),
            _ => Ok(n),
        }
    };
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let decide = move |_: &JobError| {
        count.fetch_add(1, Ordering::Relaxed);
        Decision::Fail
    };
    let worker = worker().task(NUMBER, handler).on_error(NUMBER, decide).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(client.submit(NUMBER, &n).await.unwrap().id());
    }
    let stands = |n: usize| {
        let (backend, id) = (&backend, ids[n]);
        async move {
            let job = until(backend, id, |job| {
                !matches!(job.record.head.state, JobState::Ready | JobState::Running) && job.record.head.attempt > 0
            });
            let job = job.await;
            (job.record.head.state, job.trail.cause, job.trail.failures)
        }
    };
    assert_eq!(stands(0).await, (JobState::Dead, Some(Cause::NotRetryable), 1));
    assert_eq!(stands(1).await, (JobState::Cancelled, Some(Cause::Cancelled), 0));
    assert_eq!(stands(3).await, (JobState::Scheduled, None, 1));
    assert_eq!(stands(4).await, (JobState::Dead, Some(Cause::NotRetryable), 1));
    assert_eq!(output::<u32>(&backend, ids[2]).await, 2);
    let snoozed = stored(&backend, ids[2]).await;
    assert_eq!((snoozed.record.head.attempt, snoozed.trail.failures), (4, 0));
    assert_eq!(asked.load(Ordering::Relaxed), 1, "it is asked only where the handler has not decided");
    stop(worker).await;
}

#[tokio::test]
async fn follow_ups_are_submitted_by_a_success_and_only_then() {
    let backend = memory::open();
    let handler = async |ctx: Ctx, n: u32| -> Result<u32, JobError> {
        ctx.then(ECHO, &format!("after {n}"))?;
        if ctx.attempt() == 1 { Err(JobError::retry_after(Duration::ZERO, "once more")) } else { Ok(n) }
    };
    let worker = worker().task(NUMBER, handler).task(ECHO, echo).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(NUMBER, &7).await.unwrap();
    assert_eq!(output::<u32>(&backend, job.id()).await, 7);
    let next = JobId::new(job.id().run, 1);
    assert_eq!(output::<String>(&backend, next).await, "after 7");
    assert!(backend.store().load(&[JobId::new(job.id().run, 2)]).await.remove(0).unwrap().is_none());
    stop(worker).await;
}

#[tokio::test]
async fn a_task_that_is_unknown_here_is_put_off_until_a_worker_knows_it() {
    for backend in each_way() {
        let first = worker().task(NUMBER, async |n: u32| Ok::<u32, JobError>(n)).start(&backend).await.unwrap();
        let job = Client::new(&backend).submit(ECHO, &"hello".to_owned()).await.unwrap().id();
        let put_off = until(&backend, job, is_end(JobState::Scheduled)).await;
        assert_eq!((put_off.record.head.attempt, put_off.trail.failures), (0, 0));
        stop(first).await;
        let second = worker().task(ECHO, echo).start(&backend).await.unwrap();
        assert_eq!(output::<String>(&backend, job).await, "hello");
        stop(second).await;
    }
}

#[tokio::test]
async fn a_cancel_reaches_a_running_attempt_and_a_success_stands() {
    let backend = memory::open();
    let (started, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (started.clone(), told.clone());
    let handler = move |ctx: Ctx, n: u32| {
        let (started, told) = signals.clone();
        async move {
            started.notify_one();
            ctx.cancelled().await;
            told.notify_one();
            if n == 0 {
                std::future::pending::<()>().await
            }
            Ok::<u32, JobError>(n)
        }
    };
    let lease = Duration::from_millis(150);
    let worker = worker().lease(lease).task(NUMBER, handler).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    for (n, grace, state) in [(0, Duration::from_millis(20), JobState::Cancelled), (1, Duration::from_secs(60), JobState::Succeeded)] {
        let job = client.submit(NUMBER, &n).await.unwrap();
        signalled(&started).await;
        client.cancel_within(job.id(), "enough", grace).await.unwrap();
        signalled(&told).await;
        ended(&backend, job.id()).await;
        let job = stored(&backend, job.id()).await;
        assert_eq!((job.record.head.state, job.record.head.attempt), (state, 1));
    }
    stop(worker).await;
}

#[tokio::test]
async fn a_handler_does_not_start_on_a_lease_that_is_over() {
    let backend = memory::open();
    let handler = async |_: u32| -> Result<u32, JobError> { panic!("it must not start") };
    let run = asynchronous(*NUMBER.def(), handler);
    let mut registry = Registry::default();
    registry.add("number".try_into().unwrap(), 1, Registration { run, on_error: None, pace: None }).unwrap();
    let engine = Arc::new(Engine::new(&backend, WorkerId::from_u128(1), Settings::new(), registry, Default::default()));
    let id = Client::new(&backend).submit(NUMBER, &1).await.unwrap().id();
    let mut lease = engine.lease();
    // It was sent a lease ago; the answer comes only now.
    lease.claimed_at = lease.claimed_at - lease.length;
    let (claim, m) = (engine.claim(&lease), engine.moment());
    let job = stored(&backend, id).await;
    let Look::Claim(commit) = machine::claim(&job, &claim, &m) else { panic!("it is ready") };
    backend.store().commit(std::slice::from_ref(&commit)).await.remove(0).unwrap();
    let slot = engine.slots.clone().acquire_owned().await.unwrap();
    engine.start(id, job.after(&commit).record, lease, slot);
    let back = until(&backend, id, is_end(JobState::Ready)).await;
    assert_eq!((back.trail.attempts[0].how, back.trail.failures), (AttemptEnd::HandedBack, 0));
}

#[tokio::test]
async fn every_queue_of_a_worker_gets_its_turn() {
    const FULL: Task<String, String> = Task::new("echo").queue("full");
    let backend = memory::open();
    let client = Client::new(&backend);
    let full = client.submit_all(FULL, (0..500).map(|n| n.to_string())).await;
    let other = client.submit(ECHO, &"other".to_owned()).await.unwrap().id();
    let worker = Worker::queues(["full", "default"]).slots(1).scheduler(WithScheduler::Off).task(ECHO, echo).start(&backend).await.unwrap();
    ended(&backend, other).await;
    let left = full.iter().map(|job| job.as_ref().unwrap().id()).collect::<Vec<_>>();
    let left =
        backend.store().load(&left).await.into_iter().filter(|record| record.as_ref().unwrap().as_ref().unwrap().head.attempt == 0).count();
    assert!(left > 450, "{left} of the full queue's jobs were left");
    stop(worker).await;
}
