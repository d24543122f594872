//! Exports that run.

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Registry, TextEncoder};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::trace::Kept;
use crate::{Error, ErrorKind, Result};

/// Exports that run, until it is dropped: then what waits is sent. Keep it for as long as the process works.
///
/// Dropping it blocks its thread until the endpoint has answered, or for some seconds if it does not.
#[derive(Debug)]
#[must_use = "dropped, it ends the exports"]
pub struct TelemetryGuard {
    metrics: SdkMeterProvider,
    spans: SdkTracerProvider,
    registry: Registry,
    ended: bool,
}

impl TelemetryGuard {
    pub(super) fn new(metrics: SdkMeterProvider, spans: SdkTracerProvider, registry: Registry) -> TelemetryGuard {
        TelemetryGuard { metrics, spans, registry, ended: false }
    }

    /// All metrics as of now in Prometheus' text format: the body of an answer to `GET /metrics`, of type `text/plain; version=0.0.4`.
    pub fn prometheus(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics could not be written as text, which is a bug");
            String::new()
        })
    }

    /// A layer for the process's subscriber, that exports spans from level info on: the attempts', and your own around submits and in handlers.
    /// Of an attempt that is [over the budget](super::Telemetry::traces_per_second) neither its span nor what its handler makes in there; other
    /// layers, as one that writes logs, see them all the same.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        // Where in the code a span is made, and on which thread it ran, is the same for all attempts, or chance.
        let layer = tracing_opentelemetry::layer().with_location(false).with_threads(false).with_target(false);
        layer.with_tracer(self.spans.tracer("jobbers")).with_filter(Kept)
    }

    /// Sends what waits, and returns once the endpoint has it. Blocks the thread: in async code call it in `spawn_blocking`.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the endpoint did not take it.
    pub fn flush(&self) -> Result<()> {
        let (spans, metrics) = (self.spans.force_flush(), self.metrics.force_flush());
        spans.and(metrics).map_err(|error| failed("flush telemetry", error))
    }

    /// Sends what waits and ends the exports, as dropping it does, and says how that went.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the endpoint did not take it.
    pub fn shutdown(mut self) -> Result<()> {
        self.end().map_err(|error| failed("shut telemetry down", error))
    }

    fn end(&mut self) -> std::result::Result<(), OTelSdkError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let (spans, metrics) = (self.spans.shutdown(), self.metrics.shutdown());
        spans.and(metrics)
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the last metrics and spans were not exported");
        }
    }
}

fn failed(op: &'static str, error: OTelSdkError) -> Error {
    Error::new(ErrorKind::Unavailable, op, "the endpoint did not take it; is it running?").with_source(error)
}
