//! Draws commits: of every kind, and of every way to be refused.

use jobbers_core::JobId;
use jobbers_core::driver::{Claim, Commit, Op, Place};
use jobbers_core::record::{Head, JobState, Outcome as Ending, Parts, ReadyWhen, Record};

use super::world::World;
use crate::kit::{key, record, stop};

impl World {
    /// One to four commits of different runs.
    pub(super) fn commits(&mut self) -> Vec<Commit> {
        let mut commits: Vec<Commit> = Vec::new();
        for _ in 0..if self.chance(80) { 1 } else { self.rng.usize(2..5) } {
            let commit = self.commit();
            if !commit.ops.is_empty() && commits.iter().all(|other| other.run != commit.run) {
                commits.push(commit);
            }
        }
        commits
    }

    fn commit(&mut self) -> Commit {
        let ops = match self.rng.u32(0..100) {
            0..22 => self.insert_lone(),
            22..32 => self.insert_run(),
            32..35 => self.insert_taken(),
            35..42 => self.insert_over(),
            42..80 => self.updates(),
            80..92 => self.beat(),
            _ => self.ask(),
        };
        let run = ops.first().map_or_else(|| jobbers_core::RunId::from_u128(1), |op| op.id().run);
        Commit { run, nonce: self.nonce(), ops }
    }

    /// A new record, with something in most of its fields.
    fn record(&mut self, state: JobState) -> Record {
        let mut new = record(state);
        (new.spec, new.trail) = (self.part(), self.part());
        new.head.created_at = self.time();
        (new.head.queue, new.head.priority) = (self.queue(), self.priority());
        (new.head.task, new.head.version) = self.task();
        self.enter(&mut new.head, state);
        if self.chance(15) {
            new.head.limits.push(key("customer", "7"));
        }
        if state == JobState::Waiting {
            self.joins(&mut new.head);
        }
        new
    }

    fn joins(&mut self, head: &mut Head) {
        (head.remaining, head.succeeded, head.failed, head.skipped) = (self.rng.u32(0..5), self.rng.u32(0..2), self.rng.u32(0..2), 0);
        head.ready_when = match self.rng.u32(0..6) {
            0 => ReadyWhen::Ended(self.rng.u32(1..4)),
            1 => ReadyWhen::Succeeded(self.rng.u32(1..4)),
            2 => ReadyWhen::Failed(self.rng.u32(1..4)),
            _ => ReadyWhen::AllEnded,
        };
        // A record is never inserted as Waiting with nothing to wait for: that is the machine's to decide.
        if head.may_fire() {
            (head.remaining, head.ready_when) = (head.remaining.max(1), ReadyWhen::AllEnded);
        }
    }

    /// The timers and marks of a state.
    fn enter(&mut self, head: &mut Head, state: JobState) {
        head.state = state;
        (head.owner, head.started_at, head.parked_on, head.ended_at, head.wake_at) = (None, None, None, None, None);
        match state {
            JobState::Running => {
                (head.owner, head.started_at, head.wake_at) = (Some(self.worker()), Some(self.now), Some(self.time()));
                head.attempt += 1;
            }
            JobState::Scheduled => head.wake_at = Some(self.time()),
            JobState::Parked => (head.parked_on, head.wake_at) = (Some(Box::new(key("customer", "7"))), Some(self.time())),
            JobState::Ready | JobState::Waiting if self.chance(40) => head.wake_at = Some(self.time()),
            JobState::Ready | JobState::Waiting => (),
            JobState::Succeeded | JobState::Dead | JobState::Cancelled | JobState::Skipped => head.ended_at = Some(self.time()),
        }
    }

    fn insert_lone(&mut self) -> Vec<Op> {
        let state = if self.chance(70) { JobState::Ready } else { self.state() };
        let run = self.run();
        vec![Op::Insert { id: JobId::from(run), record: self.record(state), over: None }]
    }

    fn insert_run(&mut self) -> Vec<Op> {
        let run = self.run();
        (0..self.rng.u32(2..7))
            .map(|step| {
                let state = if step < 2 { JobState::Waiting } else { self.state() };
                Op::Insert { id: JobId::new(run, step), record: self.record(state), over: None }
            })
            .collect()
    }

    fn insert_taken(&mut self) -> Vec<Op> {
        let Some((id, _)) = self.job(10) else { return Vec::new() };
        let state = self.state();
        vec![Op::Insert { id, record: self.record(state), over: None }]
    }

