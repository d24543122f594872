//! Policies: pure functions of what happened, now and a draw.

mod gcra;
mod retry;

pub use gcra::{Gcra, Rate};
pub use retry::{Backoff, Decision, Jitter, OnStop, Retry};
