//! What a job costs in metrics and spans, counted: so many uses of each instrument, and so many spans, and none more.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobbers_core::client::Client;
use jobbers_core::memory;
use jobbers_core::task::Task;
use jobbers_core::worker::{JobError, Worker};
use opentelemetry::metrics::{
    Counter, Histogram, HistogramBuilder, InstrumentBuilder, InstrumentProvider, Meter, MeterProvider, SyncInstrument, UpDownCounter,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const NOTHING: Task<u64> = Task::new("nothing");
const JOBS: u64 = 2_000;

/// Uses of each instrument.
#[derive(Clone, Default)]
struct Uses(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

struct Use(Arc<AtomicU64>);

impl<T> SyncInstrument<T> for Use {
    fn measure(&self, _: T, _: &[KeyValue]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Uses {
    fn of(&self, name: &str) -> Arc<Use> {
        Arc::new(Use(self.0.lock().unwrap().entry(name.to_owned()).or_default().clone()))
    }

    fn now(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().iter().map(|(name, uses)| (name.clone(), uses.load(Ordering::Relaxed))).collect()
    }
}

impl InstrumentProvider for Uses {
    fn u64_counter(&self, builder: InstrumentBuilder<'_, Counter<u64>>) -> Counter<u64> {
        Counter::new(self.of(&builder.name))
    }

    fn f64_counter(&self, builder: InstrumentBuilder<'_, Counter<f64>>) -> Counter<f64> {
        Counter::new(self.of(&builder.name))
    }

    fn i64_up_down_counter(&self, builder: InstrumentBuilder<'_, UpDownCounter<i64>>) -> UpDownCounter<i64> {
        UpDownCounter::new(self.of(&builder.name))
    }

    fn f64_histogram(&self, builder: HistogramBuilder<'_, Histogram<f64>>) -> Histogram<f64> {
        Histogram::new(self.of(&builder.name))
    }
}

impl MeterProvider for Uses {
    fn meter_with_scope(&self, _: InstrumentationScope) -> Meter {
        Meter::new(Arc::new(self.clone()))
    }
}

/// Counts spans of level info and above, as a subscriber with the usual filter sees them.
#[derive(Clone, Default)]
struct Spans(Arc<AtomicU64>);

impl Subscriber for Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1 + self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_uses_two_instruments_and_one_span() {
    let (uses, spans) = (Uses::default(), Spans::default());
    opentelemetry::global::set_meter_provider(uses.clone());
    tracing::subscriber::set_global_default(spans.clone()).unwrap();

    let backend = memory::open();
    let client = Client::new(&backend);
    let parameters: Vec<u64> = (0..JOBS).collect();
    let mut jobs = Vec::new();
    for answer in client.submit_all(NOTHING, &parameters).await {
        jobs.push(answer.unwrap());
    }
    assert_eq!(spans.0.load(Ordering::Relaxed), 0, "a submit makes no span");
    let worker = Worker::queues(["default"]).slots(100).task(NOTHING, async |_| Ok::<(), JobError>(())).start(&backend).await.unwrap();
    for job in jobs {
        job.ended_within(Duration::from_secs(60)).await.unwrap();
    }
    worker.stop().await.unwrap();

    assert_eq!(spans.0.load(Ordering::Relaxed), JOBS);
    // These are used for each call and each fetch, which carry many jobs; slots once a worker.
    let shared = |name: &str| name.starts_with("jobbers.driver.") || matches!(name, "jobbers.fetches" | "jobbers.slots.max");
    let used: BTreeMap<String, u64> = uses.now().into_iter().filter(|(name, uses)| *uses > 0 && !shared(name)).collect();
    // What is only counted costs no use: it is read when somebody collects.
    let expected = [("jobbers.wait.duration", 1), ("jobbers.attempt.duration", 1)];
    assert_eq!(used, expected.map(|(name, each)| (name.to_owned(), each * JOBS)).into());
}
