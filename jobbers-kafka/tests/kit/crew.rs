//! Workers that are processes of their own, on a store in Redis: to be killed, frozen and told to stop.
//!
//! A worker is the test program itself. What starts goes to a log, line by line; the store is compared with it in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::client::Client;
use jobbers_core::driver::{Backend, Dispatch, Filter, Page};
use jobbers_core::policy::Retry;
use jobbers_core::record::JobState;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker};
use jobbers_core::{JobId, Result};

use super::line::QUEUE;

const CHILD: &str = "JOBBERS_FAULTS_CHILD";
pub(crate) const URL: &str = "JOBBERS_FAULTS_URL";
/// Set: pulls, and acks nothing.
pub(crate) const HOARD: &str = "JOBBERS_FAULTS_HOARD";
pub(crate) const LEASE: Duration = Duration::from_secs(5);
/// Whoever is killed often may lose a job many times.
pub(crate) const WORK: Task<u64> =
    Task::new("faults.crew").queue(QUEUE).retry(Retry::constant(Duration::from_millis(20)).losses_max(10_000));

/// What this process is, if it is a worker: where it logs.
pub(crate) fn child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// A process's own backend: the store on Redis, in the namespace of the URL.
pub(crate) async fn open(url: &str) -> Result<Backend> {
    let redis = std::env::var("JOBBERS_REDIS_URL").expect("JOBBERS_REDIS_URL is set: eval \"$(scripts/services start redis kafka)\"");
    open_on(url, &redis).await
}

/// The same, with the store on this Redis.
pub(crate) async fn open_on(url: &str, redis: &str) -> Result<Backend> {
    let namespace = url.split(['?', '&']).find_map(|option| option.strip_prefix("namespace=")).expect("tests have one of their own");
    let mut config = jobbers_redis::Config::default();
    config.namespace = jobbers_core::Namespace::new(namespace)?;
    config.dispatch = Dispatch::Caller;
    jobbers_kafka::open(url, jobbers_redis::parts(redis, config).await?).await
}

