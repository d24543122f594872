//! What driver calls emit, as a provider of metrics and a subscriber of spans see it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use jobbers_core::driver::{Commit, Op, Page, Pull};
use jobbers_core::record::Record;
use jobbers_core::telemetry::{DRIVER_CALLS, DRIVER_DURATION, DRIVER_SPAN, METRICS, RELEASES_MISSING};
use jobbers_core::{JobId, QueueName, RunId, Timestamp, memory};
use opentelemetry::metrics::{
    Counter, Histogram, HistogramBuilder, InstrumentBuilder, InstrumentProvider, Meter, MeterProvider, SyncInstrument,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};

/// How often each instrument was used, by name and attributes.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, u64>>>);

struct Instrument {
    name: String,
    seen: Seen,
}

impl Instrument {
    fn note(&self, attributes: &[KeyValue]) {
        let row = METRICS.iter().find(|metric| metric.name == self.name).expect("the registry has it");
        assert!(attributes.iter().map(|pair| pair.key.as_str()).eq(row.attributes.iter().copied()), "{}: {attributes:?}", self.name);
        let attributes: Vec<String> = attributes.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect();
        let name = format!("{} {}", self.name, attributes.join(" "));
        *self.seen.0.lock().expect("no holder panics").entry(name).or_default() += 1;
    }
}

impl SyncInstrument<u64> for Instrument {
    fn measure(&self, _: u64, attributes: &[KeyValue]) {
        self.note(attributes);
    }
}

impl SyncInstrument<f64> for Instrument {
    fn measure(&self, seconds: f64, attributes: &[KeyValue]) {
        assert!((0.0..60.0).contains(&seconds));
        self.note(attributes);
    }
}

impl InstrumentProvider for Seen {
    fn u64_counter(&self, builder: InstrumentBuilder<'_, Counter<u64>>) -> Counter<u64> {
        Counter::new(Arc::new(Instrument { name: builder.name.to_string(), seen: self.clone() }))
    }

    fn f64_histogram(&self, builder: HistogramBuilder<'_, Histogram<f64>>) -> Histogram<f64> {
        Histogram::new(Arc::new(Instrument { name: builder.name.to_string(), seen: self.clone() }))
    }
}

impl MeterProvider for Seen {
    fn meter_with_scope(&self, _: InstrumentationScope) -> Meter {
        Meter::new(Arc::new(self.clone()))
    }
}

/// Every span: its name, and the values of its fields.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = BTreeMap::from([("name", attributes.metadata().name().to_owned())]);
        attributes.record(&mut Fields(&mut fields));
        let mut spans = self.0.lock().expect("no holder panics");
        spans.push(fields);
        Id::from_u64(spans.len() as u64)
    }
    fn record(&self, id: &Id, values: &Values<'_>) {
        let at = usize::try_from(id.into_u64()).expect("spans are few") - 1;
        values.record(&mut Fields(&mut self.0.lock().expect("no holder panics")[at]));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn each_driver_call_makes_a_span_and_is_counted_and_measured() {
    let (seen, spans) = (Seen::default(), Spans::default());
    opentelemetry::global::set_meter_provider(seen.clone());
    let _guard = tracing::subscriber::set_default(spans.clone());

    let backend = memory::open();
    let now = Timestamp::MIN;
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
    let ops = vec![Op::Insert { id, record: Record::default(), over: None }, child];
    backend.store().commit(&[Commit { run: id.run, nonce: 1, ops }]).await.remove(0).unwrap();
    let pull = Pull { queues: vec![(QueueName::default(), 3)], max: 3, now, back_at: now };
    backend.queue().pull(&pull).await.unwrap();
    let foreign = jobbers_core::driver::Cursor(bytes::Bytes::from_static(b"foreign"));
    backend.store().scan(Some(foreign), 9).await.unwrap_err();
    backend.store().documents(jobbers_core::driver::DocKind::Role, &Page { after: None, limit: 5 }).await.unwrap();

    let expected = [
        format!("{} driver=memory call=commit outcome=ok", DRIVER_CALLS.name),
        format!("{} driver=memory call=documents outcome=ok", DRIVER_CALLS.name),
        format!("{} driver=memory call=pull outcome=ok", DRIVER_CALLS.name),
        format!("{} driver=memory call=scan outcome=invalid", DRIVER_CALLS.name),
        format!("{} driver=memory call=commit", DRIVER_DURATION.name),
        format!("{} driver=memory call=documents", DRIVER_DURATION.name),
        format!("{} driver=memory call=pull", DRIVER_DURATION.name),
        format!("{} driver=memory call=scan", DRIVER_DURATION.name),
        format!("{} driver=memory", RELEASES_MISSING.name),
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected.map(|name| (name, 1)).into());

    let spans = spans.0.lock().unwrap();
    let shown: Vec<_> =
        spans.iter().map(|span| (span["name"].as_str(), span["call"].as_str(), &span["items"][..], &span["outcome"][..])).collect();
    let span = |call, items, outcome| (DRIVER_SPAN, call, items, outcome);
    assert_eq!(shown, [span("commit", "1", "ok"), span("pull", "3", "ok"), span("scan", "9", "invalid"), span("documents", "5", "ok")]);
    assert!(spans[2]["error"].contains("cursor"), "{:?}", spans[2]);
}
