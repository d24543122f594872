//! Stop, and what becomes of what runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::*;
use crate::memory::Memory;
use crate::policy::{OnStop, Retry};
use crate::record::{AttemptEnd, Cause};
use crate::worker::{Ctx, Fetching, JobError, StopReport};

const BACK: Task<u32, u32> = Task::new("back");
const FINISH: Task<u32, u32> = Task::new("finish").on_stop(OnStop::Finish);
const FAIL: Task<u32, u32> = Task::new("fail").on_stop(OnStop::Fail).retry(Retry::none());

/// A handler that says that it has started, and goes on until `go`.
fn held(
    started: &Arc<Notify>,
    go: &Arc<Notify>,
) -> impl Fn(u32) -> std::pin::Pin<Box<dyn Future<Output = Result<u32, JobError>> + Send>> + Send + Sync + 'static {
    let (started, go) = (started.clone(), go.clone());
    move |n| {
        let (started, go) = (started.clone(), go.clone());
        Box::pin(async move {
            started.notify_one();
            go.notified().await;
            Ok(n)
        })
    }
}

#[tokio::test]
async fn a_stop_without_anything_running_is_quick_and_leaves_nothing() {
    let backend = memory::open();
    let worker = worker().name("tidy").task(ECHO, echo).start(&backend).await.unwrap();
    assert_eq!(stop(worker).await, StopReport::default());
    let page = crate::driver::Page { after: None, limit: 10 };
    assert!(backend.store().documents(crate::driver::DocKind::Worker, &page).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_runs_when_the_grace_is_over_goes_by_its_tasks_policy() {
    let backend = memory::open();
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = worker()
        .grace(Duration::from_millis(30))
        .task(BACK, held(&started, &Arc::default()))
        .task(FINISH, held(&started, &go))
        .task(FAIL, held(&started, &Arc::default()))
        .start(&backend)
        .await
        .unwrap();
    let client = Client::new(&backend);
    let mut ids = Vec::new();
    for task in [BACK, FINISH, FAIL] {
        ids.push(client.submit(task, &1).await.unwrap().id());
        signalled(&started).await;
    }
    let stopping = tokio::spawn(stop(worker));
    let back = until(&backend, ids[0], is_end(JobState::Ready)).await;
    assert_eq!((back.trail.attempts[0].how, back.trail.failures), (AttemptEnd::HandedBack, 0));
    ended(&backend, ids[2]).await;
    let failed = stored(&backend, ids[2]).await;
    assert_eq!((failed.record.head.state, failed.trail.cause), (JobState::Dead, Some(Cause::Failed)));
    assert_eq!(stored(&backend, ids[1]).await.record.head.state, JobState::Running, "it may finish at any cost");
    assert!(!stopping.is_finished());
    go.notify_one();
    assert_eq!(stopping.await.unwrap(), StopReport { finished: 1, handed_back: 1, failed: 1, abandoned: 0 });
    assert_eq!(output::<u32>(&backend, ids[1]).await, 1);
}

#[tokio::test]
async fn a_handler_that_hears_of_the_stop_ends_within_the_grace() {
    let backend = memory::open();
    let started = Arc::new(Notify::new());
    let signal = started.clone();
    let handler = move |ctx: Ctx, n: u32| {
        let started = signal.clone();
        async move {
            assert!(!ctx.is_stopping());
            started.notify_one();
            ctx.stopping().await;
            if n == 0 { Err(JobError::hand_back()) } else { Ok(n) }
        }
    };
    let worker = worker().task(BACK, handler).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let (back, done) = (client.submit(BACK, &0).await.unwrap().id(), client.submit(BACK, &1).await.unwrap().id());
    signalled(&started).await;
    until(&backend, done, is_end(JobState::Running)).await;
    assert_eq!(stop(worker).await, StopReport { finished: 1, handed_back: 1, ..StopReport::default() });
    assert_eq!(stored(&backend, back).await.record.head.state, JobState::Ready);
    assert_eq!(output::<u32>(&backend, done).await, 1);
}

#[tokio::test]
async fn to_stop_now_hands_back_whatever_runs() {
    let backend = memory::open();
    let started = Arc::new(Notify::new());
    let worker = worker().task(FINISH, held(&started, &Arc::default())).start(&backend).await.unwrap();
    let id = Client::new(&backend).submit(FINISH, &1).await.unwrap().id();
    signalled(&started).await;
    let report = tokio::time::timeout(PATIENCE, worker.stop_now()).await.unwrap().unwrap();
    assert_eq!(report, StopReport { handed_back: 1, ..StopReport::default() });
    assert_eq!(stored(&backend, id).await.record.head.state, JobState::Ready);
}

#[tokio::test]
async fn a_handle_that_is_dropped_stops_its_worker() {
    let backend = memory::open();
    let started = Arc::new(Notify::new());
    let worker = worker().grace(Duration::ZERO).task(BACK, held(&started, &Arc::default())).start(&backend).await.unwrap();
    let id = Client::new(&backend).submit(BACK, &1).await.unwrap().id();
    signalled(&started).await;
    drop(worker);
    until(&backend, id, is_end(JobState::Ready)).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_can_not_keep_a_worker_from_stopping() {
    let (backend, faults) = faults::open(Memory::new());
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = worker().lease_runtime(crate::worker::LeaseRuntime::Shared).task(BACK, held(&started, &go)).start(&backend).await.unwrap();
    Client::new(&backend).submit(BACK, &1).await.unwrap();
    started.notified().await;
    faults.down.store(true, std::sync::atomic::Ordering::SeqCst);
    go.notify_one();
    let report = worker.stop().await.unwrap();
    assert_eq!(report, StopReport { abandoned: 0, ..StopReport::default() }, "the end was given up, and nothing runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_handler_that_never_awaits_is_abandoned_and_can_be_found_by_its_workers_presence() {
    let backend = memory::open();
    let started = Arc::new(Notify::new());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (released, signal) = (std::sync::Mutex::new(released), started.clone());
    let handler = move |n: u32| {
        signal.notify_one();
        let _ = released.lock().unwrap().recv_timeout(PATIENCE);
        std::future::ready(Ok::<u32, JobError>(n))
    };
    let mut builder = worker().grace(Duration::ZERO).task(BACK, handler);
    builder.settings.patience = Duration::from_millis(50);
    let worker = builder.start(&backend).await.unwrap();
    let id = Client::new(&backend).submit(BACK, &1).await.unwrap().id();
    signalled(&started).await;
    assert_eq!(stop(worker).await, StopReport { abandoned: 1, ..StopReport::default() });
    assert_eq!(stored(&backend, id).await.record.head.state, JobState::Running);
    let page = crate::driver::Page { after: None, limit: 10 };
    assert_eq!(backend.store().documents(crate::driver::DocKind::Worker, &page).await.unwrap().len(), 1);
    release.send(()).unwrap();
}

#[tokio::test]
async fn a_worker_that_stops_fetches_no_more() {
    let backend = memory::open();
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let worker = worker().task(FINISH, held(&started, &go)).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    client.submit(FINISH, &1).await.unwrap();
    signalled(&started).await;
    let health = worker.health();
    assert_eq!((health.attempts, health.slots, health.fetching), (1, 4, Fetching::Working));
    let stopping = tokio::spawn(stop(worker));
    tokio::task::yield_now().await;
    let late = client.submit(FINISH, &2).await.unwrap().id();
    go.notify_one();
    assert_eq!(stopping.await.unwrap().finished, 1);
    assert_eq!(stored(&backend, late).await.record.head.state, JobState::Ready);
}
