//! Exports metrics and spans: to an OTLP endpoint over HTTP, and as Prometheus text.
//!
//! ```
//! use jobbers::telemetry::Telemetry;
//! use tracing_subscriber::layer::SubscriberExt;
//! use tracing_subscriber::util::SubscriberInitExt;
//!
//! // Before the backend is opened: instruments are made then. OTEL_EXPORTER_OTLP_ENDPOINT says where to, as `.otlp(..)` does.
//! let telemetry = Telemetry::of("mailer").start()?;
//! tracing_subscriber::registry().with(telemetry.layer()).init();
//! // For a scrape, as the body of GET /metrics:
//! let text: String = telemetry.prometheus();
//! # assert!(text.contains("target_info"));
//! // Flushes, as dropping it does.
//! telemetry.shutdown()?;
//! # Ok::<(), jobbers::Error>(())
//! ```
//!
//! What there is to see: [`METRICS`] and [`SPANS`].

mod budget;
mod guard;
mod post;
mod trace;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::guard::TelemetryGuard;
pub use self::trace::Relation;
pub use jobbers_core::telemetry::{METRICS, Metric, MetricKind, SPANS, SpanRow};

use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};

use self::budget::Budget;
use self::post::Post;
use self::trace::Attempts;
use crate::{Error, ErrorKind, Result};

/// Spans that wait for their export: a burst of short jobs between two exports fits, and what does not fit is dropped, so that an endpoint that
/// is away costs no more memory than this. A span takes about 1 kB.
const SPANS_WAITING_MAX: usize = 16_384;

/// Traces of attempts that are started in a second: enough to see every job of a quiet system and plenty of a busy one. All of 100,000 jobs a
/// second would cost more than the jobs.
const TRACES_PER_SECOND: u32 = 100;

/// Where metrics and spans go.
#[derive(Debug, Clone)]
#[must_use = "nothing is exported until it is started"]
pub struct Telemetry {
    service: String,
    otlp: Option<String>,
    every: Duration,
    relation: Relation,
    traces: Option<u32>,
}

impl Telemetry {
    /// Of the service with this name, which is what it is called in traces and dashboards. `OTEL_SERVICE_NAME` goes before it.
    pub fn of(service: impl Into<String>) -> Telemetry {
        Telemetry { service: service.into(), otlp: None, every: Duration::from_secs(60), relation: Relation::default(), traces: None }
    }

    /// Exports to this OTLP endpoint over HTTP, in protobuf: `http://localhost:4318`, without a path.
    ///
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, and the variables of each signal, go before it; `OTEL_EXPORTER_OTLP_HEADERS` is sent. Without this and
    /// without them nothing is exported, and there is the Prometheus text only. TLS is not built in: for an endpoint behind it, send to a
    /// collector in your own network.
    pub fn otlp(self, endpoint: impl Into<String>) -> Telemetry {
        Telemetry { otlp: Some(endpoint.into()), ..self }
    }

    /// Sets how often metrics are exported; 60 s by default. Spans are exported when many wait, at the latest after 5 s.
    pub fn every(self, every: Duration) -> Telemetry {
        Telemetry { every: every.max(Duration::from_millis(10)), ..self }
    }

    /// Sets how the span of an attempt is tied to the trace of its submit; by a link by default.
    pub fn relation(self, relation: Relation) -> Telemetry {
        Telemetry { relation, ..self }
    }

    /// Sets how many attempts start a trace of their own in a second, in this process; 100 by default, and after a pause that many at once.
    ///
    /// Of the others nothing is exported but metrics, which count and measure every one. Which attempts fail or take long is not known when they
    /// start: `u32::MAX` traces all of them. With [`Relation::Parent`], an attempt whose job was submitted in a trace is recorded if that one
    /// was, and no budget asked. Where `OTEL_TRACES_SAMPLER` is set and this is not, that sampler alone decides.
    pub fn traces_per_second(self, most: u32) -> Telemetry {
        Telemetry { traces: Some(most), ..self }
    }

