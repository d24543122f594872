//! A long job says where it is, and is asked to stop.
use std::time::Duration;

use jobbers::{Client, Ctx, JobError, Task, Worker};

const RESIZE: Task<u32, u32> = Task::new("images.resize").heartbeat_every(Duration::from_secs(30));

async fn resize(ctx: Ctx, images: u32) -> Result<u32, JobError> {
    for image in 1..=images {
        ctx.step(format!("image {image} of {images}"));
        ctx.progress(f64::from(image) / f64::from(images));
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            // Clean up here; what is returned then is no verdict on the job.
            () = ctx.cancelled() => return Err(JobError::retry(format!("stopped at image {image}"))),
        }
    }
    Ok(images)
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).step_interval(Duration::from_millis(20)).lease(Duration::from_millis(300));
    let worker = worker.task(RESIZE, resize).start(&backend).await?;
    let job = Client::new(&backend).submit(RESIZE, &100_000).await?;
    let step = loop {
        match job.record().await?.progress {
            Some(progress) if !progress.step.as_str().is_empty() => break progress.step,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    println!("it says: {}", if step.as_str().starts_with("image ") { "image .. of 100000" } else { "nothing" });
    job.cancel("nobody wants the images any more").await?;
    println!("it is {}", job.ended().await?.state);
    worker.stop().await.map(drop)
}
