//! Workers that are killed each second, and a server that is killed once: nothing that was accepted is lost, nobody ends a job that is no
//! longer his, and what the dead held runs again by itself within two leases.
//!
//! A worker is this program itself. What starts and ends goes to a log, line by line; the store is compared with it in the end.
//! `JOBBERS_KILL_JOBS` says how many jobs there are: 20,000 by default.

mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::client::Client;
use jobbers_core::driver::{Filter, Page};
use jobbers_core::policy::Retry;
use jobbers_core::record::JobState;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker};
use jobbers_core::{JobId, WorkerId};
use libtest_mimic::{Arguments, Failed, Trial};

use fixture::process::Process;

const CHILD: &str = "JOBBERS_KILL_CHILD";
const URL: &str = "JOBBERS_KILL_URL";
const JOBS: &str = "JOBBERS_KILL_JOBS";
const WORKERS: usize = 3;
const SLOTS: usize = 100;
const LEASE: Duration = Duration::from_secs(5);
/// Jobs take up to so many milliseconds: a kill always finds some that run.
const WORK_MILLIS_MAX: u64 = 200;
/// What is submitted at a time.
const BULK_COUNT: usize = 500;
/// Whoever is killed each second may lose a job many times.
const WORK: Task<u64> = Task::new("kill.work").queue("kill").retry(Retry::constant(Duration::from_millis(20)).losses_max(10_000));

type Fence = (u32, u64);

