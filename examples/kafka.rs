//! Jobs over Kafka: topics carry their ids, a store decides. `cargo run --features kafka --example kafka -- 'kafka://127.0.0.1:9092?store=memory:'`
use std::time::Duration;

use jobbers::{Client, JobError, Task, Worker};

const RESIZE: Task<u32, String> = Task::new("image.resize").queue("images");

/// A job may take as long as it likes: its delivery is settled as soon as it is claimed, so a long one holds up nobody behind it.
async fn resize(number: u32) -> Result<String, JobError> {
    if number == 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(format!("image {number} is small"))
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    // With workers in many processes the store is a Redis: kafka://A:9092,B:9092?store=redis://10.0.0.5/&namespace=acme
    let url = std::env::args().nth(1).unwrap_or_else(|| "kafka://127.0.0.1:9092?store=memory:".into());
    let backend = jobbers::connect(&url).await?;
    println!("{} guarantees {:?}", backend.name(), backend.capabilities());
    let worker = Worker::queues(["images"]).slots(4).task(RESIZE, resize).start(&backend).await?;
    let client = Client::new(&backend);
    let mut jobs = Vec::new();
    for number in 0..10 {
        jobs.push(client.submit(RESIZE, &number).await?);
    }
    // The long one ends last, although it came first.
    for job in jobs.iter().rev() {
        println!("{}", job.output().await?);
    }
    // What is wrong with the cluster would stand here.
    let health = worker.health();
    println!("trouble: {}", health.trouble.as_deref().unwrap_or("none"));
    worker.stop().await.map(drop)
}
