//! The opened set of queue, store and limiter.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::instrument;
use super::{Capabilities, Capability, Dispatch, Queue, RateLimiter, StateStore, Take};
use crate::error::{Error, ErrorKind, Result};
use crate::time::{Clock, DrawSource, SystemClock, SystemDraws};

/// Makes a second store and limiter on the runtime that asks, so that a blocked runtime of the user loses no lease.
#[async_trait]
pub trait Open: Debug + Send + Sync + 'static {
    /// Opens them. A driver without I/O bound to a runtime returns those that it has.
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)>;
}

/// The parts of a backend, as drivers give them.
#[derive(Debug, Clone)]
pub struct BackendParts {
    /// The driver's name, for messages and reports: `redb`.
    pub name: &'static str,
    /// Where it lies, without credentials: `redb:/var/lib/jobs.redb`.
    pub location: String,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The store.
    pub store: Arc<dyn StateStore>,
    /// Who dispatches: how the store was opened.
    pub dispatch: Dispatch,
    /// Whether queue and store are one driver's, opened together.
    pub paired: bool,
    /// The limiter.
    pub limiter: Arc<dyn RateLimiter>,
    /// The fast path, where the driver has one.
    pub take: Option<Arc<dyn Take>>,
    /// The time; the system's by default.
    pub clock: Arc<dyn Clock>,
    /// Where ULIDs, nonces and jitter come from; the system's by default.
    pub draw: Arc<dyn DrawSource>,
    /// Opens a second store and limiter.
    pub open: Arc<dyn Open>,
}

impl BackendParts {
    /// The system's clock and draws.
    pub fn system() -> (Arc<dyn Clock>, Arc<dyn DrawSource>) {
        (Arc::new(SystemClock), Arc::new(SystemDraws))
    }
}

/// An opened backend: cheap to clone, shared by clients, workers and schedulers.
///
/// Every driver call goes through one layer, which checks arguments, refuses what the capabilities exclude, and makes spans and metrics.
#[derive(Debug, Clone)]
pub struct Backend {
    parts: Arc<BackendParts>,
    capabilities: Capabilities,
    bell: Arc<Notify>,
}

impl Backend {
    /// Puts a backend together.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a store that dispatches itself is given a foreign queue, or does not claim
    /// [`Capability::AtomicDispatch`]; or the other way round.
    pub fn new(mut parts: BackendParts) -> Result<Backend> {
        let own = parts.dispatch == Dispatch::Own;
        let refused = |why: &str| Err(Error::new(ErrorKind::Invalid, "open a backend", format!("{}: {why}", parts.location)));
        if own && !parts.paired {
            return refused("its store dispatches into its own queue, but it was given another one; open the store with Dispatch::Caller");
        }
        if own != parts.store.capabilities().has(Capability::AtomicDispatch) {
            return refused("a store claims atomic-dispatch exactly if it was opened with Dispatch::Own");
        }
        let capabilities = capabilities_of(&parts);
        parts.queue = instrument::queue(parts.queue, parts.name);
        parts.store = instrument::store(parts.store, parts.name);
        parts.limiter = instrument::limiter(parts.limiter, parts.name);
        parts.take = parts.take.map(|take| instrument::take(take, parts.name));
        Ok(Backend { parts: Arc::new(parts), capabilities, bell: Arc::default() })
    }

    /// The same backend without its fast path: every claim goes the long way.
    #[must_use]
    pub fn without_take(&self) -> Backend {
        let parts = BackendParts { take: None, ..self.parts() };
        Backend { parts: Arc::new(parts), ..self.clone() }
    }

    /// Its parts, to put together another backend with something before some of them: what counts their calls, or cuts them. Each is checked
    /// and measured already, and is so once more in another backend.
    pub fn parts(&self) -> BackendParts {
        BackendParts::clone(&self.parts)
    }

    /// The driver's name.
    pub fn name(&self) -> &'static str {
        self.parts.name
    }

    /// Where it lies, without credentials.
    pub fn location(&self) -> &str {
        &self.parts.location
    }

    /// Priority and Fifo are the queue's, AtomicDispatch and List the store's, Durable and MultiProcess only what all three have.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Who dispatches.
    pub fn dispatch(&self) -> Dispatch {
        self.parts.dispatch
    }

    /// The queue.
    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.parts.queue
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.parts.store
    }

    /// The limiter.
    pub fn limiter(&self) -> &Arc<dyn RateLimiter> {
        &self.parts.limiter
    }

    /// The fast path, where the driver has one.
    pub fn take(&self) -> Option<&Arc<dyn Take>> {
        self.parts.take.as_ref()
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.parts.clock
    }

    /// Where ULIDs, nonces and jitter come from.
    pub fn draws(&self) -> &Arc<dyn DrawSource> {
        &self.parts.draw
    }

    /// Opens a second store and limiter on the runtime that asks.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn open_second(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        let (store, limiter) = self.parts.open.open().await?;
        Ok((instrument::store(store, self.parts.name), instrument::limiter(limiter, self.parts.name)))
    }

    /// Rings when a commit of this process ended a job or set an earlier timer: a hint for those that wait.
    pub fn bell(&self) -> &Arc<Notify> {
        &self.bell
    }
}

fn capabilities_of(parts: &BackendParts) -> Capabilities {
    use Capability::{AtomicDispatch, Durable, Fifo, List, MultiProcess, Priority};
    let (queue, store, limiter) = (parts.queue.capabilities(), parts.store.capabilities(), parts.limiter.capabilities());
    let of_queue = queue.both(Capabilities::of(&[Priority, Fifo]));
    let of_store = store.both(Capabilities::of(&[AtomicDispatch, List]));
    let of_all = queue.both(store).both(limiter).both(Capabilities::of(&[Durable, MultiProcess]));
    of_queue.either(of_store).either(of_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Memory};

    #[test]
    fn a_backend_says_what_it_is_and_what_its_parts_can() {
        use Capability::{AtomicDispatch, Fifo, List, Priority};
        let backend = memory::open();
        assert_eq!((backend.name(), backend.location()), ("memory", "memory:"));
        assert_eq!(backend.capabilities(), Capabilities::of(&[AtomicDispatch, Priority, Fifo, List]));
        let caller = Memory::new().dispatch(Dispatch::Caller).open();
        assert_eq!(caller.capabilities(), Capabilities::of(&[Priority, Fifo, List]));
    }

    #[test]
    fn without_its_fast_path_it_is_the_same_backend() {
        let backend = memory::open();
        let other = backend.without_take();
        assert!(backend.take().is_some() && other.take().is_none());
        assert_eq!((other.name(), other.capabilities()), (backend.name(), backend.capabilities()));
        assert!(Arc::ptr_eq(other.bell(), backend.bell()), "who waits hears what the other one ends");
    }
}
