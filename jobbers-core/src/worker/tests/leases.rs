//! Leases: kept while a handler runs, and told to it when they are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::*;
use crate::machine;
use crate::memory::Memory;
use crate::policy::Retry;
use crate::record::{AttemptEnd, Progress, decode_versioned};
use crate::time::{Clock, ManualClock, Timestamp};
use crate::worker::engine::moment;
use crate::worker::{Ctx, JobError, LeaseRuntime, OnSilence, WithScheduler};

const WORK: Task<u32, u32> = Task::new("work").retry(Retry::constant(Duration::ZERO));
const LEASE: Duration = Duration::from_millis(1_000);

/// A handler that says that it has started, and waits until it is told to end.
fn waiting(
    started: &Arc<Notify>,
    told: &Arc<Notify>,
) -> impl Fn(Ctx, u32) -> std::pin::Pin<Box<dyn Future<Output = Result<u32, JobError>> + Send>> + Send + Sync + 'static {
    let (started, told) = (started.clone(), told.clone());
    move |ctx: Ctx, n: u32| {
        let (started, told) = (started.clone(), told.clone());
        Box::pin(async move {
            if ctx.attempt() > 1 {
                return Ok(n);
            }
            started.notify_one();
            ctx.cancelled().await;
            told.notify_one();
            std::future::pending().await
        })
    }
}

#[test]
fn a_handler_that_blocks_its_runtime_loses_no_lease() {
    let backend = memory::open();
    let starts = Arc::new(AtomicU32::new(0));
    let count = starts.clone();
    let blocked = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let handler = move |n: u32| {
        count.fetch_add(1, Ordering::SeqCst);
        // A busy loop of many leases, on the only thread of this runtime.
        let since = Instant::now();
        while since.elapsed() < 8 * LEASE {
            std::hint::spin_loop();
        }
        std::future::ready(Ok::<u32, JobError>(n))
    };
    let job = blocked.block_on(async { Client::new(&backend).submit(WORK, &7).await.unwrap().id() });
    let slow = blocked.block_on(worker().lease(LEASE).scheduler(WithScheduler::Off).task(WORK, handler).start(&backend)).unwrap();
    let watch = {
        let backend = backend.clone();
        std::thread::spawn(move || {
            other.block_on(async {
                until(&backend, job, is_end(JobState::Running)).await;
                // Its scheduler would rescue the job, and its slots would run it.
                let eager = worker().lease(LEASE).task(WORK, async |_: u32| Ok::<u32, JobError>(0)).start(&backend).await.unwrap();
                let output: u32 = output(&backend, job).await;
                stop(eager).await;
                output
            })
        })
    };
    assert_eq!(blocked.block_on(output::<u32>(&backend, job)), 7);
    assert_eq!(watch.join().unwrap(), 7);
    let job = blocked.block_on(stored(&backend, job));
    assert_eq!((starts.load(Ordering::SeqCst), job.record.head.attempt, job.trail.losses), (1, 1, 0));
    blocked.block_on(stop(slow));
}

#[tokio::test]
async fn a_claim_that_no_longer_stands_cancels_its_handler_and_changes_nothing() {
    let backend = memory::open();
    let (started, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = worker().lease(LEASE).task(WORK, waiting(&started, &told)).start(&backend).await.unwrap();
    let id = Client::new(&backend).submit(WORK, &3).await.unwrap().id();
    signalled(&started).await;
    let running = stored(&backend, id).await;
    let commit = machine::lost(&running, None, &moment(&backend));
    backend.store().commit(&[commit]).await.remove(0).unwrap();
    signalled(&told).await;
    // The second attempt ends it; the first one, which was dropped, left nothing.
    assert_eq!(output::<u32>(&backend, id).await, 3);
    let job = stored(&backend, id).await;
    assert_eq!(job.trail.attempts.iter().map(|attempt| attempt.how).collect::<Vec<_>>(), [AttemptEnd::Lost, AttemptEnd::Succeeded]);
    stop(worker).await;
}

#[tokio::test]
async fn a_lease_that_can_not_be_renewed_cancels_its_handler_and_the_job_runs_again_without_a_failure() {
    let (backend, faults) = faults::open(Memory::new());
    let (started, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = worker().lease(LEASE).scheduler(WithScheduler::Off).task(WORK, waiting(&started, &told)).start(&backend).await.unwrap();
    let id = Client::new(&backend).submit(WORK, &4).await.unwrap().id();
    signalled(&started).await;
    faults.down.store(true, Ordering::SeqCst);
    signalled(&told).await;
    let health = worker.health();
    assert!(health.trouble.as_ref().is_some_and(|trouble| trouble.contains("it is down")), "{health:?}");
    faults.down.store(false, Ordering::SeqCst);
    assert_eq!(output::<u32>(&backend, id).await, 4);
    let job = stored(&backend, id).await;
    let hows: Vec<AttemptEnd> = job.trail.attempts.iter().map(|attempt| attempt.how).collect();
    assert_eq!((hows, job.trail.failures, job.trail.losses), (vec![AttemptEnd::HandedBack, AttemptEnd::Succeeded], 0, 0));
    stop(worker).await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_an_hour_shortens_no_lease() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000).unwrap()));
    let (backend, faults) = faults::open(Memory::new().clock(clock.clone()));
    let (started, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = worker().lease(LEASE).task(WORK, waiting(&started, &told)).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let id = client.submit(WORK, &5).await.unwrap().id();
    signalled(&started).await;
    let before = stored(&backend, id).await.record.head.wake_at.unwrap();
    clock.set(clock.now() - Duration::from_secs(3600));
    let beats = faults.beats.load(Ordering::SeqCst);
    // Longer than a lease: it grows by what really passed.
    let after = until(&backend, id, |job| job.record.head.wake_at.unwrap() >= before + LEASE).await;
    assert_eq!((after.record.head.state, after.record.head.attempt), (JobState::Running, 1));
    assert!(faults.beats.load(Ordering::SeqCst) > beats);
    // And the worker goes on fetching.
    let next = client.submit(WORK, &6).await.unwrap();
    signalled(&started).await;
    next.cancel("done").await.unwrap();
    worker.stop_now().await.unwrap();
}

