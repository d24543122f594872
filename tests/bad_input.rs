//! Bad input, as the facade's users give it: a clear error that says what was tried, on what, and what to do; and nothing is lost.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "redis")]
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use jobbers::driver::Backend;
use jobbers::memory::Memory;
use jobbers::record::{AttemptEnd, Cause};
use jobbers::time::{Clock, ManualClock, SystemClock};
use jobbers::{Client, Ctx, Error, ErrorKind, JobError, JobId, JobState, Retry, RunId, Task, Timestamp, Worker, WorkerHandle};
use serde::{Deserialize, Serialize};

/// The backend's clock is real, so that workers need no hand to move it; most waits end by a signal.
const MOST: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize, Deserialize)]
struct Mail {
    to: Vec<Address>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Address {
    host: String,
    port: u16,
}

const MAIL: Task<Mail, u64> = Task::new("mail.send");
const ANY: Task<serde_json::Value, serde_json::Value> = Task::new("any");

async fn send(mail: Mail) -> Result<u64, JobError> {
    Ok(mail.to.len() as u64)
}

async fn same(value: serde_json::Value) -> Result<serde_json::Value, JobError> {
    Ok(value)
}

#[track_caller]
fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

/// The error of what should have failed.
#[track_caller]
fn refused<T>(result: Result<T, Error>) -> Error {
    result.err().expect("it should have been refused")
}

async fn backend() -> Backend {
    jobbers::connect("memory:").await.unwrap()
}

async fn worker(backend: &Backend) -> WorkerHandle {
    Worker::queues(["default"]).task(MAIL, send).task(ANY, same).start(backend).await.unwrap()
}

#[tokio::test]
async fn an_unknown_scheme_is_refused_with_those_that_exist() {
    let error = refused(jobbers::connect("rabbit://guest:secret@host").await);
    says(&error, ErrorKind::Unsupported, &["open a backend", "rabbit", "memory:", "redb:PATH"]);
    assert!(!error.to_string().contains("secret"));
    for (url, word) in [("jobs.redb", "jobs.redb"), ("", "\"\""), ("user:pass@host", "user"), ("C:\\jobs", "C:")] {
        let error = refused(jobbers::connect(url).await);
        says(&error, if url.contains('@') { ErrorKind::Unsupported } else { ErrorKind::Invalid }, &[word, "memory:"]);
        assert!(!error.to_string().contains("pass@"));
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_know_us_is_named_and_the_password_is_not_shown() {
    let error = refused(jobbers::connect("redis://ops:hunter2@127.0.0.1:1").await);
    says(&error, ErrorKind::Unavailable, &["redis at 127.0.0.1:1", "is it running?"]);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    // A server that refuses whatever it is told, as one with another password does.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = client.read(&mut buffer) {
            // Each command starts with a star, and nothing else of these does.
            for _ in buffer[..bytes].iter().filter(|byte| **byte == b'*') {
                client.write_all(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n").unwrap();
            }
        }
    });
    let error = refused(jobbers::connect(&format!("redis://ops:hunter2@{address}")).await);
    says(&error, ErrorKind::Invalid, &["open a redis backend", &address.to_string(), "check name, password"]);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let error = refused(jobbers::connect("redis://localhost/?evictoin=accepted").await);
    says(&error, ErrorKind::Invalid, &["evictoin"]);
}

#[tokio::test]
async fn a_url_with_a_wrong_path_is_refused_with_a_right_one() {
    for url in ["redb:", "redb://", "redb://host/jobs.redb", "redb:folder/"] {
        says(&refused(jobbers::connect(url).await), ErrorKind::Invalid, &[url, "write redb:jobs.redb"]);
    }
    says(&refused(jobbers::connect("memory:jobs").await), ErrorKind::Invalid, &["memory:", "nothing behind it"]);
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_file_that_is_none_of_ours_is_refused_and_left_alone() {
    let folder = std::env::temp_dir().join(format!("jobbers-bad-input-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let foreign = folder.join("foreign.redb");
    let bytes = b"this is a letter to my aunt".repeat(400);
    std::fs::write(&foreign, &bytes).unwrap();
    let error = refused(jobbers::connect(&format!("redb:{}", foreign.display())).await);
    says(&error, ErrorKind::Damaged, &["foreign.redb"]);
    assert_eq!(std::fs::read(&foreign).unwrap(), bytes);
    let nowhere = folder.join("no such folder/jobs.redb");
    let error = refused(jobbers::connect(&format!("redb:{}", nowhere.display())).await);
    says(&error, ErrorKind::Invalid, &["no such folder/jobs.redb"]);
    let error = refused(jobbers::connect(&format!("redb:{}", folder.display())).await);
    assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn parameters_that_do_not_decode_end_dead_at_once_with_the_path_of_the_field() {
    const WRONG: Task<serde_json::Value, u64> = Task::new("mail.send");
    let backend = backend().await;
    let worker = worker(&backend).await;
    let job = Client::new(&backend).submit(WRONG, &serde_json::json!({"to": [{"host": "a", "port": "x"}]})).await.unwrap();
    let view = job.ended_within(MOST).await.unwrap();
    assert_eq!((view.state, view.cause, view.attempt), (JobState::Dead, Some(Cause::NotRetryable), 1));
    assert!(view.why.as_str().contains("to[0].port"), "{}", view.why);
    says(&refused(job.output().await), ErrorKind::WrongState, &["dead", "to[0].port"]);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn parameters_over_512_kib_are_refused_and_an_output_over_it_ends_dead() {
    let backend = backend().await;
    let (worker, client) = (worker(&backend).await, Client::new(&backend));
    let large = serde_json::Value::String("x".repeat(512 * 1024));
    let error = refused(client.submit(ANY, &large).await);
    says(&error, ErrorKind::Invalid, &["any", "524290", "524288", "store the data elsewhere"]);
    assert!(client.counts().await.unwrap().is_empty(), "nothing was submitted");

    const GROW: Task<u32, String> = Task::new("grow");
    async fn grow(bytes: u32) -> Result<String, JobError> {
        Ok("x".repeat(bytes as usize))
    }
    let growing = Worker::queues(["grow"]).task(GROW, grow).start(&backend).await.unwrap();
    let job = client.submit(GROW, &(512 * 1024)).queue("grow").await.unwrap();
    let view = job.ended_within(MOST).await.unwrap();
    assert_eq!((view.state, view.attempt), (JobState::Dead, 1));
    assert!(view.why.as_str().contains("524288"), "{}", view.why);
    growing.stop().await.unwrap();
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_names_are_refused_with_the_rule() {
    const NAMED: Task<()> = Task::new("Mail Send");
    const QUEUED: Task<()> = Task::new("mail").queue("mail_bulk");
    const OURS: Task<()> = Task::new("jobbers.map");
    async fn nothing(_: ()) -> Result<(), JobError> {
        Ok(())
    }
    let backend = backend().await;
    let client = Client::new(&backend);
    says(&refused(client.submit(NAMED, &()).await), ErrorKind::Invalid, &["\"Mail Send\"", "a-z"]);
    says(&refused(client.submit(QUEUED, &()).await), ErrorKind::Invalid, &["\"mail_bulk\"", "80 bytes"]);
    says(&refused(client.submit(MAIL, &Mail { to: vec![] }).queue("").await), ErrorKind::Invalid, &["\"\""]);
    says(&refused(client.submit(OURS, &()).await), ErrorKind::Invalid, &["jobbers."]);
    says(&refused(Worker::queues(["default"]).task(NAMED, nothing).start(&backend).await), ErrorKind::Invalid, &["\"Mail Send\"", "a-z"]);
    says(&refused(Worker::queues(["a b"]).task(MAIL, send).start(&backend).await), ErrorKind::Invalid, &["\"a b\"", "80 bytes"]);
}

#[tokio::test]
async fn a_worker_that_could_do_nothing_does_not_start() {
    let backend = backend().await;
    let with = || Worker::queues(["default"]).task(MAIL, send);
    says(&refused(with().task(MAIL, send).start(&backend).await), ErrorKind::Invalid, &["mail.send", "twice"]);
    says(&refused(Worker::queues(["default"]).start(&backend).await), ErrorKind::Invalid, &["no task"]);
    says(&refused(Worker::queues([""; 0]).task(MAIL, send).start(&backend).await), ErrorKind::Invalid, &["no queue"]);
    says(&refused(with().slots(0).start(&backend).await), ErrorKind::Invalid, &["slot"]);
}

#[test]
fn times_before_1970_and_after_9999_are_refused() {
    for millis in [-1, i64::MIN, 253_402_300_800_000, i64::MAX] {
        says(&refused(Timestamp::from_millis(millis)), ErrorKind::Invalid, &["read a time", "1970", "9999"]);
    }
    for text in ["1969-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "2026-11-24", "yesterday", ""] {
        says(&refused(text.parse::<Timestamp>()), ErrorKind::Invalid, &["read a time"]);
    }
}

#[tokio::test]
async fn a_delay_beyond_the_year_9999_is_refused() {
    let backend = backend().await;
    let submit = Client::new(&backend).submit(MAIL, &Mail { to: vec![] }).delay(Duration::MAX);
    says(&refused(submit.await), ErrorKind::Invalid, &["mail.send", "9999"]);
}

#[test]
fn a_text_that_is_no_id_is_refused_with_what_one_looks_like() {
    for text in ["8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01arz3ndektsv4rrffq69g5fav"] {
        says(&refused(text.parse::<RunId>()), ErrorKind::Invalid, &["parse a run id", "26 characters"]);
        says(&refused(text.parse::<JobId>()), ErrorKind::Invalid, &["26 characters"]);
    }
    says(&refused("01ARZ3NDEKTSV4RRFFQ69G5FAV-x".parse::<JobId>()), ErrorKind::Invalid, &["parse a job id", "step"]);
}

#[tokio::test]
async fn an_unknown_id_is_none_to_get_and_an_error_to_change() {
    let backend = backend().await;
    let client = Client::new(&backend);
    let id: JobId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    assert!(client.get(id).await.unwrap().is_none());
    for error in [
        refused(client.cancel(id, "no reason").await),
        refused(client.retry(id).await),
        refused(client.explain(id).await),
        refused(client.handle::<u64>(id).output().await),
        refused(client.cancel_run(id.run, "no reason").await),
    ] {
        says(&error, ErrorKind::NotFound, &["01ARZ3NDEKTSV4RRFFQ69G5FAV", "memory:"]);
    }
}

#[tokio::test]
async fn an_ended_job_is_not_cancelled_and_a_running_one_is_not_retried() {
    const HANG: Task<()> = Task::new("hang");
    let started = Arc::new(tokio::sync::Notify::new());
    let tell = started.clone();
    let hang = move |ctx: Ctx, ()| {
        let tell = tell.clone();
        async move {
            tell.notify_one();
            ctx.cancelled().await;
            Err::<(), _>(JobError::cancel("told to"))
        }
    };
    let backend = backend().await;
    let client = Client::new(&backend);
    let worker = Worker::queues(["default"]).task(MAIL, send).task(HANG, hang).start(&backend).await.unwrap();
    let done = client.submit(MAIL, &Mail { to: vec![] }).await.unwrap();
    done.output_within(MOST).await.unwrap();
    let error = refused(done.cancel("too late").await);
    says(&error, ErrorKind::WrongState, &[&done.id().to_string(), "succeeded"]);
    says(&refused(done.retry().await), ErrorKind::WrongState, &["succeeded"]);

    let hanging = client.submit(HANG, &()).await.unwrap();
    started.notified().await;
    says(&refused(hanging.retry().await), ErrorKind::WrongState, &[&hanging.id().to_string(), "running"]);
    hanging.cancel("enough").await.unwrap();
    assert_eq!(hanging.ended_within(MOST).await.unwrap().state, JobState::Cancelled);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_never_ends_is_stopped_by_its_timeout() {
    const STUCK: Task<()> = Task::new("stuck").timeout(Duration::from_millis(50)).retry(Retry::none());
    async fn stuck(_: ()) -> Result<(), JobError> {
        std::future::pending().await
    }
    let backend = backend().await;
    let worker = Worker::queues(["default"]).task(STUCK, stuck).start(&backend).await.unwrap();
    let job = Client::new(&backend).submit(STUCK, &()).await.unwrap();
    let view = job.ended_within(MOST).await.unwrap();
    assert_eq!((view.state, view.attempts[0].how), (JobState::Dead, AttemptEnd::TimedOut));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_jumps_back_an_hour_loses_nothing() {
    let now = SystemClock.now();
    let clock = Arc::new(ManualClock::new(now));
    let backend = Memory::new().clock(clock.clone()).open();
    let client = Client::new(&backend);
    let worker = worker(&backend).await;
    let before = client.submit(MAIL, &Mail { to: vec![] }).await.unwrap();
    assert_eq!(before.output_within(MOST).await.unwrap(), 0);
    clock.set(Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap() - 3_600_000).unwrap());
    let after = client.submit(MAIL, &Mail { to: vec![] }).await.unwrap();
    assert_eq!(after.output_within(MOST).await.unwrap(), 0);
    assert!(after.id() > before.id(), "ids only grow");
    assert_eq!(before.record().await.unwrap().state, JobState::Succeeded);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict_that_names_both() {
    let backend = backend().await;
    let client = Client::new(&backend);
    let id: RunId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    client.submit(ANY, &serde_json::json!(1)).id(id).await.unwrap();
    client.submit(ANY, &serde_json::json!(1)).id(id).await.unwrap();
    let error = refused(client.submit(ANY, &serde_json::json!(2)).id(id).await);
    says(&error, ErrorKind::Conflict, &["01ARZ3NDEKTSV4RRFFQ69G5FAV", "any"]);
    assert_eq!(client.counts().await.unwrap().iter().map(|count| count.jobs).sum::<u64>(), 1);
}

#[tokio::test]
async fn the_same_id_twice_in_one_call_is_one_job_or_a_conflict() {
    let client = Client::new(&backend().await);
    let id: RunId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let submit = |value: u64| client.submit(ANY, &serde_json::json!(value)).id(id);
    let answers = client.submit_each([submit(1), submit(1), submit(2)]).await;
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(Error::kind)).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::Conflict)]);
    assert_eq!(client.counts().await.unwrap().iter().map(|count| count.jobs).sum::<u64>(), 1);
    assert!(client.submit_each(std::iter::repeat_with(|| submit(1)).take(0)).await.is_empty());
}

#[tokio::test]
async fn parameters_that_are_nested_too_deep_end_dead_and_the_worker_goes_on() {
    let backend = backend().await;
    let (client, worker) = (Client::new(&backend), worker(&backend).await);
    let deep = (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let view = client.submit(ANY, &deep).await.unwrap().ended_within(MOST).await.unwrap();
    assert_eq!((view.state, view.cause), (JobState::Dead, Some(Cause::NotRetryable)), "{}", view.why);
    assert!(view.why.as_str().contains("recursion limit"), "{}", view.why);
    assert_eq!(client.submit(ANY, &serde_json::json!(1)).await.unwrap().output_within(MOST).await.unwrap(), 1);
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn the_longest_times_and_the_largest_numbers_are_refused_or_do_no_harm() {
    const LONG: Task<u64, u64> = Task::new("long").timeout(Duration::MAX).retry(Retry::constant(Duration::MAX).failures_max(u32::MAX));
    let backend = backend().await;
    let client = Client::new(&backend);
    let long = || Worker::queues(["default"]).task(LONG, |n: u64| async move { Ok::<u64, JobError>(n) });
    says(&refused(long().lease(Duration::MAX).start(&backend).await), ErrorKind::Invalid, &["lease", "from 100ms to 3600s"]);
    says(&refused(long().slots(u32::MAX as usize).start(&backend).await), ErrorKind::Invalid, &["4294967295 slots", "1 to 65536"]);
    let worker = long().grace(Duration::MAX).start(&backend).await.unwrap();
    assert_eq!(client.submit(LONG, &7).await.unwrap().output_within(MOST).await.unwrap(), 7);
    worker.stop_now().await.unwrap();
    says(&refused(client.submit(LONG.deadline_after(Duration::MAX), &7).await), ErrorKind::Invalid, &["long", "9999"]);
}
