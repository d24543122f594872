//! A job adds another one to its run: it is submitted with the success of the first, or not at all.
use jobbers::{Client, Ctx, JobError, JobId, JobState, RunId, Task, Worker};

const CHARGE: Task<u64, String> = Task::new("card.charge");
const THANK: Task<String, String> = Task::new("mail.thank");

async fn charge(ctx: Ctx, cents: u64) -> Result<String, JobError> {
    let receipt = format!("receipt for {cents} cents");
    ctx.then(THANK, &receipt)?;
    if ctx.attempt() == 1 {
        // This attempt fails, so what it added is not submitted: nobody is thanked twice.
        return Err(JobError::retry_after(std::time::Duration::ZERO, "the bank did not answer"));
    }
    Ok(receipt)
}

async fn thank(receipt: String) -> Result<String, JobError> {
    Ok(format!("thank you, here is your {receipt}"))
}

#[tokio::main]
async fn main() -> jobbers::Result<()> {
    let backend = jobbers::connect("memory:").await?;
    let worker = Worker::queues(["default"]).task(CHARGE, charge).task(THANK, thank).start(&backend).await?;
    let client = Client::new(&backend);
    let run: RunId = client.submit(CHARGE, &500).await?.id().run;
    println!("{}", client.handle::<String>(run).output().await?);
    // Follow-ups are the next steps of the run.
    println!("{}", client.handle::<String>(JobId::new(run, 1)).output().await?);
    let state = client.run(run).await?.map(|run| run.state);
    println!("the run has {}", if state == Some(JobState::Succeeded) { "succeeded" } else { "not succeeded" });
    worker.stop().await.map(drop)
}
