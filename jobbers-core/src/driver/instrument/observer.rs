//! Spans and metrics of one driver's calls.

use std::fmt;
use std::future::Future;
use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tracing::field::Empty;
use tracing::{Instrument, debug_span};

use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::{DRIVER_CALLS, DRIVER_DURATION, DRIVER_SPAN};

/// Observes the calls of one driver.
#[derive(Clone)]
pub(super) struct Observer {
    driver: &'static str,
    calls: Counter<u64>,
    duration: Histogram<f64>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("driver", &self.driver).finish_non_exhaustive()
    }
}

/// What an answer says of its call.
pub(super) trait Answer {
    /// The first error in it.
    fn error(&self) -> Option<&Error>;
}

impl<T> Answer for Result<T> {
    fn error(&self) -> Option<&Error> {
        self.as_ref().err()
    }
}

impl<T> Answer for Vec<Result<T>> {
    fn error(&self) -> Option<&Error> {
        self.iter().find_map(|result| result.as_ref().err())
    }
}

impl Observer {
    pub(super) fn new(driver: &'static str) -> Observer {
        Observer { driver, calls: DRIVER_CALLS.counter(), duration: DRIVER_DURATION.histogram() }
    }

    pub(super) fn driver(&self) -> &'static str {
        self.driver
    }

    /// Awaits the call of so many items. One that is dropped is not counted: nobody knows what became of it.
    pub(super) async fn call<T: Answer>(&self, call: &'static str, items: usize, future: impl Future<Output = T>) -> T {
        let span =
            debug_span!(target: "jobbers_core::driver", DRIVER_SPAN, driver = self.driver, call, items, outcome = Empty, error = Empty);
        let start = Instant::now();
        let answer = future.instrument(span.clone()).await;
        let error = answer.error();
        let outcome = error.map_or("ok", |error| outcome(error.kind()));
        span.record("outcome", outcome);
        if let Some(error) = error {
            span.record("error", tracing::field::display(error));
        }
        let (driver, call) = (KeyValue::new("driver", self.driver), KeyValue::new("call", call));
        self.duration.record(start.elapsed().as_secs_f64(), &[driver.clone(), call.clone()]);
        self.calls.add(1, &[driver, call, KeyValue::new("outcome", outcome)]);
        answer
    }
}

fn outcome(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::Conflict => "conflict",
        ErrorKind::NotFound => "not-found",
        ErrorKind::WrongState => "wrong-state",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Full => "full",
        ErrorKind::Held => "held",
        ErrorKind::Damaged => "damaged",
        ErrorKind::TimedOut => "timed-out",
        ErrorKind::Fenced => "fenced",
        ErrorKind::Stopped => "stopped",
        ErrorKind::Internal => "internal",
    }
}
