//! Real records for the model's, and back.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{Claim, Dispatch, Op};
use jobbers_core::machine::{Also, End, Job, Look, Moment, Submission, claim, end, insert, map_chunk};
use jobbers_core::policy::{Jitter, Retry};
use jobbers_core::record::{
    Cause, Edge, Head, JobState, LimitKey, MapPlan, Priority, ReadyWhen, Record, Revision, Rule, Spec, Stop, Template, Trail,
    decode_versioned, encode_versioned,
};
use jobbers_core::{Draw, JobId, LimitName, QueueName, RunId, SmallText, TaskName, Timestamp, WorkerId};

use super::config::Config;
use super::state::{Broken, JOBS, Rec, Wake};

const RUN: RunId = RunId::from_u128(77);
const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(15);
/// Failures and losses that a record of the model counts at most.
const COUNTED_MAX: usize = 12;

/// The time of all that is not late. Expiry and deadline come a second later, late acts two, the end of a lease fifteen.
pub(crate) fn now(late: bool) -> Timestamp {
    let base = Timestamp::MIN + Duration::from_secs(1_000);
    if late { base + 2 * SECOND } else { base }
}

fn give_up() -> Timestamp {
    now(false) + SECOND
}

pub(crate) fn job_id(job: usize) -> JobId {
    JobId::new(RUN, u32::try_from(job).expect("few jobs"))
}

/// One configuration, with the records that its jobs start from.
#[derive(Debug)]
pub(crate) struct World {
    pub config: Config,
    heads: Vec<Head>,
    /// For each job, what a spec may become: items inserted, expiry and deadline lifted.
    specs: Vec<Vec<(u8, bool, Spec, Bytes)>>,
    trails: Vec<(Trail, Bytes)>,
    stop: Stop,
    key: LimitKey,
}

impl World {
    pub(crate) fn new(config: Config) -> World {
        let stop = Stop { by: SmallText::new("ann"), at: now(false), ..Stop::default() };
        let key = LimitKey { limit: LimitName::new("customer").expect("a limit's name"), value: SmallText::new("42") };
        let mut world = World { config, heads: Vec::new(), specs: Vec::new(), trails: trails(), stop, key };
        for job in 0..config.jobs {
            let record = if added(&config, job) { world.record_of_added(job) } else { inserted(&world.submission(job), world.dispatch()) };
            let spec: Spec = decode_versioned(&record.spec).expect("the machine encoded it");
            let mut specs = vec![(0, false, spec.clone(), record.spec)];
            let mut more = |cursor, lifted, spec: Spec| specs.push((cursor, lifted, spec.clone(), encode_versioned(&spec)));
            if let Some(plan) = spec.map.clone() {
                (1..=2).for_each(|at| {
                    more(at, false, Spec { map: Some(Box::new(MapPlan { cursor: at.into(), ..(*plan).clone() })), ..spec.clone() })
                });
            }
            if spec.expires_at.is_some() || spec.deadline.is_some() {
                more(0, true, Spec { expires_at: None, deadline: None, ..spec });
            }
            world.heads.push(record.head);
            world.specs.push(specs);
        }
        world
    }

    pub(crate) fn dispatch(&self) -> Dispatch {
        if self.config.caller { Dispatch::Caller } else { Dispatch::Own }
    }

    pub(crate) fn moment(&self, n: u8, late: bool) -> Moment {
        Moment { now: now(late), draw: Draw { nonce: n.into(), jitter: 0 }, dispatch: self.dispatch() }
    }

    pub(crate) fn claim_by(&self, worker: usize, n: u8, late: bool) -> Claim {
        Claim { owner: owner(worker + 1), now: now(late), wake_at: now(late) + LEASE, nonce: n.into() }
    }

    pub(crate) fn lease_end(&self) -> Timestamp {
        now(false) + LEASE
    }

    pub(crate) fn key(&self) -> &LimitKey {
        &self.key
    }

    pub(crate) fn children(&self, job: usize) -> impl Iterator<Item = usize> {
        (0..self.config.jobs).filter(move |child| self.config.parents[*child] >> job & 1 == 1)
    }

