//! Layers around handlers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tower::layer::layer_fn;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::service_fn;
use tower::timeout::TimeoutLayer;
use tower_service::Service as _;

use super::*;
use crate::policy::Retry;
use crate::record::{AttemptEnd, Cause};
use crate::worker::{Ctx, Handled, HandlerCall, HandlerService, JobError};

const ONCE: Task<u32, u32> = Task::new("once").retry(Retry::none());

/// A worker with a layer that notes when an attempt comes in and goes out.
fn noting(worker: Worker, of: Option<Task<String, String>>, name: &'static str, notes: &Arc<Mutex<Vec<String>>>) -> Worker {
    let notes = notes.clone();
    let layer = layer_fn(move |inner: HandlerService| {
        let notes = notes.clone();
        service_fn(move |call: HandlerCall| {
            let (mut inner, notes) = (inner.clone(), notes.clone());
            async move {
                notes.lock().unwrap().push(format!("{name} in {}@{}", call.task(), call.version()));
                let ended = inner.call(call).await;
                notes.lock().unwrap().push(format!("{name} out {}", ended.is_ok()));
                ended
            }
        })
    });
    match of {
        Some(task) => worker.layer_of(task, layer),
        None => worker.layer(layer),
    }
}

#[tokio::test]
async fn layers_are_around_every_handler_the_first_outermost_and_a_tasks_own_inmost() {
    let (backend, notes) = (memory::open(), Arc::new(Mutex::new(Vec::new())));
    let mut worker = worker();
    for (of, name) in [(Some(ECHO), "own"), (None, "a"), (None, "b")] {
        worker = noting(worker, of, name, &notes);
    }
    let worker = worker.task(ECHO, echo).blocking(ONCE, |n: u32| Err::<u32, _>(std::io::Error::other(n.to_string())));
    let worker = worker.start(&backend).await.unwrap();
    let client = Client::new(&backend);
    assert_eq!(client.submit(ECHO, &"x".to_owned()).await.unwrap().output_within(PATIENCE).await.unwrap(), "x");
    let taken = std::mem::take(&mut *notes.lock().unwrap());
    assert_eq!(taken, ["a in echo@1", "b in echo@1", "own in echo@1", "own out true", "b out true", "a out true"]);
    let failed = client.submit(ONCE, &5).await.unwrap();
    assert_eq!(ended(&backend, failed.id()).await.why.as_str(), "5");
    assert_eq!(*notes.lock().unwrap(), ["a in once@1", "b in once@1", "b out false", "a out false"]);
    stop(worker).await;
}

#[tokio::test]
async fn an_error_of_a_layer_is_a_failed_attempt() {
    let backend = memory::open();
    let refuse = layer_fn(|_: HandlerService| {
        service_fn(async |call: HandlerCall| Err::<Handled, _>(std::io::Error::other(format!("no {}", call.task()))))
    });
    let worker = worker().task(ONCE, async |n: u32| Ok::<_, JobError>(n)).layer(refuse).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(ONCE, &1).await.unwrap();
    let view = ended(&backend, job.id()).await;
    assert_eq!((view.state, view.cause, view.failures), (JobState::Dead, Some(Cause::Failed), 1));
    assert_eq!((view.attempts[0].how, view.attempts[0].errors[0].as_str()), (AttemptEnd::Failed, "no once"));
    stop(worker).await;
}

#[tokio::test]
async fn what_a_handler_asks_for_passes_through_layers_that_box_errors() {
    const CANCELS: Task<u32> = Task::new("cancels");
    let backend = memory::open();
    let worker = worker()
        .layer(TimeoutLayer::new(PATIENCE))
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .task(ONCE, async |n: u32| if n == 1 { Err(JobError::fail("never")) } else { Ok(n) })
        .task(CANCELS, async |_: u32| Err::<(), _>(JobError::cancel("changed my mind")));
    let worker = worker.start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let (fails, passes) = (client.submit(ONCE, &1).await.unwrap(), client.submit(ONCE, &2).await.unwrap());
    let cancels = client.submit(CANCELS, &1).await.unwrap();
    let view = ended(&backend, fails.id()).await;
    assert_eq!((view.state, view.cause), (JobState::Dead, Some(Cause::NotRetryable)));
    assert_eq!(passes.output_within(PATIENCE).await.unwrap(), 2);
    assert_eq!(ended(&backend, cancels.id()).await.state, JobState::Cancelled);
    stop(worker).await;
}

