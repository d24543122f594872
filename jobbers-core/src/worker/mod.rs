//! The worker: it claims jobs from queues and runs their handlers.
//!
//! A worker has slots and serves queues. It fetches up to its free slots at once, runs each job's handler under a claim that it won, and
//! commits its end. While a handler runs, the worker renews its lease by itself, from a thread of its own: a handler that blocks loses
//! nothing. Everything that a worker does to a job is a compare-and-set, so one that froze and woke up changes nothing any more.

mod attempt;
mod builder;
mod claim;
mod claims;
mod ctx;
mod engine;
mod error;
mod extract;
mod fetch;
mod finish;
mod follow_up;
mod handle;
mod handler;
mod health;
#[cfg(feature = "tower")]
mod layer;
mod lease;
mod lone;
mod map;
mod metrics;
mod parents;
mod presence;
mod process;
mod pulled;
mod rate;
mod recover;
mod registry;
mod settings;
mod start;
mod stop;
#[cfg(test)]
mod tests;

pub use builder::Worker;
pub use ctx::{Ctx, FOLLOW_UPS_BYTES_MAX, Fence};
pub(crate) use engine::{jittered, moment};
pub use error::JobError;
pub use extract::{Attempt, FromContext, Needs, State};
pub use handle::WorkerHandle;
pub use handler::{BlockingHandler, Declared, Handler, MapEnd, MapPage, MapSource};
pub use health::{Fetching, Health};
#[cfg(feature = "tower")]
pub use layer::{Handled, HandlerCall, HandlerError, HandlerService};
pub use lone::LoneAttempt;
pub(crate) use metrics::meters;
pub use parents::{PARENTS_PAGE_COUNT, Parent, Parents};
pub(crate) use settings::{LEASE, Watch};
pub use settings::{LEASE_MAX, LEASE_MIN, LeaseRuntime, OnSilence, SLOTS_COUNT_MAX, WithScheduler};
pub use stop::StopReport;