    /// Starts the exports, on threads of their own, and installs the providers and the propagator of the process. Once in a process, before
    /// its backends are opened.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for an endpoint that can not be one; [`ErrorKind::WrongState`] if it was started before in this process.
    pub fn start(self) -> Result<TelemetryGuard> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        let post = self.exports().then(Post::new);
        let registry = prometheus::Registry::new();
        let text = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false).build();
        let text = text.map_err(|error| Error::new(ErrorKind::Internal, START, "the Prometheus exporter").with_source(error))?;
        let mut metrics = SdkMeterProvider::builder().with_resource(self.resource()).with_reader(text);
        let mut spans = SdkTracerProvider::builder().with_resource(self.resource());
        if let Some(post) = post {
            metrics = metrics.with_reader(PeriodicReader::builder(self.metric_exporter(post.clone())?).with_interval(self.every).build());
            let limits = BatchConfigBuilder::default().with_max_queue_size(SPANS_WAITING_MAX).build();
            spans = spans.with_span_processor(BatchSpanProcessor::builder(self.span_exporter(post)?).with_batch_config(limits).build());
        }
        if STARTED.swap(true, Ordering::Relaxed) {
            let why = "it was started before in this process; start it once, and keep its guard";
            return Err(Error::new(ErrorKind::WrongState, START, why));
        }
        let (metrics, spans) = (metrics.build(), spans.build());
        opentelemetry::global::set_meter_provider(metrics.clone());
        opentelemetry::global::set_tracer_provider(spans.clone());
        let propagators: TextMapCompositePropagator =
            TextMapCompositePropagator::new(vec![Box::new(TraceContextPropagator::new()), Box::new(BaggagePropagator::new())]);
        opentelemetry::global::set_text_map_propagator(propagators);
        // The SDK is this crate's choice, and can bind.
        jobbers_core::telemetry::bind_durations(|histogram, attributes| {
            let bound = histogram.bind(attributes);
            Box::new(move |seconds| bound.record(seconds))
        });
        jobbers_core::telemetry::trace_attempts(Attempts { relation: self.relation, budget: self.budget() });
        Ok(TelemetryGuard::new(metrics, spans, registry))
    }

    fn budget(&self) -> Option<Budget> {
        let sampler = std::env::var_os("OTEL_TRACES_SAMPLER").is_some_and(|value| !value.is_empty());
        self.traces.or((!sampler).then_some(TRACES_PER_SECOND)).map(Budget::new)
    }

    fn exports(&self) -> bool {
        self.otlp.is_some() || ["ENDPOINT", "TRACES_ENDPOINT", "METRICS_ENDPOINT"].iter().any(|of| is_set(of))
    }

    fn resource(&self) -> Resource {
        let builder = Resource::builder();
        match std::env::var("OTEL_SERVICE_NAME") {
            Ok(name) if !name.is_empty() => builder.build(),
            _ => builder.with_service_name(self.service.clone()).build(),
        }
    }

    /// The endpoint of a signal, unless the environment says another one.
    fn endpoint(&self, of_signal: &str, path: &str) -> Result<Option<String>> {
        let Some(base) = self.otlp.as_deref().filter(|_| !is_set("ENDPOINT") && !is_set(of_signal)) else { return Ok(None) };
        if !base.starts_with("http://") {
            return Err(invalid(&format!("{base:?} is no endpoint that can be reached; write http://host:port, TLS is not built in")));
        }
        Ok(Some(format!("{}{path}", base.trim_end_matches('/'))))
    }

    fn metric_exporter(&self, post: Post) -> Result<MetricExporter> {
        let builder = MetricExporter::builder().with_http().with_http_client(post);
        let builder = match self.endpoint("METRICS_ENDPOINT", "/v1/metrics")? {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        };
        builder.build().map_err(|error| invalid("the endpoint of metrics").with_source(error))
    }

    fn span_exporter(&self, post: Post) -> Result<SpanExporter> {
        let builder = SpanExporter::builder().with_http().with_http_client(post);
        let builder = match self.endpoint("TRACES_ENDPOINT", "/v1/traces")? {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        };
        builder.build().map_err(|error| invalid("the endpoint of traces").with_source(error))
    }
}

const START: &str = "start telemetry";

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::Invalid, START, why.to_owned())
}

fn is_set(of: &str) -> bool {
    std::env::var_os(format!("OTEL_EXPORTER_OTLP_{of}")).is_some_and(|value| !value.is_empty())
}
