//! Ids and names: newtypes that can not hold a wrong value.

mod job;
mod name;

pub use job::{Ids, JobId, RunId, WorkerId};
pub use name::{LimitName, Namespace, QueueName, SMALL_TEXT_BYTES_MAX, SmallText, TaskName};
