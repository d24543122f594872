//! Proves a history: one pass, knowing nothing of what made it.

mod spent;
mod violation;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jobbers_core::driver::Holder;
use jobbers_core::record::{JobState, LimitKey, Revision};
use jobbers_core::{JobId, LimitName, TaskName, Timestamp, WorkerId};

use self::spent::{Bound, Spent};
pub use self::violation::{Rule, Violation};
use crate::history::{By, Event, What, Write, rewinds};

/// What has to hold at the end of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Work may be left.
    Open,
    /// All work was done: each accepted job has ended.
    Drained,
}

/// Checks a history; returns what is broken, in the order in which it was found. O(n), and once more for each time that the store came back
/// older than it was.
pub fn check(events: &[Event], end: End) -> Vec<Violation> {
    let mut checker = Checker { marks: rewinds(events), ..Checker::default() };
    for event in events {
        checker.see(event);
    }
    checker.finish(end);
    checker.violations
}

#[derive(Default)]
struct Checker {
    violations: Vec<Violation>,
    calls: HashMap<u64, Vec<JobId>>,
    accepted: Vec<JobId>,
    found: HashMap<JobId, JobState>,
    /// Which job stands for which tick of which schedule.
    ticks: HashMap<JobId, (u32, u64)>,
    knows: HashMap<WorkerId, BTreeSet<TaskName>>,
    /// Claims, each with the task.
    claimed: Vec<(JobId, TaskName, WorkerId)>,
    jobs: HashMap<JobId, Seen>,
    stands: Stands,
    /// Marks that the store was taken back to, and what stood there then.
    marks: HashSet<u64>,
    kept: HashMap<u64, Stands>,
    rewinds: u32,
    /// Jobs that the store forgot when it came back older, and which nobody has submitted again.
    forgotten: HashSet<JobId>,
    /// Ticks whose jobs it forgot.
    forgotten_ticks: HashSet<(u32, u64)>,
}

/// What the store and the limiter hold: what goes back when they come back older than they were.
#[derive(Default, Clone)]
struct Stands {
    jobs: HashMap<JobId, Stood>,
    claims: HashSet<(JobId, Revision)>,
    settled: HashSet<(JobId, u32, JobId, u32)>,
    releases: HashSet<(u64, JobId)>,
    bounds: HashMap<LimitName, Option<u32>>,
    rates: HashMap<LimitName, Bound>,
    keys: HashMap<LimitKey, BTreeMap<Holder, (u32, Timestamp)>>,
    spent: HashMap<LimitKey, Spent>,
    /// Who has spent, and until when asking again is the same ask.
    spenders: HashMap<Holder, Timestamp>,
    ticked: BTreeMap<(u32, u64), u32>,
}

/// How one job stands.
#[derive(Default, Clone)]
struct Stood {
    last: Option<Write>,
    generation: u32,
    /// The generation in which a cancel was acknowledged.
    stopped: Option<u32>,
    pruned: bool,
}

/// What was seen of one job, and happened whatever the store forgets.
#[derive(Default)]
struct Seen {
    claims: HashSet<Revision>,
    started: HashSet<Revision>,
    ended: HashSet<Revision>,
    /// How often the store had come back older when a cancel was asked for.
    stopping: u32,
}

impl Checker {
    fn see(&mut self, event: &Event) {
        match &event.what {
            What::Invoke { call, jobs } => drop(self.calls.insert(*call, jobs.clone())),
            What::Ok { call } => self.accepted.extend(self.calls.remove(call).unwrap_or_default()),
            What::Fail { call } | What::Unknown { call } => drop(self.calls.remove(call)),
            What::Wrote(write) => self.wrote(write),
            What::Renewed { job, revision, .. } => self.renewed(*job, *revision),
            What::Settled { commit, parent, child, .. } => self.settle(*commit, *parent, *child),
            What::Pruned { job } => self.stands.job(*job).pruned = true,
            What::HandlerStart { job, fence, .. } => self.started(*job, *fence),
            What::HandlerEnd { job, fence } => self.ended(*job, *fence),
            What::Joined { job, fence, ended, unended, expected } => self.joined(*job, *fence, *ended, *unended, *expected),
            What::Stopping { job } => self.jobs.entry(*job).or_default().stopping = self.rewinds,
            What::Stopped { job } => self.stopped(*job),
            What::Bounded { limit, most } => drop(self.stands.bounds.insert(limit.clone(), *most)),
            What::Rated { limit, count, period, burst } => {
                let bound = Bound { count: *count, period: *period, burst: *burst };
                self.stands.rates.insert(limit.clone(), bound);
            }
            What::Asked => self.stands.forget_until(event.at),
            What::Permit { key, holder, cost, until } => self.permit(event.at, key, *holder, *cost, *until),
            What::Freed { holder } => self.stands.free(holder),
            What::Spent { holder, keys, until } => self.spent(event.at, *holder, keys, *until),
            What::Knows { worker, task } => drop(self.knows.entry(*worker).or_default().insert(task.clone())),
            What::Tick { schedule, tick, job } => drop(self.ticks.insert(*job, (*schedule, *tick))),
            What::Kept { mark } if self.marks.contains(mark) => drop(self.kept.insert(*mark, self.stands.clone())),
            What::Kept { .. } => (),
            What::Rewound { mark } => self.rewound(*mark),
            What::Found { job, state } => drop(self.found.insert(*job, *state)),
        }
    }

