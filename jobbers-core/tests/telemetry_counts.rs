//! A known history of jobs, and what an exporter of metrics has of it: every name of the registry is emitted, every count is the history's.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jobbers_core::client::Client;
use jobbers_core::driver::{Backend, Commit, DocKey, DocKind, DocVerdict, DocWrite, Op, Pull};
use jobbers_core::machine::{self, Job, Moment};
use jobbers_core::policy::Retry;
use jobbers_core::record::{JobState, Record};
use jobbers_core::scheduler::{Scheduler, SchedulerOptions};
use jobbers_core::task::Task;
use jobbers_core::telemetry::METRICS;
use jobbers_core::worker::{Ctx, JobError, Worker};
use jobbers_core::{JobId, QueueName, RunId, memory};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};

const PATIENCE: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_millis(400);

const PLAIN: Task<String, u32> = Task::new("plain").retry(Retry::constant(Duration::ZERO));
const QUIET: Task<u32, u32> = Task::new("quiet").heartbeat_every(Duration::from_millis(20));

/// Takes the job away from its own attempt, as a scheduler does that believes its worker dead.
async fn take_away(backend: &Backend, id: JobId) {
    let record = backend.store().load(&[id]).await.remove(0).unwrap().unwrap();
    let moment = Moment { now: backend.clock().now(), draw: backend.draws().draw(), dispatch: backend.dispatch() };
    let lost = machine::lost(&Job::read(id, record).unwrap(), None, &moment);
    backend.store().commit(&[lost]).await.remove(0).unwrap();
}

/// What its parameters ask for, at the first attempt; later ones succeed.
async fn plain(backend: Backend, ctx: Ctx, what: String) -> Result<u32, JobError> {
    match what.as_str() {
        "dead" => return Err(JobError::fail("it can not be done")),
        "cancel" => return Err(JobError::cancel("nobody wants it")),
        _ if ctx.attempt() > 1 => {}
        "retry" => return Err(JobError::retry("not yet")),
        "snooze" => return Err(JobError::snooze(Duration::from_millis(1))),
        "panic" => panic!("as it was asked to"),
        "late" => take_away(&backend, ctx.id()).await,
        "lost" => {
            take_away(&backend, ctx.id()).await;
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    Ok(ctx.attempt())
}

async fn until(what: impl AsyncFn() -> bool) {
    let look = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it comes in time");
}

/// A delivery that is gone although its job is ready: the scheduler delivers it again.
async fn lose_a_delivery(backend: &Backend, client: &Client) {
    client.submit(PLAIN, &"ok".to_owned()).queue("empty").await.unwrap();
    let (queue, now) = (QueueName::new("empty").unwrap(), backend.clock().now());
    let pull = Pull { queues: vec![(queue.clone(), 1)], max: 1, now, back_at: now + PATIENCE };
    let pulled = backend.queue().pull(&pull).await.unwrap();
    backend.queue().ack(&[pulled.items[0].1.clone()]).await.unwrap();
    let scheduler = quick_scheduler(backend);
    until(async || backend.queue().depth(std::slice::from_ref(&queue)).await.unwrap() == [1]).await;
    drop(scheduler);
}

/// A store that came back older than it was, as its scheduler sees it: the mark that only grows is not there.
async fn lose_the_mark(backend: &Backend) {
    let key = DocKey { kind: DocKind::Epoch, name: "0".into() };
    until(async || {
        let Some(doc) = backend.store().read(std::slice::from_ref(&key)).await.unwrap().remove(0) else { return false };
        let deletion = DocWrite { key: key.clone(), expect: Some(doc.version), body: None, expires_at: None };
        matches!(backend.store().write(&[deletion]).await.unwrap()[0], DocVerdict::Applied(_))
    })
    .await;
}

/// A release of a child that is not there, and a record that nobody can read in a queue that a worker serves.
async fn break_the_store(backend: &Backend) {
    let id = JobId::from(RunId::from_u128(1));
    let child = Op::Release {
        id: JobId::new(id.run, 1),
        queue: QueueName::default(),
        priority: Default::default(),
        edges: 1,
        outcome: None,
        wake_at: None,
        claim: None,
    };
    let mut record = Record { spec: bytes::Bytes::from_static(b"\xffnonsense"), ..Record::default() };
    record.head.task = PLAIN.def().checked().unwrap().task;
    (record.head.version, record.head.state) = (1, JobState::Ready);
    let ops = vec![Op::Insert { id, record, over: None }, child];
    backend.store().commit(&[Commit { run: id.run, nonce: 1, ops }]).await.remove(0).unwrap();
}

/// All that was exported: by name and attributes the sum, or how many values a distribution has; of seconds their thousandth part.
fn exported(exporter: &InMemoryMetricExporter) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    // Sums are since the start: the last export has all.
    let last = exporter.get_finished_metrics().unwrap().pop().expect("something was exported");
    for metric in last.scope_metrics().flat_map(|scope| scope.metrics()) {
        let mut note = |attributes: &mut dyn Iterator<Item = &opentelemetry::KeyValue>, value: i64| {
            let mut pairs: Vec<String> = attributes.map(|pair| format!("{}={}", pair.key, pair.value)).collect();
            pairs.sort();
            found.insert(format!("{} {}", metric.name(), pairs.join(" ")).trim_end().to_owned(), value);
        };
        match metric.data() {
            AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                sum.data_points().for_each(|point| note(&mut point.attributes(), point.value().cast_signed()));
            }
            AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                sum.data_points().for_each(|point| note(&mut point.attributes(), point.value()));
            }
            AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                sum.data_points().for_each(|point| note(&mut point.attributes(), millis(point.value())));
            }
            AggregatedMetrics::U64(MetricData::Gauge(gauge)) => {
                gauge.data_points().for_each(|point| note(&mut point.attributes(), point.value().cast_signed()));
            }
            AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                gauge.data_points().for_each(|point| note(&mut point.attributes(), millis(point.value())));
            }
            AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                histogram.data_points().for_each(|point| note(&mut point.attributes(), point.count().cast_signed()));
                let sum: f64 = histogram.data_points().map(|point| point.sum()).sum();
                found.insert(format!("sum of {}", metric.name()), millis(sum));
            }
            other => panic!("{}: {other:?}", metric.name()),
        }
    }
    found
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A scheduler that compares counts all the time.
fn quick_scheduler(backend: &Backend) -> Scheduler {
    let mut options = SchedulerOptions::default();
    (options.reconcile_every, options.reconcile_after) = (Duration::from_millis(10), Duration::ZERO);
    options.epoch_every = Duration::from_millis(10);
    Scheduler::start_with(backend, options)
}

