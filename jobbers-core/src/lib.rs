//! Core of Jobbers.

pub mod client;
pub mod driver;
pub mod error;
pub mod id;
pub mod machine;
pub mod memory;
pub mod policy;
pub mod record;
pub mod scheduler;
pub mod task;
pub mod telemetry;
pub mod time;
pub mod worker;

pub use error::{Error, ErrorKind, Result};
pub use id::{Ids, JobId, LimitName, Namespace, QueueName, RunId, SmallText, TaskName, WorkerId};
pub use time::{Clock, Draw, DrawSource, ManualClock, SeededDraws, SystemClock, SystemDraws, Timestamp};
