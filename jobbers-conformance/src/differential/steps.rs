//! Draws the steps of a history.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{
    Acquire, Bounds, Claim, Commit, Delivery, DocKey, DocKind, Filter, Holder, LimitChange, Mode, Place, Pull, TakeRequest,
};
use jobbers_core::policy::Rate;
use jobbers_core::record::JobState;
use jobbers_core::{JobId, QueueName, Timestamp, WorkerId};

use super::world::World;
use crate::kit::{key, limit_name};

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Commit(Vec<Commit>),
    Push(Vec<Delivery>),
    Pull(Pull),
    /// Acks the pulled deliveries with these numbers, the greatest first.
    Ack(Vec<usize>),
    Take(TakeRequest),
    Depth,
    Due {
        now: Timestamp,
        hide_until: Timestamp,
        limit: usize,
    },
    Owned {
        worker: WorkerId,
        limit: usize,
    },
    Unended,
    Counts,
    List {
        filter: Filter,
        limit: usize,
    },
    Prune {
        queue: QueueName,
        state: JobState,
        before: Timestamp,
        limit: usize,
    },
    Write(Vec<Draft>),
    Read(Vec<DocKey>),
    Documents {
        kind: DocKind,
        limit: usize,
    },
    Set(Vec<LimitChange>),
    Acquire(Vec<Acquire>),
    GiveBack(Vec<Holder>),
    Turns(usize),
}

/// A write of a document, without the version, which each backend makes itself.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) key: DocKey,
    pub(super) expect: Expect,
    pub(super) body: Option<Bytes>,
    pub(super) expires_at: Option<Timestamp>,
}

/// Which version is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Absent,
    /// The one that was seen last.
    Current,
    Wrong,
}

impl Step {
    /// Draws one; time goes on a little before it.
    pub(super) fn draw(world: &mut World) -> Step {
        world.now = world.now + Duration::from_millis(world.rng.u64(..1_500));
        match world.rng.u32(0..1_000) {
            0..450 => Step::commit(world),
            450..480 => Step::Push(world.deliveries()),
            480..540 => Step::Pull(world.pull()),
            540..580 => Step::ack(world),
            580..650 => Step::take(world),
            650..720 => Step::due(world),
            720..735 => Step::Owned { worker: world.worker(), limit: 1_000 },
            735..745 => Step::Unended,
            745..755 => Step::Counts,
            755..775 => Step::list(world),
            775..785 => Step::Depth,
            785..800 => Step::prune(world),
            800..830 => Step::Write(world.drafts()),
            830..840 => Step::Read(vec![world.doc(), world.doc(), world.doc()]),
            840..850 => Step::Documents { kind: world.doc().kind, limit: world.rng.usize(1..6) },
            850..865 => Step::Set(vec![world.limit_change()]),
            865..945 => Step::Acquire(world.requests()),
            945..975 => Step::give_back(world),
            _ => Step::Turns(world.rng.usize(1..9)),
        }
    }

    fn commit(world: &mut World) -> Step {
        match world.commits() {
            commits if commits.is_empty() => Step::Counts,
            commits => Step::Commit(commits),
        }
    }

    fn ack(world: &mut World) -> Step {
        let all = world.pulled.len();
        let mut numbers: Vec<usize> = (0..all).filter(|_| world.chance(40)).collect();
        numbers.reverse();
        Step::Ack(numbers)
    }

    fn take(world: &mut World) -> Step {
        let pull = world.pull();
        let claim = Claim { owner: world.worker(), now: world.now, wake_at: world.time(), nonce: world.nonce() };
        let claimable = (0..world.rng.u32(1..5)).map(|_| world.task()).collect();
        Step::Take(TakeRequest { pull, claim, claimable })
    }

    fn due(world: &mut World) -> Step {
        Step::Due { now: world.now, hide_until: world.time().max(world.now + Duration::from_millis(1)), limit: world.rng.usize(1..20) }
    }

    fn list(world: &mut World) -> Step {
        let queue = world.chance(50).then(|| world.queue());
        let task = world.chance(30).then(|| world.task().0);
        Step::List { filter: Filter { state: world.state(), queue, task }, limit: world.rng.usize(1..12) }
    }

    fn prune(world: &mut World) -> Step {
        let state = [JobState::Succeeded, JobState::Dead, JobState::Cancelled, JobState::Skipped][world.rng.usize(..4)];
        let limit = if world.ordered { world.rng.usize(1..8) } else { 10_000 };
        Step::Prune { queue: world.queue(), state, before: world.now, limit }
    }

    fn give_back(world: &mut World) -> Step {
        let mut holders = Vec::new();
        for _ in 0..world.rng.u32(1..4) {
            if !world.holders.is_empty() {
                holders.push(world.holders.swap_remove(world.rng.usize(..world.holders.len())));
            }
        }
        if world.chance(10) {
            holders.push(Holder { job: JobId::new(world.run(), 1), nonce: 1 });
        }
        Step::GiveBack(holders)
    }
}

