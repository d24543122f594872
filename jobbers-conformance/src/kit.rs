//! Small makers of what crosses the seam: records, operations, deliveries, times.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{Claim, Delivery, Op, Place, Pull, Verdict};
use jobbers_core::record::{JobState, LimitKey, Outcome as Ending, Parts, Priority, Record, Revision, Stop};
use jobbers_core::{JobId, LimitName, QueueName, SmallText, TaskName, Timestamp, WorkerId};

use crate::{Answer, Broken, Outcome};

/// 2026-01-01T00:00:00Z: when every scenario starts.
const START_MILLIS: i64 = 1_767_225_600_000;

/// So many seconds after the start.
pub fn at(seconds: u64) -> Timestamp {
    at_millis(seconds * 1_000)
}

/// So many milliseconds after the start.
pub fn at_millis(millis: u64) -> Timestamp {
    Timestamp::from_millis(START_MILLIS).expect("2026 lies between 1970 and 9999") + Duration::from_millis(millis)
}

/// A queue's name.
///
/// # Panics
/// If it is none.
pub fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("scenarios use valid names")
}

/// A task's name.
///
/// # Panics
/// If it is none.
pub fn task(name: &str) -> TaskName {
    TaskName::new(name).expect("scenarios use valid names")
}

/// A key of a limit.
///
/// # Panics
/// If the name is none.
pub fn key(limit: &str, value: &str) -> LimitKey {
    LimitKey { limit: limit_name(limit), value: SmallText::new(value) }
}

/// A limit's name.
///
/// # Panics
/// If it is none.
pub fn limit_name(limit: &str) -> LimitName {
    LimitName::new(limit).expect("scenarios use valid names")
}

/// A job as a scenario knows it: the record that it loaded last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its record.
    pub record: Record,
}

impl Job {
    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.record.head.revision
    }
}

/// A record in this state, of task `mail.send`, in queue `mail`, with bytes in its spec. Running ones have an owner and a lease until
/// `at(15)`, Scheduled ones come at `at(10)`, parked ones wait on a key, Waiting ones for one parent.
pub fn record(state: JobState) -> Record {
    let mut record = Record {
        head: jobbers_core::record::Head::default(),
        spec: Bytes::from_static(b"what was submitted"),
        trail: Bytes::new(),
        progress: Bytes::new(),
        output: Bytes::new(),
    };
    let head = &mut record.head;
    (head.state, head.task, head.version, head.queue, head.created_at) = (state, task("mail.send"), 2, queue("mail"), at(0));
    match state {
        JobState::Waiting => head.remaining = 1,
        JobState::Scheduled => head.wake_at = Some(at(10)),
        JobState::Parked => head.parked_on = Some(Box::new(key("customer", "42"))),
        JobState::Running => (head.attempt, head.started_at, head.wake_at) = (1, Some(at(0)), Some(at(15))),
        JobState::Ready => (),
        JobState::Succeeded | JobState::Dead | JobState::Cancelled | JobState::Skipped => head.ended_at = Some(at(0)),
    }
    record
}

/// An insert of a new record.
pub fn insert(id: JobId, record: Record) -> Op {
    Op::Insert { id, record, over: None }
}

/// An insert that replaces an ended job.
pub fn replace(job: &Job, record: Record) -> Op {
    Op::Insert { id: job.id, record, over: Some(job.revision()) }
}

/// An Update of a job as it was loaded.
pub fn change(job: &Job, change: impl FnOnce(&mut Record)) -> Op {
    let mut record = job.record.clone();
    change(&mut record);
    let parts = [
        (Parts::SPEC, record.spec != job.record.spec),
        (Parts::TRAIL, record.trail != job.record.trail),
        (Parts::PROGRESS, record.progress != job.record.progress),
        (Parts::OUTPUT, record.output != job.record.output),
    ];
    let changed = parts.iter().filter(|(_, differs)| *differs).fold(Parts::NONE, |all, (part, _)| all.and(*part));
    Op::Update { id: job.id, expect: job.revision(), lapsed: None, record, changed, place: Place::Back }
}

