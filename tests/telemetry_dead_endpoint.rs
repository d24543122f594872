//! An endpoint that hangs, fails or is gone stops no worker, and is not warned of without end.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobbers::telemetry::Telemetry;
use jobbers::{Backend, Client, ErrorKind, JobError, Task, Worker};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

const COUNT: Task<u64, u64> = Task::new("count");
const JOBS: u64 = 300;
/// Exports that fail before the endpoint is gone.
const EXPORTS: usize = 20;
/// Lines of one place in a minute, and some more should the test last longer.
const WARNINGS_MAX: usize = 10;

async fn count(n: u64) -> Result<u64, JobError> {
    Ok(n)
}

/// Counts the warnings of exports.
struct Warnings(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().starts_with("jobbers::telemetry") {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Runs jobs, each with a trace, to their ends.
async fn work(backend: &Backend) {
    let client = Client::new(backend);
    let span = tracing::info_span!("work");
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        jobs.push(span.in_scope(|| client.submit(COUNT, &n).into_future()).await.unwrap());
    }
    for (n, job) in jobs.iter().enumerate() {
        assert_eq!(job.output().await.unwrap(), n as u64);
    }
}

#[tokio::test]
async fn a_worker_goes_on_whatever_the_endpoint_does() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let telemetry = Telemetry::of("shop").otlp(url).every(Duration::from_millis(10)).start().unwrap();
    let warnings = Arc::new(AtomicUsize::new(0));
    tracing_subscriber::registry().with(telemetry.layer()).with(Warnings(warnings.clone())).init();
    let backend = jobbers::connect("memory:").await.unwrap();
    let worker = Worker::queues(["default"]).task(COUNT, count).start(&backend).await.unwrap();

    // It hangs: the first export is under way for as long as this connection is held.
    let (held, listener) = tokio::task::spawn_blocking(move || (listener.accept().unwrap().0, listener)).await.unwrap();
    work(&backend).await;
    assert_eq!(warnings.load(Ordering::SeqCst), 0, "the first export has not ended yet");

    // It fails: each connection is closed at once.
    drop(held);
    let failing = tokio::task::spawn_blocking(move || listener.incoming().take(EXPORTS).for_each(drop));
    work(&backend).await;
    failing.await.unwrap();

    // It is gone.
    work(&backend).await;
    worker.stop().await.unwrap();
    let gone = tokio::task::spawn_blocking(|| telemetry.shutdown()).await.unwrap();
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::Unavailable);
    let warned = warnings.load(Ordering::SeqCst);
    assert!((1..=WARNINGS_MAX).contains(&warned), "{warned} warnings of more than {EXPORTS} exports");
}
