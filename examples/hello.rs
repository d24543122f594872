//! One task, one worker, one job.
use jobbers::{Client, Task, Worker};
const GREET: Task<String, String> = Task::new("greet");
async fn greet(name: String) -> jobbers::Result<String> {
    Ok(format!("Hello, {name}!"))
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).task(GREET, greet).start(&backend).await?;
    let job = Client::new(&backend).submit(GREET, &"world".to_owned()).await?;
    println!("{}", job.output().await?);
    worker.stop().await.map(drop)
}
