// The links of the README, as they are from docs.rs: of two definitions the first holds.
//! [`hello`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/hello.rs
//! [`retries`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/retries.rs
//! [`typed_handles`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/typed_handles.rs
//! [`state_and_extractors`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/state_and_extractors.rs
//! [`heartbeat_and_cancel`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/heartbeat_and_cancel.rs
//! [`then`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/then.rs
//! [`map_join`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/map_join.rs
//! [`metrics`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/metrics.rs
//! [`kafka`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/kafka.rs
//! [`graceful_shutdown`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/graceful_shutdown.rs
//! [`embed_in_axum`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/embed_in_axum.rs
//! [`testing_your_tasks`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/testing_your_tasks.rs
//! [`crash_points`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/crash_points.rs
//! [`index_folder`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/index_folder.rs
//! [`custom-driver`]: https://github.com/jobbers-rs/jobbers/blob/main/examples/custom-driver
//! [docs/guarantees.md]: https://github.com/jobbers-rs/jobbers/blob/main/docs/guarantees.md
//! [docs/telemetry.md]: https://github.com/jobbers-rs/jobbers/blob/main/docs/telemetry.md
//! [ARCHITECTURE.md]: https://github.com/jobbers-rs/jobbers/blob/main/ARCHITECTURE.md
//! [CONTRIBUTING.md]: https://github.com/jobbers-rs/jobbers/blob/main/CONTRIBUTING.md
//! [CHANGELOG.md]: https://github.com/jobbers-rs/jobbers/blob/main/CHANGELOG.md
//! [docker/compose.yaml]: https://github.com/jobbers-rs/jobbers/blob/main/docker/compose.yaml
//! [docker/Dockerfile]: https://github.com/jobbers-rs/jobbers/blob/main/docker/Dockerfile
//!
#![doc = include_str!("../README.md")]
//!
//! ## The map of this crate
//!
//! [`connect`] opens a [`Backend`]. [`Client`] submits jobs and looks at them: its module, [`client`], has the first steps. [`Worker`] runs
//! them; [`worker`] has what handlers take and what their errors mean. [`Task`] and [`Retry`] say how jobs run, [`testing`] runs them in your
//! tests, [`driver`] is the seam for backends of your own. Every trouble is an [`Error`].

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
