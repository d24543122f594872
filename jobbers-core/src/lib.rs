//! Core of Jobbers.

pub mod id;
pub mod time;
pub mod error;
pub mod record;
pub mod policy;
pub mod driver;

pub use error::{Error, ErrorKind, Result};
pub use id::{Ids, JobId, LimitName, Namespace, QueueName, RunId, SmallText, TaskName, WorkerId};
pub use time::{Clock, Draw, DrawSource, ManualClock, SeededDraws, SystemClock, SystemDraws, Timestamp};
