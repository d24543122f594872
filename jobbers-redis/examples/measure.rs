//! Measures what the driver costs the server: microseconds of its time a job, and bytes a pending job.
//!
//! `cargo run --release -p jobbers-redis --example measure -- redis://127.0.0.1:6379 100000`
//! It writes into a namespace of its own, `measure`, and flushes nothing: take a server that may be filled.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jobbers_core::driver::{Backend, Claim, Commit, Op, Place, Pull, TakeRequest};
use jobbers_core::record::{Head, JobState, Parts, Record};
use jobbers_core::{Ids, JobId, QueueName, Result, TaskName, Timestamp, WorkerId};

const BATCH: usize = 300;

struct Server(redis::aio::MultiplexedConnection);

impl Server {
    async fn info(&mut self, section: &str, name: &str) -> f64 {
        let text: String = redis::cmd("INFO").arg(section).query_async(&mut self.0).await.expect("the server answers");
        let line = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name);
        line.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Microseconds of the server's main thread so far: also those of reading commands and writing answers.
    async fn micros(&mut self) -> f64 {
        let (user, system) = (self.info("cpu", "used_cpu_user_main_thread").await, self.info("cpu", "used_cpu_sys_main_thread").await);
        (user + system) * 1e6
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".into());
    let jobs: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let backend = jobbers_redis::open(&format!("{url}?namespace=measure")).await?;
    let client = redis::Client::open(url.as_str()).expect("the URL was read before");
    let mut server = Server(client.get_multiplexed_async_connection().await.expect("the server answers"));
    let ids = Ids::default();
    let now = backend.clock().now();

    let (bytes, micros, start) = (server.info("memory", "used_memory").await, server.micros().await, Instant::now());
    let mut submitted = Vec::new();
    while submitted.len() < jobs {
        let commits: Vec<Commit> = (0..BATCH).map(|_| submit(&backend, &ids, now)).collect();
        submitted.extend(commits.iter().map(|commit| commit.run));
        for result in backend.store().commit(&commits).await {
            result?;
        }
    }
    let jobs = submitted.len() as f64;
    report("submit", jobs, start, server.micros().await - micros);
    println!("bytes a pending job: {:.0}", (server.info("memory", "used_memory").await - bytes) / jobs);

    let take = backend.take().expect("the driver has a fast path");
    let (micros, start) = (server.micros().await, Instant::now());
    let (mut of_take, mut of_beat, mut of_end, mut taken_jobs) = (0.0, 0.0, 0.0, 0.0);
    loop {
        let before = server.micros().await;
        let taken = take.take(&request(&backend, &ids, now)).await?.claimed;
        let after_take = server.micros().await;
        if taken.is_empty() {
            break;
        }
        let beats: Vec<Commit> = taken.iter().map(|(id, record)| beat(&backend, *id, record, now)).collect();
        for result in backend.store().commit(&beats).await {
            result?;
        }
        let after_beat = server.micros().await;
        let ends: Vec<Commit> = taken.iter().map(|(id, record)| end(&backend, *id, record, now)).collect();
        for result in backend.store().commit(&ends).await {
            result?;
        }
        taken_jobs += taken.len() as f64;
        (of_take, of_beat) = (of_take + after_take - before, of_beat + after_beat - after_take);
        of_end += server.micros().await - after_beat;
    }
    report("take, beat and end", taken_jobs, start, server.micros().await - micros);
    println!("take {:.2} us, beat {:.2} us, end {:.2} us", of_take / taken_jobs, of_beat / taken_jobs, of_end / taken_jobs);
    println!("bytes an ended job: {:.0}", (server.info("memory", "used_memory").await - bytes) / taken_jobs);
    Ok(())
}

fn report(what: &str, jobs: f64, start: Instant, micros: f64) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {:.0} jobs/s, {:.2} us of the server's time a job", jobs / seconds, micros / jobs);
}

fn submit(backend: &Backend, ids: &Ids, now: Timestamp) -> Commit {
    let run = ids.run(now, backend.draws().wide());
    let head = Head {
        state: JobState::Ready,
        task: TaskName::new("mail.send").expect("a name"),
        version: 1,
        queue: QueueName::new("default").expect("a name"),
        created_at: now,
        ..Head::default()
    };
    // What a spec with 100 bytes of parameters takes.
    let record = Record { head, spec: Bytes::from_static(&[b'x'; 141]), ..Record::default() };
    Commit { run, nonce: backend.draws().draw().nonce, ops: vec![Op::Insert { id: JobId::from(run), record, over: None }] }
}

fn request(backend: &Backend, ids: &Ids, now: Timestamp) -> TakeRequest {
    let owner: WorkerId = ids.worker(now, backend.draws().wide());
    let claim = Claim { owner, now, wake_at: now + Duration::from_secs(15), nonce: backend.draws().draw().nonce };
    let queues = vec![(QueueName::new("default").expect("a name"), BATCH as u32)];
    let pull = Pull { queues, max: BATCH as u32, now, back_at: now + Duration::from_secs(60) };
    TakeRequest { pull, claim, claimable: vec![(TaskName::new("mail.send").expect("a name"), 1)] }
}

fn beat(backend: &Backend, id: JobId, record: &Record, now: Timestamp) -> Commit {
    let wake_at = now + Duration::from_secs(20);
    let op = Op::Beat { id, expect: record.head.revision, wake_at, progress: None };
    Commit { run: id.run, nonce: backend.draws().draw().nonce, ops: vec![op] }
}

fn end(backend: &Backend, id: JobId, record: &Record, now: Timestamp) -> Commit {
    let mut record = record.clone();
    let expect = record.head.revision;
    (record.head.state, record.head.ended_at, record.head.owner, record.head.wake_at) = (JobState::Succeeded, Some(now), None, None);
    record.trail = Bytes::from_static(&[b't'; 60]);
    let op = Op::Update { id, expect, lapsed: None, record, changed: Parts::TRAIL, place: Place::Back };
    Commit { run: id.run, nonce: backend.draws().draw().nonce, ops: vec![op] }
}
