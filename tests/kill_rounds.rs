//! Twenty kills of one process with four workers of 16 slots, at random moments: no accepted job is lost, no end is committed twice.
//!
//! The child is this program itself; what it accepts, starts and ends goes to a log, line by line, and the store is read after each kill.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jobbers::driver::{Backend, Filter, Page};
use jobbers::record::{AttemptEnd, Revision};
use jobbers::{Client, Ctx, JobError, JobId, JobState, Retry, Task, Timestamp, Worker};
use jobbers_conformance::checker::{End, check};
use jobbers_conformance::history::{Event, What};
use libtest_mimic::{Arguments, Failed, Trial};

mod kill;

const ROUNDS: usize = 20;
const WORKERS: usize = 4;
const SLOTS: usize = 16;
const CHILD: &str = "JOBBERS_KILL_CHILD";
/// Whoever is killed twenty times may lose a job as often.
const WORK: Task<u64, u64> = Task::new("kill.work").queue("kill").retry(Retry::constant(Duration::from_millis(20)).losses_max(1_000));

fn main() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(Path::new(&folder));
    }
    let trial =
        Trial::test("twenty_kills_lose_no_accepted_job_and_commit_no_end_twice", twenty_kills_lose_no_accepted_job_and_commit_no_end_twice);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

/// Submits and works until it is killed; or, told to drain, until all has ended.
#[tokio::main]
async fn child(folder: &Path) {
    let log = Arc::new(OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap());
    let backend = open(folder).await;
    let client = Client::new(&backend);
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let log = log.clone();
        let worker = Worker::queues(["kill"]).name(format!("kill-{number}")).slots(SLOTS);
        let worker = worker.task(WORK, move |ctx: Ctx, draw: u64| work(log.clone(), ctx, draw));
        workers.push(worker.start(&backend).await.unwrap());
    }
    say(&log, "up");
    if folder.join("drain").exists() {
        while unended(&client).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for worker in workers {
            worker.stop().await.unwrap();
        }
        return;
    }
    let lanes = (0..8u64).map(|_| tokio::spawn(submit_for_ever(client.clone(), log.clone())));
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

async fn submit_for_ever(client: Client, log: Arc<File>) {
    loop {
        let draws: Vec<u64> = (0..fastrand::usize(1..20)).map(|_| fastrand::u64(..)).collect();
        for job in client.submit_all(WORK, draws).await {
            say(&log, &format!("accepted {}", job.unwrap().id()));
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..20))).await;
    }
}

async fn work(log: Arc<File>, ctx: Ctx, draw: u64) -> Result<u64, JobError> {
    let (id, fence) = (ctx.id(), ctx.fence());
    say(&log, &format!("start {id} {} {}", fence.count, fence.nonce));
    if draw.is_multiple_of(3) {
        ctx.step(format!("draw {draw}"));
        tokio::time::sleep(Duration::from_millis(draw % 30)).await;
    }
    if draw.is_multiple_of(17) && ctx.attempt() == 1 {
        return Err(JobError::retry("the first attempt fails"));
    }
    say(&log, &format!("end {id} {} {}", fence.count, fence.nonce));
    Ok(draw)
}

/// A kill may cut a write short where a page of the file ends: `kill::whole_lines` leaves out what has no end, and the next one starts anew.
fn say(mut log: &File, line: &str) {
    log.write_all(format!("\n{line};\n").as_bytes()).unwrap();
}

async fn open(folder: &Path) -> Backend {
    jobbers::connect(&format!("redb:{}", folder.join("kill.redb").display())).await.unwrap()
}

async fn unended(client: &Client) -> u64 {
    client.counts().await.unwrap().iter().filter(|count| !count.state.is_end()).map(|count| count.jobs).sum()
}

/// A job as the store shows it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    state: JobState,
    revision: Revision,
    successes: usize,
}

#[tokio::main]
async fn read_store(folder: &Path) -> BTreeMap<String, Seen> {
    let client = Client::new(&open(folder).await);
    let mut seen = BTreeMap::new();
    for state in JobState::ALL {
        let (filter, mut page) = (Filter { state, queue: None, task: None }, Page { after: None, limit: 300 });
        loop {
            let jobs = client.list(&filter, &page).await.unwrap();
            assert!(jobs.damaged.is_empty(), "{:?}", jobs.damaged);
            for job in jobs.jobs {
                let successes = job.attempts.iter().filter(|attempt| attempt.how == AttemptEnd::Succeeded).count();
                seen.insert(job.id.to_string(), Seen { state: job.state, revision: job.revision, successes });
            }
            let Some(next) = jobs.next else { break };
            page.after = Some(next);
        }
    }
    seen
}

