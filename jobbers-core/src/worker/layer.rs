//! tower layers around handlers: for what concerns many of them, and is a matter of this process alone.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::registry::{Call, Done, Run};
use super::{Ctx, JobError, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskName;
use crate::task::{Task, TaskDef};

/// What every error turns into.
type BoxError = Box<dyn StdError + Send + Sync>;
/// Puts a layer around a handler.
type Wrap = Box<dyn Fn(Run) -> Run + Send + Sync>;

impl Worker {
    /// Puts a tower layer around every handler, also of tasks that are registered later; the first layer is the outermost. It is made once
    /// for each task, and cloned for each attempt.
    ///
    /// A layer's error is a failed attempt, as is a panic in it; when the attempt is told to end, its future is dropped with the handler's.
    /// An attempt that waits in a layer holds its slot and its claim, and its time limits run. Layers know this process alone: retries and
    /// limits of all workers are not their matter.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use jobbers_core::worker::{HandlerCall, HandlerService, JobError, Worker};
    /// use tower::{Service, layer::layer_fn, service_fn, timeout::TimeoutLayer};
    /// # const GREET: jobbers_core::task::Task<String> = jobbers_core::task::Task::new("greet");
    ///
    /// let timed = layer_fn(|handler: HandlerService| {
    ///     service_fn(move |call: HandlerCall| {
    ///         let (mut handler, task, started) = (handler.clone(), call.task().clone(), Instant::now());
    ///         async move {
    ///             let ended = handler.call(call).await;
    ///             println!("{task} took {:?}", started.elapsed());
    ///             ended
    ///         }
    ///     })
    /// });
    /// let worker = Worker::queues(["default"])
    ///     .layer(timed)
    ///     .layer_of(GREET, TimeoutLayer::new(Duration::from_secs(5)))
    ///     .task(GREET, async |_: String| Ok::<_, JobError>(()));
    /// # let _ = worker;
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Worker
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<HandlerCall, Response = Handled, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    {
        self.layers.push(None, layer);
        self
    }

    /// Puts a tower layer around the handler of one task, within those of [`layer`](Worker::layer).
    pub fn layer_of<P, O, L>(mut self, task: Task<P, O>, layer: L) -> Worker
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<HandlerCall, Response = Handled, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    {
        self.layers.push(Some(*task.def()), layer);
        self
    }
}

/// An attempt on its way to its handler: the request that a layer sees.
pub struct HandlerCall(Call);

impl HandlerCall {
    /// The attempt.
    pub fn ctx(&self) -> &Ctx {
        &self.0.ctx
    }

    /// The task.
    pub fn task(&self) -> &TaskName {
        &self.0.ctx.job().record.head.task
    }

    /// The task's version.
    pub fn version(&self) -> u32 {
        self.0.ctx.job().record.head.version
    }
}

impl fmt::Debug for HandlerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerCall({}@{}, {:?})", self.task(), self.version(), self.ctx())
    }
}

/// What a handler gave that did not fail: the response that a layer sees. Its output is encoded already.
#[derive(Debug)]
pub struct Handled(Done);

/// A handler's [`JobError`] as a layer sees it, which asks for a [`std::error::Error`]. A layer that passes it on, boxed or not, changes
/// nothing of what the handler asked for.
#[derive(Debug)]
pub struct HandlerError(JobError);

impl HandlerError {
    /// What the handler returned.
    pub fn job_error(&self) -> &JobError {
        &self.0
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for HandlerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.error().source()
    }
}

/// A handler, or one with layers around it already: the service that a layer wraps. It is always ready.
#[derive(Clone)]
pub struct HandlerService(Arc<Run>);

impl Service<HandlerCall> for HandlerService {
    type Response = Handled;
    type Error = HandlerError;
    type Future = Pin<Box<dyn Future<Output = Result<Handled, HandlerError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: HandlerCall) -> Self::Future {
        let running = (self.0)(call.0);
        Box::pin(async move { running.await.map(Handled).map_err(HandlerError) })
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerService")
    }
}

/// The layers that a worker was given, the outermost first: of all tasks, or of one.
#[derive(Default)]
pub(super) struct Layers(Vec<(Option<TaskDef>, Wrap)>);

impl Layers {
    fn push<L>(&mut self, of: Option<TaskDef>, layer: L)
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<HandlerCall, Response = Handled, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    {
        self.0.push((of, Box::new(move |run| around(layer.layer(HandlerService(Arc::new(run)))))));
    }

    /// The handler of a task within its own layers, and those within the layers of all tasks.
    pub(super) fn wrap(&self, task: &TaskDef, run: Run) -> Run {
        let own = self.0.iter().rev().filter(|(of, _)| of.is_some_and(|of| is_same(&of, task)));
        let all = self.0.iter().rev().filter(|(of, _)| of.is_none());
        own.chain(all).fold(run, |run, (_, wrap)| wrap(run))
    }

    /// # Errors
    /// [`ErrorKind::Invalid`] for a layer of a task that the worker does not know.
    pub(super) fn check<'t>(&self, known: impl Iterator<Item = &'t TaskDef> + Clone) -> Result<()> {
        let unknown = self.0.iter().filter_map(|(of, _)| *of).find(|of| !known.clone().any(|known| is_same(of, known)));
        let why = |of| format!("a layer is for {of}, which it does not know; register the task as well");
        unknown.map_or(Ok(()), |of| Err(Error::new(ErrorKind::Invalid, "start a worker", why(of))))
    }
}

fn is_same(one: &TaskDef, other: &TaskDef) -> bool {
    (one.name, one.version) == (other.name, other.version)
}

/// A service as a handler. Each attempt has a clone of its own, as services are meant to be shared.
fn around<S>(service: S) -> Run
where
    S: Service<HandlerCall, Response = Handled, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    // Few services that are `Clone` are not `Sync`; the lock, held for a clone, asks that of none.
    let service = Arc::new(Mutex::new(service));
    Box::new(move |call| {
        let service = service.clone();
        // All of it within the future, where a panic is a failed attempt.
        Box::pin(async move {
            let mut service = service.lock().unwrap_or_else(PoisonError::into_inner).clone();
            poll_fn(|context| service.poll_ready(context)).await.map_err(job_error)?;
            service.call(HandlerCall(call)).await.map(|Handled(done)| done).map_err(job_error)
        })
    })
}

/// The handler's own error if it is that, boxed or not; else a failure of the attempt.
fn job_error(error: impl Into<BoxError>) -> JobError {
    match error.into().downcast::<HandlerError>() {
        Ok(own) => own.0,
        Err(error) => JobError::retry(error),
    }
}