async fn history(backend: &Backend, exports: impl Fn() -> BTreeMap<String, i64>) {
    let client = Client::new(backend);
    let submit = |what: &str| client.submit(PLAIN, &what.to_owned());
    let id = RunId::derived(&["twice"]);
    submit("ok").id(id).await.unwrap();
    submit("ok").id(id).await.unwrap();
    submit("other").id(id).await.unwrap_err();
    let mut jobs = vec![client.handle::<u32>(id)];
    for what in ["ok", "retry", "snooze", "panic", "dead", "cancel", "late", "lost"] {
        jobs.push(submit(what).await.unwrap());
    }
    let quiet = client.submit(QUIET, &7).await.unwrap();
    let (of_plain, heard) = (backend.clone(), Arc::new(tokio::sync::Notify::new()));
    let of_quiet = heard.clone();
    let worker = Worker::queues(["default"])
        .slots(4)
        .lease(LEASE)
        .task(PLAIN, move |ctx: Ctx, what: String| plain(of_plain.clone(), ctx, what))
        .task(QUIET, move |n: u32| {
            let heard = of_quiet.clone();
            async move {
                heard.notified().await;
                Ok::<u32, JobError>(n)
            }
        })
        .start(backend)
        .await
        .unwrap();
    until(async || worker.health().stalled == 1).await;
    let during = exports();
    assert_eq!(during["jobbers.slots.max"], 4);
    assert!((1..=4).contains(&during["jobbers.slots.busy"]), "{during:?}");
    heard.notify_one();
    quiet.output_within(PATIENCE).await.unwrap();
    for job in &jobs {
        job.ended_within(PATIENCE).await.unwrap();
    }
    break_the_store(backend).await;
    until(async || backend.queue().depth(&[QueueName::default()]).await.unwrap() == [0]).await;
    lose_a_delivery(backend, &client).await;
    client.submit(PLAIN, &"ok".to_owned()).queue("empty").delay(PATIENCE).await.unwrap().cancel("nobody waits for it").await.unwrap();
    worker.stop().await.unwrap();
}

