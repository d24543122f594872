//! Spans and metrics of a worker.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, UpDownCounter};

use crate::driver::{Commit, Op};
use crate::machine::Job;
use crate::record::Record;
use crate::telemetry::{self, Cells, Count, Trace, tally};

/// The instruments of all workers of a process.
pub(crate) struct Meters {
    lost: Counter<u64>,
    stale: Counter<u64>,
    beats: Counter<u64>,
    slots: UpDownCounter<i64>,
    fetches: Counter<u64>,
    stalled: Counter<u64>,
    poison: Counter<u64>,
    pushed_again: Counter<u64>,
    rewound: Counter<u64>,
}

/// What all attempts of a process are in: slots that are busy, and nanoseconds.
static IN_SLOTS: Cells<2> = Cells::new();
const BUSY: usize = 0;
const NANOS: usize = 1;

/// The instruments, made when they are first needed.
pub(crate) fn meters() -> &'static Meters {
    static METERS: OnceLock<Meters> = OnceLock::new();
    METERS.get_or_init(Meters::new)
}

impl Meters {
    fn new() -> Meters {
        telemetry::SLOTS_BUSY.observed_up_down_counter(|busy| busy.observe(IN_SLOTS.sum(BUSY).cast_signed(), &[]));
        telemetry::SLOTS_TIME.observed_seconds(|time| time.observe(Duration::from_nanos(IN_SLOTS.sum(NANOS)).as_secs_f64(), &[]));
        Meters {
            lost: telemetry::LEASES_LOST.counter(),
            stale: telemetry::COMMITS_STALE.counter(),
            beats: telemetry::BEATS.counter(),
            slots: telemetry::SLOTS_MAX.up_down_counter(),
            fetches: telemetry::FETCHES.counter(),
            stalled: telemetry::ATTEMPTS_STALLED.counter(),
            poison: telemetry::RECORDS_UNREADABLE.counter(),
            pushed_again: telemetry::DELIVERIES_AGAIN.counter(),
            rewound: telemetry::STORE_REWINDS.counter(),
        }
    }

    /// An attempt that ended, of whose time in its slot so much is counted already.
    pub(super) fn attempt(&self, job: &Job, outcome: Count, ran: Duration, counted: Duration) {
        let head = &job.record.head;
        tally(&head.queue, &head.task, |tally| {
            if let Some(started_at) = head.started_at.filter(|_| head.attempt == 1) {
                tally.waited(started_at.since(head.created_at));
            }
            tally.ran(ran);
            tally.count(outcome);
        });
        self.slot_time(ran.saturating_sub(counted));
    }

    /// Time that an attempt was in its slot.
    pub(super) fn slot_time(&self, more: Duration) {
        IN_SLOTS.add(NANOS, u64::try_from(more.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The ends that a commit made, which was applied.
    pub(crate) fn ended(&self, commit: &Commit) {
        for op in &commit.ops {
            if let Op::Update { record: Record { head, .. }, .. } = op
                && let Some(end) = Count::of_end(head.state)
            {
                tally(&head.queue, &head.task, |tally| tally.count(end));
            }
        }
    }

    pub(super) fn lost(&self, job: &Job) {
        let head = &job.record.head;
        tally(&head.queue, &head.task, |tally| self.lost.add(1, tally.names()));
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
    IN_SLOTS.add(BUSY, 1);
    Busy
}

impl Drop for Busy {
    fn drop(&mut self) {
        IN_SLOTS.add(BUSY, 1_u64.wrapping_neg());
    }
}

/// The span of an attempt. Each use is a callsite: what nobody wants of one costs a look at a number.
macro_rules! attempt_span {
    ($target:expr, $job:ident) => {
        tracing::info_span!(
            target: $target,
            parent: None,
            telemetry::ATTEMPT_SPAN,
            otel.name = %format_args!("{} {}", telemetry::ATTEMPT_SPAN, $job.record.head.queue),
            otel.kind = "consumer",
            job = %$job.id,
            task = %$job.record.head.task,
            version = $job.record.head.version,
            attempt = $job.record.head.attempt,
            queue = %$job.record.head.queue,
            outcome = tracing::field::Empty,
        )
    };
}

/// The trace of one attempt.
pub(super) fn trace(job: &Job) -> Trace {
    Trace::start(&job.spec.trace, || match telemetry::is_left_out() {
        true => attempt_span!(telemetry::LEFT_OUT_TARGET, job),
        false => attempt_span!("jobbers_core::worker", job),
    })
}
