#![doc = include_str!("../README.md")]

mod connect;
#[cfg(feature = "telemetry")]
pub mod telemetry;

pub use connect::connect;
pub use jobbers_core::{client, driver, error, id, memory, policy, record, scheduler, task, testing, time, worker};
#[cfg(feature = "macros")]
pub use jobbers_macros::task;

pub use jobbers_core::client::{Client, Explanation, JobHandle, JobView, RunHandle, RunView};
pub use jobbers_core::driver::Backend;
pub use jobbers_core::error::{Error, ErrorKind, Result};
pub use jobbers_core::id::{JobId, QueueName, RunId, TaskName, WorkerId};
pub use jobbers_core::policy::{Decision, Jitter, OnStop, Retry};
pub use jobbers_core::record::{JobState, Priority};
pub use jobbers_core::scheduler::Scheduler;
pub use jobbers_core::task::{Codec, Task};
pub use jobbers_core::time::Timestamp;
pub use jobbers_core::worker::{Ctx, JobError, MapEnd, MapPage, Worker, WorkerHandle};
