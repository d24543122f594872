//! Asked to, attempts are children of their submits.
#![allow(clippy::unwrap_used)]

use jobbers::telemetry::{Relation, Telemetry};
use jobbers::{Client, Ctx, JobError, JobId, Task, Worker};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod telemetry;

const SHIP: Task<u32, u32> = Task::new("order.ship");
const THANK: Task<u32, u32> = Task::new("mail.thank");

async fn ship(ctx: Ctx, order: u32) -> Result<u32, JobError> {
    ctx.then(THANK, &order)?;
    Ok(order)
}

async fn thank(order: u32) -> Result<u32, JobError> {
    Ok(order)
}

#[tokio::test]
async fn attempts_and_their_follow_ups_are_in_the_trace_of_the_submit() {
    let collector = telemetry::Collector::listen();
    let telemetry = Telemetry::of("shop").otlp(collector.url()).relation(Relation::Parent).start().unwrap();
    tracing_subscriber::registry().with(telemetry.layer()).init();

    let backend = jobbers::connect("memory:").await.unwrap();
    let worker = Worker::queues(["default", "mails"]).task(SHIP, ship).task(THANK.queue("mails"), thank).start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let job = client.submit(SHIP, &7).into_future().instrument(tracing::info_span!("checkout")).await.unwrap();
    assert_eq!(job.output().await.unwrap(), 7);
    assert_eq!(client.handle::<u32>(JobId::new(job.id().run, 1)).output().await.unwrap(), 7);
    worker.stop().await.unwrap();
    drop(telemetry);

    let exported = collector.exported();
    let submit = exported.span("checkout");
    let attempts: Vec<_> = exported.spans.iter().filter(|span| span.name.starts_with("process ")).collect();
    assert_eq!(attempts.len(), 2);
    assert!(attempts.iter().all(|attempt| attempt.trace_id == submit.trace_id && attempt.links.is_empty()), "{attempts:?}");
    assert_eq!(attempts.iter().filter(|attempt| attempt.parent_span_id == submit.span_id).count(), 1, "{attempts:?}");
}