    /// A job as its submitter names it.
    pub(crate) fn submission(&self, job: usize) -> Submission {
        let config = &self.config;
        let timed = |mask: u8, job: usize| (mask >> job & 1 == 1).then(give_up);
        let edge = |child| Edge { step: job_id(child).step, expires_at: timed(config.expires, child), ..Edge::default() };
        let retry = Retry::constant(Duration::ZERO).jitter(Jitter::None).failures_max(config.failures_max).losses_max(config.losses_max);
        let item = Template { retry, ..Template::default() };
        let is_map = config.map && job == 0;
        Submission {
            id: job_id(job),
            task: TaskName::default(),
            version: 1,
            queue: QueueName::default(),
            priority: Priority::Normal,
            limits: [].into_iter().collect(),
            run_at: None,
            remaining: if config.map && job == 1 { 1 } else { config.parents[job].count_ones() },
            ready_when: if config.ended[job] > 0 { ReadyWhen::Ended(config.ended[job]) } else { ReadyWhen::AllEnded },
            spec: Spec {
                retry,
                rule: if config.any_end[job] { Rule::AllEnded } else { Rule::AllSucceeded },
                edges: self.children(job).map(edge).collect(),
                expires_at: timed(config.expires, job),
                deadline: timed(config.deadline, job),
                map: is_map.then(|| Box::new(MapPlan { item, window: 2, ..MapPlan::default() })),
                ..Spec::default()
            },
        }
    }

    /// A job that another one adds: as the machine inserts it.
    fn record_of_added(&self, job: usize) -> Record {
        let mut parent = Job::read(job_id(0), inserted(&self.submission(0), self.dispatch())).expect("the machine encoded it");
        let by = self.claim_by(0, 9, false);
        let Look::Claim(claimed) = claim(&parent, &by, &self.moment(9, false)) else { panic!("it is ready") };
        parent = parent.after(&claimed);
        let m = self.moment(9, false);
        let commit = if self.config.map {
            map_chunk(&parent, &vec![Bytes::from_static(b"1"); job - 1], Duration::ZERO, &m)
        } else {
            end(&parent, &End::Succeeded { output: Bytes::new() }, &Also { then: vec![self.submission(1)], inline: None }, &m)
        };
        let record = commit.ops.into_iter().find_map(|op| match op {
            Op::Insert { id, record, .. } if id == job_id(job) => Some(record),
            _ => None,
        });
        record.expect("it is inserted with the number of the model")
    }

    /// The record of a job that its submitter inserts.
    pub(crate) fn inserted(&self, job: usize) -> Record {
        inserted(&self.submission(job), self.dispatch())
    }

    /// The record that stands for one of the model.
    pub(crate) fn record(&self, job: usize, rec: &Rec) -> Record {
        let state = rec.state.expect("only what is stored has a record");
        let mut head = self.heads[job].clone();
        head.state = state;
        head.revision = Revision { count: rec.count.max(1).into(), nonce: rec.nonce.into() };
        head.born = rec.born.into();
        head.attempt = rec.attempt.into();
        head.owner = (state == JobState::Running).then(|| owner(rec.owner.into()));
        head.started_at = (state == JobState::Running).then(|| now(false));
        head.asked = rec.asked.then(|| Box::new(self.stop.clone()));
        head.parked_on = (state == JobState::Parked).then(|| Box::new(self.key.clone()));
        head.ended_at = state.is_end().then(|| now(false));
        (head.remaining, head.succeeded) = (rec.remaining.into(), rec.succeeded.into());
        (head.failed, head.skipped) = (rec.failed.into(), rec.skipped.into());
        let only_gives_up = state == JobState::Waiting || (state == JobState::Ready && !self.config.caller);
        head.wake_at = match rec.wake {
            Wake::No => None,
            Wake::Live => Some(self.lease_end()),
            Wake::Due if only_gives_up => Some(give_up()),
            Wake::Due => Some(now(false)),
        };
        let (spec, trail) = (&self.spec(job, rec).3, &self.trail(rec).1);
        Record { head, spec: spec.clone(), trail: trail.clone(), progress: Bytes::new(), output: Bytes::new() }
    }

    pub(crate) fn job(&self, job: usize, rec: &Rec) -> Job {
        Job { id: job_id(job), record: self.record(job, rec), spec: self.spec(job, rec).2.clone(), trail: self.trail(rec).0.clone() }
    }

    fn spec(&self, job: usize, rec: &Rec) -> &(u8, bool, Spec, Bytes) {
        let found = self.specs[job].iter().find(|spec| (spec.0, spec.1) == (rec.cursor, rec.lifted));
        found.expect("every spec of the model is known")
    }

    fn trail(&self, rec: &Rec) -> &(Trail, Bytes) {
        &self.trails[trail_at(rec.failures.into(), rec.losses.into(), rec.state.and_then(cause))]
    }