impl World {
    fn deliveries(&mut self) -> Vec<Delivery> {
        (0..self.rng.u32(1..5))
            .map(|_| {
                let known = self.job(0).map(|(id, record)| (id, record.head.queue, record.head.priority));
                let (id, queue, priority) = known.unwrap_or_else(|| (JobId::new(self.run(), 3), self.queue(), self.priority()));
                Delivery { id, queue, priority, place: if self.chance(30) { Place::Front } else { Place::Back } }
            })
            .collect()
    }

    fn pull(&mut self) -> Pull {
        let mut names = ["mail", "image", "mail.bulk"];
        self.rng.shuffle(&mut names);
        let few = self.ordered;
        let most = |world: &mut World| if few { world.rng.u32(1..6) } else { 10_000 };
        let count = if few { self.rng.usize(1..4) } else { 3 };
        let queues = names[..count].iter().map(|name| (crate::kit::queue(name), most(self))).collect();
        Pull {
            queues,
            max: if few { self.rng.u32(1..8) } else { 10_000 },
            now: self.now,
            back_at: self.time().max(self.now + Duration::from_millis(1)),
        }
    }

    fn doc(&mut self) -> DocKey {
        let kind = [DocKind::Role, DocKind::Queue, DocKind::Worker][self.rng.usize(..3)];
        DocKey { kind, name: ["a", "b", "c:d", "é"][self.rng.usize(..4)].into() }
    }

    fn drafts(&mut self) -> Vec<Draft> {
        let mut drafts: Vec<Draft> = Vec::new();
        for _ in 0..self.rng.u32(1..4) {
            let key = self.doc();
            if drafts.iter().any(|draft| draft.key == key) {
                continue;
            }
            let expect = match (self.docs.contains_key(&key), self.rng.u32(0..10)) {
                (_, 0) => Expect::Absent,
                (_, 1) => Expect::Wrong,
                (true, _) => Expect::Current,
                (false, _) => Expect::Absent,
            };
            let body = self.chance(75).then(|| self.part());
            let body = if expect == Expect::Absent { Some(body.unwrap_or_default()) } else { body };
            drafts.push(Draft { key, expect, body, expires_at: self.chance(50).then_some(self.now) });
        }
        drafts
    }

    fn limit_change(&mut self) -> LimitChange {
        let limit = ["customer", "queue:mail", "rate"][self.rng.usize(..3)];
        if self.chance(30) {
            let until = self.now + Duration::from_secs(self.rng.u64(..20));
            return LimitChange::Closed { key: key(limit, self.value()), until };
        }
        self.limit_version += self.rng.u64(..2);
        let rate = Rate { count: self.rng.u32(1..5), period: Duration::from_millis(self.rng.u64(500..5_000)), burst: self.rng.u32(1..4) };
        let bounds = Bounds {
            concurrency: (limit != "rate").then(|| self.rng.u32(1..5)),
            rate: (limit == "rate" || self.chance(20)).then_some(rate),
        };
        LimitChange::Bounds { limit: limit_name(limit), version: self.limit_version, bounds: (!self.chance(15)).then_some(bounds) }
    }

    fn value(&mut self) -> &'static str {
        ["", "7", "8"][self.rng.usize(..3)]
    }

    fn requests(&mut self) -> Vec<Acquire> {
        (0..self.rng.u32(1..4)).map(|_| self.request()).collect()
    }

    fn request(&mut self) -> Acquire {
        let again = std::mem::take(&mut self.asked);
        let known = if self.chance(45) { self.pick(&again) } else { None };
        self.asked = again;
        if let Some(mut known) = known {
            match self.rng.u32(0..4) {
                0 => known.holder.nonce = self.nonce(),
                1 if known.mode == Mode::Claim => known.mode = Mode::Extend,
                _ => (),
            }
            self.holders.push(known.holder);
            return known;
        }
        let mut keys = Vec::new();
        for limit in ["customer", "queue:mail", "rate"] {
            if self.chance(50) {
                keys.push((key(limit, self.value()), self.rng.u32(0..3)));
            }
        }
        let holder = Holder { job: JobId::from(self.run()), nonce: self.nonce() };
        let mode = [Mode::Claim, Mode::Claim, Mode::Claim, Mode::Extend, Mode::Spend][self.rng.usize(..5)];
        let request = Acquire { holder, keys, hold: Duration::from_millis(self.rng.u64(1_000..20_000)), mode };
        self.holders.push(holder);
        self.asked.push(request.clone());
        let many = self.asked.len().saturating_sub(40);
        self.asked.drain(..many);
        request
    }
}
