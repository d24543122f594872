//! Of a burst of jobs a bounded number is traced, and every one is counted and measured.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jobbers::telemetry::Telemetry;
use jobbers::{Client, JobError, Task, Worker};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use tracing::{Instrument, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

mod telemetry;

const COUNT: Task<u64> = Task::new("count");
const JOBS: usize = 10_000;
const A_SECOND: u32 = 20;

async fn count(_: u64) -> Result<(), JobError> {
    async { tracing::info_span!("inside").in_scope(|| tracing::info!("it is counted")) }.instrument(tracing::info_span!("around")).await;
    Ok(())
}

/// Counts the attempts' spans, as something that writes logs sees them.
struct Logs(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Logs {
    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "process" {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// How many values a metric has: of a counter their sum.
fn values(metrics: &[Metric], name: &str) -> usize {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no metric is called {name}"));
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            sum.data_points.iter().map(|point| if let Some(Value::AsInt(value)) = point.value { value as usize } else { 0 }).sum()
        }
        Data::Histogram(histogram) => histogram.data_points.iter().map(|point| point.count as usize).sum(),
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_traced_within_its_budget_and_counted_whole() {
    let collector = telemetry::Collector::listen();
    let telemetry = Telemetry::of("shop").otlp(collector.url()).traces_per_second(A_SECOND).start().unwrap();
    let logged = Arc::new(AtomicUsize::new(0));
    tracing_subscriber::registry().with(telemetry.layer()).with(Logs(logged.clone())).init();

    let backend = jobbers::connect("memory:").await.unwrap();
    let client = Client::new(&backend);
    // Submitted in a trace that is recorded: what links to it is bounded all the same.
    let submits = client.submit_all(COUNT, (0..JOBS as u64).collect::<Vec<_>>()).instrument(tracing::info_span!("checkout"));
    let jobs: Vec<_> = submits.await.into_iter().map(Result::unwrap).collect();
    let start = Instant::now();
    let worker = Worker::queues(["default"]).task(COUNT, count).start(&backend).await.unwrap();
    for job in jobs {
        job.output().await.unwrap();
    }
    let most = (start.elapsed().as_secs_f64() + 1.0) * f64::from(A_SECOND);
    worker.stop().await.unwrap();
    tokio::task::spawn_blocking(|| telemetry.shutdown()).await.unwrap().unwrap();

    let exported = collector.exported();
    let traced = exported.spans.iter().filter(|span| span.name == "process default").count();
    assert!((A_SECOND as usize..=most as usize).contains(&traced), "{traced} traces, of at most {most}");
    let submit = exported.span("checkout");
    for span in exported.spans.iter().filter(|span| span.name == "process default") {
        assert_eq!(span.links.iter().map(|link| &link.span_id).collect::<Vec<_>>(), [&submit.span_id]);
    }
    for name in ["around", "inside"] {
        let named: Vec<_> = exported.spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(named.len(), traced, "{name}: what a handler makes is exported with its attempt, or not at all");
        assert!(named.iter().all(|span| !span.parent_span_id.is_empty()), "{name}");
    }
    for name in ["jobbers.submitted", "jobbers.attempts", "jobbers.ended", "jobbers.wait.duration", "jobbers.attempt.duration"] {
        assert_eq!(values(&exported.metrics, name), JOBS, "{name}");
    }
    assert_eq!(logged.load(Ordering::SeqCst), JOBS, "the logs of an attempt have its span, traced or not");
}
