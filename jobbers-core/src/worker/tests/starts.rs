//! Checks at the start, and the fetch loop under trouble.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;

use super::*;
use crate::error::ErrorKind;
use crate::memory::Memory;
use crate::policy::{Rate, Retry};
use crate::worker::{Fetching, JobError, WithScheduler};

#[tokio::test]
async fn a_worker_that_can_not_work_is_refused_with_what_to_do() {
    const ECHO_2: Task<String, String> = Task::new("echo").version(2);
    const BAD: Task<String, String> = Task::new("Echo!");
    const OWN: Task<String, String> = Task::new("jobbers.map");
    let none: [&str; 0] = [];
    let cases = [
        (worker(), "knows no task"),
        (Worker::queues(none).task(ECHO, echo), "serves no queue"),
        (worker().slots(0).task(ECHO, echo), "0 slots"),
        (worker().task(ECHO, echo).task(ECHO, echo), "echo@1 is registered twice"),
        (worker().task(BAD, echo), "\"Echo!\" is not allowed"),
        (worker().task(OWN, echo), "engine's own"),
        (Worker::queues(["no_queue"]).task(ECHO, echo), "\"no_queue\" is not allowed"),
        (Worker::queues(["a", "a"]).task(ECHO, echo), "named twice"),
        (worker().lease(Duration::ZERO).task(ECHO, echo), "a lease of 0ns"),
        (worker().name("").task(ECHO, echo), "no name of a worker"),
        (worker().name("a\nb").task(ECHO, echo), "no name of a worker"),
        (worker().task(ECHO, echo).rate_of(ECHO_2, Rate { count: 1, period: PATIENCE, burst: 1 }), "rate_of names echo@2"),
        (worker().task(ECHO, echo).on_error(ECHO_2, |_| Default::default()), "on_error names echo@2"),
    ];
    for (worker, message) in cases {
        let error = worker.start(&memory::open()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    let both = worker().task(ECHO, echo).task(ECHO_2, echo).start(&memory::open()).await.unwrap();
    stop(both).await;
}

#[tokio::test]
async fn a_worker_whose_backend_is_down_says_so_and_fetches_again_once_it_is_back() {
    for without_take in [false, true] {
        let (backend, faults) = faults::open(Memory::new());
        let backend = if without_take { backend.without_take() } else { backend };
        let worker = worker().task(ECHO, echo).start(&backend).await.unwrap();
        assert!(worker.health().is_good());
        faults.down.store(true, Ordering::SeqCst);
        let look = async {
            while worker.health().fetching != Fetching::Retrying {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap();
        assert!(worker.health().trouble.is_some());
        faults.down.store(false, Ordering::SeqCst);
        let job = Client::new(&backend).submit(ECHO, &"back".to_owned()).await.unwrap();
        assert_eq!(output::<String>(&backend, job.id()).await, "back");
        assert_eq!((worker.health().fetching, worker.health().trouble), (Fetching::Working, None));
        stop(worker).await;
    }
}

#[tokio::test]
async fn jobs_of_a_take_whose_answer_was_lost_are_found_and_run() {
    let (backend, faults) = faults::open(Memory::new());
    let client = Client::new(&backend);
    let jobs = client.submit_all(ECHO, (0..8).map(|n| n.to_string())).await;
    faults.takes_lost.store(1, Ordering::SeqCst);
    let worker = worker().scheduler(WithScheduler::Off).task(ECHO, echo).start(&backend).await.unwrap();
    for (n, job) in jobs.into_iter().enumerate() {
        let id = job.unwrap().id();
        assert_eq!(output::<String>(&backend, id).await, n.to_string());
        assert_eq!(stored(&backend, id).await.record.head.attempt, 1);
    }
    assert_eq!(faults.takes_lost.load(Ordering::SeqCst), 0);
    stop(worker).await;
}

#[tokio::test]
async fn claims_and_ends_whose_answers_were_lost_are_settled_by_their_nonce() {
    let (backend, faults) = faults::open(Memory::new());
    let backend = backend.without_take();
    let client = Client::new(&backend);
    let jobs = client.submit_all(ECHO, (0..8).map(|n| n.to_string())).await;
    faults.commits_lost.store(4, Ordering::SeqCst);
    let worker = worker().scheduler(WithScheduler::Off).task(ECHO, echo).start(&backend).await.unwrap();
    for (n, job) in jobs.into_iter().enumerate() {
        let id = job.unwrap().id();
        assert_eq!(output::<String>(&backend, id).await, n.to_string());
        let job = stored(&backend, id).await;
        assert_eq!((job.record.head.attempt, job.trail.attempts.len()), (1, 1));
    }
    assert_eq!(faults.commits_lost.load(Ordering::SeqCst), 0);
    stop(worker).await;
}

/// Runs jobs on a backend that comes and goes.
async fn run_through_trouble(backend: Backend, faults: Arc<faults::Faults>) {
    const TOUGH: Task<u32, u32> = Task::new("tough").retry(Retry::DEFAULT.losses_max(100));
    let jobs = Client::new(&backend).submit_all(TOUGH, 0..150).await;
    let handler = async |n: u32| {
        tokio::time::sleep(Duration::from_millis(u64::from(n % 20))).await;
        Ok::<u32, JobError>(n)
    };
    let worker = worker().lease(Duration::from_millis(200)).task(TOUGH, handler).start(&backend).await.unwrap();
    for round in 0..10 {
        faults.down.store(round % 2 == 0, Ordering::SeqCst);
        faults.takes_lost.store(2, Ordering::SeqCst);
        faults.commits_lost.store(3, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(output::<u32>(&backend, job.unwrap().id()).await, n);
    }
    stop(worker).await;
}

#[tokio::test]
async fn every_job_comes_to_its_end_on_a_backend_that_comes_and_goes_and_loses_answers() {
    let (fast, its_faults) = faults::open(Memory::new());
    let (long_way, others_faults) = faults::open(Memory::new());
    tokio::join!(run_through_trouble(fast, its_faults), run_through_trouble(long_way.without_take(), others_faults));
}

#[tokio::test]
async fn a_full_worker_does_not_fetch_and_an_idle_one_fetches_seldom() {
    let (backend, faults) = faults::open(Memory::new());
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (started.clone(), go.clone());
    let handler = move |text: String| {
        let (started, go) = signals.clone();
        async move {
            started.notify_one();
            go.notified().await;
            Ok::<String, JobError>(text)
        }
    };
    let worker = worker().slots(1).scheduler(WithScheduler::Off).task(ECHO, handler).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let jobs = client.submit_all(ECHO, ["a".to_owned(), "b".to_owned()]).await;
    signalled(&started).await;
    let fetches = faults.fetches.load(Ordering::SeqCst);
    assert_eq!(stored(&backend, jobs[1].as_ref().unwrap().id()).await.record.head.state, JobState::Ready);
    go.notify_one();
    signalled(&started).await;
    assert!(faults.fetches.load(Ordering::SeqCst) <= fetches + 1);
    assert!(worker.health().is_good());
    go.notify_one();
    for job in jobs {
        ended(&backend, job.unwrap().id()).await;
    }
    stop(worker).await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_never_returns_does_not_stop_the_fetch_loop() {
    let (backend, faults) = faults::open(Memory::new());
    let backend = backend.without_take();
    let worker = worker().task(ECHO, echo).start(&backend).await.unwrap();
    faults.silences.store(1, Ordering::SeqCst);
    let client = Client::new(&backend);
    client.submit(ECHO, &"its delivery comes back".to_owned()).await.unwrap();
    while faults.silences.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let next = client.submit(ECHO, &"next".to_owned()).await.unwrap();
    assert_eq!(next.output_within(Duration::from_secs(60)).await.unwrap(), "next");
    stop(worker).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_at_due_jobs_that_never_returns_does_not_stop_the_scheduler() {
    let clock = Arc::new(crate::ManualClock::new(crate::Timestamp::MIN));
    let (backend, faults) = faults::open(Memory::new().clock(clock.clone()));
    faults.silences.store(1, Ordering::SeqCst);
    let _scheduler = crate::scheduler::Scheduler::start(&backend);
    while faults.silences.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    let job = Client::new(&backend).submit(ECHO, &"later".to_owned()).delay(Duration::from_secs(1)).await.unwrap();
    clock.advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(stored(&backend, job.id()).await.record.head.state, JobState::Ready);
}