    fn wrote(&mut self, write: &Write) {
        let stands = self.stands.jobs.entry(write.job).or_default();
        let before = stands.last.replace(write.clone());
        let stood = before.as_ref().map(|one| one.revision);
        if write.by != By::Release && write.by != By::Take && write.expect != stood {
            self.violations.push(Violation::Stale(write.clone(), stood));
        }
        if let Some(stood) = stood.filter(|stood| stood.count + 1 != write.revision.count) {
            self.violations.push(Violation::TwoOwners(write.job, stood, write.revision));
        }
        let (state, attempt) = before.as_ref().map_or((None, 0), |one| (Some(one.state), one.attempt));
        // An insert over an ended job starts a new one, which has its own attempts.
        let fresh = write.by == By::Insert;
        let claims = write.state == JobState::Running && !(fresh || state == Some(JobState::Running));
        if claims {
            self.jobs.entry(write.job).or_default().claims.insert(write.revision);
            self.stands.claims.insert((write.job, write.revision));
            self.claimed.extend(write.owner.map(|owner| (write.job, write.task.clone(), owner)));
            if stands.stopped == Some(stands.generation) {
                self.violations.push(Violation::RanAfterCancel(write.job, write.revision));
            }
            if !matches!(state, Some(JobState::Ready | JobState::Waiting)) {
                self.violations.push(Violation::ClaimedFrom(write.job, state));
            }
        }
        let other = before.as_ref().is_some_and(|one| one.owner != write.owner);
        if state == Some(JobState::Running) && write.state == JobState::Running && other && !fresh {
            self.violations.push(Violation::ClaimedFrom(write.job, state));
        }
        if !fresh && write.attempt != attempt + u32::from(claims) {
            self.violations.push(Violation::Attempt(write.job, attempt, write.attempt));
        }
        match (state, write.state) {
            (Some(one), other) if one.is_end() && other.is_end() && !fresh => {
                self.violations.push(Violation::EndedTwice(write.job, one, other));
            }
            (Some(one), _) if one.is_end() => stands.generation += 1,
            (Some(one), _) if fresh => self.violations.push(Violation::Replaced(write.job, one)),
            _ => (),
        }
        if fresh {
            self.inserted(write.job);
        }
    }

    fn inserted(&mut self, job: JobId) {
        self.forgotten.remove(&job);
        let Some((schedule, tick)) = self.ticks.get(&job).copied() else { return };
        let made = self.stands.ticked.entry((schedule, tick)).or_default();
        *made += 1;
        if *made > 1 {
            self.violations.push(Violation::TickTwice(schedule, tick));
        }
    }

    /// A beat is written by the owner: under the revision that stands.
    fn renewed(&mut self, job: JobId, revision: Revision) {
        let stood = self.stands.job(job).last.as_ref().map(|write| (write.revision, write.state));
        if stood != Some((revision, JobState::Running)) {
            let other = stood.map_or(Revision::default(), |(revision, _)| revision);
            self.violations.push(Violation::TwoOwners(job, other, revision));
        }
    }

    fn settle(&mut self, commit: u64, parent: Option<JobId>, child: JobId) {
        if !self.stands.releases.insert((commit, child)) {
            self.violations.push(Violation::AppliedTwice(commit));
        }
        let Some(parent) = parent else { return };
        let generations = (self.stands.job(parent).generation, self.stands.job(child).generation);
        if !self.stands.settled.insert((parent, generations.0, child, generations.1)) {
            self.violations.push(Violation::SettledTwice(parent, child));
        }
    }

    fn stopped(&mut self, job: JobId) {
        // A cancel that the store may have forgotten while it was answered has to be repeated.
        let asked = self.jobs.get(&job).map_or(0, |seen| seen.stopping);
        let (rewinds, stands) = (self.rewinds, self.stands.job(job));
        // What had ended by then, ended without it.
        if asked == rewinds && stands.last.as_ref().is_some_and(|write| !write.state.is_end()) {
            stands.stopped = Some(stands.generation);
        }
    }

    fn started(&mut self, job: JobId, fence: Revision) {
        let seen = self.jobs.entry(job).or_default();
        if !seen.claims.contains(&fence) || !seen.started.insert(fence) {
            self.violations.push(Violation::Unclaimed(job, fence));
        }
    }

