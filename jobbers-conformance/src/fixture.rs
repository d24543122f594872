//! How the suite opens a driver.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{Backend, Capabilities, Dispatch};
use jobbers_core::memory::Memory;
use jobbers_core::{Clock, DrawSource, Namespace, Result};

/// How the suite opens a driver, and what it may do to it.
///
/// Only the first three and [`open`](Fixture::open) are needed. A hook that is left out answers `Ok(None)`, and the scenarios that need
/// it are shown as skipped.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// The backend's name: of its report, and in messages.
    fn name(&self) -> &'static str;

    /// The environment variable that names a server; `None` for a driver that needs none.
    fn url_variable(&self) -> Option<&'static str> {
        None
    }

    /// What the backend claims when it is opened with [`Dispatch::Own`], or, if it can not be, with [`Dispatch::Caller`]. No I/O.
    fn capabilities(&self) -> Capabilities;

    /// How long a push may take until a pull brings it and a listener hears of it, joining the queue for the first time included.
    /// Default: no time at all.
    fn first_pull_within(&self) -> Duration {
        Duration::ZERO
    }

    /// How long what was not acked may take to come back, once a pull asks for it whose `now` is not earlier than its `back_at`.
    /// Default: no time at all.
    fn redelivery_within(&self) -> Duration {
        Duration::ZERO
    }

    /// How long a push, a pull or an ack may take until `depth` shows it. Default: no time at all.
    fn depth_settles_within(&self) -> Duration {
        Duration::ZERO
    }

    /// Opens the backend of one namespace; what another namespace holds is invisible in it. Opening the same namespace twice, if the
    /// driver can do that at all, opens the same data twice.
    ///
    /// # Errors
    /// `Unavailable` if there is no server; what the driver says otherwise.
    async fn open(&self, opening: &Opening) -> Result<Backend>;

    /// Closes the backend in good order, and opens the same data again.
    ///
    /// # Errors
    /// What the driver says.
    async fn reopen(&self, backend: Backend, opening: &Opening) -> Result<Option<Backend>> {
        drop((backend, opening));
        Ok(None)
    }

    /// Ends the process that holds the data as a crash would, and opens the same data again.
    ///
    /// # Errors
    /// What the driver says.
    async fn restart(&self, backend: Backend, opening: &Opening) -> Result<Option<Backend>> {
        drop((backend, opening));
        Ok(None)
    }

    /// Cuts the backend off from its server until the answer is dropped.
    ///
    /// # Errors
    /// What the driver says.
    async fn cut(&self, backend: &Backend) -> Result<Option<Box<dyn Cut>>> {
        let _ = backend;
        Ok(None)
    }

    /// Keeps what this namespace holds now, to be restored while the backend is used: a store that comes back older than it was.
    ///
    /// # Errors
    /// What the driver says.
    async fn snapshot(&self, opening: &Opening) -> Result<Option<Box<dyn Snapshot>>> {
        let _ = opening;
        Ok(None)
    }
}

/// What a namespace held at one moment.
#[async_trait]
pub trait Snapshot: Send + Sync + Debug {
    /// Puts all of it back, in one step, under whoever uses it.
    ///
    /// # Errors
    /// What the server says.
    async fn restore(&self) -> Result<()>;
}

/// A connection that is cut; it heals when this is dropped.
pub trait Cut: Send + Sync + Debug {}

/// What to open.
#[derive(Debug, Clone)]
pub struct Opening {
    /// What [`Fixture::url_variable`] holds.
    pub url: Option<String>,
    /// Whose data: fresh for every scenario.
    pub namespace: Namespace,
    /// Who dispatches.
    pub dispatch: Dispatch,
    /// The backend's clock: the suite moves it by hand.
    pub clock: Arc<dyn Clock>,
    /// The backend's draws: the suite seeds them.
    pub draws: Arc<dyn DrawSource>,
}

impl Opening {
    /// The URL.
    ///
    /// # Panics
    /// If the fixture names no variable: the suite opens nothing without what it names.
    pub fn url(&self) -> &str {
        self.url.as_deref().expect("the fixture names a variable for the URL")
    }

    /// A directory for this namespace alone, of temporary files; made by nobody yet, and gone when the suite has ended.
    pub fn scratch(&self) -> PathBuf {
        scratch_of_this_process().join(self.namespace.as_str())
    }

    /// The memory driver as it is to be opened: for a driver that is a queue, or a limiter, and borrows the other parts.
    pub fn memory(&self) -> Memory {
        Memory::new().dispatch(self.dispatch).clock(self.clock.clone()).draws(self.draws.clone())
    }
}

/// Where scratch directories lie.
pub(crate) fn scratch_of_this_process() -> PathBuf {
    std::env::temp_dir().join(format!("jobbers-suite-{}", std::process::id()))
}
