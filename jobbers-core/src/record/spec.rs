//! What was submitted.

use std::time::Duration;

use ::bytes::Bytes;

use super::bytes::Versioned;
use super::{Priority, Unknown, coded, tagged};
use crate::id::{QueueName, SmallText, TaskName};
use crate::policy::{OnStop, Retry};
use crate::time::Timestamp;

/// What was submitted: parameters, policy, and the job's place in its run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spec {
    /// The parameters' bytes, at most [`PARAMETERS_BYTES_MAX`](super::PARAMETERS_BYTES_MAX).
    pub parameters: Bytes,
    /// What they are, and what the output will be: `application/json`.
    pub content_type: SmallText,
    /// 128 bits over task, version, queue, parameters and options: is it the same submission?
    pub digest: [u8; 16],
    /// When to try again.
    pub retry: Retry,
    /// How long one attempt may take.
    pub attempt_timeout: Option<Duration>,
    /// How often the handler has to give a sign of life.
    pub heartbeat_every: Option<Duration>,
    /// What a worker that stops does with the attempt when its grace is over.
    pub on_stop: OnStop,
    /// When the whole job gives up.
    pub deadline: Option<Timestamp>,
    /// When the job gives up if no attempt has started.
    pub expires_at: Option<Timestamp>,
    /// Steps that this one's end releases.
    pub edges: Vec<Edge>,
    /// Steps that this one waits for, in order.
    pub parents: Vec<Span>,
    /// Which ends of the parents let the job run.
    pub rule: Rule,
    /// The first number for a step that the handler adds.
    pub next_step: u32,
    /// How many numbers from there on are this job's to give away: to its follow-ups, and to theirs.
    pub step_room: u32,
    /// The trace context of the submit: name and value.
    pub trace: Vec<TracePair>,
    /// For a map: what it spreads, and how far it is.
    pub map: Option<Box<MapPlan>>,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Spec {
    1 => parameters, 2 => content_type, 3 => digest, 4 => retry.backoff, 5 => attempt_timeout, 6 => heartbeat_every, 7 => on_stop, 8 => deadline,
    9 => expires_at, 10 => edges, 11 => parents, 12 => rule, 13 => next_step, 14 => trace, 15 => map,
    16 => retry.base, 17 => retry.cap, 18 => retry.jitter, 19 => retry.failures_max, 20 => retry.losses_max,
    21 => step_room,
});

impl Versioned for Spec {
    const WHAT: &'static str = "spec";
}

/// One header of a trace context.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TracePair {
    /// `traceparent`.
    pub name: SmallText,
    /// Its value.
    pub value: SmallText,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(TracePair { 1 => name, 2 => value });

/// An edge to a child: a driver names its keys before it reads, so queue and priority are the child's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edge {
    /// The child's step.
    pub step: u32,
    /// The child's queue.
    pub queue: QueueName,
    /// The child's priority.
    pub priority: Priority,
    /// When the child expires, as its own spec says.
    pub expires_at: Option<Timestamp>,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Edge { 1 => step, 2 => queue, 3 => priority, 4 => expires_at });

/// Steps with numbers in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Span {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Span { 1 => first, 2 => count });

/// Which ends of the parents let a job run; decided from the head's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rule {
    /// All succeeded.
    #[default]
    AllSucceeded,
    /// All ended, however.
    AllEnded,
}
coded!(Rule { 0 => AllSucceeded, 1 => AllEnded });

impl Rule {
    /// Whether the job may run, given how its parents ended.
    pub fn holds(self, head: &super::Head) -> bool {
        match self {
            Rule::AllSucceeded => head.failed == 0 && head.skipped == 0,
            Rule::AllEnded => true,
        }
    }
}

/// What a map spreads, and how far it is. Items have the steps from 2 on, in the order of the list; the join is step 1.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MapPlan {
    /// The task of the items.
    pub item: Template,
    /// The join's queue.
    pub join_queue: QueueName,
    /// The join's priority.
    pub join_priority: Priority,
    /// Items inserted so far: the next one is read at this place of the list.
    pub cursor: u64,
    /// Most items that may be unended at a time.
    pub window: u32,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(MapPlan { 1 => item, 2 => join_queue, 3 => join_priority, 4 => cursor, 5 => window });

/// What all items of a map have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template {
    /// Their task.
    pub task: TaskName,
    /// Its version.
    pub version: u32,
    /// Their queue.
    pub queue: QueueName,
    /// Their priority.
    pub priority: Priority,
    /// When to try again.
    pub retry: Retry,
    /// How long one attempt may take.
    pub attempt_timeout: Option<Duration>,
    /// How often the handler has to give a sign of life.
    pub heartbeat_every: Option<Duration>,
    /// What a worker that stops does with them.
    pub on_stop: OnStop,
    /// Fields of a newer version.
    pub unknown: Unknown,
}
tagged!(Template { 1 => task, 2 => version, 3 => queue, 4 => priority, 5 => retry.backoff, 6 => attempt_timeout, 7 => heartbeat_every, 8 => on_stop,
    9 => retry.base, 10 => retry.cap, 11 => retry.jitter, 12 => retry.failures_max, 13 => retry.losses_max });
