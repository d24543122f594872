//! Tasks: named, versioned code. The handle of one is all that a producer needs.

mod codec;
mod def;
pub mod payload;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

pub use codec::Codec;
pub use def::{CheckedTask, MAP_TASK, TaskDef};

use crate::policy::{OnStop, Retry};
use crate::record::Priority;

/// Handle of a task: its name and version, how its jobs run unless a submit says otherwise, and the types of its parameters and output.
///
/// It is made in a constant that producers and workers share; names are checked where they are used, at submit and when a worker starts.
///
/// ```
/// use std::time::Duration;
/// use jobbers_core::policy::Retry;
/// use jobbers_core::task::Task;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Mail { to: String }
///
/// const MAIL: Task<Mail> = Task::new("mail.send")
///     .version(2)
///     .queue("mail")
///     .retry(Retry::linear(Duration::from_secs(30)).failures_max(8))
///     .timeout(Duration::from_secs(60));
/// assert_eq!(MAIL.def().name, "mail.send");
/// ```
pub struct Task<P, O = ()> {
    def: TaskDef,
    types: PhantomData<fn(P) -> O>,
}

impl<P, O> Task<P, O> {
    /// Names a task: version 1, queue `default`, JSON, [`Retry::DEFAULT`], no time limits.
    pub const fn new(name: &'static str) -> Task<P, O> {
        Task { def: TaskDef::new(name), types: PhantomData }
    }

    /// What is known of the task without its types.
    pub const fn def(&self) -> &TaskDef {
        &self.def
    }

    const fn with(def: TaskDef) -> Task<P, O> {
        Task { def, types: PhantomData }
    }

    /// Sets the version; 1 by default. A worker runs the jobs of the versions that it has registered.
    #[must_use]
    pub const fn version(self, version: u32) -> Task<P, O> {
        Task::with(TaskDef { version, ..self.def })
    }

    /// Sets the queue; `default` by default.
    #[must_use]
    pub const fn queue(self, queue: &'static str) -> Task<P, O> {
        Task::with(TaskDef { queue, ..self.def })
    }

    /// Sets the level in the queue; normal by default.
    #[must_use]
    pub const fn priority(self, priority: Priority) -> Task<P, O> {
        Task::with(TaskDef { priority, ..self.def })
    }

    /// Sets how parameters and outputs are written; JSON by default. Jobs that were submitted before are read as they were written.
    #[must_use]
    pub const fn codec(self, codec: Codec) -> Task<P, O> {
        Task::with(TaskDef { codec, ..self.def })
    }

    /// Sets when a failed job is tried again; [`Retry::DEFAULT`] by default.
    #[must_use]
    pub const fn retry(self, retry: Retry) -> Task<P, O> {
        Task::with(TaskDef { retry, ..self.def })
    }

    /// Sets how long one attempt may take; no limit by default.
    #[must_use]
    pub const fn timeout(self, most: Duration) -> Task<P, O> {
        Task::with(TaskDef { attempt_timeout: Some(most), ..self.def })
    }

    /// Sets how often the handler has to give a sign of life; none is asked for by default.
    #[must_use]
    pub const fn heartbeat_every(self, every: Duration) -> Task<P, O> {
        Task::with(TaskDef { heartbeat_every: Some(every), ..self.def })
    }

    /// Sets what a worker that stops does with an attempt when its grace is over; handed back by default.
    #[must_use]
    pub const fn on_stop(self, on_stop: OnStop) -> Task<P, O> {
        Task::with(TaskDef { on_stop, ..self.def })
    }

    /// Sets how long after its submit a job gives up, whatever it is doing; never by default.
    #[must_use]
    pub const fn deadline_after(self, after: Duration) -> Task<P, O> {
        Task::with(TaskDef { deadline_after: Some(after), ..self.def })
    }

    /// Sets how long after its submit a job gives up if no attempt has started; never by default.
    #[must_use]
    pub const fn expires_after(self, after: Duration) -> Task<P, O> {
        Task::with(TaskDef { expires_after: Some(after), ..self.def })
    }
}

// By hand: a handle is copied whatever its types are.
impl<P, O> Clone for Task<P, O> {
    fn clone(&self) -> Task<P, O> {
        *self
    }
}

impl<P, O> Copy for Task<P, O> {}

impl<P, O> fmt::Debug for Task<P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.def).finish()
    }
}
