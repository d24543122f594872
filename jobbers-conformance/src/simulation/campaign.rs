//! Many seeds: what they show together, kept in a file, so that runs add up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jobbers_core::record::JobState;
use serde::{Deserialize, Serialize};

use super::{Plan, Played, play};
use crate::faults::Fault;

/// Each of so many seeds is played twice: both histories have to be the same.
const TWICE_EVERY: u64 = 100;

/// What all seeds so far have shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// What was tested: a commit.
    pub commit: String,
    /// The first seed.
    pub first: u64,
    /// Seeds that were played; the next one is `first + seeds`.
    pub seeds: u64,
    /// Seeds that broke a promise.
    pub broken: BTreeSet<u64>,
    /// Seeds that were played twice.
    pub twice: u64,
    /// Seeds whose second history was another one.
    pub restless: BTreeSet<u64>,
    /// Jobs in all.
    pub jobs: u64,
    /// Events in all.
    pub events: u64,
    /// Seconds of one core.
    pub seconds: f64,
    /// In how many seeds each fault struck.
    pub faults: BTreeMap<String, u64>,
    /// How often each edge of the state diagram was taken.
    pub edges: BTreeMap<String, u64>,
}

impl Tally {
    /// What this file holds, if it is of this commit; else nothing yet. Seeds go on where the file ends in any case.
    pub fn resume(file: &Path, commit: &str) -> Tally {
        let kept: Tally = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        // With changes on top of it a commit says nothing.
        if kept.commit == commit && !commit.ends_with('+') {
            return kept;
        }
        Tally { commit: commit.to_owned(), first: kept.first + kept.seeds, ..Tally::default() }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn keep(&self, file: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        std::fs::write(file, serde_json::to_vec_pretty(self)?)
    }

    /// Plays more seeds, on so many threads.
    pub fn play(&mut self, seeds: u64, threads: usize) {
        let (first, next, all) = (self.first + self.seeds, AtomicU64::new(0), Mutex::new(&mut *self));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= seeds {
                            return;
                        }
                        let (seed, start) = (first + number, Instant::now());
                        let played = play(Plan::of(seed));

                        let again = seed.is_multiple_of(TWICE_EVERY).then(|| play(Plan::of(seed)).hash);
                        let mut tally = all.lock().expect("no seed panics while it is counted");
                        tally.count(seed, &played, again, start.elapsed());
                    }
                });
            }
        });
    }

    fn count(&mut self, seed: u64, played: &Played, again: Option<u64>, took: Duration) {
        self.seeds += 1;
        self.jobs += played.jobs as u64;
        self.events += played.history.len() as u64;
        self.seconds += took.as_secs_f64();
        if !played.violations.is_empty() {
            self.broken.insert(seed);
        }
        if let Some(hash) = again {
            self.twice += 1;
            if hash != played.hash {
                self.restless.insert(seed);
            }
        }
        for fault in played.struck.keys() {
            *self.faults.entry(format!("{fault:?}")).or_default() += 1;
        }
        for ((from, to), times) in &played.edges {
            *self.edges.entry(edge(*from, *to)).or_default() += times;
        }
    }

    /// Faults that struck in fewer than 5 % of the seeds, and edges that were never taken: what the seeds do not speak of.
    pub fn missing(&self) -> Vec<String> {
        let seldom = |fault: &Fault| self.faults.get(&format!("{fault:?}")).copied().unwrap_or(0) * 20 < self.seeds;
        let faults = Fault::ALL.into_iter().filter(seldom).map(|fault| format!("{fault:?} struck in fewer than 5 % of the seeds"));
        let edges = EDGES.iter().map(|(from, to)| edge(*from, *to));
        faults.chain(edges.filter(|edge| !self.edges.contains_key(edge)).map(|edge| format!("no job went {edge}"))).collect()
    }

    /// Both in a few lines.
    pub fn coverage(&self) -> String {
        let share = |seeds: u64| seeds * 100 / self.seeds.max(1);
        let faults: Vec<String> = self.faults.iter().map(|(fault, seeds)| format!("{fault} {} %", share(*seeds))).collect();
        let edges: Vec<String> = self.edges.iter().map(|(edge, times)| format!("{edge} {times}")).collect();
        format!("faults struck in: {}\nedges taken: {}", faults.join(", "), edges.join(", "))
    }
}

fn edge(from: Option<JobState>, to: JobState) -> String {
    format!("{} -> {to}", from.map_or("new", JobState::as_str))
}

/// The edges of the state diagram that the engine takes.
const EDGES: [super::Edge; 20] = {
    use JobState::{Cancelled, Dead, Ready, Running, Scheduled, Succeeded, Waiting};
    [
        (None, Ready),
        (None, Scheduled),
        (None, Waiting),
        (Some(Waiting), Ready),
        (Some(Waiting), Cancelled),
        (Some(Scheduled), Ready),
        (Some(Scheduled), Cancelled),
        (Some(Scheduled), Dead),
        (Some(Ready), Ready),
        (Some(Ready), Running),
        (Some(Ready), Scheduled),
        (Some(Ready), Cancelled),
        (Some(Ready), Dead),
        (Some(Running), Succeeded),
        (Some(Running), Scheduled),
        (Some(Running), Ready),
        (Some(Running), Dead),
        (Some(Running), Cancelled),
        (Some(Dead), Ready),
        (Some(Succeeded), Ready),
    ]
};
