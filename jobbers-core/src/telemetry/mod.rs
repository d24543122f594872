//! The registry of metrics and spans: every name that Jobbers emits, once.
//!
//! Metrics go through the API of OpenTelemetry, spans through `tracing`; without an SDK and a subscriber both cost next to nothing. Instruments
//! are made when a backend is opened, so install a meter provider before that. Ids of jobs and workers, and texts of errors, are in spans
//! and never in metrics.

mod durations;
mod queues;
mod tally;
mod traces;

use std::sync::OnceLock;

use opentelemetry::metrics::{
    AsyncInstrument, Counter, Histogram, Meter, ObservableCounter, ObservableGauge, ObservableUpDownCounter, UpDownCounter,
};
use opentelemetry::{KeyValue, global};

pub use self::durations::{Bind, Recorder, bind_durations};
pub(crate) use self::queues::Queues;
pub(crate) use self::tally::{Cells, Count, tally};
pub(crate) use self::traces::Trace;
pub use self::traces::{LEFT_OUT_TARGET, Traces, is_left_out, trace_attempts};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// A sum that goes up and down.
    UpDownCounter,
    /// A distribution.
    Histogram,
    /// A value as it was when somebody looked last.
    Gauge,
}

/// One row of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// What it counts or measures.
    pub about: &'static str,
    /// The names of its attributes.
    pub attributes: &'static [&'static str],
}

/// Bounds of the buckets of every duration, in seconds: from a driver call to a job of hours.
pub const DURATION_BOUNDS: [f64; 17] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

macro_rules! metrics {
    ($($name:ident = $text:literal, $kind:ident, $unit:literal, [$($attribute:literal),*], $about:literal;)*) => {
        $(
            #[doc = concat!("`", $text, "` (", $unit, "): ", $about)]
            pub const $name: Metric =
                Metric { name: $text, kind: MetricKind::$kind, unit: $unit, about: $about, attributes: &[$($attribute),*] };
        )*

        /// Every metric.
        pub const METRICS: &[Metric] = &[$($name),*];
    };
}

metrics! {
    SUBMITTED = "jobbers.submitted", Counter, "{job}", ["queue", "task", "outcome"], "Jobs submitted, by what became of the submit.";
    ATTEMPTS = "jobbers.attempts", Counter, "{attempt}", ["queue", "task", "outcome"], "Attempts that ended, by how they ended.";
    ENDED = "jobbers.ended", Counter, "{job}", ["queue", "task", "state"], "Jobs that ended, by the state of their end.";
    WAIT_DURATION = "jobbers.wait.duration", Histogram, "s", ["queue", "task"], "How long jobs were there before their first attempt started, a delay that was asked for included.";
    ATTEMPT_DURATION = "jobbers.attempt.duration", Histogram, "s", ["queue", "task"], "How long attempts ran.";
    LEASES_LOST = "jobbers.leases.lost", Counter, "{lease}", ["queue", "task"], "Leases that this worker lost while its handler ran.";
    COMMITS_STALE = "jobbers.commits.stale", Counter, "{commit}", ["call"], "Commits of this process that were refused since others had moved the job on.";
    BEATS = "jobbers.beats", Counter, "{beat}", ["outcome"], "Leases renewed, and those that could not be.";
    SLOTS_MAX = "jobbers.slots.max", UpDownCounter, "{slot}", [], "Slots of the workers of this process.";
    SLOTS_BUSY = "jobbers.slots.busy", UpDownCounter, "{slot}", [], "Slots in which an attempt runs.";
    SLOTS_TIME = "jobbers.slots.time", Counter, "s", [], "Time that attempts ran in slots; of a long one it grows with each beat.";
    ATTEMPTS_STALLED = "jobbers.attempts.stalled", Counter, "{attempt}", [], "Attempts whose handler was silent for longer than its task allows.";
    FETCHES = "jobbers.fetches", Counter, "{fetch}", ["outcome"], "Fetches of workers, by what they found.";
    QUEUE_DEPTH = "jobbers.queue.depth", Gauge, "{job}", ["queue", "state"], "Jobs that have not ended, and dead ones, as a scheduler of this process saw them last.";
    QUEUE_OLDEST_AGE = "jobbers.queue.oldest.age", Gauge, "s", ["queue"], "How long the first of the ready jobs has been there, a delay that was asked for included.";
    RECORDS_UNREADABLE = "jobbers.records.unreadable", Counter, "{record}", [], "Records that were met and could not be decoded.";
    DELIVERIES_AGAIN = "jobbers.deliveries.again", Counter, "{delivery}", [], "Deliveries of ready jobs that had lost theirs.";
    STORE_REWINDS = "jobbers.store.rewinds", Counter, "{rewind}", [], "Times that a scheduler of this process found its store older than it was.";
    RELEASES_MISSING = "jobbers.releases.missing", Counter, "{release}", ["driver"], "Releases whose child is not there.";
    DRIVER_CALLS = "jobbers.driver.calls", Counter, "{call}", ["driver", "call", "outcome"], "Calls of the driver, by what became of them.";
    DRIVER_DURATION = "jobbers.driver.duration", Histogram, "s", ["driver", "call"], "How long calls of the driver took.";
}

/// One span of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRow {
    /// Its name.
    pub name: &'static str,
    /// Its target, for filters.
    pub target: &'static str,
    /// Its level.
    pub level: &'static str,
    /// What it is of.
    pub about: &'static str,
    /// The names of its fields.
    pub fields: &'static [&'static str],
}

/// The span of one call of a driver.
pub const DRIVER_SPAN: &str = "driver";
/// The span of one attempt; exported as `process` and the queue's name.
pub const ATTEMPT_SPAN: &str = "process";

