//! `#[task]`: what it makes of a function, and what it says of one that it can make nothing of.
#![cfg(feature = "macros")]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jobbers::worker::State;
use jobbers::{Client, Codec, Ctx, JobError, OnStop, Priority, Retry, Task, Worker, task};

#[derive(serde::Serialize, serde::Deserialize, Debug)]
struct Mail {
    to: String,
}

const TWICE: Retry = Retry::none().failures_max(2);

/// Sends a mail.
#[task(
    name = "mail.send",
    version = 3,
    queue = "mail",
    priority = Priority::High,
    codec = "json",
    retry = TWICE,
    timeout = "1min 30s",
    heartbeat_every = "10s",
    on_stop = OnStop::Finish,
    deadline_after = "1d",
    expires_after = "2h",
)]
async fn send_mail(ctx: Ctx, State(from): State<&'static str>, Mail { to }: Mail) -> Result<String, JobError> {
    ctx.step("sending");
    Ok(format!("{from} to {to}"))
}

mod other {
    #[jobbers::task(name = "count", blocking, crate = ::jobbers)]
    pub(crate) fn count(text: String) -> std::io::Result<u64> {
        Ok(text.len() as u64)
    }
}

#[tokio::test]
async fn a_function_with_the_attribute_is_a_task_and_stays_a_function() {
    let backend = jobbers::connect("memory:").await.unwrap();
    let worker = Worker::queues(["mail", "default"]).state("noreply").register::<send_mail>().register::<other::count>();
    let worker = worker.start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let sent = send_mail::submit(&client, &Mail { to: "anna".into() }).await.unwrap();
    assert_eq!(sent.output().await.unwrap(), "noreply to anna");
    let counted = other::count::submit(&client, &"four".to_owned()).await.unwrap();
    assert_eq!(counted.output().await.unwrap(), 4);
    assert_eq!(other::count("three".into()).unwrap(), 5);
    worker.stop().await.unwrap();
}

#[test]
fn its_task_is_the_one_that_would_be_written_by_hand() {
    const BY_HAND: Task<Mail, String> = Task::new("mail.send")
        .version(3)
        .queue("mail")
        .priority(Priority::High)
        .codec(Codec::Json)
        .retry(TWICE)
        .timeout(Duration::from_secs(90))
        .heartbeat_every(Duration::from_secs(10))
        .on_stop(OnStop::Finish)
        .deadline_after(Duration::from_secs(24 * 3600))
        .expires_after(Duration::from_secs(2 * 3600));
    let made: Task<Mail, String> = send_mail::TASK;
    assert_eq!(made.def(), BY_HAND.def());
}

#[cfg(feature = "msgpack")]
#[tokio::test]
async fn a_codec_is_named_in_quotes() {
    #[task(name = "half", codec = "msgpack", crate = ::jobbers)]
    async fn half(number: f64) -> jobbers::Result<f64> {
        Ok(number / 2.0)
    }
    assert_eq!(half::TASK.def().codec, Codec::Msgpack);
    let backend = jobbers::connect("memory:").await.unwrap();
    let worker = Worker::queues(["default"]).register::<half>().start(&backend).await.unwrap();
    let job = half::submit(&Client::new(&backend), &5.0).await.unwrap();
    assert_eq!(job.output().await.unwrap(), 2.5);
    assert_eq!(job.record().await.unwrap().parameters.to_string(), "5.0");
    worker.stop().await.unwrap();
}

#[test]
fn mistakes_are_met_with_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/macros/messages/*.rs");
}
