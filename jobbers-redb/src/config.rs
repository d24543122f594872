//! How to open a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobbers_core::driver::{Backend, BackendParts, Dispatch};
use jobbers_core::{Clock, DrawSource, Error, ErrorKind, Result};

use crate::driver::Handle;
use crate::engine::Engine;
use crate::file;
use crate::registry::Place;
use crate::source::FileSource;

/// What to do where there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Create {
    /// Make one. A file that is empty, damaged or another program's is never replaced.
    #[default]
    IfMissing,
    /// Refuse: for tools that look at a store, and must not make one by a slip of the path.
    Never,
}

/// How to open a store.
///
/// ```no_run
/// use jobbers_redb::{Config, Create};
/// let backend = Config::at("/var/lib/jobs.redb").create(Create::Never).open()?;
/// # Ok::<(), jobbers_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The file; `jobbers.redb` in the working directory by default.
    pub path: PathBuf,
    /// What to do where there is none; [`Create::IfMissing`] by default.
    pub create: Create,
    /// Who dispatches; [`Dispatch::Own`] by default. [`Dispatch::Caller`] is for a store that is paired with a foreign queue.
    pub dispatch: Dispatch,
    /// The clock; the system's by default.
    pub clock: Arc<dyn Clock>,
    /// Where ULIDs, nonces and jitter come from; the system's by default.
    pub draws: Arc<dyn DrawSource>,
    /// Memory for pages of the file, in bytes; 64 MiB by default. Where this process has the file open already, its cache stays as it is.
    pub cache_bytes: usize,
}

impl Default for Config {
    fn default() -> Config {
        let (clock, draws) = BackendParts::system();
        let path = PathBuf::from("jobbers.redb");
        Config { path, create: Create::default(), dispatch: Dispatch::Own, clock, draws, cache_bytes: 64 << 20 }
    }
}

impl Config {
    /// The defaults, with the file at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Config {
        Config { path: path.into(), ..Config::default() }
    }

    /// Sets what to do where there is no file.
    #[must_use]
    pub fn create(self, create: Create) -> Config {
        Config { create, ..self }
    }

    /// Sets who dispatches.
    #[must_use]
    pub fn dispatch(self, dispatch: Dispatch) -> Config {
        Config { dispatch, ..self }
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Config {
        Config { clock, ..self }
    }

    /// Sets where ULIDs, nonces and jitter come from.
    #[must_use]
    pub fn draws(self, draws: Arc<dyn DrawSource>) -> Config {
        Config { draws, ..self }
    }

    /// Sets the memory for pages of the file.
    #[must_use]
    pub fn cache_bytes(self, cache_bytes: usize) -> Config {
        Config { cache_bytes, ..self }
    }

    /// Opens the store.
    ///
    /// Blocks its thread for some syncs of the disk; after a crash as well while the whole file is read. In async code use
    /// [`open_async`](Config::open_async). Where this process has the file open already, what is returned shares it. The file is closed when
    /// the last of its backends is dropped.
    ///
    /// # Errors
    /// - [`ErrorKind::Held`] if another process has the file open: which one, since when, and what to do.
    /// - [`ErrorKind::Damaged`] if it is damaged, another program's, empty, or of a newer format. It is left as it is, byte for byte.
    /// - [`ErrorKind::Invalid`] if it is not there and not to be made, or may not be written.
    /// - [`ErrorKind::Full`] and [`ErrorKind::Unavailable`] if the disk refuses.
    pub fn open(self) -> Result<Backend> {
        Backend::new(self.parts()?)
    }

    /// Opens the store on a thread for blocking work.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    ///
    /// Cancel safe: the file is opened all the same, and closed again if nobody else has it.
    pub async fn open_async(self) -> Result<Backend> {
        Backend::new(self.parts_async().await?)
    }

    /// The parts of the backend, opened on a thread for blocking work.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    ///
    /// Cancel safe, as [`open_async`](Config::open_async).
    pub async fn parts_async(self) -> Result<BackendParts> {
        let opened = tokio::task::spawn_blocking(|| self.parts()).await;
        opened.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Unavailable, "open the store", "the runtime that opens it is going down").with_source(error))
        })
    }

    /// The parts of the backend: to put one together with wrappers, or with parts of another driver. With another queue, open it with
    /// [`Dispatch::Caller`], and leave out `take`.
    ///
    /// # Errors
    /// As [`open`](Config::open).
    pub fn parts(self) -> Result<BackendParts> {
        let engine = self.engine()?;
        let location = format!("redb:{}", engine.shared.path);
        let handle = Arc::new(Handle { engine, dispatch: self.dispatch });
        Ok(BackendParts {
            name: "redb",
            location,
            queue: handle.clone(),
            store: handle.clone(),
            dispatch: self.dispatch,
            paired: true,
            limiter: handle.clone(),
            take: Some(handle.clone()),
            clock: self.clock,
            draw: self.draws,
            open: handle,
        })
    }

    pub(crate) fn engine(&self) -> Result<Arc<Engine>> {
        if self.create == Create::IfMissing && std::fs::symlink_metadata(&self.path).is_err() {
            file::create(&self.path)?;
        }
        let path = file::canonical(&self.path)?;
        Place::engine(&path, |place| {
            let source = FileSource::new(path.clone(), self.cache_bytes);
            Engine::start(path.display().to_string(), Box::new(source), Some(place))
        })
    }
}

/// The driver's name in code: `Redb::open("jobs.redb")`.
#[derive(Debug, Clone, Copy)]
pub struct Redb;

impl Redb {
    /// Opens the store at `path`, with the defaults of [`Config`]; the file is made if there is none.
    ///
    /// # Errors
    /// As [`Config::open`].
    ///
    /// ```no_run
    /// let backend = jobbers_redb::Redb::open("jobs.redb")?;
    /// # Ok::<(), jobbers_core::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Backend> {
        Config::at(path.as_ref()).open()
    }
}

/// Opens the store at `path`, for a registry of URL schemes; the same as [`Redb::open`].
///
/// # Errors
/// As [`Config::open`].
pub fn connect(path: &Path) -> Result<Backend> {
    Redb::open(path)
}
