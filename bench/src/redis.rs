//! The same on Redis: each part beside raw commands of the same bytes on the same server, in the same round; medians of several rounds.
//!
//! The server is measured as well: its processor time, its memory, and how many commands it was sent. Take one that does nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers::driver::{CALL_JOBS_MAX, Claim, Commit, Op, Pull, TakeRequest, Verdict};
use jobbers::record::Revision;
use jobbers::{Backend, Client, Ctx, JobError, JobId, MapEnd, MapPage, QueueName, Task, TaskName, Worker, WorkerId};

use crate::Trouble;
use crate::arguments::Arguments;
use crate::latency::{self, Starts};
use crate::measure::{bulk_submit, concurrent_submit, drain, drain_times, paced_worker};
use crate::redis_raw::{Server, raw_callers, raw_pops, raw_pushes};
use crate::redis_table::Row;

const LIST: Task<u64, ()> = Task::new("bench.list").queue("bench");
const ITEM: Task<u64> = Task::new("bench.item").queue("bench");
const TOTAL: Task<(), u64> = Task::new("bench.total").queue("bench");
/// The rates of the latency part.
const RATES: [usize; 2] = [500, 20_000];
const NAMESPACE: &str = "jobbers-bench";

/// Runs every part, and answers the table.
pub(crate) async fn all(arguments: &Arguments) -> Result<Vec<Row>, Trouble> {
    let mut server = Server::connect(&arguments.url).await?;
    server.forget(NAMESPACE).await?;
    let mut rounds: Vec<Vec<Row>> = Vec::new();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        rounds.push(one(arguments, &mut server).await?);
        server.forget(NAMESPACE).await?;
    }
    Ok(Row::medians(rounds))
}

fn url(arguments: &Arguments) -> String {
    let sign = if arguments.url.contains('?') { '&' } else { '?' };
    format!("{}{sign}namespace={NAMESPACE}", arguments.url)
}

async fn one(arguments: &Arguments, server: &mut Server) -> Result<Vec<Row>, Trouble> {
    let Arguments { jobs, slots, callers, .. } = *arguments;
    let parameters = "x".repeat(arguments.parameters);
    let mut rows = Vec::new();
    let bytes = vec![b'x'; arguments.parameters];
    let pushes = raw_pushes(&arguments.url, jobs, &bytes).await?;
    let pops = raw_pops(&arguments.url, jobs).await?;
    let plain = raw_callers(&arguments.url, (jobs / 4).max(callers), callers, &bytes).await?;
    server.forget(NAMESPACE).await?;

    let backend = jobbers::connect(&url(arguments)).await?;
    let client = Client::new(&backend);
    let (micros, memory) = (server.micros().await?, server.memory().await?);
    let submitted = bulk_submit(&client, jobs, &parameters).await?;
    let of_submit = (server.micros().await? - micros) / jobs as f64;
    rows.push(Row::share("bulk submit, of pipelined RPUSH", submitted.per_second, pushes, 15.0, 30.0));
    rows.push(Row::cost("server time of a submit, us", of_submit, 3.0, 2.0));
    rows.push(Row::cost("bytes of a pending job", (server.memory().await? - memory) / jobs as f64, 320.0, 260.0));

    let micros = server.micros().await?;
    let drained = drain(&backend, jobs, slots).await?;
    rows.push(Row::share("drain, of LPOP in batches of 500", drained.per_second, pops, 5.0, 9.0));
    rows.push(Row::cost("server time of take and end, us", (server.micros().await? - micros) / jobs as f64, 9.0, 6.0));

    let singles = concurrent_submit(&client, (jobs / 4).max(callers), callers, &parameters).await?;
    rows.push(Row::share("concurrent submit, of plain RPUSH callers", singles.per_second, plain, 30.0, 50.0));
    let slow = drain(&backend.without_take(), singles.jobs, slots).await?;
    rows.push(Row::share("drain without the fast path, of that with it", slow.per_second, drained.per_second, 30.0, 40.0));

    rows.extend(durability(arguments, server, &client, &parameters).await?);
    rows.extend(low_load(arguments, server, &parameters).await?);
    rows.push(map_join(&backend, &client, slots).await?);
    rows.push(deep(&backend, &client, arguments, &parameters).await?);
    rows.push(beats(&backend, &client, server, &parameters).await?);
    client.close().await;
    Ok(rows)
}

/// The start of the drain of a queue of a million, of the end of the same drain: as many records are stored then, but few are left in the
/// queue.
async fn deep(backend: &Backend, client: &Client, arguments: &Arguments, parameters: &str) -> Result<Row, Trouble> {
    const DEPTH: usize = 1_000_000;
    const SPAN: usize = 100_000;
    bulk_submit(client, DEPTH, parameters).await?;
    let times = drain_times(backend, DEPTH, arguments.slots, &[SPAN, DEPTH - SPAN, DEPTH]).await?;
    let rate = |took: Duration| SPAN as f64 / took.as_secs_f64();
    Ok(Row::share("drain of 100,000 at depth 1,000,000, of the last", rate(times[0]), rate(times[2] - times[1]), 90.0, 100.0))
}

/// The drain with an append-only file that is flushed each second, of the drain without one. The server does not rewrite the file by itself
/// meanwhile: when it does depends on what lay there before, and a fork within seconds of the start tells nothing of a drain.
async fn durability(arguments: &Arguments, server: &mut Server, client: &Client, parameters: &str) -> Result<Vec<Row>, Trouble> {
    let before = [server.setting("appendonly").await?, server.setting("auto-aof-rewrite-percentage").await?];
    server.set("auto-aof-rewrite-percentage", "0").await?;
    let mut rates = [0.0; 2];
    for (rate, setting) in rates.iter_mut().zip(["no", "yes"]) {
        server.set("appendonly", setting).await?;
        server.rewritten().await?;
        bulk_submit(client, arguments.jobs, parameters).await?;
        *rate = drain(client.backend(), arguments.jobs, arguments.slots).await?.per_second;
    }
    server.set("appendonly", &before[0]).await?;
    server.set("auto-aof-rewrite-percentage", &before[1]).await?;
    Ok(vec![Row::share("drain with appendfsync everysec, of that without", rates[1], rates[0], 80.0, 90.0)])
}

