//! The state machine: every transition of a job as a pure function from a job and an event to a commit.
//!
//! No clock, no chance, no I/O: `now` and the draw come in a [`Moment`]. One event a file; `change` is what they have in common, `timer` what
//! a job's one `wake_at` stands for.

mod beat;
mod cancel;
mod change;
mod claim;
mod defer;
mod due;
mod end;
mod job;
mod lost;
mod map;
mod park;
mod reopen;
mod retry;
mod step;
mod submit;
mod timer;

pub use beat::beat;
pub use cancel::cancel;
pub use claim::{Look, claim, look};
pub use defer::defer;
pub use due::due;
pub use end::{Also, End, end};
pub use job::Job;
pub use lost::lost;
pub use map::{MAP_CHUNK_ITEMS_MAX, map_chunk};
pub use park::{hand_over, park};
pub use reopen::reopen;
pub use retry::retry;
pub use step::follow_ups_max;
pub use submit::{Submission, insert, submit};

use std::time::Duration;

use crate::driver::Dispatch;
use crate::time::{Draw, Timestamp};

/// When a Ready record whose delivery may be lost is first pushed again; doubles with each push.
pub const PUSH_AGAIN_FIRST: Duration = Duration::from_secs(10);
/// The longest time between two pushes of one Ready record.
pub const PUSH_AGAIN_MAX: Duration = Duration::from_secs(300);

/// What a decision may know beyond the job and the event.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// The commit's nonce, and jitter.
    pub draw: Draw,
    /// Who dispatches: with [`Dispatch::Caller`] each Ready record has a timer to be pushed again.
    pub dispatch: Dispatch,
}

#[cfg(test)]
mod tests;
