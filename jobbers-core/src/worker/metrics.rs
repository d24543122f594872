//! Spans and metrics of a worker.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};
use tracing::Span;

use crate::driver::{Commit, Op};
use crate::machine::Job;
use crate::record::Head;
use crate::telemetry;

/// The instruments of all workers of a process.
pub(crate) struct Meters {
    attempts: Counter<u64>,
    wait: Histogram<f64>,
    duration: Histogram<f64>,
    lost: Counter<u64>,
    stale: Counter<u64>,
    ended: Counter<u64>,
    beats: Counter<u64>,
    busy: UpDownCounter<i64>,
    fetches: Counter<u64>,
    stalled: Counter<u64>,
    poison: Counter<u64>,
    pushed_again: Counter<u64>,
}

/// The instruments, made when they are first needed.
pub(crate) fn meters() -> &'static Meters {
    static METERS: OnceLock<Meters> = OnceLock::new();
    METERS.get_or_init(|| Meters {
        attempts: telemetry::ATTEMPTS.counter(),
        wait: telemetry::WAIT_DURATION.histogram(),
        duration: telemetry::ATTEMPT_DURATION.histogram(),
        lost: telemetry::LEASES_LOST.counter(),
        stale: telemetry::COMMITS_STALE.counter(),
        ended: telemetry::ENDED.counter(),
        beats: telemetry::BEATS.counter(),
        busy: telemetry::SLOTS_BUSY.up_down_counter(),
        fetches: telemetry::FETCHES.counter(),
        stalled: telemetry::ATTEMPTS_STALLED.counter(),
        poison: telemetry::RECORDS_UNREADABLE.counter(),
        pushed_again: telemetry::DELIVERIES_AGAIN.counter(),
    })
}

fn of(job: &Job) -> [KeyValue; 2] {
    names(&job.record.head)
}

fn names(head: &Head) -> [KeyValue; 2] {
    telemetry::names(&head.queue, &head.task)
}

impl Meters {
    pub(super) fn attempt(&self, job: &Job, outcome: &'static str, ran: Duration) {
        let [queue, task] = of(job);
        let head = &job.record.head;
        if let Some(started_at) = head.started_at.filter(|_| head.attempt == 1) {
            self.wait.record(started_at.since(head.created_at).as_secs_f64(), &[queue.clone(), task.clone()]);
        }
        self.duration.record(ran.as_secs_f64(), &[queue.clone(), task.clone()]);
        self.attempts.add(1, &[queue, task, KeyValue::new("outcome", outcome)]);
    }

    /// The end that a commit makes, to be counted once it was applied.
    pub(crate) fn ends(&self, commit: &Commit) -> Ends {
        let head = commit.ops.iter().find_map(|op| match op {
            Op::Update { record, .. } if record.head.state.is_end() => Some(&record.head),
            _ => None,
        });
        Ends(head.map(|head| {
            let [queue, task] = names(head);
            [queue, task, KeyValue::new("state", head.state.as_str())]
        }))
    }

    pub(super) fn lost(&self, job: &Job) {
        self.lost.add(1, &of(job));
    }

    pub(crate) fn stale(&self, call: &'static str) {
        self.stale.add(1, &[KeyValue::new("call", call)]);
    }

    pub(super) fn beat(&self, outcome: &'static str) {
        self.beats.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(super) fn fetch(&self, outcome: &'static str) {
        self.fetches.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    pub(super) fn stalled(&self) {
        self.stalled.add(1, &[]);
    }

    pub(crate) fn poison(&self) {
        self.poison.add(1, &[]);
    }

    pub(crate) fn pushed_again(&self, deliveries: usize) {
        self.pushed_again.add(deliveries as u64, &[]);
    }
}

/// An end that a commit makes, if it makes one.
pub(crate) struct Ends(Option<[KeyValue; 3]>);

impl Ends {
    pub(crate) fn count(self) {
        if let Some(attributes) = self.0 {
            meters().ended.add(1, &attributes);
        }
    }
}

/// Counts a slot as busy until it is dropped.
pub(super) struct Busy;

pub(super) fn busy() -> Busy {
    meters().busy.add(1, &[]);
    Busy
}

impl Drop for Busy {
    fn drop(&mut self) {
        meters().busy.add(-1, &[]);
    }
}

/// The span of one attempt.
pub(super) fn span(job: &Job) -> Span {
    let head = &job.record.head;
    tracing::info_span!(
        target: "jobbers_core::worker",
        "process",
        otel.name = %format_args!("process {}", head.queue),
        otel.kind = "consumer",
        job = %job.id,
        task = %head.task,
        version = head.version,
        attempt = head.attempt,
        queue = %head.queue,
        outcome = tracing::field::Empty,
    )
}
