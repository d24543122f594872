use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};

use super::*;

#[derive(Debug)]
struct Fixed;

impl TextMapPropagator for Fixed {
    fn inject_context(&self, _: &Context, to: &mut dyn Injector) {
        to.set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
        to.set("tracestate", "x".repeat(4_000));
    }

    fn extract_with_context(&self, context: &Context, _: &dyn Extractor) -> Context {
        context.clone()
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}

#[tokio::test]
async fn a_submit_carries_the_trace_that_the_propagator_gives_and_nothing_that_is_too_long() {
    opentelemetry::global::set_text_map_propagator(Fixed);
    let world = World::new();
    let job = world.client.submit(ECHO, &text("a")).await.unwrap();
    let trace = world.job(job.id()).await.spec.trace;
    let pairs: Vec<_> = trace.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
    assert_eq!(pairs, [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]);
}
