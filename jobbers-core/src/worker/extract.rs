//! What a handler may take beside its parameters.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

use super::{Ctx, Fence, JobError};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, RunId, WorkerId};

/// What a handler may take as an argument before its parameters: [`Ctx`], [`State`], [`Attempt`], [`Fence`], the ids of the job, its run and
/// its worker, and what you implement it for.
///
/// ```
/// use jobbers_core::worker::{Ctx, FromContext, JobError, Needs};
///
/// /// A connection of a pool that the worker has as state.
/// struct Connection(String);
///
/// impl FromContext for Connection {
///     fn needs(needs: &mut Needs) {
///         needs.state::<String>();
///     }
///
///     fn from_context(ctx: &Ctx) -> Result<Connection, JobError> {
///         let url = ctx.state::<String>().ok_or_else(|| JobError::fail("there is no URL"))?;
///         Ok(Connection(url.clone()))
///     }
/// }
///
/// async fn clean(Connection(url): Connection, table: String) -> Result<String, JobError> {
///     Ok(format!("cleaned {table} at {url}"))
/// }
/// # const CLEAN: jobbers_core::task::Task<String, String> = jobbers_core::task::Task::new("clean");
/// # jobbers_core::worker::Worker::queues(["default"]).state("url".to_owned()).task(CLEAN, clean);
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler can not take `{Self}` before its parameters",
    label = "the arguments before the last one are `Ctx`, `State<T>`, `Attempt` and others that implement `FromContext`",
    note = "the parameters are one value, the last argument: put several into a tuple or a struct",
    note = "what the worker shares between its jobs comes as `State<T>`, after `.state(value)` on the worker"
)]
pub trait FromContext: Sized + Send {
    /// Says what of the worker it needs, so that a worker without it does not start. Nothing by default.
    fn needs(needs: &mut Needs) {
        let _ = needs;
    }

    /// Makes it, at the start of each attempt.
    ///
    /// # Errors
    /// What the attempt then ends with.
    fn from_context(ctx: &Ctx) -> Result<Self, JobError>;
}

/// What handlers need of their worker, gathered when they are registered and checked when it starts.
#[derive(Debug, Clone, Default)]
pub struct Needs(Vec<(TypeId, &'static str)>);

impl Needs {
    /// Needs a `T` that [`Worker::state`](super::Worker::state) was given.
    pub fn state<T: Send + Sync + 'static>(&mut self) {
        self.0.push((TypeId::of::<T>(), type_name::<T>()));
    }
}

/// A clone of what [`Worker::state`](super::Worker::state) was given: a pool, a client, a configuration.
///
/// ```
/// use jobbers_core::worker::{JobError, State, Worker};
/// # const MAIL: jobbers_core::task::Task<String> = jobbers_core::task::Task::new("mail.send");
///
/// #[derive(Clone)]
/// struct Mailer { from: &'static str }
///
/// async fn send(State(mailer): State<Mailer>, to: String) -> Result<(), JobError> {
///     println!("from {} to {to}", mailer.from);
///     Ok(())
/// }
///
/// let worker = Worker::queues(["mail"]).state(Mailer { from: "noreply@example.org" }).task(MAIL, send);
/// # let _ = worker;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<T>(
    /// The clone.
    pub T,
);

impl<T: Clone + Send + Sync + 'static> FromContext for State<T> {
    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }

    fn from_context(ctx: &Ctx) -> Result<State<T>, JobError> {
        let missing = || JobError::fail(format!("its worker has no state of type {}; this is a bug", type_name::<T>()));
        ctx.state::<T>().cloned().map(State).ok_or_else(missing)
    }
}

/// The number of the attempt, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(
    /// The number.
    pub u32,
);

/// An extractor that can not fail.
macro_rules! plain {
    ($($of:ty: $made:expr;)*) => {$(
        impl FromContext for $of {
            fn from_context(ctx: &Ctx) -> Result<$of, JobError> {
                let make: fn(&Ctx) -> $of = $made;
                Ok(make(ctx))
            }
        }
    )*};
}
plain! {
    Ctx: Ctx::clone;
    Attempt: |ctx| Attempt(ctx.attempt());
    Fence: Ctx::fence;
    JobId: Ctx::id;
    RunId: Ctx::run;
    WorkerId: Ctx::worker_id;
}

/// What a worker shares between its jobs, one value of a type.
#[derive(Default)]
pub(super) struct States {
    values: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    twice: Option<&'static str>,
}

impl States {
    pub(super) fn add<T: Send + Sync + 'static>(&mut self, value: T) {
        if self.values.insert(TypeId::of::<T>(), Box::new(value)).is_some() {
            self.twice = Some(type_name::<T>());
        }
    }

    pub(super) fn get<T: 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// # Errors
    /// [`ErrorKind::Invalid`] if two values have one type: one of them would be lost.
    pub(super) fn check(&self) -> Result<()> {
        let twice = |of| format!("it is given two states of type {of}; wrap one of them in a type of its own");
        self.twice.map_or(Ok(()), |of| Err(Error::new(ErrorKind::Invalid, "start a worker", twice(of))))
    }

    /// # Errors
    /// [`ErrorKind::Invalid`] if there is not all that the handler of `task` needs.
    pub(super) fn cover(&self, task: impl fmt::Display, needs: &Needs) -> Result<()> {
        match needs.0.iter().find(|(id, _)| !self.values.contains_key(id)) {
            None => Ok(()),
            Some((_, of)) => {
                let why =
                    format!("the handler of {task} needs a state of type {of}, which the worker does not have; add it: .state(value)");
                Err(Error::new(ErrorKind::Invalid, "start a worker", why))
            }
        }
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.values.len())
    }
}
