//! Proves a history: one pass, knowing nothing of what made it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use jobbers_core::driver::Holder;
use jobbers_core::record::{JobState, LimitKey, Revision};
use jobbers_core::{JobId, LimitName, Timestamp};

use crate::history::{By, Event, What, Write};

/// A promise that a history breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An accepted job is nowhere to be found.
    Lost(JobId),
    /// Nothing is left to do, and an accepted job has not ended.
    Unended(JobId, JobState),
    /// A write did not follow on the revision that its writer had loaded: two owners, or an end from a stale attempt.
    Stale(Write, Option<Revision>),
    /// Two writes of one job made the same count: both of them were valid.
    TwoOwners(JobId, Revision, Revision),
    /// Work was left when the time was over.
    Undrained(Duration),
    /// A claim of a job that nobody had made claimable.
    ClaimedFrom(JobId, Option<JobState>),
    /// The attempt did not grow by one with a claim, or grew without one.
    Attempt(JobId, u32, u32),
    /// A job that had ended, ended again in the same generation.
    EndedTwice(JobId, JobState, JobState),
    /// A parent settled a child's edge twice in one generation.
    SettledTwice(JobId, JobId),
    /// One commit was applied twice.
    AppliedTwice(u64),
    /// A handler ran without a claim, or twice under one.
    Unclaimed(JobId, Revision),
    /// A handler ended that had not started.
    EndedUnstarted(JobId, Revision),
    /// A join ran although parents of it had not ended: how many had, of how many.
    JoinedEarly(JobId, u32, u32),
    /// An attempt started after a cancel was acknowledged.
    RanAfterCancel(JobId, Revision),
    /// More permits of a key than its bound, held by those whose holds have not run out.
    OverBound(LimitKey, u32, u32),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Lost(job) => write!(f, "{job} was accepted, and is lost"),
            Violation::Unended(job, state) => write!(f, "{job} was accepted, and is {state} for ever"),
            Violation::Stale(write, stood) => {
                write!(f, "{} became {} by a writer that had loaded {:?}, where {stood:?} stood", write.job, write.state, write.expect)
            }
            Violation::TwoOwners(job, one, other) => write!(f, "{job} has two valid revisions: {one:?} and {other:?}"),
            Violation::Undrained(most) => write!(f, "work is left {most:?} after the faults have stopped"),
            Violation::ClaimedFrom(job, state) => write!(f, "{job} was claimed while it was {state:?}"),
            Violation::Attempt(job, before, after) => write!(f, "{job} went from attempt {before} to {after}"),
            Violation::EndedTwice(job, one, other) => write!(f, "{job} ended {one}, and then {other}"),
            Violation::SettledTwice(parent, child) => write!(f, "{parent} settled its edge to {child} twice"),
            Violation::AppliedTwice(nonce) => write!(f, "the commit with nonce {nonce} was applied twice"),
            Violation::Unclaimed(job, fence) => {
                write!(f, "a handler of {job} ran under {fence:?}, which no claim made, or a second one did")
            }
            Violation::EndedUnstarted(job, fence) => write!(f, "a handler of {job} ended under {fence:?} and had not started"),
            Violation::JoinedEarly(job, ended, of) => write!(f, "{job} joined when {ended} of its {of} parents had ended"),
            Violation::RanAfterCancel(job, fence) => {
                write!(f, "an attempt of {job} started under {fence:?} after its cancel was acknowledged")
            }
            Violation::OverBound(key, held, most) => write!(f, "{held} permits of {key:?} are held, at most {most} may be"),
        }
    }
}

/// What has to hold at the end of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Work may be left.
    Open,
    /// All work was done: each accepted job has ended.
    Drained,
}

/// Checks a history; returns what is broken, in the order in which it was found. O(n).
pub fn check(events: &[Event], end: End) -> Vec<Violation> {
    let mut checker = Checker::default();
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
    jobs: HashMap<JobId, Seen>,
    found: HashMap<JobId, JobState>,
    settled: HashSet<(JobId, u32, JobId, u32)>,
    releases: HashSet<(u64, JobId)>,
    bounds: HashMap<LimitName, Option<u32>>,
    keys: HashMap<LimitKey, BTreeMap<Holder, (u32, Timestamp)>>,
}

