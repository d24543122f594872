//! What handlers share, and what else they may take before their parameters.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobbers::worker::{Attempt, FromContext, Needs, State};
use jobbers::{Client, Ctx, JobError, Task, Worker};

const COUNT: Task<String, u64> = Task::new("words.count");

/// Shared by all jobs of the worker.
type Total = Arc<AtomicU64>;

/// An argument of one's own: where a job writes its log.
struct Log(String);

impl FromContext for Log {
    // A worker without it does not start.
    fn needs(needs: &mut Needs) {
        needs.state::<&'static str>();
    }

    fn from_context(ctx: &Ctx) -> Result<Log, JobError> {
        let folder = ctx.state::<&'static str>().ok_or_else(|| JobError::fail("there is no folder"))?;
        Ok(Log(format!("{folder}/attempt-{}.log", ctx.attempt())))
    }
}

async fn count(State(total): State<Total>, Attempt(attempt): Attempt, Log(log): Log, text: String) -> Result<u64, JobError> {
    println!("attempt {attempt} logs to {log}");
    let words = text.split_whitespace().count() as u64;
    Ok(total.fetch_add(words, Ordering::SeqCst) + words)
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let refused = Worker::queues(["default"]).task(COUNT, count).start(&backend).await;
    println!("without state: {}", if refused.is_err() { "refused" } else { "started" });

    let worker = Worker::queues(["default"]).state(Total::default()).state("/var/log").task(COUNT, count).start(&backend).await?;
    let client = Client::new(&backend);
    for text in ["one two", "three"] {
        println!("{} words so far", client.submit(COUNT, &text.to_owned()).await?.output().await?);
    }
    worker.stop().await.map(drop)
}
