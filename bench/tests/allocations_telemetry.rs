//! Recorded metrics, and a trace that is left out, allocate nothing for a job: the figures are those without telemetry.
#![allow(clippy::unwrap_used)]

use jobbers::telemetry::Telemetry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod counted;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[tokio::test(flavor = "current_thread")]
async fn a_job_whose_metrics_are_recorded_allocates_no_more_than_one_without() {
    let telemetry = Telemetry::of("allocations").traces_per_second(0).start().unwrap();
    tracing_subscriber::registry().with(telemetry.layer()).init();
    counted::compare().await;
    let text = telemetry.prometheus();
    assert!(
        text.lines().any(|line| line == "jobbers_attempts_total{outcome=\"succeeded\",queue=\"default\",task=\"nothing\"} 5001"),
        "{text}"
    );
}
