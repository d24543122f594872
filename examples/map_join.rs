//! One job for each item of a list, and one that waits for all of them.
use jobbers::{Client, Ctx, JobError, Retry, Task, Worker};

const SQUARE: Task<i64, i64> = Task::new("square").retry(Retry::none());
const TOTAL: Task<String, String> = Task::new("total");

async fn square(number: i64) -> Result<i64, JobError> {
    if number == 13 {
        return Err(JobError::fail("unlucky"));
    }
    Ok(number * number)
}

/// Runs when every item has ended, however, and pages through them.
async fn total(ctx: Ctx, name: String) -> Result<String, JobError> {
    let (mut sum, mut dead, mut parents) = (0, 0, ctx.parents());
    while let Some(page) = parents.next_page().await? {
        for parent in page {
            match parent.output::<i64>()? {
                Some(output) => sum += output,
                None => dead += 1,
            }
        }
    }
    Ok(format!("{name}: {sum}, and {dead} dead"))
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).task(SQUARE, square).task(TOTAL, total).start(&backend).await?;
    let client = Client::new(&backend);
    // At most 50 of the jobs are there at a time, however long the list is.
    let run = client.map_join(SQUARE, 1..=100, TOTAL, &"squares".to_owned()).window(50).await?;
    println!("{}", run.output().await?);
    worker.stop().await.map(drop)
}
