//! Core of Jobbers: what all drivers and all users share. Applications use the crate `jobbers`, which re-exports what they need; authors of
//! drivers use this one, and `jobbers-conformance`.
//!
//! The queue delivers, the store decides: a [`Queue`](driver::Queue) carries ids only, and every race is settled by one compare-and-set in
//! the [`StateStore`](driver::StateStore). What to write is decided by pure functions in [`machine`]; clocks, chance and I/O are elsewhere.
//!
//! In reading order, each uses only those before it: [`id`], [`time`], [`error`] (newtypes) · [`record`], [`task`], [`policy`] (what is stored,
//! typed handles, when to retry) · [`driver`] (the seam) · [`machine`], [`memory`] (every transition; the reference driver) · [`client`],
//! [`worker`], [`scheduler`] (the only code with tasks, timers and a clock) · [`testing`] (a kit for your tests).

pub mod error;
pub mod id;
pub mod time;

pub mod policy;
pub mod record;
#[doc(hidden)]
pub mod seldom;
pub mod task;
pub mod telemetry;

pub mod driver;
mod patience;

pub mod machine;
pub mod memory;

pub mod client;
pub mod scheduler;
pub mod worker;

pub mod testing;

pub use error::{Error, ErrorKind, Result};
pub use id::{Ids, JobId, LimitName, Namespace, QueueName, RunId, SmallText, TaskName, WorkerId};
pub use time::{Clock, Draw, DrawSource, ManualClock, SeededDraws, SystemClock, SystemDraws, Timestamp};