/// Is set when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_timeout_layer_drops_the_handler_and_fails_the_attempt() {
    let (backend, dropped) = (memory::open(), Arc::new(AtomicBool::new(false)));
    let seen = dropped.clone();
    let hang = move |_: u32| {
        let held = Dropped(seen.clone());
        async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok::<u32, JobError>(0)
        }
    };
    let worker = worker().task(ONCE, hang).layer_of(ONCE, TimeoutLayer::new(Duration::from_millis(5)));
    let worker = worker.start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(ONCE, &1).await.unwrap();
    let view = ended(&backend, job.id()).await;
    assert!(view.attempts[0].how == AttemptEnd::Failed && view.why.as_str().contains("timed out"), "{view:?}");
    assert!(dropped.load(Ordering::SeqCst));
    stop(worker).await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_a_layer_runs_has_its_future_dropped() {
    let (backend, dropped, inside) = (memory::open(), Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (seen, started) = (dropped.clone(), inside.clone());
    let hold = layer_fn(move |_: HandlerService| {
        let (seen, started) = (seen.clone(), started.clone());
        service_fn(move |_: HandlerCall| {
            let (held, started) = (Dropped(seen.clone()), started.clone());
            async move {
                started.notify_one();
                std::future::pending::<()>().await;
                drop(held);
                Err::<Handled, _>(std::io::Error::other("not reached"))
            }
        })
    });
    let worker = worker().lease(Duration::from_secs(1)).task(ECHO, echo).layer(hold).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let job = client.submit(ECHO, &"x".to_owned()).await.unwrap();
    signalled(&inside).await;
    client.cancel_within(job.id(), "a test", Duration::ZERO).await.unwrap();
    assert_eq!(ended(&backend, job.id()).await.state, JobState::Cancelled);
    assert!(dropped.load(Ordering::SeqCst));
    stop(worker).await;
}

#[tokio::test]
async fn a_panic_within_a_layer_is_a_failed_attempt_and_the_worker_goes_on() {
    let (backend, calls) = (memory::open(), Arc::new(AtomicU32::new(0)));
    let counted = calls.clone();
    let panics = layer_fn(move |inner: HandlerService| {
        let counted = counted.clone();
        service_fn(move |call: HandlerCall| {
            assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first call");
            inner.clone().call(call)
        })
    });
    let task = ONCE.retry(Retry::constant(Duration::ZERO).failures_max(2));
    let worker = worker().task(task, async |n: u32| Ok::<_, JobError>(n)).layer(panics).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(task, &7).await.unwrap();
    assert_eq!(job.output_within(PATIENCE).await.unwrap(), 7);
    let view = job.record().await.unwrap();
    assert_eq!((view.attempts[0].how, view.attempt), (AttemptEnd::Panicked, 2));
    stop(worker).await;
}

#[tokio::test]
async fn a_limit_of_this_process_holds_across_tasks() {
    let (backend, now, most) = (memory::open(), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let count = |now: Arc<AtomicU32>, most: Arc<AtomicU32>| {
        move |ctx: Ctx, n: u32| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..20 {
                    ctx.heartbeat();
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, JobError>(n)
            }
        }
    };
    const OTHER: Task<u32, u32> = Task::new("other");
    let worker = worker()
        .layer(GlobalConcurrencyLimitLayer::new(1))
        .task(ONCE, count(now.clone(), most.clone()))
        .task(OTHER, count(now.clone(), most.clone()));
    let worker = worker.start(&backend).await.unwrap();
    let client = Client::new(&backend);
    for n in 0..10 {
        client.submit(ONCE, &n).await.unwrap();
        client.submit(OTHER, &n).await.unwrap();
    }
    let last = client.submit(OTHER, &99).await.unwrap();
    assert_eq!(last.output_within(PATIENCE).await.unwrap(), 99);
    assert_eq!(most.load(Ordering::SeqCst), 1);
    stop(worker).await;
}

#[tokio::test]
async fn a_layer_of_a_task_that_the_worker_does_not_know_is_refused() {
    let error = worker().task(ECHO, echo).layer_of(ONCE, TimeoutLayer::new(PATIENCE)).start(&memory::open()).await.unwrap_err();
    assert!(error.to_string().contains("once@1") && error.to_string().contains("register the task"), "{error}");
}
