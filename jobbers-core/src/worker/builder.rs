//! How a worker is put together.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::claim::SPAN_MAX;
use super::error::JobError;
use super::extract::{Needs, States};
use super::handle::WorkerHandle;
use super::handler::{BlockingHandler, Declared, Handler, MapSource};
use super::rate::Pace;
use super::registry::{OnError, Registration, Registry, Run, asynchronous, blocking};
use super::settings::{LeaseRuntime, OnSilence, Settings, Watch, WithScheduler};
use super::{map, start};
use crate::driver::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{QueueName, SmallText, TaskName};
use crate::policy::{Decision, Rate};
use crate::task::{MAP_TASK, Task, TaskDef};

/// A worker to be: the queues that it serves, the tasks that it knows, and how it works.
///
/// ```
/// use jobbers_core::client::Client;
/// use jobbers_core::task::Task;
/// use jobbers_core::worker::{Ctx, JobError, Worker};
///
/// const GREET: Task<String, String> = Task::new("greet");
///
/// async fn greet(ctx: Ctx, name: String) -> Result<String, JobError> {
///     ctx.step("greeting");
///     Ok(format!("hello, {name}"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
/// let backend = jobbers_core::memory::open();
/// let worker = Worker::queues(["default"]).slots(4).task(GREET, greet).start(&backend).await?;
/// let job = Client::new(&backend).submit(GREET, &"anna".to_owned()).await?;
/// assert_eq!(job.output().await?, "hello, anna");
/// worker.stop().await?;
/// # Ok(()) }
/// ```
#[must_use = "a worker does nothing until it is started"]
pub struct Worker {
    pub(super) settings: Settings,
    queues: Vec<String>,
    name: Option<String>,
    tasks: Vec<(TaskDef, Run, Needs)>,
    states: States,
    on_errors: Vec<(TaskDef, OnError)>,
    rates: Vec<(TaskDef, Rate)>,
    #[cfg(feature = "tower")]
    pub(super) layers: super::layer::Layers,
}

impl Worker {
    /// A worker that serves these queues; each gets its turn.
    pub fn queues<Q: AsRef<str>>(queues: impl IntoIterator<Item = Q>) -> Worker {
        let queues = queues.into_iter().map(|queue| queue.as_ref().to_owned()).collect();
        Worker {
            settings: Settings::new(),
            queues,
            name: None,
            tasks: Vec::new(),
            states: States::default(),
            on_errors: Vec::new(),
            rates: Vec::new(),
            #[cfg(feature = "tower")]
            layers: Default::default(),
        }
    }

    /// Gives it a name that it keeps over restarts, at most 80 bytes: what its last incarnation has left is rescued at its start, without
    /// waiting for leases. Two live workers with one name both work.
    pub fn name(mut self, name: impl Into<String>) -> Worker {
        self.name = Some(name.into());
        self
    }

    /// Sets how many attempts run at once; as many as the machine has processors by default.
    pub fn slots(mut self, slots: usize) -> Worker {
        self.settings.slots = slots;
        self
    }

    /// Sets how often its attempts may start, whatever the others do; as often as there are jobs and slots by default. Jobs that it may not
    /// start yet stay in their queues, for whoever may.
    ///
    /// A guard of this machine, or of what it alone talks to. In any time `t` at most `count * t / period + burst` attempts start; a burst
    /// below 2 counts as 2, since the worker keeps one ready while it looks for jobs.
    pub fn rate(mut self, rate: Rate) -> Worker {
        self.settings.rate = Some(rate);
        self
    }

    /// Sets how often attempts of a task may start in this worker. Those that may not yet wait in their slots, and are put off once that
    /// takes half a lease, which counts as no failure: a task with many jobs and a low rate is better off in a worker, and a queue, of its
    /// own.
    pub fn rate_of<P, O>(mut self, task: Task<P, O>, rate: Rate) -> Worker {
        self.rates.push((*task.def(), rate));
        self
    }

    /// Sets how long a claim holds unless it is renewed, which the worker does by itself; 15 s by default. What a vanished worker held
    /// waits so long.
    pub fn lease(mut self, lease: Duration) -> Worker {
        self.settings.lease = lease;
        self
    }

    /// Sets how long running attempts may go on when the worker is stopped; 30 s by default.
    pub fn grace(mut self, grace: Duration) -> Worker {
        self.settings.grace = grace.min(SPAN_MAX);
        self
    }

    /// Sets how often the store is told what one attempt says of itself; at most once a second by default.
    pub fn step_interval(mut self, interval: Duration) -> Worker {
        self.settings.step_interval = interval.min(SPAN_MAX);
        self
    }

    /// Sets whether it runs a scheduler; it does by default.
    pub fn scheduler(mut self, scheduler: WithScheduler) -> Worker {
        self.settings.scheduler = scheduler;
        self
    }

    /// Sets where leases are renewed; on a thread of its own by default.
    pub fn lease_runtime(mut self, runtime: LeaseRuntime) -> Worker {
        self.settings.lease_runtime = runtime;
        self
    }

    /// Sets what happens to attempts whose handler is silent for longer than its task's `heartbeat_every`; they are shown as stalled by
    /// default.
    pub fn on_silence(mut self, on_silence: OnSilence) -> Worker {
        self.settings.on_silence = on_silence;
        self
    }

