//! A real endpoint receives metrics, and spans of attempts that are linked to the traces of their submits.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jobbers::telemetry::{METRICS, MetricKind, Telemetry};
use jobbers::{Client, ErrorKind, JobError, Task, Worker};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod telemetry;

const SHIP: Task<u32, u32> = Task::new("order.ship");

async fn ship(order: u32) -> Result<u32, JobError> {
    tracing::info_span!("pack").in_scope(|| ());
    Ok(order)
}

/// The sum of a counter, over all attributes.
fn sum(metrics: &[Metric], name: &str) -> i64 {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no metric is called {name}"));
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{name} is no sum") };
    sum.data_points.iter().map(|point| if let Some(Value::AsInt(value)) = point.value { value } else { 0 }).sum()
}

#[tokio::test]
async fn an_endpoint_receives_metrics_and_attempts_that_are_linked_to_their_submits() {
    let collector = telemetry::Collector::listen();
    let telemetry = Telemetry::of("shop").otlp(collector.url()).start().unwrap();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    assert_eq!(Telemetry::of("shop").start().unwrap_err().kind(), ErrorKind::WrongState);

    let backend = jobbers::connect("memory:").await.unwrap();
    let worker = Worker::queues(["default"]).task(SHIP, ship).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let job = client.submit(SHIP, &7).into_future().instrument(tracing::info_span!("checkout")).await.unwrap();
    assert_eq!(job.output().await.unwrap(), 7);
    worker.stop().await.unwrap();
    let text = telemetry.prometheus();
    tokio::task::spawn_blocking(|| telemetry.shutdown()).await.unwrap().unwrap();

    let exported = collector.exported();
    let (submit, attempt, inside) = (exported.span("checkout"), exported.span("process default"), exported.span("pack"));
    assert_ne!(attempt.trace_id, submit.trace_id, "a trace of its own");
    assert!(attempt.parent_span_id.is_empty(), "{attempt:?}");
    let links: Vec<_> = attempt.links.iter().map(|link| (&link.trace_id, &link.span_id)).collect();
    assert_eq!(links, [(&submit.trace_id, &submit.span_id)]);
    assert_eq!((&inside.trace_id, &inside.parent_span_id), (&attempt.trace_id, &attempt.span_id), "what a handler does is in it");
    let fields = format!("{:?}", attempt.attributes);
    assert!(["succeeded", "order.ship"].iter().all(|value| fields.contains(value)), "{fields}");
    assert_eq!(attempt.kind().as_str_name(), "SPAN_KIND_CONSUMER");

    assert!(format!("{:?}", exported.resource).contains("\"shop\""), "{:?}", exported.resource);
    for name in ["jobbers.submitted", "jobbers.attempts", "jobbers.ended"] {
        assert_eq!(sum(&exported.metrics, name), 1, "{name}");
    }
    assert_eq!(sum(&exported.metrics, "jobbers.slots.busy"), 0);
    let known: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert!(exported.metrics.iter().all(|metric| known.contains(&metric.name[..])));

    let line = "jobbers_ended_total{queue=\"default\",state=\"succeeded\",task=\"order.ship\"} 1";
    assert!(text.lines().any(|found| found == line), "{text}");
    for metric in METRICS.iter().filter(|metric| exported.metrics.iter().any(|exported| exported.name == metric.name)) {
        let seconds = if metric.unit == "s" { "_seconds" } else { "" };
        let total = if metric.kind == MetricKind::Counter { "_total" } else { "" };
        let name = format!("# HELP {}{seconds}{total} {}", metric.name.replace('.', "_"), metric.about);
        assert!(text.lines().any(|found| found == name), "{name} is not in\n{text}");
    }
}