/// Latency at fixed rates, commands of a job at a low rate, and of an idle worker.
async fn low_load(arguments: &Arguments, server: &mut Server, parameters: &str) -> Result<Vec<Row>, Trouble> {
    let backend = jobbers::connect(&url(arguments)).await?;
    let client = Client::new(&backend);
    let mut rows = Vec::new();
    for (rate, musts) in RATES.into_iter().zip([[(0.8, 0.4), (4.0, 1.5)], [(2.0, 1.0), (8.0, 4.0)]]) {
        let starts = Starts::new(rate * arguments.seconds);
        let worker = paced_worker(&backend, &starts, arguments.slots).await?;
        let before = server.commands().await?;
        let latency = latency::measure(&client, &starts, rate, parameters).await?;
        let commands = (server.commands().await? - before) / latency.jobs as f64;
        for (name, at, (must, goal)) in [("p50", latency.p50_ms, musts[0]), ("p99", latency.p99_ms, musts[1])] {
            rows.push(Row::cost(&format!("submit to start at {rate} /s, {name}, ms"), at, must, goal));
        }
        if rate == RATES[0] {
            rows.push(Row::cost("commands of a job, submit to end", commands, 6.0, 5.0));
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (before, start) = (server.commands().await?, Instant::now());
            tokio::time::sleep(Duration::from_secs(10)).await;
            let idle = (server.commands().await? - before) / start.elapsed().as_secs_f64();
            rows.push(Row::cost("commands of an idle worker, a second", idle, 2.0, 1.0));
        }
        worker.stop().await?;
    }
    client.close().await;
    Ok(rows)
}

/// The server's time of a beat. The jobs are left running: this is a round's last part.
async fn beats(backend: &Backend, client: &Client, server: &mut Server, parameters: &str) -> Result<Row, Trouble> {
    const JOBS: usize = 9_000;
    const LEASE: Duration = Duration::from_secs(60);
    bulk_submit(client, JOBS, parameters).await?;
    let take = backend.take().ok_or("this backend takes no jobs in one call")?;
    let now = backend.clock().now();
    let (queue, claimable) = (QueueName::new("bench")?, vec![(TaskName::new("bench.nothing")?, 1)]);
    let mut running = Vec::with_capacity(JOBS);
    while running.len() < JOBS {
        let most = CALL_JOBS_MAX as u32;
        let pull = Pull { queues: vec![(queue.clone(), most)], max: most, now, back_at: now + LEASE };
        let claim = Claim { owner: WorkerId::from_u128(1), now, wake_at: now + LEASE, nonce: 1 + running.len() as u64 };
        let taken = take.take(&TakeRequest { pull, claim, claimable: claimable.clone() }).await?;
        if taken.claimed.is_empty() {
            return Err(format!("{} of {JOBS} jobs were claimed, and then no more", running.len()).into());
        }
        running.extend(taken.claimed.into_iter().map(|(id, record)| (id, record.head.revision)));
    }
    let micros = server.micros().await?;
    for some in running.chunks(CALL_JOBS_MAX) {
        let beat = |(id, expect): &(JobId, Revision)| {
            let beat = Op::Beat { id: *id, expect: *expect, wake_at: now + 2 * LEASE, progress: None };
            Commit { run: id.run, nonce: 0, ops: vec![beat] }
        };
        let commits: Vec<Commit> = some.iter().map(beat).collect();
        for answer in backend.store().commit(&commits).await {
            if !matches!(answer?, Verdict::Applied { .. }) {
                return Err("a beat of a running job was refused".into());
            }
        }
    }
    Ok(Row::cost("server time of a beat, us", (server.micros().await? - micros) / JOBS as f64, 3.0, 2.0))
}

async fn page(_: Ctx, items: u64, cursor: u64, most: usize) -> Result<MapPage<u64>, JobError> {
    let range = cursor..items.min(cursor + most as u64);
    let last = if range.end == items { MapEnd::Last } else { MapEnd::More };
    Ok(MapPage { items: range.collect(), last })
}

/// One to 100,000 to one.
async fn map_join(backend: &Backend, client: &Client, slots: usize) -> Result<Row, Trouble> {
    const ITEMS: u64 = 100_000;
    let ended = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let item = {
        let ended = ended.clone();
        move |_: u64| {
            ended.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { Ok::<(), JobError>(()) }
        }
    };
    let total = {
        let ended = ended.clone();
        move |_: ()| {
            let ended = ended.load(std::sync::atomic::Ordering::Relaxed);
            async move { Ok::<u64, JobError>(ended) }
        }
    };
    let worker = Worker::queues(["bench"]).slots(slots).map_source(LIST, page).task(ITEM, item).task(TOTAL, total).start(backend).await?;
    let start = Instant::now();
    let run = client.map_join_from(LIST, &ITEMS, ITEM, TOTAL, &()).window(20_000).await?;
    let found = run.output_within(Duration::from_secs(300)).await?;
    let seconds = start.elapsed().as_secs_f64();
    worker.stop().await?;
    if found != ITEMS {
        return Err(format!("the join ran when {found} of {ITEMS} items had run").into());
    }
    Ok(Row::cost("1 to 100,000 to 1 by map_join, s", seconds, 3.0, 1.5))
}
