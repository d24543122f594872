//! Metrics as Prometheus text, and metrics and traces to an OTLP endpoint if OTEL_EXPORTER_OTLP_ENDPOINT names one.
//!
//! `cargo run --example metrics --features telemetry`
use std::time::Duration;

use jobbers::telemetry::Telemetry;
use jobbers::{Client, Ctx, JobError, Retry, Task, Worker};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const CHARGE: Task<u64, ()> = Task::new("card.charge").retry(Retry::constant(Duration::ZERO));

async fn charge(ctx: Ctx, cents: u64) -> Result<(), JobError> {
    // A span of your own: it is exported within the one of its attempt.
    let _span = tracing::info_span!("ask the bank", cents).entered();
    match (cents, ctx.attempt()) {
        (0, _) => Err(JobError::fail("nothing to charge")),
        (_, 1) => Err(JobError::retry("the bank did not answer")),
        _ => Ok(()),
    }
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    // First of all: what comes later is measured by it.
    let telemetry = Telemetry::of("shop").start()?;
    tracing_subscriber::registry().with(telemetry.layer()).init();

    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).task(CHARGE, charge).start(&backend).await?;
    let client = Client::new(&backend);
    for cents in [500, 700, 0] {
        client.submit(CHARGE, &cents).await?.ended_within(Duration::from_secs(10)).await?;
    }
    worker.stop().await?;

    // This is what an answer to GET /metrics holds; here, the counts of attempts and of ends.
    let text = telemetry.prometheus();
    for line in text.lines().filter(|line| line.starts_with("jobbers_attempts_total") || line.starts_with("jobbers_ended_total")) {
        println!("{line}");
    }
    telemetry.shutdown()
}
