//! The tasks that a worker knows, each with its boxed handler.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::rate::Pace;
use super::{BlockingHandler, Ctx, Handler, JobError};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskName;
use crate::policy::Decision;
use crate::task::{Codec, TaskDef, payload};

/// One call of a handler.
pub(super) struct Call {
    pub(super) ctx: Ctx,
    /// Held by whatever still runs: a blocking handler can not be dropped.
    pub(super) slot: Arc<OwnedSemaphorePermit>,
}

/// What a handler did.
#[derive(Debug)]
pub(super) enum Done {
    /// It succeeded.
    Output(Bytes),
    /// It is a map: these are its next items, and it goes on after a pause.
    Chunk { items: Vec<Bytes>, pause: Duration },
}

/// A handler's future, boxed once a job.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Done, JobError>> + Send>>;
/// A handler, without its types.
pub(super) type Run = Box<dyn Fn(Call) -> Running + Send + Sync>;
/// What to do about an error that the handler leaves to the policy.
pub(super) type OnError = Box<dyn Fn(&JobError) -> Decision + Send + Sync>;

/// A task that the worker knows.
pub(super) struct Registration {
    pub(super) run: Run,
    pub(super) on_error: Option<OnError>,
    /// How often its attempts may start in this worker.
    pub(super) pace: Option<Pace>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration")
    }
}

/// All tasks that a worker knows.
#[derive(Debug, Default)]
pub(super) struct Registry {
    tasks: HashMap<(TaskName, u32), Registration>,
    has_rates: bool,
}

impl Registry {
    /// # Errors
    /// [`ErrorKind::Invalid`] if the task is registered already.
    pub(super) fn add(&mut self, task: TaskName, version: u32, registration: Registration) -> Result<()> {
        let twice = format!("task {task}@{version} is registered twice; register it once, or give the other one another name or version");
        self.has_rates |= registration.pace.is_some();
        match self.tasks.insert((task, version), registration) {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Invalid, "start a worker", twice)),
        }
    }

    pub(super) fn get(&self, task: &TaskName, version: u32) -> Option<&Registration> {
        self.tasks.get(&(task.clone(), version))
    }

    /// Whether a task of it has a rate: else nobody looks for one.
    pub(super) fn has_rates(&self) -> bool {
        self.has_rates
    }

    pub(super) fn tasks(&self) -> Vec<(TaskName, u32)> {
        self.tasks.keys().cloned().collect()
    }
}

/// Boxes an async handler.
pub(super) fn asynchronous<Args, P, O, H>(def: TaskDef, handler: H) -> Run
where
    Args: 'static,
    P: DeserializeOwned + Send + 'static,
    O: Serialize + 'static,
    H: Handler<Args, P, O>,
{
    let handler = Arc::new(handler);
    Box::new(move |call: Call| {
        let handler = handler.clone();
        Box::pin(async move {
            // Held until the handler ends or is dropped.
            let _slot = call.slot;
            let parameters = parameters(&def, &call.ctx)?;
            let codec = codec(&call.ctx)?;
            let output = handler.call(call.ctx, parameters).await?;
            encoded(&def, codec, &output)
        })
    })
}

/// Boxes a blocking handler.
pub(super) fn blocking<Args, P, O, H>(def: TaskDef, handler: H) -> Run
where
    Args: 'static,
    P: DeserializeOwned + 'static,
    O: Serialize + 'static,
    H: BlockingHandler<Args, P, O>,
{
    let handler = Arc::new(handler);
    Box::new(move |call: Call| {
        let handler = handler.clone();
        Box::pin(async move {
            let thread = tokio::task::spawn_blocking(move || {
                // The slot stays taken for as long as the thread is, also when the attempt has ended.
                let _slot = call.slot;
                let parameters = parameters(&def, &call.ctx)?;
                let codec = codec(&call.ctx)?;
                let output = handler.call(call.ctx, parameters)?;
                encoded(&def, codec, &output)
            });
            match thread.await {
                Ok(done) => done,
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is shutting down and has not started it.
                Err(_) => Err(JobError::hand_back()),
            }
        })
    })
}

/// The parameters of an attempt. Another attempt would not decode them either.
pub(super) fn parameters<P: DeserializeOwned>(def: &TaskDef, ctx: &Ctx) -> Result<P, JobError> {
    let spec = &ctx.job().spec;
    payload::decode_parameters(spec.content_type.as_str(), def.name, &spec.parameters).map_err(JobError::fail)
}

/// The codec of the job, which may not be that of its task any more.
pub(super) fn codec(ctx: &Ctx) -> Result<Codec, JobError> {
    Codec::of(ctx.job().spec.content_type.as_str()).map_err(JobError::fail)
}

fn encoded<O: Serialize>(def: &TaskDef, codec: Codec, output: &O) -> Result<Done, JobError> {
    payload::encode_output(codec, def.name, output).map(Done::Output).map_err(JobError::fail)
}