    fn insert_over(&mut self) -> Vec<Op> {
        let ended = |(_, record): &(JobId, Record)| record.head.state.is_end();
        let found = (0..6).find_map(|_| self.job(10).filter(|job| ended(job)));
        let Some((id, old)) = found.or_else(|| self.job(50)) else { return Vec::new() };
        let mut over = old.head.revision;
        if self.chance(10) {
            over.nonce ^= 1;
        }
        let state = if self.chance(70) { JobState::Ready } else { self.state() };
        vec![Op::Insert { id, record: self.record(state), over: Some(over) }]
    }

    /// Updates of one or several steps of a run, with releases of others.
    fn updates(&mut self) -> Vec<Op> {
        let Some((id, old)) = self.job(12) else { return Vec::new() };
        let mut ops = vec![self.update(id, old)];
        let siblings: Vec<JobId> = self.records.keys().copied().filter(|other| other.run == id.run && *other != id).collect();
        for sibling in siblings {
            match self.rng.u32(0..10) {
                0..5 => ops.push(self.release(sibling)),
                5 => {
                    let record = self.records[&sibling].clone();
                    ops.push(self.update(sibling, record));
                }
                _ => (),
            }
        }
        if self.chance(5) {
            ops.push(self.release(JobId::new(id.run, 999)));
        }
        ops
    }

    fn update(&mut self, id: JobId, old: Record) -> Op {
        let expect = old.head.revision;
        let mut new = old.clone();
        let state = self.state();
        if self.chance(85) {
            self.enter(&mut new.head, state);
        }
        if old.head.state.is_end() && state == JobState::Waiting {
            self.joins(&mut new.head);
            new.head.remaining = self.rng.u32(0..4);
        }
        if self.chance(10) {
            (new.head.queue, new.head.priority) = (self.queue(), self.priority());
        }
        match self.rng.u32(0..12) {
            0 => new.head.asked = None,
            1 => new.head.asked = Some(Box::new(stop())),
            2 => new.head.version += 1,
            // A driver keeps the counters as stored, whatever is written here.
            3 => (new.head.remaining, new.head.failed) = (7, 7),
            _ => (),
        }
        let mut changed = Parts::NONE;
        for part in [Parts::SPEC, Parts::TRAIL, Parts::PROGRESS, Parts::OUTPUT] {
            if self.chance(25) {
                let bytes = self.part();
                match part {
                    Parts::SPEC => new.spec = bytes,
                    Parts::TRAIL => new.trail = bytes,
                    Parts::PROGRESS => new.progress = bytes,
                    _ => new.output = bytes,
                }
                changed = changed.and(part);
            }
        }
        let lapsed = self.chance(25).then(|| if self.chance(50) { old.head.wake_at.unwrap_or(self.now) } else { self.now });
        let place = if self.chance(20) { Place::Front } else { Place::Back };
        Op::Update { id, expect, lapsed, record: new, changed, place }
    }

    fn release(&mut self, id: JobId) -> Op {
        let head = self.records.get(&id).map(|record| record.head.clone()).unwrap_or_default();
        let outcome =
            [None, Some(Ending::Succeeded), Some(Ending::Failed), Some(Ending::Skipped), Some(Ending::Succeeded)][self.rng.usize(..5)];
        let claim = self.chance(25).then(|| Claim { owner: self.worker(), now: self.now, wake_at: self.time(), nonce: self.nonce() });
        let wake_at = self.chance(50).then(|| self.time());
        Op::Release { id, queue: head.queue, priority: head.priority, edges: self.rng.u32(1..4), outcome, wake_at, claim }
    }

    fn running(&mut self) -> Option<(JobId, Record)> {
        (0..8).find_map(|_| self.job(10).filter(|(_, record)| record.head.state == JobState::Running)).or_else(|| self.job(20))
    }

    fn beat(&mut self) -> Vec<Op> {
        let Some((id, old)) = self.running() else { return Vec::new() };
        let progress = self.chance(50).then(|| self.part());
        vec![Op::Beat { id, expect: old.head.revision, wake_at: self.time(), progress }]
    }

    fn ask(&mut self) -> Vec<Op> {
        let Some((id, old)) = self.running() else { return Vec::new() };
        vec![Op::AskToStop { id, expect: old.head.revision, stop: stop() }]
    }
}
