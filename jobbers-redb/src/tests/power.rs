//! Power cuts at random moments, on a disk that keeps what was synced and a random half of the rest.
//!
//! `JOBBERS_POWER_CUTS` sets how many; `JOBBERS_SEED` replays one run.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use jobbers_core::driver::{Claim, Commit, Pull, StateStore, Take, TakeRequest, Verdict};
use jobbers_core::record::{JobState, Record, Revision};
use jobbers_core::{DrawSource, JobId, SeededDraws, TaskName};

use super::audit::audit;
use super::disk::Disk;
use super::jobs::*;
use crate::driver::Handle;

/// Clients that work at the same time, each in a queue of its own.
const CLIENTS: u64 = 4;
/// After so many cuts a new disk, so that files stay small.
const CUTS_A_DISK: u64 = 8;

/// What one client knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) acked: BTreeMap<JobId, Revision>,
    /// The nonce of the call that failed, if it may have been applied.
    maybe: Option<u64>,
}

fn spec_of(id: JobId) -> Bytes {
    Bytes::from(id.to_string().repeat(1 + (id.run.as_u128() % 40) as usize))
}

pub(super) struct Client {
    number: u64,
    store: Handle,
    draws: SeededDraws,
    next: u128,
    running: Vec<(JobId, Record)>,
    known: Known,
}

impl Client {
    pub(super) fn new(number: u64, store: Handle, draws: SeededDraws, next: u128) -> Client {
        Client { number, store, draws, next, running: Vec::new(), known: Known::default() }
    }

    fn below(&self, bound: u64) -> u64 {
        self.draws.number() % bound
    }

    fn queue(&self) -> jobbers_core::QueueName {
        queue(&format!("q{}", self.number))
    }

    /// Works until a call fails.
    pub(super) async fn work(mut self) -> Known {
        loop {
            let nonce = self.draws.draw().nonce;
            let done = match self.below(4) {
                0 => self.submit(nonce).await,
                1 => self.take(nonce).await,
                2 => self.finish(nonce).await,
                _ => self.beat(nonce).await,
            };
            if let Err(error) = done {
                self.known.maybe = error.outcome_unknown().then_some(nonce);
                return self.known;
            }
        }
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> jobbers_core::Result<()> {
        let mut first = Ok(());
        for (commit, verdict) in commits.iter().zip(self.store.commit(&commits).await) {
            match verdict {
                Ok(Verdict::Applied { .. }) => {
                    let id = commit.ops[0].id();
                    let count = self.known.acked.get(&id).map_or(1, |revision| revision.count + 1);
                    self.known.acked.insert(id, Revision { count, nonce: commit.nonce });
                }
                Ok(verdict) => panic!("{verdict:?}"),
                Err(error) => first = Err(error),
            }
        }
        first
    }

    async fn submit(&mut self, nonce: u64) -> jobbers_core::Result<()> {
        let commits = (0..=self.below(8)).map(|_| {
            self.next += 1;
            let id = job(self.next);
            let mut record = ready(at(0));
            (record.head.queue, record.spec) = (self.queue(), spec_of(id));
            insert(id, record, nonce)
        });
        let commits = commits.collect();
        self.commit(commits).await
    }

    async fn take(&mut self, nonce: u64) -> jobbers_core::Result<()> {
        let most = 1 + self.below(5) as u32;
        let pull = Pull { queues: vec![(self.queue(), most)], max: most, now: at(0), back_at: at(60_000) };
        let claim = Claim { owner: WORKER, now: at(0), wake_at: at(15_000), nonce };
        let claimable = vec![(TaskName::new("mail.send").unwrap(), 1)];
        let taken = self.store.take(&TakeRequest { pull, claim, claimable }).await?;
        for (id, record) in taken.claimed {
            self.known.acked.insert(id, record.head.revision);
            self.running.push((id, record));
        }
        Ok(())
    }

    async fn finish(&mut self, nonce: u64) -> jobbers_core::Result<()> {
        let most = self.below(4) as usize;
        let ended: Vec<_> = self.running.drain(..most.min(self.running.len())).collect();
        let commits = ended.into_iter().map(|(id, record)| succeeded(id, record, at(1_000), nonce));
        let commits = commits.collect();
        self.commit(commits).await
    }

    async fn beat(&mut self, nonce: u64) -> jobbers_core::Result<()> {
        let beats: Vec<_> = self.running.iter().map(|(id, record)| beat(*id, record, at(20_000 + (nonce % 999) as i64), nonce)).collect();
        for verdict in self.store.commit(&beats).await {
            verdict?;
        }
        Ok(())
    }
}

/// One cut: works until the power goes off, and looks at what is left. Returns the disk after it.
fn cut(disk: &Disk, seed: u64, known: &mut BTreeMap<JobId, Revision>) -> Disk {
    let draws = SeededDraws::new(seed);
    disk.state().power_for = None;
    let store = disk.open().unwrap_or_else(|error| panic!("it does not open: {error}"));
    disk.state().power_for = Some(1 + draws.number() % 400);
    let next = known.last_key_value().map_or(0, |(id, _)| id.run.as_u128());
    let worked = block_on(async {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let draws = SeededDraws::new(seed ^ (number + 1) << 32);
                let next = next + (u128::from(number) << 32) + 1;
                let client = Client::new(number, store.clone(), draws, next);
                // What runs from before the last cut is not this client's: it only takes what is Ready.
                tokio::spawn(client.work())
            })
            .collect();
        let mut worked = Vec::new();
        for client in clients {
            worked.push(client.await.unwrap());
        }
        worked
    });
    drop(store);
    let left = Disk::of(disk.after_power_cut(|| draws.number().is_multiple_of(2)));
    let store = left.open().unwrap_or_else(|error| panic!("it does not open after the cut: {error}"));
    audit(&store);
    for client in &worked {
        for (id, revision) in &client.acked {
            known.insert(*id, *revision);
        }
    }
    check(&store, known, &worked);
    drop(store);
    left
}

