//! Policies: pure functions of what happened, now and a draw.

mod retry;

pub use retry::{Backoff, Decision, Jitter, OnStop, Retry};