    fn ended(&mut self, job: JobId, fence: Revision) {
        let seen = self.jobs.entry(job).or_default();
        if !seen.started.contains(&fence) || !seen.ended.insert(fence) {
            self.violations.push(Violation::EndedUnstarted(job, fence));
        }
    }

    fn joined(&mut self, job: JobId, fence: Revision, ended: u32, unended: u32, expected: u32) {
        let map = JobId::from(job.run);
        // A join of a lost future sees what stands there now.
        if self.rewinds > 0 && !self.stands.claims.contains(&(job, fence)) {
            return;
        }
        // A map that did not succeed may have submitted fewer.
        let whole = self.stands.job(map).last.as_ref().is_some_and(|write| write.state == JobState::Succeeded);
        if unended > 0 || whole && ended < expected {
            self.violations.push(Violation::JoinedEarly(job, ended, expected.max(ended + unended)));
        }
    }

    fn permit(&mut self, at: Timestamp, key: &LimitKey, holder: Holder, cost: u32, until: Timestamp) {
        let held = self.stands.keys.entry(key.clone()).or_default();
        // An Extend of a known holder is let in also above a lowered bound.
        let known = held.get(&holder).is_some_and(|(_, until)| *until > at);
        held.retain(|_, (_, until)| *until > at);
        held.insert(holder, (cost, until));
        let sum: u32 = held.values().map(|(cost, _)| *cost).sum();
        let most = self.stands.bounds.get(&key.limit).copied().flatten();
        if let Some(most) = most.filter(|most| sum > *most && !known) {
            self.violations.push(Violation::OverBound(key.clone(), sum, most));
        }
    }

    fn spent(&mut self, at: Timestamp, holder: Holder, keys: &[(LimitKey, u32)], until: Timestamp) {
        let again = self.stands.spenders.insert(holder, until).is_some_and(|until| until > at);
        for (key, cost) in keys.iter().filter(|_| !again) {
            let Some(bound) = self.stands.rates.get(&key.limit) else { continue };
            if !self.stands.spent.entry(key.clone()).or_default().spend(bound, *cost, at) {
                self.violations.push(Violation::OverRate(key.clone(), at));
            }
        }
    }

    /// The store and the limiter are as they were then, and the future of then is lost.
    fn rewound(&mut self, mark: u64) {
        self.rewinds += 1;
        let kept = self.kept.get(&mark).cloned().unwrap_or_default();
        let there = |stands: &Stands, job: &JobId| stands.jobs.get(job).is_some_and(|one| one.last.is_some());
        self.forgotten.extend(self.stands.jobs.keys().filter(|job| there(&self.stands, job) && !there(&kept, job)));
        self.forgotten_ticks.extend(self.stands.ticked.keys().filter(|tick| !kept.ticked.contains_key(tick)));
        self.stands = kept;
    }

    fn finish(&mut self, end: End) {
        for job in std::mem::take(&mut self.accepted) {
            match self.found.get(&job).copied() {
                Some(state) if end == End::Drained && !state.is_end() => self.violations.push(Violation::Unended(job, state)),
                None if !self.stands.job(job).pruned && !self.forgotten.contains(&job) => self.violations.push(Violation::Lost(job)),
                _ => (),
            }
        }
        for (job, task, worker) in std::mem::take(&mut self.claimed) {
            if self.knows.get(&worker).is_some_and(|tasks| !tasks.contains(&task)) {
                self.violations.push(Violation::Unknown(job, task, worker));
            }
        }
        let mut last = None;
        for (schedule, tick) in self.stands.ticked.keys() {
            let first = match last {
                Some((same, before)) if same == *schedule => before + 1,
                _ => 0,
            };
            let missed = (first..*tick).filter(|missed| !self.forgotten_ticks.contains(&(*schedule, *missed)));
            self.violations.extend(missed.map(|missed| Violation::TickMissed(*schedule, missed)));
            last = Some((*schedule, *tick));
        }
    }
}

impl Stands {
    fn free(&mut self, holder: &Holder) {
        self.keys.values_mut().for_each(|held| held.retain(|one, _| one != holder));
        self.spenders.remove(holder);
    }

    /// What a limiter that is told that it is so late needs to remember no longer.
    fn forget_until(&mut self, now: Timestamp) {
        self.keys.values_mut().for_each(|held| held.retain(|_, (_, until)| *until > now));
        self.spenders.retain(|_, until| *until > now);
        let rates = &self.rates;
        self.spent.retain(|key, spent| rates.get(&key.limit).is_none_or(|bound| !spent.is_idle(bound, now)));
    }

    fn job(&mut self, job: JobId) -> &mut Stood {
        self.jobs.entry(job).or_default()
    }
}
