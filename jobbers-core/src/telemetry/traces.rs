//! Which attempts are traced, and how they are tied to the traces of their submits.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use tracing::instrument::Instrumented;
use tracing::{Instrument, Span};

use crate::record::TracePair;

/// What decides over the traces of attempts. Which library records spans is not this crate's matter, so this is how one comes in.
pub trait Traces: Send + Sync + 'static {
    /// Whether this attempt, of a job that was submitted in that trace context, is recorded; asked once, before its span is made. One that is
    /// not [is left out](is_left_out): its span is there for whoever else listens, as logs do.
    fn keeps(&self, trace: &[TracePair]) -> bool;

    /// Ties the span of an attempt to the trace context of its job's submit, if it has one. It was just made: what can only be set before a
    /// span starts, as its parent, still can.
    fn tie(&self, span: &Span, trace: &[TracePair]);
}

static TRACES: OnceLock<Box<dyn Traces>> = OnceLock::new();

/// Sets what decides over the traces of attempts; the first one stays. Until then each is kept, and stands alone.
pub fn trace_attempts(traces: impl Traces) {
    TRACES.get_or_init(|| Box::new(traces));
}

/// The target of the span of an attempt that [is left out](is_left_out). Whoever records spans answers once and for all that it never wants
/// these: where nobody else listens, they are not even made.
pub const LEFT_OUT_TARGET: &str = "jobbers_core::worker::left_out";

thread_local! {
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

/// Whether what runs on this thread now is part of an attempt that is not recorded: a filter of spans leaves out what is made then, or what
/// a handler does would stand there as traces of its own.
pub fn is_left_out() -> bool {
    LEFT_OUT.get()
}

/// Whether an attempt is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

impl Kept {
    fn run<R>(self, run: impl FnOnce() -> R) -> R {
        struct Before(bool);
        impl Drop for Before {
            fn drop(&mut self) {
                LEFT_OUT.set(self.0);
            }
        }
        let _before = Before(LEFT_OUT.replace(self == Kept::No));
        run()
    }
}

/// The span of an attempt, and whether it is recorded.
pub(crate) struct Trace {
    span: Span,
    kept: Kept,
}

impl Trace {
    /// Makes the span, if somebody wants it.
    pub(crate) fn start(trace: &[TracePair], span: impl FnOnce() -> Span) -> Trace {
        let traces = TRACES.get();
        let kept = if traces.is_none_or(|traces| traces.keeps(trace)) { Kept::Yes } else { Kept::No };
        let span = kept.run(span);
        if kept == Kept::Yes
            && !trace.is_empty()
            && !span.is_disabled()
            && let Some(traces) = traces
        {
            traces.tie(&span, trace);
        }
        Trace { span, kept }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Runs an attempt in it.
    pub(crate) fn around<F: Future<Output = ()>>(self, attempt: Pin<Box<F>>) -> Traced<F> {
        Traced { attempt: attempt.instrument(self.span), kept: self.kept }
    }
}

/// An attempt that runs in its trace.
pub(crate) struct Traced<F> {
    attempt: Instrumented<Pin<Box<F>>>,
    kept: Kept,
}

impl<F: Future<Output = ()>> Future for Traced<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let kept = self.kept;
        kept.run(|| Pin::new(&mut self.attempt).poll(context))
    }
}
