//! How the span of an attempt is tied to the trace of its submit.

use jobbers_core::record::TracePair;
use jobbers_core::telemetry::Tie;
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// How the span of an attempt is tied to the trace that its job was submitted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Relation {
    /// An attempt starts a trace of its own, with a link to the submit's span: a job may wait for days, and be tried many times.
    #[default]
    Link,
    /// An attempt is a child of the submit's span, in its trace, and is recorded if that one was.
    Parent,
}

impl Relation {
    pub(super) fn tie(self) -> Tie {
        match self {
            Relation::Link => link,
            Relation::Parent => parent,
        }
    }
}

fn link(span: &Span, trace: &[TracePair]) {
    // One that is not valid is not linked.
    span.add_link(context(trace).span().span_context().clone());
}

fn parent(span: &Span, trace: &[TracePair]) {
    // It fails only where nobody records this span.
    let _ = span.set_parent(context(trace));
}

struct Pairs<'a>(&'a [TracePair]);

impl Extractor for Pairs<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.name.as_str() == name).map(|pair| pair.value.as_str())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|pair| pair.name.as_str()).collect()
    }
}

fn context(trace: &[TracePair]) -> Context {
    global::get_text_map_propagator(|propagator| propagator.extract_with_context(&Context::new(), &Pairs(trace)))
}
