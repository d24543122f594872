//! What a history knows of the backends that it is played on: enough to draw steps that mean something.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{Acquire, Delivery, DocKey, DocVersion, Holder, Receipt};
use jobbers_core::record::{JobState, Priority, Record};
use jobbers_core::{JobId, QueueName, RunId, TaskName, Timestamp, WorkerId};

use super::answers::Answer;
use super::side::Side;
use super::steps::Step;
use crate::kit::{at, queue, task};

/// Old versions of records that are kept, to make stale commits of.
const STALE_COUNT_MAX: usize = 60;

/// What a history knows.
pub(super) struct World {
    pub(super) rng: fastrand::Rng,
    pub(super) now: Timestamp,
    /// Both backends pull in one order.
    pub(super) ordered: bool,
    pub(super) records: BTreeMap<JobId, Record>,
    pub(super) stale: Vec<(JobId, Record)>,
    pub(super) runs: Vec<RunId>,
    pub(super) workers: Vec<WorkerId>,
    /// Pulled and not acked, with the receipt of each side.
    pub(super) pulled: Vec<(Delivery, [Receipt; 2])>,
    pub(super) docs: BTreeMap<DocKey, [DocVersion; 2]>,
    pub(super) asked: Vec<Acquire>,
    pub(super) holders: Vec<Holder>,
    pub(super) limit_version: u64,
    times: HashSet<u64>,
}

impl World {
    pub(super) fn new(seed: u64, ordered: bool) -> World {
        let mut rng = fastrand::Rng::with_seed(seed);
        let workers = (0..4).map(|_| WorkerId::from_u128(rng.u128(..))).collect();
        World {
            rng,
            now: at(0),
            ordered,
            records: BTreeMap::new(),
            stale: Vec::new(),
            runs: Vec::new(),
            workers,
            pulled: Vec::new(),
            docs: BTreeMap::new(),
            asked: Vec::new(),
            holders: Vec::new(),
            limit_version: 1,
            times: HashSet::new(),
        }
    }

    /// Whether something that happens so often, in a hundred, happens.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        (!list.is_empty()).then(|| list[self.rng.usize(..list.len())].clone())
    }

    pub(super) fn nonce(&mut self) -> u64 {
        self.rng.u64(1..)
    }

    pub(super) fn queue(&mut self) -> QueueName {
        queue(["mail", "image", "mail.bulk"][self.rng.usize(..3)])
    }

    pub(super) fn task(&mut self) -> (TaskName, u32) {
        (task(["mail.send", "mail.read", "zip"][self.rng.usize(..3)]), self.rng.u32(1..3))
    }

    pub(super) fn priority(&mut self) -> Priority {
        Priority::ALL[self.rng.usize(..4)]
    }

    pub(super) fn state(&mut self) -> JobState {
        JobState::ALL[self.rng.usize(..9)]
    }

    pub(super) fn worker(&mut self) -> WorkerId {
        self.workers[self.rng.usize(..4)]
    }

    /// A part's bytes: mostly few, sometimes many.
    pub(super) fn part(&mut self) -> Bytes {
        let length = if self.chance(5) { self.rng.usize(1_000..20_000) } else { self.rng.usize(..40) };
        let byte = self.rng.u8(..);
        (0..length).map(|n| byte.wrapping_add(n as u8)).collect()
    }

    /// A time within a minute before or after now, which nothing else has: no order depends on how a tie is broken.
    pub(super) fn time(&mut self) -> Timestamp {
        loop {
            let drawn = self.now + Duration::from_millis(self.rng.u64(..120_000)) - Duration::from_secs(30);
            if self.times.insert(drawn.as_millis()) {
                return drawn;
            }
        }
    }

    pub(super) fn run(&mut self) -> RunId {
        let run = RunId::from_u128(self.rng.u128(..));
        self.runs.push(run);
        run
    }

    /// A stored job, or an older version of one.
    pub(super) fn job(&mut self, stale_percent: u32) -> Option<(JobId, Record)> {
        if self.chance(stale_percent) {
            let stale = std::mem::take(&mut self.stale);
            let picked = self.pick(&stale);
            self.stale = stale;
            return picked;
        }
        let last = self.records.len().checked_sub(1)?;
        let number = self.rng.usize(..=last);
        self.records.iter().nth(number).map(|(id, record)| (*id, record.clone()))
    }

    /// Takes what a step did from the answers, and from the first side.
    pub(super) async fn learn(&mut self, step: &Step, answer: &Answer, side: &Side) -> Result<(), String> {
        let touched: Vec<JobId> = match (step, answer) {
            (Step::Commit(commits), Answer::Verdicts(verdicts)) => {
                let both = commits.iter().zip(verdicts);
                for (commit, _) in both.clone().filter(|(_, verdict)| !matches!(verdict, Ok(jobbers_core::driver::Verdict::Applied { .. })))
                {
                    let ids: Vec<JobId> = commit.ops.iter().map(|op| op.id()).collect();
                    self.unchanged(&ids, side).await?;
                }
                both.flat_map(|(commit, _)| commit.ops.iter().map(|op| op.id())).collect()
            }
            (Step::Take(_), Answer::Taken { claimed, .. }) => claimed.iter().map(|(id, _)| *id).collect(),
            (Step::Prune { .. }, _) => self.records.keys().copied().collect(),
            _ => Vec::new(),
        };
        for (id, record) in touched.iter().zip(side.load(&touched).await) {
            let before = match record {
                Some(record) if self.records.get(id) == Some(&record) => None,
                Some(record) => self.records.insert(*id, record),
                None => self.records.remove(id),
            };
            self.stale.extend(before.map(|record| (*id, record)));
        }
        let many = self.stale.len().saturating_sub(STALE_COUNT_MAX);
        self.stale.drain(..many);
        Ok(())
    }

    /// A commit that was refused has changed nothing.
    async fn unchanged(&self, ids: &[JobId], side: &Side) -> Result<(), String> {
        for (id, record) in ids.iter().zip(side.load(ids).await) {
            if self.records.get(id) != record.as_ref() {
                return Err(format!("a commit that was not applied changed {id} from {:?} to {record:?}", self.records.get(id)));
            }
        }
        Ok(())
    }
}
