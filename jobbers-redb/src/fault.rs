//! What a failed call is told.

use std::io;

use jobbers_core::{Error, ErrorKind};
use redb::StorageError;

/// Trouble with the file that ends a whole transaction. It is told to every caller that had a part in it, so it can be told often.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    /// What happened, to which file, and what to do.
    pub(crate) context: String,
    /// Whether the transaction may have been applied.
    pub(crate) unknown: bool,
}

impl Fault {
    /// What `error` means for the file at `place`.
    pub(crate) fn of(place: &str, error: &StorageError) -> Fault {
        let (kind, advice) = match error {
            StorageError::Io(error) => of_io(error),
            StorageError::Corrupted(_) => {
                (ErrorKind::Damaged, "the file is damaged; stop, keep a copy of it, and restore it from a backup")
            }
            StorageError::ValueTooLarge(_) => (ErrorKind::Invalid, "store it elsewhere, and a reference to it here"),
            StorageError::PreviousIo | StorageError::DatabaseClosed => {
                (ErrorKind::Unavailable, "the file is being opened again after an error; try again")
            }
            _ => (ErrorKind::Unavailable, "try again"),
        };
        Fault { kind, context: format!("{place}: {error}; {advice}"), unknown: false }
    }

    /// The error for one caller, who tried `op`.
    pub(crate) fn error(&self, op: &'static str) -> Error {
        let error = Error::new(self.kind, op, self.context.clone());
        if self.unknown { error.with_outcome_unknown() } else { error }
    }
}

/// The kind of an I/O error, and what to do.
pub(crate) fn of_io(error: &io::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        io::ErrorKind::StorageFull => (ErrorKind::Full, "the disk is full; make room, and work goes on by itself"),
        io::ErrorKind::QuotaExceeded => (ErrorKind::Full, "the disk quota is used up; raise it or make room, and work goes on by itself"),
        io::ErrorKind::FileTooLarge => {
            (ErrorKind::Full, "the file may not grow further; raise the file size limit (ulimit -f), and work goes on by itself")
        }
        io::ErrorKind::PermissionDenied => (ErrorKind::Unavailable, "give this user the right to read and write it"),
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Unavailable, "the file system is mounted read-only; mount it for writing"),
        _ => (ErrorKind::Unavailable, "check the disk; the file is opened again by itself"),
    }
}

/// The same error once more, for another caller of one shared call.
pub(crate) fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.op().to_owned(), error.context());
    if error.outcome_unknown() { copy.with_outcome_unknown() } else { copy }
}
