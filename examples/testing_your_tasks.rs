//! Tests of your tasks, in which hours pass in milliseconds: `cargo test --example testing_your_tasks`.
#![cfg_attr(not(test), allow(dead_code, reason = "the tests use it"))]
use std::time::Duration;

use jobbers::{Client, Ctx, JobError, Retry, Task, Worker};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const CHARGE: Task<u64, String> = Task::new("card.charge").retry(Retry::exponential(Duration::from_secs(300)));
const THANK: Task<String> = Task::new("mail.thank").queue("mail");

async fn order(client: &Client, cents: u64) -> jobbers::Result<()> {
    client.submit(CHARGE, &cents).await?;
    client.submit(THANK, &"how do you like it?".to_owned()).delay(WEEK).await.map(drop)
}

async fn charge(ctx: Ctx, cents: u64) -> Result<String, JobError> {
    ctx.step("asking the bank");
    if ctx.attempt() < 4 {
        return Err(JobError::retry("the bank does not answer"));
    }
    ctx.then(THANK, &format!("thank you for {cents} cents"))?;
    Ok(format!("receipt for {cents} cents"))
}

fn worker() -> Worker {
    Worker::queues(["default", "mail"]).task(CHARGE, charge).task(THANK, async |_| Ok::<(), JobError>(()))
}

fn main() {
    println!("cargo test --example testing_your_tasks");
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobbers::testing::Kit;

    #[tokio::test]
    async fn a_handler_is_called_as_the_function_that_it_is() -> Result<(), JobError> {
        let attempt = Kit::new().attempt().number(4);
        assert_eq!(charge(attempt.ctx(), 500).await?, "receipt for 500 cents");
        assert_eq!(attempt.step(), "asking the bank");
        assert_eq!(attempt.follow_ups(THANK), ["thank you for 500 cents"]);
        Ok(())
    }

    #[tokio::test]
    async fn an_order_is_charged_until_the_bank_answers_and_thanked_for() -> jobbers::Result<()> {
        let kit = Kit::new();
        order(kit.client(), 500).await?;
        let charged = kit.assert_submitted(CHARGE, &500);
        kit.assert_submitted_times(THANK, 1);
        let ran = kit.run_until_idle(worker()).await?;
        assert_eq!((ran.ended, ran.moved), (3, WEEK));
        assert_eq!(charged.output().await?, "receipt for 500 cents");
        kit.assert_submitted(THANK, &"thank you for 500 cents".to_owned());
        Ok(())
    }
}