/// An Update into this state, as [`record`] would make it.
pub fn turn(job: &Job, state: JobState) -> Op {
    change(job, |stored| to_state(stored, state))
}

/// Puts a record into this state, with the timers and marks that [`record`] gives it.
pub fn to_state(stored: &mut Record, state: JobState) {
    let like = record(state).head;
    let head = &mut stored.head;
    (head.state, head.owner, head.started_at, head.wake_at) = (state, None, like.started_at, like.wake_at);
    (head.parked_on, head.ended_at) = (like.parked_on, like.ended_at);
}

/// An Update that claims a job, from `at(0)` until `until`.
pub fn claim(job: &Job, owner: WorkerId, until: Timestamp) -> Op {
    change(job, |record| {
        let head = &mut record.head;
        (head.state, head.owner, head.started_at, head.wake_at) = (JobState::Running, Some(owner), Some(at(0)), Some(until));
        (head.attempt, head.parked_on) = (head.attempt + 1, None);
    })
}

/// Brings a record to an end.
pub fn end(record: &mut Record, state: JobState, when: Timestamp) {
    to_state(record, state);
    record.head.ended_at = Some(when);
}

/// The same Update, refused if the stored timer is later than `when`.
#[must_use]
pub fn lapsed(mut op: Op, when: Timestamp) -> Op {
    if let Op::Update { lapsed, .. } = &mut op {
        *lapsed = Some(when);
    }
    op
}

/// The same Update, with its delivery at the front.
#[must_use]
pub fn at_front(mut op: Op) -> Op {
    if let Op::Update { place, .. } = &mut op {
        *place = Place::Front;
    }
    op
}

/// A Beat without news.
pub fn beat(job: &Job, wake_at: Timestamp) -> Op {
    Op::Beat { id: job.id, expect: job.revision(), wake_at, progress: None }
}

/// A mark to stop.
pub fn ask(job: &Job) -> Op {
    Op::AskToStop { id: job.id, expect: job.revision(), stop: stop() }
}

/// Who asks, and why.
pub fn stop() -> Stop {
    Stop { by: "ops".into(), why: "it is no longer needed".into(), at: at(1), grace: Duration::from_secs(30), ..Stop::default() }
}

/// One parent of a job ended so.
pub fn release(child: &Job, outcome: Ending) -> Op {
    release_with(child, 1, Some(outcome), None, None)
}

/// A Release with all that it may carry.
pub fn release_with(child: &Job, edges: u32, outcome: Option<Ending>, wake_at: Option<Timestamp>, claim: Option<Claim>) -> Op {
    let head = &child.record.head;
    Op::Release { id: child.id, queue: head.queue.clone(), priority: head.priority, edges, outcome, wake_at, claim }
}

/// What an applied verdict carries.
///
/// # Errors
/// If it is a conflict.
pub fn applied(verdict: Verdict) -> Outcome<Answer> {
    match verdict {
        Verdict::Applied { ready, asked, claimed } => Ok(Answer { ready, asked: asked.map(|stop| *stop), claimed }),
        Verdict::Conflict { id, current } => Err(Broken::failed(format_args!("the commit was refused at {id}, where {current:?} stands"))),
    }
}

/// A delivery of normal priority at the back of this queue.
pub fn delivery(id: JobId, name: &str) -> Delivery {
    Delivery { id, queue: queue(name), priority: Priority::Normal, place: Place::Back }
}

/// A delivery at the front.
#[must_use]
pub fn delivery_in_front(id: JobId, name: &str) -> Delivery {
    Delivery { place: Place::Front, ..delivery(id, name) }
}

/// A pull of up to 100 of each of these queues at `now`, back a minute later.
pub fn pull(queues: &[&str], now: Timestamp) -> Pull {
    let queues = queues.iter().map(|name| (queue(name), 100)).collect();
    Pull { queues, max: 100, now, back_at: now + Duration::from_secs(60) }
}
