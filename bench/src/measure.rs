//! The parts of a run, one after the other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jobbers::{Backend, Client, JobState, Task, Worker, WorkerHandle};
use jobbers_redb::trace::{self, Rows, Trace};
use tokio::sync::Notify;

use crate::Trouble;
use crate::arguments::Arguments;
use crate::clock::Watch;
use crate::latency::{self, PACED, Paced, Starts};
use crate::raw::{self, Redone};
use crate::report::{JobsAlone, Rate, Raw, Report};

const NOTHING: Task<String> = Task::new("bench.nothing").queue("bench");

/// Submits whose handles are held at a time.
const BULK_COUNT: usize = 10_000;
/// The rate of the latency part, where none is given, is this share of the drain: client, worker and driver share the machine.
const RATE_SHARE: usize = 4;

pub(crate) async fn all(arguments: Arguments) -> Result<Report, Trouble> {
    let backend = jobbers::connect(&arguments.url).await?;
    let location = backend.location().to_owned();
    let client = Client::new(&backend);
    if !client.counts().await?.is_empty() {
        return Err(format!("{location} holds jobs; give an empty one").into());
    }
    let parameters = "x".repeat(arguments.parameters);
    let redb = redb_path(&arguments.url);
    if redb.is_some() {
        trace::start();
    }
    let bulk_submit = bulk_submit(&client, arguments.jobs, &parameters).await?;
    let drain = drain(&backend, arguments.jobs, arguments.slots).await?;
    expect_ended(&client, arguments.jobs).await?;
    let raw = match redb {
        None => raw_spawns(arguments.jobs, &drain).await,
        Some(path) => {
            client.close().await;
            drop((client, backend));
            let trace = trace::stop();
            tokio::task::block_in_place(|| raw_redb(&arguments, &path, &trace, &bulk_submit, &drain))?
        }
    };
    rest(&arguments, Main { bulk_submit, drain, raw }).await
}

/// A bulk submit, and the rate of its drain.
pub(crate) async fn only_drain(arguments: Arguments) -> Result<Rate, Trouble> {
    let backend = jobbers::connect(&arguments.url).await?;
    let client = Client::new(&backend);
    let before = ended(&client).await?;
    bulk_submit(&client, arguments.jobs, &"x".repeat(arguments.parameters)).await?;
    let drain = drain(&backend, arguments.jobs, arguments.slots).await?;
    expect_ended(&client, before + arguments.jobs).await?;
    client.close().await;
    Ok(drain)
}

/// The parts that come first: what the raw bound stands beside.
struct Main {
    bulk_submit: Rate,
    drain: Rate,
    raw: Raw,
}

/// The other parts, on a backend that may hold what the first have left.
async fn rest(arguments: &Arguments, main: Main) -> Result<Report, Trouble> {
    let Main { bulk_submit, drain, raw } = main;
    let backend = jobbers::connect(&arguments.url).await?;
    let client = Client::new(&backend);
    let before = ended(&client).await?;
    let parameters = "x".repeat(arguments.parameters);
    let singles = (arguments.jobs / 4).max(arguments.callers);
    let concurrent_submit = concurrent_submit(&client, singles, arguments.callers, &parameters).await?;
    self::drain(&backend, concurrent_submit.jobs, arguments.slots).await?;
    expect_ended(&client, before + concurrent_submit.jobs).await?;

    let rate = arguments.rate.unwrap_or(drain.per_second as usize / RATE_SHARE).max(1);
    let starts = Starts::new(rate * arguments.seconds);
    let worker = paced_worker(&backend, &starts, arguments.slots).await?;
    let latency = latency::measure(&client, &starts, rate, &parameters).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let watch = Watch::start();
    tokio::time::sleep(Duration::from_secs(arguments.seconds as u64)).await;
    let idle = watch.stop();
    worker.stop().await?;
    client.close().await;
    Ok(Report {
        backend: backend.location().to_owned(),
        parameters_bytes: arguments.parameters,
        slots: arguments.slots,
        callers: arguments.callers,
        bulk_submit,
        drain,
        concurrent_submit,
        latency,
        idle_cpu_percent: idle.cpu.map(|cpu| 100.0 * cpu / idle.wall),
        raw,
    })
}

pub(crate) async fn bulk_submit(client: &Client, jobs: usize, parameters: &str) -> Result<Rate, Trouble> {
    let parameters = parameters.to_owned();
    let watch = Watch::start();
    for first in (0..jobs).step_by(BULK_COUNT) {
        let count = BULK_COUNT.min(jobs - first);
        for answer in client.submit_all(NOTHING, std::iter::repeat_n(&parameters, count)).await {
            answer?;
        }
    }
    Ok(Rate::new(jobs, watch.stop()))
}