    /// What the model keeps of a record that was `old`; and what is wrong with it.
    pub(crate) fn rec(&self, job: usize, record: &Record, old: &Rec) -> (Rec, Broken) {
        let head = &record.head;
        let spec = self.specs[job].iter().find(|spec| spec.3 == record.spec).expect("every spec of the model is known");
        let small = |number: u32| u8::try_from(number).expect("small in the model");
        let mut rec = Rec {
            state: Some(head.state),
            count: if self.config.counts() { small(head.revision.count) } else { 0 },
            nonce: u8::try_from(head.revision.nonce).expect("the model's nonces are small"),
            born: u8::try_from(head.born).expect("the model's nonces are small"),
            attempt: small(head.attempt),
            failures: old.failures,
            losses: old.losses,
            owner: head.owner.map_or(0, |owner| u8::try_from(owner.as_u128()).expect("small in the model")),
            asked: head.asked.is_some(),
            wake: Wake::No,
            remaining: small(head.remaining),
            succeeded: small(head.succeeded),
            failed: small(head.failed),
            skipped: small(head.skipped),
            cursor: spec.0,
            lifted: spec.1,
        };
        let mut fits = fits(head);
        if old.state.is_none() || record.trail != self.trail(old).1 {
            let trail: Trail = decode_versioned(&record.trail).expect("the machine encoded it");
            (rec.failures, rec.losses) = (small(trail.failures), small(trail.losses));
            fits &= head.state == JobState::Dead && trail.cause.is_some() || trail.cause == cause(head.state);
        }
        let (wake, timer) = self.wake(head, &spec.2);
        rec.wake = wake;
        (rec, if fits { timer } else { Broken::Shape })
    }

    /// The timer of a head, and what is wrong with it.
    fn wake(&self, head: &Head, spec: &Spec) -> (Wake, Broken) {
        let expires = spec.expires_at.filter(|_| head.attempt == 0);
        let gives_up = [spec.deadline, expires].into_iter().flatten().min();
        let Some(at) = head.wake_at else {
            let missed = gives_up.is_some() && !head.state.is_end() && head.state != JobState::Running;
            return (Wake::No, if missed { Broken::NoTimer } else { Broken::Nothing });
        };
        let later = gives_up.is_some_and(|gives_up| at > gives_up);
        let exact = gives_up == Some(at);
        match head.state {
            JobState::Running => (if at > now(true) { Wake::Live } else { Wake::Due }, Broken::Nothing),
            JobState::Waiting => (Wake::Due, if exact { Broken::Nothing } else { Broken::Shape }),
            JobState::Ready if !self.config.caller => (Wake::Due, if exact { Broken::Nothing } else { Broken::Shape }),
            state => (Wake::Due, if state.is_end() || later { Broken::NoTimer } else { Broken::Nothing }),
        }
    }
}

fn owner(worker: usize) -> WorkerId {
    WorkerId::from_u128(worker as u128)
}

/// Whether another job adds it.
pub(crate) fn added(config: &Config, job: usize) -> bool {
    config.map && job >= 2 || config.follow_up && job == 1
}

fn inserted(submission: &Submission, dispatch: Dispatch) -> Record {
    let m = Moment { now: now(false), draw: Draw { nonce: 1, jitter: 0 }, dispatch };
    let Op::Insert { record, .. } = insert(submission, None, &m) else { panic!("a submit inserts") };
    record
}

/// The cause of an end that the model tells apart.
fn cause(state: JobState) -> Option<Cause> {
    match state {
        JobState::Dead => Some(Cause::Failed),
        JobState::Cancelled => Some(Cause::Cancelled),
        JobState::Skipped => Some(Cause::Rule),
        _ => None,
    }
}

const CAUSES: [Option<Cause>; JOBS] = [None, Some(Cause::Failed), Some(Cause::Cancelled), Some(Cause::Rule)];

fn trail_at(failures: usize, losses: usize, cause: Option<Cause>) -> usize {
    let cause = CAUSES.iter().position(|one| *one == cause).expect("one of the causes");
    (failures * COUNTED_MAX + losses) * CAUSES.len() + cause
}

fn trails() -> Vec<(Trail, Bytes)> {
    let mut trails = Vec::new();
    for failures in 0..COUNTED_MAX as u32 {
        for losses in 0..COUNTED_MAX as u32 {
            trails.extend(CAUSES.map(|cause| {
                let trail = Trail { failures, losses, cause, ..Trail::default() };
                let bytes = if trail == Trail::default() { Bytes::new() } else { encode_versioned(&trail) };
                (trail, bytes)
            }));
        }
    }
    trails
}

/// The fields of a state that a job is not in are empty.
fn fits(head: &Head) -> bool {
    let running = head.state == JobState::Running;
    (head.owner.is_some(), head.started_at.is_some()) == (running, running)
        && head.parked_on.is_some() == (head.state == JobState::Parked)
        && head.ended_at.is_some() == head.state.is_end()
        && (head.asked.is_none() || running || head.state.is_end())
        && (!head.state.is_end() || head.wake_at.is_none())
}
