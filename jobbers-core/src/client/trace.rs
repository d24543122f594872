//! The trace that a submit belongs to.

use opentelemetry::propagation::Injector;

use crate::id::{SMALL_TEXT_BYTES_MAX, SmallText};
use crate::record::TracePair;

/// Most headers that are kept: W3C's are three.
const TRACE_PAIRS_MAX: usize = 4;

/// What the global propagator says of the current context; nothing where none is installed. What is too long to be kept whole is left out.
pub(crate) fn current() -> Vec<TracePair> {
    struct Pairs(Vec<TracePair>);
    impl Injector for Pairs {
        fn set(&mut self, name: &str, value: String) {
            let fits = |text: &str| (1..=SMALL_TEXT_BYTES_MAX).contains(&text.len());
            if self.0.len() < TRACE_PAIRS_MAX && fits(name) && fits(&value) {
                self.0.push(TracePair { name: SmallText::new(name), value: SmallText::new(&value), ..TracePair::default() });
            }
        }
    }
    let mut pairs = Pairs(Vec::new());
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject(&mut pairs));
    pairs.0
}
