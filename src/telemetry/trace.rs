//! Which attempts are traced, and how they are tied to the traces of their submits.

use jobbers_core::record::TracePair;
use jobbers_core::telemetry::{LEFT_OUT_TARGET, Traces, is_left_out};
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::{Context, global};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::{self, Filter};

use super::budget::Budget;

/// How the span of an attempt is tied to the trace that its job was submitted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Relation {
    /// An attempt starts a trace of its own, with a link to the submit's span: a job may wait for days, and be tried many times.
    #[default]
    Link,
    /// An attempt is a child of the submit's span, in its trace, and is recorded if that one was.
    Parent,
}

/// The traces of this process's attempts.
pub(super) struct Attempts {
    pub(super) relation: Relation,
    /// How many start a trace of their own; without one all do.
    pub(super) budget: Option<Budget>,
}

impl Traces for Attempts {
    fn keeps(&self, trace: &[TracePair]) -> bool {
        if self.relation == Relation::Parent && !trace.is_empty() {
            let context = context(trace);
            let span = context.span();
            if span.span_context().is_valid() {
                return span.span_context().is_sampled();
            }
        }
        self.budget.as_ref().is_none_or(Budget::take)
    }

    fn tie(&self, span: &Span, trace: &[TracePair]) {
        match self.relation {
            // One that is not valid is not linked.
            Relation::Link => span.add_link(context(trace).span().span_context().clone()),
            // It fails only where nobody records this span.
            Relation::Parent => drop(span.set_parent(context(trace))),
        }
    }
}

/// Lets spans from level info on through, but for what belongs to an attempt that is left out.
pub(super) struct Kept;

impl<S> Filter<S> for Kept {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        *metadata.level() <= LevelFilter::INFO && !is_left_out()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let may_be = *metadata.level() <= LevelFilter::INFO && metadata.target() != LEFT_OUT_TARGET;
        if may_be { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
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

#[cfg(test)]
mod tests {
    use jobbers_core::SmallText;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    fn keeps(relation: Relation, most: u32, parent: &str) -> bool {
        let (name, value) = (SmallText::new("traceparent"), SmallText::new(parent));
        let pair = TracePair { name, value, ..TracePair::default() };
        Attempts { relation, budget: Some(Budget::new(most)) }.keeps(&[pair])
    }

    #[test]
    fn a_child_is_kept_if_its_parent_was_and_all_else_is_the_budgets_matter() {
        const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        global::set_text_map_propagator(TraceContextPropagator::new());
        assert!(keeps(Relation::Parent, 0, SAMPLED));
        assert!(!keeps(Relation::Parent, 100, NOT_SAMPLED));
        for (relation, parent) in [(Relation::Parent, "nonsense"), (Relation::Link, SAMPLED), (Relation::Link, NOT_SAMPLED)] {
            assert!(keeps(relation, 100, parent), "{relation:?} {parent}");
            assert!(!keeps(relation, 0, parent), "{relation:?} {parent}");
        }
    }
}