    /// Gives its handlers a value that they share, which they take as [`State<T>`](super::State): a pool, a client. One of each type.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Worker {
        self.states.add(value);
        self
    }

    /// Registers a task: `async fn(P) -> Result<O, E>`, or with up to five arguments before its parameters, each a
    /// [`FromContext`](super::FromContext): `async fn(Ctx, State<Pool>, P) -> Result<O, E>`.
    pub fn task<Args, P, O, H>(mut self, task: Task<P, O>, handler: H) -> Worker
    where
        Args: 'static,
        P: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        H: Handler<Args, P, O>,
    {
        let mut needs = Needs::default();
        H::needs(&mut needs);
        self.tasks.push((*task.def(), asynchronous(*task.def(), handler), needs));
        self
    }

    /// Registers a task together with its handler, as `#[task(..)]` makes them of a function: `.register::<send_mail>()`.
    pub fn register<D: Declared>(self) -> Worker {
        D::register(self)
    }

    /// Registers a task whose function blocks: `fn(P) -> Result<O, E>`, with arguments before as for
    /// [`task`](Worker::task); each attempt gets a thread.
    ///
    /// A thread can not be stopped from outside: an attempt that is told to end ends at once, but its slot stays taken until the function
    /// returns. Look at [`Ctx::is_cancelled`](super::Ctx::is_cancelled) now and then.
    pub fn blocking<Args, P, O, H>(mut self, task: Task<P, O>, handler: H) -> Worker
    where
        Args: 'static,
        P: DeserializeOwned + 'static,
        O: Serialize + 'static,
        H: BlockingHandler<Args, P, O>,
    {
        let mut needs = Needs::default();
        H::needs(&mut needs);
        self.tasks.push((*task.def(), blocking(*task.def(), handler), needs));
        self
    }

    /// Registers the source of a map: `async fn(Ctx, S, cursor: u64, most: usize) -> Result<MapPage<I>, E>`.
    pub fn map_source<S, I, H>(mut self, task: Task<S, ()>, source: H) -> Worker
    where
        S: DeserializeOwned + Send + 'static,
        I: Serialize + Send + 'static,
        H: MapSource<S, I>,
    {
        self.tasks.push((*task.def(), map::of_source(*task.def(), source), Needs::default()));
        self
    }

    /// Decides over errors that a task's handler leaves to its policy.
    pub fn on_error<P, O>(mut self, task: Task<P, O>, decide: impl Fn(&JobError) -> Decision + Send + Sync + 'static) -> Worker {
        self.on_errors.push((*task.def(), Box::new(decide)));
        self
    }

    /// Tells it whom to tell of each moment at which a handler meets its attempt.
    pub(crate) fn watched(mut self, watch: Watch) -> Worker {
        self.settings.watch = Some(watch);
        self
    }

    /// How long its claims hold.
    pub(crate) fn leases(&self) -> Duration {
        self.settings.lease
    }

    /// The queues that it serves, not checked yet.
    pub(crate) fn serves(&self) -> &[String] {
        &self.queues
    }

    /// Starts it on the runtime that asks: recovers what workers that are gone have left, and fetches.
    ///
    /// Not cancel safe: dropped, a recovery may be half done, which the next start completes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for no queues, no tasks, no slots, a name that breaks its rule, a task that is registered twice, a state
    /// that a handler needs and the worker does not have, or two of one type; what the backend says to the first calls.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(self, backend: &Backend) -> Result<WorkerHandle> {
        let (settings, registry, states) = self.checked()?;
        start::start(backend, settings, registry, states).await
    }

    fn checked(mut self) -> Result<(Settings, Registry, States)> {
        self.settings.queues = self.queues.iter().map(|queue| QueueName::new(queue)).collect::<Result<_>>()?;
        self.settings.name = self.name.as_deref().map(worker_name).transpose()?;
        self.settings.check()?;
        if self.tasks.is_empty() {
            return Err(invalid("it knows no task; register one: .task(MAIL, send_mail)".into()));
        }
        self.states.check()?;
        #[cfg(feature = "tower")]
        self.layers.check(self.tasks.iter().map(|(def, ..)| def))?;
        let mut registry = Registry::default();
        for (def, run, needs) in self.tasks {
            let decides = self.on_errors.iter().position(|(of, _)| (of.name, of.version) == (def.name, def.version));
            let on_error = decides.map(|at| self.on_errors.swap_remove(at).1);
            let rated = self.rates.iter().position(|(of, _)| (of.name, of.version) == (def.name, def.version));
            let pace = rated.map(|at| Pace::new(&self.rates.swap_remove(at).1));
            self.states.cover(def, &needs)?;
            #[cfg(feature = "tower")]
            let run = self.layers.wrap(&def, run);
            registry.add(def.checked()?.task, def.version, Registration { run, on_error, pace })?;
        }
        if let Some((def, _)) = self.rates.first() {
            return Err(invalid(format!("rate_of names {def}, which it does not know, or twice; register the task as well")));
        }
        if let Some((def, _)) = self.on_errors.first() {
            return Err(invalid(format!("on_error names {def}, which it does not know, or twice; register the task as well")));
        }
        registry.add(TaskName::new(MAP_TASK)?, 1, Registration { run: map::of_list(), on_error: None, pace: None })?;
        Ok((self.settings, registry, self.states))
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tasks: Vec<String> = self.tasks.iter().map(|(def, ..)| def.to_string()).collect();
        f.debug_struct("Worker").field("queues", &self.queues).field("name", &self.name).field("tasks", &tasks).finish_non_exhaustive()
    }
}

fn invalid(why: String) -> Error {
    Error::new(ErrorKind::Invalid, "start a worker", why)
}

fn worker_name(name: &str) -> Result<SmallText> {
    if name.is_empty() || name.len() > 80 || name.chars().any(char::is_control) {
        let shown: String = name.chars().take(100).collect();
        return Err(invalid(format!("{shown:?} is no name of a worker; give it 1 to 80 bytes of plain text, or none")));
    }
    Ok(SmallText::new(name))
}