/// In the order of the history; what is counted by time or by pace, as beats and fetches, is not in it.
const KNOWN: &[(&str, i64)] = &[
    ("jobbers.submitted outcome=new queue=default task=plain", 9),
    ("jobbers.submitted outcome=new queue=empty task=plain", 2),
    ("jobbers.submitted outcome=new queue=default task=quiet", 1),
    ("jobbers.submitted outcome=same queue=default task=plain", 1),
    ("jobbers.submitted outcome=conflict queue=default task=plain", 1),
    // Two without trouble, and the last attempts of retry, snooze, panic, late and lost; that of late was refused, and ran again.
    ("jobbers.attempts outcome=succeeded queue=default task=plain", 8),
    ("jobbers.attempts outcome=succeeded queue=default task=quiet", 1),
    ("jobbers.attempts outcome=failed queue=default task=plain", 2),
    ("jobbers.attempts outcome=snoozed queue=default task=plain", 1),
    ("jobbers.attempts outcome=panicked queue=default task=plain", 1),
    ("jobbers.attempts outcome=cancelled queue=default task=plain", 1),
    ("jobbers.attempts outcome=gone queue=default task=plain", 1),
    ("jobbers.attempt.duration queue=default task=plain", 14),
    ("jobbers.attempt.duration queue=default task=quiet", 1),
    ("jobbers.wait.duration queue=default task=plain", 9),
    ("jobbers.wait.duration queue=default task=quiet", 1),
    ("jobbers.ended queue=default state=succeeded task=plain", 7),
    ("jobbers.ended queue=default state=succeeded task=quiet", 1),
    ("jobbers.ended queue=default state=dead task=plain", 1),
    ("jobbers.ended queue=default state=cancelled task=plain", 1),
    ("jobbers.ended queue=empty state=cancelled task=plain", 1),
    ("jobbers.leases.lost queue=default task=plain", 1),
    ("jobbers.commits.stale call=end", 1),
    ("jobbers.beats outcome=refused", 1),
    ("jobbers.slots.max", 0),
    ("jobbers.slots.busy", 0),
    // What nobody can read was claimed and runs for ever; in the other queue nobody works.
    ("jobbers.queue.depth queue=default state=dead", 1),
    ("jobbers.queue.depth queue=default state=running", 1),
    ("jobbers.queue.depth queue=empty state=ready", 1),
    ("jobbers.attempts.stalled", 1),
    ("jobbers.deliveries.again", 1),
    ("jobbers.releases.missing driver=memory", 1),
    ("jobbers.store.rewinds", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_emitted_and_every_count_is_that_of_the_history() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    opentelemetry::global::set_meter_provider(provider.clone());

    let backend = memory::open();
    let exports = || {
        provider.force_flush().unwrap();
        exported(&exporter)
    };
    history(&backend, exports).await;
    let scheduler = quick_scheduler(&backend);
    until(async || exports().contains_key("jobbers.queue.oldest.age queue=empty")).await;
    lose_the_mark(&backend).await;
    until(async || exports().contains_key("jobbers.store.rewinds")).await;
    let mut found = exports();
    drop(scheduler);

    let mut sum_of = |name: &str| found.remove(&format!("sum of {name}")).unwrap();
    let (ran, in_slots) = (sum_of("jobbers.attempt.duration"), exports()["jobbers.slots.time"]);
    assert!((ran - in_slots).abs() <= 20 && ran > 20, "attempts ran {ran} ms, and were in slots {in_slots} ms");
    sum_of("jobbers.wait.duration");
    sum_of("jobbers.driver.duration");
    let names: BTreeSet<&str> = found.keys().map(|key| key.split(' ').next().unwrap()).collect();
    assert_eq!(names, METRICS.iter().map(|metric| metric.name).collect::<BTreeSet<&str>>());

    let by_pace = [
        "jobbers.beats outcome=renewed",
        "jobbers.fetches",
        "jobbers.records.unreadable",
        "jobbers.driver.",
        "jobbers.slots.time",
        "jobbers.queue.oldest.age",
    ];
    let (paced, counted): (BTreeMap<_, _>, BTreeMap<_, _>) =
        found.into_iter().partition(|(key, _)| by_pace.iter().any(|start| key.starts_with(start)));
    assert_eq!(counted, KNOWN.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect());
    assert!(paced.values().all(|count| *count > 0), "{paced:?}");
}
