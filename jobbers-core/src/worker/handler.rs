//! Functions that can stand behind a task.

use std::future::Future;

use super::{Ctx, FromContext, JobError, Needs, Worker};

/// An async function that can stand behind a task with parameters `P` and output `O`.
///
/// It takes its parameters last, and before them up to five of what implements [`FromContext`]: `async fn(P)`, `async fn(Ctx, P)`,
/// `async fn(State<Pool>, Attempt, P)`. `Args` names the arguments, so that one function never fits two ways. Its error is anything that
/// turns into a [`JobError`]: every [`std::error::Error`] does.
#[diagnostic::on_unimplemented(
    message = "this function can not stand behind a task with parameters `{P}` and output `{O}`",
    label = "it should be `async fn(.., {P}) -> Result<{O}, E>`",
    note = "its last argument has the task's type of parameters; those before it implement `FromContext`: `Ctx`, `State<T>`, `Attempt`, ..",
    note = "it is async (for one that blocks use `.blocking(..)`), its future is `Send`, and `E` turns into a `JobError`, as every error does"
)]
pub trait Handler<Args, P, O>: Send + Sync + 'static {
    /// Says what the arguments need of the worker.
    fn needs(needs: &mut Needs);

    /// Runs one attempt.
    ///
    /// Not cancel safe, unless the handler is: an attempt that is told to stop and does not is dropped at its next await.
    fn call(&self, ctx: Ctx, parameters: P) -> impl Future<Output = Result<O, JobError>> + Send;
}

/// A plain function that can stand behind a task; it runs on a thread of its own and may block. Its arguments are those of a [`Handler`].
#[diagnostic::on_unimplemented(
    message = "this function can not stand behind a task with parameters `{P}` and output `{O}`",
    label = "it should be `fn(.., {P}) -> Result<{O}, E>`",
    note = "its last argument has the task's type of parameters; those before it implement `FromContext`: `Ctx`, `State<T>`, `Attempt`, ..",
    note = "it is not async, and `E` turns into a `JobError`, as every error does"
)]
pub trait BlockingHandler<Args, P, O>: Send + Sync + 'static {
    /// Says what the arguments need of the worker.
    fn needs(needs: &mut Needs);

    /// Runs one attempt.
    ///
    /// # Errors
    /// What the function says.
    fn call(&self, ctx: Ctx, parameters: P) -> Result<O, JobError>;
}

/// Both kinds of handlers for functions with these arguments before their parameters.
macro_rules! handlers {
    ($($before:ident)*) => {
        impl<F, $($before,)* P, O, E, Fut> Handler<($($before,)* P,), P, O> for F
        where
            F: Fn($($before,)* P) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<O, E>> + Send,
            E: Into<JobError>,
            $($before: FromContext,)*
            P: Send + 'static,
        {
            fn needs(_needs: &mut Needs) {
                $($before::needs(_needs);)*
            }

            async fn call(&self, _ctx: Ctx, parameters: P) -> Result<O, JobError> {
                self($($before::from_context(&_ctx)?,)* parameters).await.map_err(Into::into)
            }
        }

        impl<F, $($before,)* P, O, E> BlockingHandler<($($before,)* P,), P, O> for F
        where
            F: Fn($($before,)* P) -> Result<O, E> + Send + Sync + 'static,
            E: Into<JobError>,
            $($before: FromContext,)*
        {
            fn needs(_needs: &mut Needs) {
                $($before::needs(_needs);)*
            }

            fn call(&self, _ctx: Ctx, parameters: P) -> Result<O, JobError> {
                self($($before::from_context(&_ctx)?,)* parameters).map_err(Into::into)
            }
        }
    };
}
handlers!();
handlers!(A);
handlers!(A B);
handlers!(A B C);
handlers!(A B C D);
handlers!(A B C D G);

/// A task together with its handler: what `#[task(..)]` makes of a function, and as easily written by hand.
///
/// ```
/// use jobbers_core::task::Task;
/// use jobbers_core::worker::{Declared, JobError, Worker};
///
/// struct Greet;
///
/// impl Greet {
///     const TASK: Task<String, String> = Task::new("greet");
/// }
///
/// impl Declared for Greet {
///     fn register(worker: Worker) -> Worker {
///         worker.task(Greet::TASK, async |name: String| Ok::<_, JobError>(format!("hello, {name}")))
///     }
/// }
/// let worker = Worker::queues(["default"]).register::<Greet>();
/// # let _ = worker;
/// ```
pub trait Declared {
    /// Registers the task with its handler.
    fn register(worker: Worker) -> Worker;
}

/// An async function that gives a map its items, page by page.
pub trait MapSource<S, I>: Send + Sync + 'static {
    /// Items from place `cursor` of the list on, at most `most`. The list has to be the same for every attempt.
    ///
    /// Not cancel safe, unless the function is.
    fn page(&self, ctx: Ctx, parameters: S, cursor: u64, most: usize) -> impl Future<Output = Result<MapPage<I>, JobError>> + Send;
}

impl<F, S, I, E, Fut> MapSource<S, I> for F
where
    F: Fn(Ctx, S, u64, usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<MapPage<I>, E>> + Send,
    E: Into<JobError>,
    S: Send + 'static,
    I: Send,
{
    async fn page(&self, ctx: Ctx, parameters: S, cursor: u64, most: usize) -> Result<MapPage<I>, JobError> {
        self(ctx, parameters, cursor, most).await.map_err(Into::into)
    }
}

/// Some items of a map's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapPage<I> {
    /// The items, in the order of the list.
    pub items: Vec<I>,
    /// Whether the list goes on behind them.
    pub last: MapEnd,
}

/// Whether a map's list goes on behind a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapEnd {
    /// It does, or may: an empty page is asked for again later.
    More,
    /// This was the last page.
    Last,
}