/// What was seen of one job.
#[derive(Default)]
struct Seen {
    last: Option<Write>,
    generation: u32,
    claims: HashSet<Revision>,
    started: HashSet<Revision>,
    ended: HashSet<Revision>,
    /// The generation in which a cancel was acknowledged.
    stopped: Option<u32>,
    pruned: bool,
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
            What::Pruned { job } => self.seen(*job).pruned = true,
            What::HandlerStart { job, fence, .. } => self.started(*job, *fence),
            What::HandlerEnd { job, fence } => self.ended(*job, *fence),
            What::Joined { job, ended, unended, expected } => self.joined(*job, *ended, *unended, *expected),
            What::Stopped { job } => {
                let seen = self.seen(*job);
                // What had ended by then, ended without it.
                if seen.last.as_ref().is_some_and(|write| !write.state.is_end()) {
                    seen.stopped = Some(seen.generation);
                }
            }
            What::Bounded { limit, most } => drop(self.bounds.insert(limit.clone(), *most)),
            What::Asked => self.keys.values_mut().for_each(|held| held.retain(|_, (_, until)| *until > event.at)),
            What::Permit { key, holder, cost, until } => self.permit(event.at, key, *holder, *cost, *until),
            What::Freed { holder } => self.keys.values_mut().for_each(|held| held.retain(|one, _| one != holder)),
            What::Found { job, state } => drop(self.found.insert(*job, *state)),
        }
    }

    fn seen(&mut self, job: JobId) -> &mut Seen {
        self.jobs.entry(job).or_default()
    }

    fn wrote(&mut self, write: &Write) {
        let seen = self.jobs.entry(write.job).or_default();
        let before = seen.last.replace(write.clone());
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
            seen.claims.insert(write.revision);
            if seen.stopped == Some(seen.generation) {
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
            (Some(one), _) if one.is_end() => seen.generation += 1,
            _ => (),
        }
    }

    /// A beat is written by the owner: under the revision that stands.
    fn renewed(&mut self, job: JobId, revision: Revision) {
        let stood = self.seen(job).last.as_ref().map(|write| (write.revision, write.state));
        if stood != Some((revision, JobState::Running)) {
            let other = stood.map_or(Revision::default(), |(revision, _)| revision);
            self.violations.push(Violation::TwoOwners(job, other, revision));
        }
    }

    fn settle(&mut self, commit: u64, parent: Option<JobId>, child: JobId) {
        if !self.releases.insert((commit, child)) {
            self.violations.push(Violation::AppliedTwice(commit));
        }
        let Some(parent) = parent else { return };
        let generations = (self.seen(parent).generation, self.seen(child).generation);
        if !self.settled.insert((parent, generations.0, child, generations.1)) {
            self.violations.push(Violation::SettledTwice(parent, child));
        }
    }

    fn started(&mut self, job: JobId, fence: Revision) {
        let seen = self.seen(job);
        if !seen.claims.contains(&fence) || !seen.started.insert(fence) {
            self.violations.push(Violation::Unclaimed(job, fence));
        }
    }

    fn ended(&mut self, job: JobId, fence: Revision) {
        let seen = self.seen(job);
        if !seen.started.contains(&fence) || !seen.ended.insert(fence) {
            self.violations.push(Violation::EndedUnstarted(job, fence));
        }
    }

    fn joined(&mut self, job: JobId, ended: u32, unended: u32, expected: u32) {
        let map = JobId::from(job.run);
        // A map that did not succeed may have submitted fewer.
        let whole = self.seen(map).last.as_ref().is_some_and(|write| write.state == JobState::Succeeded);
        if unended > 0 || whole && ended < expected {
            self.violations.push(Violation::JoinedEarly(job, ended, expected.max(ended + unended)));
        }
    }

    fn permit(&mut self, at: Timestamp, key: &LimitKey, holder: Holder, cost: u32, until: Timestamp) {
        let held = self.keys.entry(key.clone()).or_default();
        // An Extend of a known holder is let in also above a lowered bound.
        let known = held.get(&holder).is_some_and(|(_, until)| *until > at);
        held.retain(|_, (_, until)| *until > at);
        held.insert(holder, (cost, until));
        let sum: u32 = held.values().map(|(cost, _)| *cost).sum();
        let most = self.bounds.get(&key.limit).copied().flatten();
        if let Some(most) = most.filter(|most| sum > *most && !known) {
            self.violations.push(Violation::OverBound(key.clone(), sum, most));
        }
    }

    fn finish(&mut self, end: End) {
        for job in std::mem::take(&mut self.accepted) {
            match self.found.get(&job).copied() {
                Some(state) if end == End::Drained && !state.is_end() => self.violations.push(Violation::Unended(job, state)),
                None if !self.seen(job).pruned => self.violations.push(Violation::Lost(job)),
                _ => (),
            }
        }
    }
}
