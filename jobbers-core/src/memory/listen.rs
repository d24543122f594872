//! Waiting for the first of several bells.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Returns when one of `bells` has rung since the call, or rang before while nobody listened; or at once if `already` holds.
///
/// Cancel safe: a ring that a dropped call had received goes to the next one.
pub(super) async fn first_of(bells: &[Arc<Notify>], already: impl FnOnce() -> bool) {
    let mut rings: Vec<Pin<Box<Notified<'_>>>> = bells.iter().map(|bell| Box::pin(bell.notified())).collect();
    // Every ring is awaited before `already` looks: what comes in between is heard, also when many listen at once.
    if rings.iter_mut().any(|ring| ring.as_mut().enable()) || already() {
        return;
    }
    poll_fn(|context| {
        let rung = rings.iter_mut().any(|ring| ring.as_mut().poll(context).is_ready());
        if rung { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
