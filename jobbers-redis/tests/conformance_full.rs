//! A server whose memory is used up, with workers at it: submits are refused, running jobs end, and it gets emptier by itself.

mod fixture;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::ErrorKind;
use jobbers_core::client::Client;
use jobbers_core::record::JobState;
use jobbers_core::task::Task;
use jobbers_core::worker::{JobError, Worker};
use tokio::sync::Semaphore;

use fixture::process::Process;

const WORK: Task<String> = Task::new("full.work").queue("full");
/// How much more than what it holds in the beginning the server may use.
const ROOM_BYTES: u64 = 1 << 20;
/// So many jobs run when the memory is used up.
const RUNNING: usize = 50;
const MOST: Duration = Duration::from_secs(60);

struct Operator(redis::aio::MultiplexedConnection);

impl Operator {
    async fn memory(&mut self) -> u64 {
        let text: String = redis::cmd("INFO").arg("memory").query_async(&mut self.0).await.expect("the server answers");
        let line = text.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it says its memory");
        line.trim().parse().expect("a number")
    }

    async fn limit(&mut self, bytes: u64) {
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query_async::<()>(&mut self.0).await.expect("the server takes it");
    }
}

async fn count(client: &Client, state: JobState) -> u64 {
    let counts = client.counts().await.expect("the server answers");
    counts.iter().filter(|count| count.state == state).map(|count| count.jobs).sum()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + MOST;
    while !holds().await {
        assert!(Instant::now() < end, "not within {MOST:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_submits_ends_what_runs_and_gets_emptier() {
    let server = Process::start("used-up");
    let connection = redis::Client::open(server.url()).expect("a URL").get_multiplexed_async_connection().await;
    let mut operator = Operator(connection.expect("the server answers"));
    let backend = jobbers_redis::open(&server.url()).await.expect("it is opened");
    let client = Client::new(&backend);

    // Handlers wait for the gate, so that they run while the memory is used up.
    let gate = Arc::new(Semaphore::new(0));
    let worker = {
        let gate = gate.clone();
        let handler = move |_: String| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.expect("it is never closed").forget();
                Ok::<(), JobError>(())
            }
        };
        Worker::queues(["full"]).slots(RUNNING).task(WORK, handler).start(&backend).await.expect("it starts")
    };
    let parameters = "x".repeat(700);
    let mut accepted = 0;
    for answer in client.submit_all(WORK, std::iter::repeat_n(&parameters, RUNNING)).await {
        answer.expect("there is room");
        accepted += 1;
    }
    until("the first jobs run", async || count(&client, JobState::Running).await == RUNNING as u64).await;

    let bound = operator.memory().await + ROOM_BYTES;
    operator.limit(bound).await;
    let refused = loop {
        match client.submit(WORK, &parameters).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100_000, "the server is never full");
    };
    assert_eq!((refused.kind(), refused.outcome_unknown()), (ErrorKind::Full, false), "{refused}");
    assert!(refused.to_string().contains("maxmemory"), "{refused}");
    let full = operator.memory().await;
    assert_eq!(count(&client, JobState::Running).await, RUNNING as u64);

    // What runs ends, what waits is taken and ends, although nothing may be submitted.
    gate.add_permits(Semaphore::MAX_PERMITS / 2);
    until("every accepted job has succeeded", async || count(&client, JobState::Succeeded).await == accepted as u64).await;
    let queue = jobbers_conformance::kit::queue("full");
    let after = backend.clock().now() + Duration::from_secs(1);
    while backend.store().prune(&queue, JobState::Succeeded, after, 300).await.expect("it prunes") > 0 {}
    let emptied = operator.memory().await;
    assert!(emptied + ROOM_BYTES / 2 < full, "{emptied} bytes when everything is forgotten, {full} when it was full");
    client.submit(WORK, &parameters).await.expect("there is room again");
    worker.stop().await.expect("it stops");
}
