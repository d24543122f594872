//! Where nothing but the export of traces listens, an attempt that is not traced costs no span.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jobbers::telemetry::Telemetry;
use jobbers::{Client, JobError, Task, Worker};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod telemetry;

const LOOK: Task<u64> = Task::new("look");
const JOBS: usize = 2_000;
const A_SECOND: u32 = 20;
static IN_A_SPAN: AtomicUsize = AtomicUsize::new(0);

async fn look(_: u64) -> Result<(), JobError> {
    if !tracing::Span::current().is_none() {
        IN_A_SPAN.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

#[tokio::test]
async fn an_attempt_that_nobody_traces_or_logs_has_no_span() {
    let collector = telemetry::Collector::listen();
    let telemetry = Telemetry::of("shop").otlp(collector.url()).traces_per_second(A_SECOND).start().unwrap();
    tracing_subscriber::registry().with(telemetry.layer()).init();

    let backend = jobbers::connect("memory:").await.unwrap();
    let client = Client::new(&backend);
    let submits = client.submit_all(LOOK, (0..JOBS as u64).collect::<Vec<_>>()).instrument(tracing::info_span!("checkout"));
    let jobs: Vec<_> = submits.await.into_iter().map(Result::unwrap).collect();
    let start = Instant::now();
    let worker = Worker::queues(["default"]).task(LOOK, look).start(&backend).await.unwrap();
    for job in jobs {
        job.output().await.unwrap();
    }
    let most = (start.elapsed().as_secs_f64() + 1.0) * f64::from(A_SECOND);
    worker.stop().await.unwrap();
    tokio::task::spawn_blocking(|| telemetry.shutdown()).await.unwrap().unwrap();

    let in_a_span = IN_A_SPAN.load(Ordering::SeqCst);
    assert!((A_SECOND as usize..=most as usize).contains(&in_a_span), "{in_a_span} attempts had a span, of at most {most}");
    let exported = collector.exported();
    let traced = exported.spans.iter().filter(|span| span.name == "process default").count();
    assert_eq!(in_a_span, traced);
    assert!(exported.span("checkout").parent_span_id.is_empty(), "what is no attempt is exported all the same");
}