/// Works until it is told to stop, or killed.
#[tokio::main]
pub(crate) async fn work(log: &Path) {
    let log = Arc::new(OpenOptions::new().append(true).create(true).open(log).expect("the log is there"));
    let url = std::env::var(URL).expect("the parent sets it");
    let backend = loop {
        // Brokers may be down just now.
        match open(&url).await {
            Ok(backend) => break backend,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let worker = {
        let log = log.clone();
        Worker::queues([QUEUE]).slots(50).lease(LEASE).task(WORK, move |ctx: Ctx, millis: u64| attempt(log.clone(), ctx, millis))
    };
    let worker = worker.start(&backend).await.expect("it starts, or says why");
    say(&log, "up");
    worker.run_until_signal().await.expect("it stops");
    // The group is left in good order by this.
    drop(backend);
}

async fn attempt(log: Arc<File>, ctx: Ctx, millis: u64) -> std::result::Result<(), JobError> {
    let (id, fence) = (ctx.id(), ctx.fence());
    say(&log, &format!("start {id} {} {}", fence.count, fence.nonce));
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Ok(())
}

/// One write of one line to a file opened for appending survives a kill whole.
pub(crate) fn say(mut log: &File, line: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970").as_millis();
    log.write_all(format!("\n{} {now} {line};\n", std::process::id()).as_bytes()).expect("the log can be written");
}

/// What was said: by which process, when (in milliseconds), and what. A kill may cut a write short: what has no end is left out.
pub(crate) fn said(log: &Path) -> Vec<(u32, u64, String)> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let read = |line: &str| {
        let (process, rest) = line.strip_suffix(';')?.split_once(' ')?;
        let (at, what) = rest.split_once(' ')?;
        Some((process.parse().ok()?, at.parse().ok()?, what.to_owned()))
    };
    text.lines().filter_map(read).collect()
}

/// The workers.
pub(crate) struct Crew {
    pub(crate) log: PathBuf,
    url: String,
    pub(crate) children: Vec<Child>,
}

impl Crew {
    pub(crate) fn start(url: &str, workers: usize) -> Crew {
        let log = std::env::temp_dir().join(format!("jobbers-kafka-crew-{}-{:08x}.log", std::process::id(), fastrand::u32(..)));
        let mut crew = Crew { log, url: url.to_owned(), children: Vec::new() };
        (0..workers).for_each(|_| crew.hire());
        crew
    }

    /// One process that pulls, and acks nothing.
    pub(crate) fn hoarding(url: &str) -> Crew {
        let mut crew = Crew::start(url, 0);
        crew.hire_with(&[(HOARD, "yes")]);
        crew
    }

    pub(crate) fn hire(&mut self) {
        self.hire_with(&[]);
    }

    fn hire_with(&mut self, variables: &[(&str, &str)]) {
        let mut command = Command::new(std::env::current_exe().expect("a program knows itself"));
        command.env(CHILD, &self.log).env(URL, &self.url).envs(variables.iter().copied()).stdin(Stdio::null());
        self.children.push(command.spawn().expect("it starts"));
    }

    /// Kills one as a crash would.
    pub(crate) fn kill(&mut self, number: usize) {
        let mut child = self.children.remove(number);
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }

    /// Sends a signal: TERM, STOP, CONT.
    pub(crate) fn signal(&self, number: usize, what: &str) {
        let sent = Command::new("kill").arg(format!("-{what}")).arg(self.children[number].id().to_string()).status();
        assert!(sent.expect("there is a program to do that").success());
    }

    fn started(&self, number: usize) -> usize {
        let process = self.children[number].id();
        said(&self.log).iter().filter(|(one, _, what)| *one == process && what.starts_with("start ")).count()
    }

    /// Submits until every worker has started so many attempts; answers what was submitted.
    pub(crate) async fn all_work(&self, client: &Client, least: usize) -> Vec<JobId> {
        let (mut accepted, end) = (Vec::new(), Instant::now() + Duration::from_secs(60));
        while (0..self.children.len()).any(|number| self.started(number) < least) {
            assert!(Instant::now() < end, "of {} jobs a worker has started fewer than {least}", accepted.len());
            accepted.extend(submit(client, 10, 5).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        accepted
    }

    /// Waits until this worker has started so many attempts.
    pub(crate) async fn works(&self, number: usize, least: usize) {
        let process = self.children[number].id();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let started = self.started(number);
            if started >= least {
                return;
            }
            assert!(Instant::now() < end, "the worker {process} has started {started} attempts, and not {least}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Submits jobs that take up to so long.
pub(crate) async fn submit(client: &Client, jobs: usize, millis_max: u64) -> Vec<JobId> {
    let all = client.submit_all(WORK, (0..jobs).map(|_| fastrand::u64(..=millis_max))).await;
    all.into_iter().map(|job| job.expect("the store is well").id()).collect()
}

pub(crate) async fn ended(client: &Client, within: Duration) {
    let end = Instant::now() + within;
    while unended(client).await > 0 {
        assert!(Instant::now() < end, "after {within:?}: {:?}", client.counts().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn unended(client: &Client) -> u64 {
    let counts = client.counts().await.expect("the store answers");
    counts.iter().filter(|count| !count.state.is_end()).map(|count| count.jobs).sum()
}

/// Every accepted job has succeeded, and its end is the write right after the last claim; answers how many attempts there were.
pub(crate) async fn compare(client: &Client, accepted: &[JobId], log: &Path) -> usize {
    let (mut last, mut attempts): (BTreeMap<JobId, (u32, u64)>, usize) = Default::default();
    for (_, _, what) in said(log).iter().filter(|(_, _, what)| what.starts_with("start ")) {
        let words: Vec<&str> = what.split(' ').collect();
        let (id, fence) = (words[1].parse().expect("an id"), (words[2].parse().expect("a count"), words[3].parse().expect("a nonce")));
        attempts += 1;
        let known: &mut (u32, u64) = last.entry(id).or_default();
        *known = fence.max(*known);
    }
    let mut found = BTreeSet::new();
    let (filter, mut page) = (Filter { state: JobState::Succeeded, queue: None, task: None }, Page { after: None, limit: 300 });
    loop {
        let listed = client.list(&filter, &page).await.expect("the store answers");
        for job in listed.jobs {
            let claim = last.get(&job.id).unwrap_or_else(|| panic!("{} ended, and never started", job.id));
            assert_eq!(job.revision.count, claim.0 + 1, "{} was not ended by the holder of its last claim {claim:?}", job.id);
            assert!(found.insert(job.id), "{} is listed twice", job.id);
        }
        let Some(next) = listed.next else { break };
        page.after = Some(next);
    }
    let lost: Vec<&JobId> = accepted.iter().filter(|id| !found.contains(id)).collect();
    assert!(lost.is_empty(), "{} jobs were accepted, and are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    assert_eq!(found.len(), accepted.len(), "jobs that nobody was told of");
    attempts
}