/// Every span.
pub const SPANS: &[SpanRow] = &[
    SpanRow {
        name: ATTEMPT_SPAN,
        target: "jobbers_core::worker",
        level: "info",
        about: "One attempt, from its claim to the commit of its end; tied to the trace of the submit.",
        fields: &["job", "task", "version", "attempt", "queue", "outcome"],
    },
    SpanRow {
        name: DRIVER_SPAN,
        target: "jobbers_core::driver",
        level: "debug",
        about: "One call of the driver.",
        fields: &["driver", "call", "items", "outcome", "error"],
    },
];

impl Metric {
    /// Makes the counter.
    pub fn counter(&self) -> Counter<u64> {
        debug_assert!(self.kind == MetricKind::Counter && self.unit != "s", "{}", self.name);
        meter().u64_counter(self.name).with_unit(self.unit).with_description(self.about).build()
    }

    /// Makes the counter, of seconds.
    pub fn seconds(&self) -> Counter<f64> {
        debug_assert_eq!((self.kind, self.unit), (MetricKind::Counter, "s"), "{}", self.name);
        meter().f64_counter(self.name).with_unit(self.unit).with_description(self.about).build()
    }

    /// Makes the counter, which asks `look` at each collection for what it has come to.
    pub fn observed_counter(&self, look: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) -> ObservableCounter<u64> {
        debug_assert!(self.kind == MetricKind::Counter && self.unit != "s", "{}", self.name);
        meter().u64_observable_counter(self.name).with_unit(self.unit).with_description(self.about).with_callback(look).build()
    }

    /// Makes the counter, of seconds, which asks `look` at each collection for what it has come to.
    pub fn observed_seconds(&self, look: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static) -> ObservableCounter<f64> {
        debug_assert_eq!((self.kind, self.unit), (MetricKind::Counter, "s"), "{}", self.name);
        meter().f64_observable_counter(self.name).with_unit(self.unit).with_description(self.about).with_callback(look).build()
    }

    /// Makes the counter that goes up and down, which asks `look` at each collection for where it stands.
    pub fn observed_up_down_counter(
        &self,
        look: impl Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
    ) -> ObservableUpDownCounter<i64> {
        debug_assert_eq!(self.kind, MetricKind::UpDownCounter, "{}", self.name);
        meter().i64_observable_up_down_counter(self.name).with_unit(self.unit).with_description(self.about).with_callback(look).build()
    }

    /// Makes the counter that goes up and down.
    pub fn up_down_counter(&self) -> UpDownCounter<i64> {
        debug_assert_eq!(self.kind, MetricKind::UpDownCounter, "{}", self.name);
        meter().i64_up_down_counter(self.name).with_unit(self.unit).with_description(self.about).build()
    }

    /// Makes the gauge, which asks `look` at each collection.
    pub fn gauge(&self, look: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) -> ObservableGauge<u64> {
        debug_assert!(self.kind == MetricKind::Gauge && self.unit != "s", "{}", self.name);
        meter().u64_observable_gauge(self.name).with_unit(self.unit).with_description(self.about).with_callback(look).build()
    }

    /// Makes the gauge, of seconds.
    pub fn gauge_of_seconds(&self, look: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static) -> ObservableGauge<f64> {
        debug_assert_eq!((self.kind, self.unit), (MetricKind::Gauge, "s"), "{}", self.name);
        meter().f64_observable_gauge(self.name).with_unit(self.unit).with_description(self.about).with_callback(look).build()
    }

    /// Makes the distribution, of seconds.
    pub fn histogram(&self) -> Histogram<f64> {
        debug_assert_eq!(self.kind, MetricKind::Histogram, "{}", self.name);
        let meter = meter();
        let builder = meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.about);
        builder.with_boundaries(DURATION_BOUNDS.to_vec()).build()
    }
}

/// Counts releases whose child is not there: for drivers, with [`Applied::Writes`](crate::driver::Applied)'s `missing`.
pub fn releases_missing(driver: &'static str, missing: usize) {
    static COUNTER: OnceLock<Counter<u64>> = OnceLock::new();
    if missing > 0 {
        COUNTER.get_or_init(|| RELEASES_MISSING.counter()).add(missing as u64, &[KeyValue::new("driver", driver)]);
    }
}

fn meter() -> Meter {
    global::meter("jobbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_dotted_and_under_jobbers() {
        let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        for name in &names {
            assert!(name.starts_with("jobbers.") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'.'), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn every_metric_can_be_made_and_says_what_it_counts() {
        for metric in METRICS {
            assert!(metric.about.ends_with('.') && metric.attributes.len() <= 4, "{}", metric.name);
            match metric.kind {
                MetricKind::Counter if metric.unit == "s" => {
                    metric.seconds().add(0.1, &[]);
                    metric.observed_seconds(|counter| counter.observe(0.1, &[]));
                }
                MetricKind::Counter => {
                    metric.counter().add(1, &[]);
                    metric.observed_counter(|counter| counter.observe(1, &[]));
                }
                MetricKind::UpDownCounter => {
                    metric.up_down_counter().add(1, &[]);
                    metric.observed_up_down_counter(|counter| counter.observe(1, &[]));
                }
                MetricKind::Histogram => metric.histogram().record(0.1, &[]),
                MetricKind::Gauge if metric.unit == "s" => drop(metric.gauge_of_seconds(|gauge| gauge.observe(0.1, &[]))),
                MetricKind::Gauge => drop(metric.gauge(|gauge| gauge.observe(1, &[]))),
            }
            assert!(metric.unit == "s" || metric.kind != MetricKind::Histogram, "{}", metric.name);
        }
    }
}
