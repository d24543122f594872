//! Where an engine gets its storage from, again and again.

use std::path::PathBuf;

use jobbers_core::{ErrorKind, Result};

use crate::fault::Fault;
use crate::file::{self, Opened};

/// Opens one storage, and says whether it is still the one that others will find.
pub(crate) trait Source: Send {
    /// Opens it, the first time and after trouble.
    fn open(&mut self) -> Result<Opened>;

    /// Whether what is written now will be found by the next that opens it.
    fn check(&self) -> Result<(), Fault>;
}

/// A file.
#[derive(Debug)]
pub(crate) struct FileSource {
    path: PathBuf,
    cache_bytes: usize,
    /// The file that was opened under the path, as the system numbers it.
    opened: Option<(u64, u64)>,
}

impl FileSource {
    pub(crate) fn new(path: PathBuf, cache_bytes: usize) -> FileSource {
        FileSource { path, cache_bytes, opened: None }
    }
}

impl Source for FileSource {
    fn open(&mut self) -> Result<Opened> {
        let opened = file::open(&self.path, self.cache_bytes)?;
        self.opened = number(&self.path);
        Ok(opened)
    }

    fn check(&self) -> Result<(), Fault> {
        if number(&self.path) == self.opened {
            return Ok(());
        }
        let path = self.path.display();
        let context = format!("{path}: it was deleted or replaced while it was in use; nothing is written to what is not there any more");
        Err(Fault { kind: ErrorKind::Unavailable, context, unknown: false })
    }
}

#[cfg(unix)]
fn number(path: &std::path::Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Where files have no numbers, one that is open can not be deleted.
#[cfg(not(unix))]
fn number(_: &std::path::Path) -> Option<(u64, u64)> {
    None
}