pub(crate) async fn concurrent_submit(client: &Client, jobs: usize, callers: usize, parameters: &str) -> Result<Rate, Trouble> {
    let each = jobs / callers;
    let watch = Watch::start();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (client, parameters) = (client.clone(), parameters.to_owned());
        all.spawn(async move {
            for _ in 0..each {
                client.submit(NOTHING, &parameters).await?;
            }
            Ok::<(), jobbers::Error>(())
        });
    }
    while let Some(caller) = all.join_next().await {
        caller??;
    }
    Ok(Rate::new(each * callers, watch.stop()))
}

/// Runs a worker until so many jobs have ended; its start and its stop count.
pub(crate) async fn drain(backend: &Backend, jobs: usize, slots: usize) -> Result<Rate, Trouble> {
    let watch = Watch::start();
    drain_times(backend, jobs, slots, &[jobs]).await?;
    Ok(Rate::new(jobs, watch.stop()))
}

/// Drains, and answers when so many jobs had run: the last of them is all.
pub(crate) async fn drain_times(backend: &Backend, jobs: usize, slots: usize, marks: &[usize]) -> Result<Vec<Duration>, Trouble> {
    let (ran, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (marks, times) = (marks.to_vec(), Arc::new(Mutex::new(Vec::new())));
    let start = Instant::now();
    let worker = {
        let (ran, done, times) = (ran.clone(), done.clone(), times.clone());
        let handler = move |_: String| {
            let count = ran.fetch_add(1, Ordering::Relaxed) + 1;
            if marks.contains(&count) {
                times.lock().expect("nobody panics with it").push(start.elapsed());
            }
            if count == jobs {
                done.notify_one();
            }
            async { Ok::<(), jobbers::JobError>(()) }
        };
        Worker::queues(["bench"]).slots(slots).task(NOTHING, handler).start(backend).await?
    };
    done.notified().await;
    worker.stop().await?;
    match ran.load(Ordering::Relaxed) {
        count if count == jobs => Ok(times.lock().expect("nobody panics with it").clone()),
        count => Err(format!("{count} attempts ran of {jobs} jobs").into()),
    }
}

/// How many jobs have succeeded; there may be no others.
async fn ended(client: &Client) -> Result<usize, Trouble> {
    let counts = client.counts().await?;
    if let Some(other) = counts.iter().find(|count| count.state != JobState::Succeeded && count.jobs > 0) {
        return Err(format!("every job was run, but the store counts {other:?}").into());
    }
    Ok(usize::try_from(counts.iter().map(|count| count.jobs).sum::<u64>())?)
}

async fn expect_ended(client: &Client, jobs: usize) -> Result<(), Trouble> {
    match ended(client).await? {
        found if found == jobs => Ok(()),
        found => Err(format!("{jobs} jobs were submitted, but {found} succeeded").into()),
    }
}

pub(crate) async fn paced_worker(backend: &Backend, starts: &Arc<Starts>, slots: usize) -> Result<WorkerHandle, Trouble> {
    let starts = starts.clone();
    let handler = move |(index, _): Paced| {
        starts.started(index);
        async { Ok::<(), jobbers::JobError>(()) }
    };
    Ok(Worker::queues(["bench"]).slots(slots).task(PACED, handler).start(backend).await?)
}

fn redb_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("redb:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest).into())
}

async fn raw_spawns(jobs: usize, drain: &Rate) -> Raw {
    let rate = Rate::new(jobs, raw::spawns(jobs).await);
    let percent = 100.0 * drain.per_second / rate.per_second;
    Raw { what: format!("{jobs} bare tokio::spawn"), rate, ours: "drain", percent, rows_written: None, jobs_alone: None, fsync_ms: None }
}

/// Submit and drain of ours against redb alone, which writes the same. Nobody may hold the file any more.
fn raw_redb(arguments: &Arguments, path: &Path, trace: &Trace, submit: &Rate, drain: &Rate) -> Result<Raw, Trouble> {
    let Redone { all, jobs } = raw::redb(path, trace)?;
    let (rate, jobs) = (Rate::new(arguments.jobs, all), Rate::new(arguments.jobs, jobs));
    let percent = |raw: &Rate| 100.0 * raw.seconds / (submit.seconds + drain.seconds);
    let (written, removed) = trace.rows(Rows::All);
    let each = |rows: usize| rows as f64 / arguments.jobs as f64;
    let rows = format!("{:.2} rows a job written, {:.2} removed", each(written), each(removed));
    Ok(Raw {
        what: format!("redb alone, all that the driver has written: {rows}, in {} transactions", trace.transactions()),
        percent: percent(&rate),
        rate,
        ours: "submit and drain",
        rows_written: Some(written),
        jobs_alone: Some(JobsAlone { percent: percent(&jobs), rate: jobs, rows_written: trace.rows(Rows::Jobs).0 }),
        fsync_ms: Some(raw::fsync_ms(path)?),
    })
}
