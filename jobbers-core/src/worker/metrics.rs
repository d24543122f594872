//! Spans and metrics of a worker.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};
use tracing::Span;

use crate::driver::{Commit, Op};
use crate::machine::Job;
use crate::record::Record;
use crate::telemetry::{self, with_names};

/// The instruments of all workers of a process.
pub(crate) struct Meters {
    attempts: Counter<u64>,
    wait: Histogram<f64>,
    duration: Histogram<f64>,
    lost: Counter<u64>,
    stale: Counter<u64>,
    ended: Counter<u64>,
    beats: Counter<u64>,
    slots: UpDownCounter<i64>,
    busy: UpDownCounter<i64>,
    slot_time: Counter<f64>,
    fetches: Counter<u64>,
    stalled: Counter<u64>,
    poison: Counter<u64>,
    pushed_again: Counter<u64>,
    rewound: Counter<u64>,
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
        slots: telemetry::SLOTS_MAX.up_down_counter(),
        busy: telemetry::SLOTS_BUSY.up_down_counter(),
        slot_time: telemetry::SLOTS_TIME.seconds(),
        fetches: telemetry::FETCHES.counter(),
        stalled: telemetry::ATTEMPTS_STALLED.counter(),
        poison: telemetry::RECORDS_UNREADABLE.counter(),
        pushed_again: telemetry::DELIVERIES_AGAIN.counter(),
        rewound: telemetry::STORE_REWINDS.counter(),
    })
}

impl Meters {
    /// An attempt that ended, of whose time in its slot so much is counted already.
    pub(super) fn attempt(&self, job: &Job, outcome: &'static str, ran: Duration, counted: Duration) {
        Span::current().record("outcome", outcome);
        let head = &job.record.head;
        with_names(&head.queue, &head.task, ("outcome", outcome), |attributes| {
            let names = &attributes[..2];
            if let Some(started_at) = head.started_at.filter(|_| head.attempt == 1) {
                self.wait.record(started_at.since(head.created_at).as_secs_f64(), names);
            }
            self.duration.record(ran.as_secs_f64(), names);
            self.attempts.add(1, attributes);
        });
        self.slot_time(ran.saturating_sub(counted));
    }

    /// Time that an attempt was in its slot.
    pub(super) fn slot_time(&self, more: Duration) {
        self.slot_time.add(more.as_secs_f64(), &[]);
    }

    /// The ends that a commit made, which was applied.
    pub(crate) fn ended(&self, commit: &Commit) {
        for op in &commit.ops {
            if let Op::Update { record: Record { head, .. }, .. } = op
                && head.state.is_end()
            {
                with_names(&head.queue, &head.task, ("state", head.state.as_str()), |attributes| self.ended.add(1, attributes));
            }
        }
    }

    pub(super) fn lost(&self, job: &Job) {
        let head = &job.record.head;
        with_names(&head.queue, &head.task, ("outcome", "lost"), |attributes| self.lost.add(1, &attributes[..2]));
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

    pub(crate) fn rewound(&self) {
        self.rewound.add(1, &[]);
    }
}

/// Counts the slots of a worker until it is dropped.
pub(super) struct Slots(i64);

pub(super) fn slots(slots: usize) -> Slots {
    let slots = i64::try_from(slots).unwrap_or(i64::MAX);
    meters().slots.add(slots, &[]);
    Slots(slots)
}

impl Drop for Slots {
    fn drop(&mut self) {
        meters().slots.add(-self.0, &[]);
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
    let span = tracing::info_span!(
        target: "jobbers_core::worker",
        parent: None,
        telemetry::ATTEMPT_SPAN,
        otel.name = %format_args!("{} {}", telemetry::ATTEMPT_SPAN, head.queue),
        otel.kind = "consumer",
        job = %job.id,
        task = %head.task,
        version = head.version,
        attempt = head.attempt,
        queue = %head.queue,
        outcome = tracing::field::Empty,
    );
    telemetry::tie(&span, &job.spec.trace);
    span
}