/// What the log says, and what has to hold of it and the store together.
#[derive(Default)]
struct History {
    lines: usize,
    attempts: usize,
    accepted: Vec<String>,
    fences: BTreeMap<String, (u32, u64)>,
    ends: BTreeMap<String, Vec<(u32, u64)>>,
    ended: BTreeMap<String, Seen>,
}

impl History {
    /// Takes in what a life wrote, and what the store shows after it.
    fn life(&mut self, lines: &[String], store: &BTreeMap<String, Seen>) {
        for line in &lines[self.lines..] {
            let words: Vec<&str> = line.split(' ').collect();
            let fence = || (words[2].parse::<u32>().unwrap(), words[3].parse::<u64>().unwrap());
            match words[0] {
                "accepted" => self.accepted.push(words[1].to_owned()),
                "start" => {
                    self.attempts += 1;
                    assert!(!self.ended.contains_key(words[1]), "{line}: it had ended before this life");
                    let last = self.fences.insert(words[1].to_owned(), fence());
                    assert!(last.is_none_or(|last| last.0 < fence().0), "{line}: after fence {last:?}");
                }
                "end" => self.ends.entry(words[1].to_owned()).or_default().push(fence()),
                word => assert_eq!(word, "up"),
            }
        }
        self.lines = lines.len();
        for id in &self.accepted {
            assert!(store.contains_key(id), "{id} was accepted, and is lost");
        }
        for (id, before) in &self.ended {
            assert_eq!(store.get(id), Some(before), "{id} had ended, and changed");
        }
        for (id, seen) in store.iter().filter(|(_, seen)| seen.state.is_end()) {
            assert_eq!((seen.state, seen.successes), (JobState::Succeeded, 1), "{id}");
            // The end's commit is the next write after that of the claim, which is the fence.
            let ends = self.ends.get(id).map(Vec::as_slice).unwrap_or_default();
            assert!(
                ends.iter().any(|fence| fence.0 + 1 == seen.revision.count),
                "{id} ended at {:?}, but its handler at {ends:?}",
                seen.revision
            );
            self.ended.insert(id.clone(), seen.clone());
        }
    }
}

impl History {
    /// What clients were told, and what was found in the end, for the checker of the suite.
    fn events(&self, store: &BTreeMap<String, Seen>) -> Vec<Event> {
        let id = |text: &str| text.parse::<JobId>().unwrap();
        let calls = self.accepted.iter().zip(0..);
        let accepted = calls.flat_map(|(job, call)| [What::Invoke { call, jobs: vec![id(job)] }, What::Ok { call }]);
        let found = store.iter().map(|(job, seen)| What::Found { job: id(job), state: seen.state });
        accepted.chain(found).map(|what| Event { at: Timestamp::default(), what }).collect()
    }
}

fn twenty_kills_lose_no_accepted_job_and_commit_no_end_twice() -> Result<(), Failed> {
    let mut random = kill::seeded();
    let folder = kill::Folder::new("rounds");
    let log: PathBuf = folder.0.join("log");
    let start = || Command::new(std::env::current_exe().unwrap()).env(CHILD, &folder.0).stdin(Stdio::null()).spawn().unwrap();
    let mut history = History::default();
    for round in 0..ROUNDS {
        let seen = kill::whole_lines(&log).len();
        let mut child = start();
        // Some are killed before they are up.
        if round % 5 != 4 {
            kill::wait_until(Duration::from_secs(30), "the child is up", || kill::whole_lines(&log).len() > seen);
        }
        std::thread::sleep(Duration::from_millis(random.u64(0..400)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = read_store(&folder.0);
        history.life(&kill::whole_lines(&log), &store);
    }
    File::create(folder.0.join("drain"))?;
    assert!(kill::end_of(&mut start(), Duration::from_secs(120)).success());
    let store = read_store(&folder.0);
    history.life(&kill::whole_lines(&log), &store);
    println!("{} jobs accepted, {} in the store, {} attempts", history.accepted.len(), store.len(), history.attempts);
    assert!(history.accepted.len() > ROUNDS * 10, "too few jobs to show anything: {}", history.accepted.len());
    assert_eq!(history.ended.len(), store.len(), "all have ended");
    assert_eq!(check(&history.events(&store), End::Drained), vec![]);
    Ok(())
}
