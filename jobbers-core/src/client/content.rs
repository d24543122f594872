//! What a submission says: two with one id are the same job only if they say the same.

use crate::error::{Error, ErrorKind};
use crate::id::{JobId, QueueName, TaskName};
use crate::machine::Job;
use crate::record::digest;
use crate::task::payload::Payload;

/// What counts: task, version, queue, parameters and the options as they were given; the trace context, and what a task's definition adds,
/// do not.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) task: TaskName,
    pub(super) version: u32,
    pub(super) queue: QueueName,
    pub(super) options: String,
}

impl Content {
    pub(super) fn digest(&self, parameters: &[u8]) -> [u8; 16] {
        let version = self.version.to_be_bytes();
        let parts: [&[u8]; 5] =
            [self.task.as_str().as_bytes(), &version, self.queue.as_str().as_bytes(), parameters, self.options.as_bytes()];
        digest(&parts)
    }

    /// Whether `stored` says the same. Parameters are compared as values where they can be: a hash map is written in another order each
    /// time, and a task may have changed its codec.
    pub(super) fn is_same(&self, parameters: &Payload, stored: &Job) -> bool {
        let spec = &stored.spec;
        if parameters.content_type() == spec.content_type.as_str() && self.digest(parameters.bytes()) == spec.digest {
            return true;
        }
        let there = Payload::new(spec.content_type.clone(), spec.parameters.clone());
        self.digest(there.bytes()) == spec.digest && parameters.value().is_some_and(|given| Some(given) == there.value())
    }

    /// The id is taken by something else.
    pub(super) fn conflict(&self, id: JobId, stored: &Job) -> Error {
        let head = &stored.record.head;
        let differs = if (&head.task, head.version) != (&self.task, self.version) {
            "another task"
        } else if head.queue != self.queue {
            "another queue"
        } else if self.digest(&stored.spec.parameters) == stored.spec.digest {
            "other parameters"
        } else {
            "other parameters or options"
        };
        let why = format!(
            "{id} is taken: {}@{} in queue {}, submitted {}, now {}; this one, {}@{} in queue {}, has {differs}. Submit it with an id of its own",
            head.task, head.version, head.queue, head.created_at, head.state, self.task, self.version, self.queue,
        );
        Error::new(ErrorKind::Conflict, "submit a job", why)
    }
}