/// Whether every acknowledged write is there, and nothing that was said to have failed.
pub(super) fn check(store: &Handle, known: &mut BTreeMap<JobId, Revision>, worked: &[Known]) {
    let maybe: Vec<u64> = worked.iter().filter_map(|client| client.maybe).collect();
    let mut cursor = None;
    let mut found = BTreeMap::new();
    block_on(async {
        loop {
            let page = store.scan(cursor, 500).await.unwrap();
            found.extend(page.heads);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    });
    for (id, revision) in known.iter() {
        let head = found.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        let later = head.revision.count == revision.count + 1 && maybe.contains(&head.revision.nonce);
        assert!(head.revision == *revision || later, "{id} was acknowledged at {revision:?} and stands at {:?}", head.revision);
    }
    for (id, head) in &found {
        let fits = known.contains_key(id) || maybe.contains(&head.revision.nonce);
        assert!(fits, "{id} is there although its submit failed");
        known.insert(*id, head.revision);
    }
    let ids: Vec<JobId> = found.keys().copied().collect();
    let records = block_on(store.load(&ids));
    for (id, record) in ids.iter().zip(records) {
        let record = record.unwrap().unwrap();
        assert_eq!(record.spec, spec_of(*id));
        assert_eq!(record.output.len(), if record.head.state == JobState::Succeeded { 300 } else { 0 });
    }
}

fn cuts(count: u64, seed: u64, lies: bool) {
    let mut disk = Disk::new();
    let mut known = BTreeMap::new();
    for number in 0..count {
        if number % CUTS_A_DISK == 0 {
            (disk, known) = (Disk::new(), BTreeMap::new());
        }
        disk.state().lies = lies;
        disk = cut(&disk, seed.wrapping_add(number), &mut known);
    }
}

pub(super) fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    let seed = number_from("JOBBERS_SEED").unwrap_or_else(|| jobbers_core::SystemDraws.number());
    let count = number_from("JOBBERS_POWER_CUTS").unwrap_or(200);
    let _ = writeln!(std::io::stdout(), "JOBBERS_SEED={seed}, {count} cuts");
    cuts(count, seed, false);
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let honest = catch_unwind(AssertUnwindSafe(|| cuts(30, 1, true)));
    std::panic::set_hook(quiet);
    assert!(honest.is_err(), "the test above would not notice lost writes");
}

#[test]
fn a_power_cut_while_a_killed_file_is_repaired_loses_nothing() {
    let killed = Disk::new();
    block_on(async {
        let store = killed.open().unwrap();
        for number in 1..=50 {
            applied(&store, insert(job(number), ready(at(0)), 5)).await;
        }
        std::mem::forget(store);
    });
    for operations in 0..40 {
        let disk = Disk::of(killed.bytes());
        disk.state().power_for = Some(operations);
        let _ = disk.open();
        let draws = SeededDraws::new(operations);
        let store = Disk::of(disk.after_power_cut(|| draws.number().is_multiple_of(2))).open().unwrap();
        audit(&store);
        let ids: Vec<JobId> = (1..=50).map(job).collect();
        assert!(block_on(store.load(&ids)).into_iter().all(|record| record.unwrap().is_some()));
    }
}
