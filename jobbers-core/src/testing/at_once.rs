//! Questions to a backend in memory need no `await`.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What a future that never waits comes to.
///
/// # Panics
/// If it waits.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a backend in memory answers at once; this is a bug of the kit"),
    }
}
