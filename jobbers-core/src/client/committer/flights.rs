//! Store calls that are under way.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::id::JobId;

/// Most calls under way at a time: while the store works on one, the answers of the other are given and the next is made.
const FLIGHTS_COUNT_MAX: usize = 2;

/// One call under way.
struct Flight<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    ids: Vec<JobId>,
}

/// The calls under way, in the order in which they were started.
pub(super) struct Flights<T>(Vec<Flight<T>>);

impl<T> Flights<T> {
    pub(super) fn new() -> Flights<T> {
        Flights(Vec::with_capacity(FLIGHTS_COUNT_MAX))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= FLIGHTS_COUNT_MAX
    }

    /// The jobs that they name.
    pub(super) fn ids(&self) -> HashSet<JobId> {
        self.0.iter().flat_map(|flight| flight.ids.iter().copied()).collect()
    }

    pub(super) fn start(&mut self, ids: Vec<JobId>, future: impl Future<Output = T> + Send + 'static) {
        self.0.push(Flight { future: Box::pin(future), ids });
    }

    /// The answer of the first that has one; never, if there is none. Cancel safe.
    pub(super) async fn landed(&mut self) -> T {
        poll_fn(|cx| {
            for at in 0..self.0.len() {
                if let Poll::Ready(answer) = self.0[at].future.as_mut().poll(cx) {
                    self.0.remove(at);
                    return Poll::Ready(answer);
                }
            }
            Poll::Pending
        })
        .await
    }
}
