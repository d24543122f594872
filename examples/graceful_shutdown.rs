//! A worker that stops lets what runs come to an end, and hands back the rest.
use std::time::Duration;

use jobbers::{Client, Ctx, JobError, JobState, Task, Worker};

const SHORT: Task<(), String> = Task::new("short");
const LONG: Task<(), String> = Task::new("long");

async fn short(ctx: Ctx, _: ()) -> Result<String, JobError> {
    ctx.stopping().await;
    Ok("done within the grace".to_owned())
}

async fn long(ctx: Ctx, _: ()) -> Result<String, JobError> {
    ctx.stopping().await;
    // Too much is left: another worker starts it anew. It counts as no failure.
    Err(JobError::hand_back())
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).slots(2).grace(Duration::from_secs(10));
    let worker = worker.task(SHORT, short).task(LONG, long).start(&backend).await?;
    let client = Client::new(&backend);
    let (first, second) = (client.submit(SHORT, &()).await?, client.submit(LONG, &()).await?);
    for job in [&first, &second] {
        while job.record().await?.state != JobState::Running {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // A service calls `worker.run_until_signal()` instead: it stops at Ctrl-C or SIGTERM.
    worker.stop().await?;
    println!("short: {}", first.output().await?);
    let left = second.record().await?;
    println!("long: {} again, {} failures", left.state, left.failures);
    Ok(())
}