#[tokio::test]
async fn what_a_handler_says_is_written_at_most_once_a_step_interval() {
    let (backend, faults) = faults::open(Memory::new());
    let (said, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (said.clone(), go.clone());
    let handler = move |ctx: Ctx, n: u32| {
        let (said, go) = signals.clone();
        async move {
            for step in 0..1000 {
                ctx.step(format!("step {step}"));
                ctx.progress(f64::from(step) / 2000.0);
            }
            said.notify_one();
            go.notified().await;
            ctx.step("the last one");
            Ok::<u32, JobError>(n)
        }
    };
    let (interval, started) = (Duration::from_millis(50), Instant::now());
    let at_most_one_each = || {
        let beats = faults.beats.load(Ordering::SeqCst) as u128;
        let most = 1 + started.elapsed().as_millis() / interval.as_millis();
        assert!((1..=most).contains(&beats), "{beats} beats, of at most {most}");
    };
    let said_last = |job: &Job| {
        let progress: Progress = decode_versioned(&job.record.progress).unwrap();
        progress.step.as_str() == "step 999"
    };
    let worker = worker().step_interval(interval).task(WORK, handler).start(&backend).await.unwrap();
    let id = Client::new(&backend).submit(WORK, &1).await.unwrap().id();
    signalled(&said).await;
    let progress: Progress = decode_versioned(&until(&backend, id, said_last).await.record.progress).unwrap();
    assert_eq!((progress.permille, progress.attempt), (Some(499), 1));
    at_most_one_each();
    go.notify_one();
    ended(&backend, id).await;
    let job = stored(&backend, id).await;
    assert_eq!(job.trail.attempts[0].step.as_str(), "the last one", "the end carries what no beat has");
    at_most_one_each();
    stop(worker).await;
}

#[tokio::test]
async fn a_silent_handler_is_shown_as_stalled_and_by_policy_retried() {
    const SILENT: Task<u32, u32> = Task::new("work").heartbeat_every(Duration::from_millis(20)).retry(Retry::constant(Duration::ZERO));
    for on_silence in [OnSilence::Show, OnSilence::Retry] {
        let backend = memory::open();
        let (started, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let worker = worker().on_silence(on_silence).task(SILENT, waiting(&started, &told)).start(&backend).await.unwrap();
        let id = Client::new(&backend).submit(SILENT, &9).await.unwrap().id();
        signalled(&started).await;
        if on_silence == OnSilence::Retry {
            signalled(&told).await;
            assert_eq!(output::<u32>(&backend, id).await, 9);
            let job = stored(&backend, id).await;
            assert_eq!((job.trail.attempts[0].how, job.trail.failures), (AttemptEnd::TimedOut, 1));
            assert!(job.trail.attempts[0].errors[0].as_str().contains("no sign of life"));
        } else {
            until(&backend, id, |_| worker.health().stalled == 1).await;
            assert_eq!(stored(&backend, id).await.record.head.attempt, 1);
        }
        worker.stop_now().await.unwrap();
    }
}

#[tokio::test]
async fn a_job_shorter_than_a_third_of_the_lease_never_beats() {
    let (backend, faults) = faults::open(Memory::new());
    let worker = worker().task(ECHO, echo).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    for job in client.submit_all(ECHO, (0..100).map(|n| n.to_string())).await {
        ended(&backend, job.unwrap().id()).await;
    }
    stop(worker).await;
    assert_eq!(faults.beats.load(Ordering::SeqCst), 0);
}

#[test]
fn the_lease_loop_sleeps_while_the_end_of_a_lost_attempt_waits() {
    let (done, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (backend, faults) = faults::open(crate::memory::Memory::new());
            let client = Client::new(&backend);
            let first = client.submit(ECHO, &"its end is never answered".to_owned()).await.unwrap();
            let second = client.submit(ECHO, &"says something".to_owned()).await.unwrap();
            faults.commits_lost.store(usize::MAX, Ordering::SeqCst);
            let handler = |ctx: Ctx, text: String| async move {
                if text.starts_with("says") {
                    ctx.step("half");
                    std::future::pending::<()>().await;
                }
                Ok::<_, JobError>(text)
            };
            let leases = Worker::queues(["default"]).slots(1).lease_runtime(LeaseRuntime::Shared);
            let worker = leases.step_interval(Duration::from_secs(60)).task(ECHO, handler).start(&backend).await.unwrap();
            until(&backend, first.id(), is_end(JobState::Succeeded)).await;
            let running = until(&backend, second.id(), is_end(JobState::Running)).await;
            faults.commits_lost.store(0, Ordering::SeqCst);
            let rescue = crate::machine::lost(&running, None, &crate::worker::moment(&backend));
            assert!(matches!(backend.store().commit(&[rescue]).await.remove(0), Ok(crate::driver::Verdict::Applied { .. })));
            faults.commits_lost.store(usize::MAX, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(120)).await;
            drop(worker);
        });
        done.send(()).unwrap();
    });
    over.recv_timeout(PATIENCE).expect("time stands still: the lease loop never sleeps");
}
