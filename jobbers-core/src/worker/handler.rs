//! Functions that can stand behind a task.

use std::future::Future;

use super::{Ctx, JobError};

/// An async function that can stand behind a task with parameters `P` and output `O`.
///
/// `Args` names the function's arguments, so that one function never fits two ways: `(P,)` for `async fn(P)`, `(Ctx, P)` for
/// `async fn(Ctx, P)`. Its error is anything that turns into a [`JobError`]: every [`std::error::Error`] does.
pub trait Handler<Args, P, O>: Send + Sync + 'static {
    /// Runs one attempt.
    ///
    /// Not cancel safe, unless the handler is: an attempt that is told to stop and does not is dropped at its next await.
    fn call(&self, ctx: Ctx, parameters: P) -> impl Future<Output = Result<O, JobError>> + Send;
}

impl<F, P, O, E, Fut> Handler<(P,), P, O> for F
where
    F: Fn(P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send,
    E: Into<JobError>,
    P: Send + 'static,
{
    async fn call(&self, _: Ctx, parameters: P) -> Result<O, JobError> {
        self(parameters).await.map_err(Into::into)
    }
}

impl<F, P, O, E, Fut> Handler<(Ctx, P), P, O> for F
where
    F: Fn(Ctx, P) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send,
    E: Into<JobError>,
    P: Send + 'static,
{
    async fn call(&self, ctx: Ctx, parameters: P) -> Result<O, JobError> {
        self(ctx, parameters).await.map_err(Into::into)
    }
}

/// A plain function that can stand behind a task; it runs on a thread of its own and may block.
pub trait BlockingHandler<Args, P, O>: Send + Sync + 'static {
    /// Runs one attempt.
    ///
    /// # Errors
    /// What the function says.
    fn call(&self, ctx: Ctx, parameters: P) -> Result<O, JobError>;
}

impl<F, P, O, E> BlockingHandler<(P,), P, O> for F
where
    F: Fn(P) -> Result<O, E> + Send + Sync + 'static,
    E: Into<JobError>,
{
    fn call(&self, _: Ctx, parameters: P) -> Result<O, JobError> {
        self(parameters).map_err(Into::into)
    }
}

impl<F, P, O, E> BlockingHandler<(Ctx, P), P, O> for F
where
    F: Fn(Ctx, P) -> Result<O, E> + Send + Sync + 'static,
    E: Into<JobError>,
{
    fn call(&self, ctx: Ctx, parameters: P) -> Result<O, JobError> {
        self(ctx, parameters).map_err(Into::into)
    }
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