fn main() {
    if let Some(log) = std::env::var_os(CHILD) {
        return child(Path::new(&log));
    }
    let trial = Trial::test("kills_lose_nothing_and_what_the_dead_held_runs_again_by_itself", kills);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

/// Works until it is killed.
#[tokio::main]
async fn child(log: &Path) {
    let log = Arc::new(OpenOptions::new().append(true).create(true).open(log).expect("the log is there"));
    let url = std::env::var(URL).expect("the parent sets it");
    let backend = loop {
        // The server may be down just now.
        match jobbers_redis::open(&url).await {
            Ok(backend) => break backend,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let worker = {
        let log = log.clone();
        Worker::queues(["kill"]).slots(SLOTS).lease(LEASE).task(WORK, move |ctx: Ctx, draw: u64| work(log.clone(), ctx, draw))
    };
    let worker = worker.start(&backend).await.expect("it starts, or says why");
    say(&log, &format!("up {} {}", std::process::id(), worker.id()));
    std::future::pending::<()>().await;
}

async fn work(log: Arc<File>, ctx: Ctx, draw: u64) -> Result<(), JobError> {
    let (id, fence) = (ctx.id(), ctx.fence());
    say(&log, &format!("start {id} {} {}", fence.count, fence.nonce));
    tokio::time::sleep(Duration::from_millis(draw % WORK_MILLIS_MAX)).await;
    Ok(())
}

/// One write of one line to a file opened for appending survives a kill whole.
fn say(mut log: &File, line: &str) {
    log.write_all(format!("\n{line};\n").as_bytes()).expect("the log can be written");
}

/// A kill may cut a write short where a page of the file ends: what has no end is left out.
fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_suffix(';')).map(str::to_owned).collect()
}

/// The workers, and who of them is dead.
struct Crew {
    log: PathBuf,
    url: String,
    children: Vec<Child>,
    dead: BTreeSet<u32>,
}

impl Crew {
    fn start(log: PathBuf, url: String) -> Crew {
        let mut crew = Crew { log, url, children: Vec::new(), dead: BTreeSet::new() };
        (0..WORKERS).for_each(|_| crew.hire());
        crew
    }

    fn hire(&mut self) {
        let mut command = Command::new(std::env::current_exe().expect("a program knows itself"));
        command.env(CHILD, &self.log).env(URL, &self.url).stdin(Stdio::null());
        self.children.push(command.spawn().expect("it starts"));
    }

    /// Kills one as a crash would, and starts another.
    fn kill(&mut self, number: usize) {
        let mut child = self.children.swap_remove(number);
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
        self.dead.insert(child.id());
        self.hire();
    }

    fn dead_workers(&self) -> Vec<WorkerId> {
        let of = |line: &String| {
            let mut words = line.strip_prefix("up ")?.split(' ');
            let process: u32 = words.next()?.parse().ok()?;
            self.dead.contains(&process).then(|| words.next()?.parse().ok()).flatten()
        };
        lines(&self.log).iter().filter_map(of).collect()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn submit(client: Client, jobs: usize, pause: Duration) -> Vec<JobId> {
    let mut accepted = Vec::with_capacity(jobs);
    while accepted.len() < jobs {
        let draws = (0..BULK_COUNT.min(jobs - accepted.len())).map(|_| fastrand::u64(..));
        for job in client.submit_all(WORK, draws).await {
            accepted.push(job.expect("a client is patient with a server that restarts").id());
        }
        tokio::time::sleep(pause).await;
    }
    accepted
}

async fn unended(client: &Client) -> u64 {
    let counts = client.counts().await.expect("the server answers");
    counts.iter().filter(|count| !count.state.is_end()).map(|count| count.jobs).sum()
}

#[tokio::main]
async fn kills() -> Result<(), Failed> {
    let jobs: usize = std::env::var(JOBS).map_or(20_000, |text| text.parse().expect("JOBBERS_KILL_JOBS is a number"));
    let mut server = Process::start("killed");
    let log = std::env::temp_dir().join(format!("jobbers-kill-{}.log", std::process::id()));
    let client = Client::new(&jobbers_redis::open(&server.url()).await?).patience(Duration::from_secs(120));
    // Half of them are there before, the others are submitted while everything is killed.
    let mut accepted = submit(client.clone(), jobs / 2, Duration::ZERO).await;
    let mut crew = Crew::start(log.clone(), server.url());
    let rest = tokio::spawn(submit(client.clone(), jobs - jobs / 2, Duration::from_millis(100)));
    let (mut kills, mut restarted) = (0, false);
    // The last tenth runs without faults.
    while unended(&client).await > jobs as u64 / 10 || !rest.is_finished() || !restarted {
        tokio::time::sleep(Duration::from_secs(1)).await;
        crew.kill(fastrand::usize(..crew.children.len()));
        kills += 1;
        if kills == 4 {
            server.kill();
            server.start_again();
            restarted = true;
        }
        if kills == 4 {
            comes_back(&client).await
        }
    }
    let last_fault = Instant::now();
    accepted.extend(rest.await?);
    tokio::time::sleep((2 * LEASE).saturating_sub(last_fault.elapsed())).await;
    let dead = crew.dead_workers();
    for worker in &dead {
        let held = client.backend().store().owned(*worker, 10).await?;
        assert!(held.is_empty(), "two leases after the last fault the dead worker {worker} still has {held:?}");
    }
    let end = Instant::now() + Duration::from_secs(600);
    while unended(&client).await > 0 {
        assert!(Instant::now() < end, "{:?}", client.counts().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = last_fault.elapsed();
    let attempts = compare(&client, &accepted, &lines(&log)).await;
    println!(
        "{jobs} jobs, {kills} workers killed ({} had started), the server killed once, {attempts} attempts; all had ended {took:.1?} after the last fault",
        dead.len()
    );
    assert!(attempts > jobs, "no kill has hit an attempt");
    drop(crew);
    std::fs::remove_file(log)?;
    Ok(())
}

async fn comes_back(client: &Client) {
    let end = Instant::now() + Duration::from_secs(60);
    while let Err(error) = client.counts().await {
        assert!(Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every accepted job has succeeded, and its end is the write right after the last claim; answers how many attempts there were.
async fn compare(client: &Client, accepted: &[JobId], lines: &[String]) -> usize {
    let mut last: BTreeMap<JobId, Fence> = BTreeMap::new();
    let mut attempts = 0;
    for line in lines.iter().filter(|line| line.starts_with("start ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let (id, fence) = (words[1].parse().expect("an id"), (words[2].parse().expect("a count"), words[3].parse().expect("a nonce")));
        attempts += 1;
        let known: &mut Fence = last.entry(id).or_default();
        *known = fence.max(*known);
    }
    let mut found = BTreeSet::new();
    let (filter, mut page) = (Filter { state: JobState::Succeeded, queue: None, task: None }, Page { after: None, limit: 300 });
    loop {
        let listed = client.list(&filter, &page).await.expect("the server answers");
        assert!(listed.damaged.is_empty(), "{:?}", listed.damaged);
        for job in listed.jobs {
            let claim = last.get(&job.id).unwrap_or_else(|| panic!("{} ended, and never started", job.id));
            assert_eq!(job.revision.count, claim.0 + 1, "{} was not ended by the holder of its last claim {claim:?}", job.id);
            found.insert(job.id);
        }
        let Some(next) = listed.next else { break };
        page.after = Some(next);
    }
    let lost: Vec<&JobId> = accepted.iter().filter(|id| !found.contains(id)).collect();
    assert!(lost.is_empty(), "{} jobs were accepted, and are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    assert_eq!(found.len(), accepted.len(), "jobs that nobody was told of");
    attempts
}
