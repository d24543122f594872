//! A job that fails twice: its task's policy tries it again, and the record tells what went wrong.
use std::time::Duration;

use jobbers::worker::Attempt;
use jobbers::{Client, JobError, Retry, Task, Worker};

const SHORT: Retry = Retry::exponential(Duration::from_millis(10)).failures_max(3);
const FETCH: Task<String, usize> = Task::new("page.fetch").retry(SHORT);

async fn fetch(Attempt(attempt): Attempt, url: String) -> Result<usize, JobError> {
    match attempt {
        // What `?` does: try again by the policy.
        1 => Err(JobError::retry("connection reset")),
        // The server has said when.
        2 => Err(JobError::retry_after(Duration::from_millis(20), "503, come back later")),
        _ if url.starts_with("http") => Ok(url.len()),
        // Another attempt is no use.
        _ => Err(JobError::fail("this is no URL")),
    }
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).task(FETCH, fetch).start(&backend).await?;
    let client = Client::new(&backend);
    for url in ["http://example.org", "nowhere"] {
        let job = client.submit(FETCH, &url.to_owned()).await?.ended().await?;
        println!("{url}: {} after {} attempts", job.state, job.attempt);
        for past in job.attempts.iter().filter(|past| !past.errors.is_empty()) {
            println!("  attempt {}: {:?}", past.attempt, past.errors.iter().map(|error| error.as_str()).collect::<Vec<_>>());
        }
    }
    worker.stop().await.map(drop)
}
