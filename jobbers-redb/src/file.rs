//! Opening the file: what is looked at before anything is written.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jobbers_core::record::JobState;
use jobbers_core::{Error, ErrorKind, Result};
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError, TableError};

use crate::fault::of_io;
use crate::guard::Guard;
use crate::running::{self, Found};
use crate::tables::{FORMAT, LIST, MAGIC, META, RUNNING, WAKE, begin_read, create_all};
use crate::{holder, keys};

const OP: &str = "open the store";
/// What every file of redb starts with.
const REDB_MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Files up to this size are checked whole at each open, in some milliseconds: redb by itself trusts one that was closed cleanly, whatever
/// has happened to it since. A larger one is checked only after a crash.
const CHECK_BYTES_MAX: u64 = 16 << 20;

/// An opened file.
pub(crate) struct Opened {
    pub(crate) database: Database,
    /// What holds and watches its writes.
    pub(crate) guard: Guard,
    pub(crate) found: Found,
}

/// Makes the file if it is not there. Nobody ever sees half of one: it appears whole, or not at all.
pub(crate) fn create(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = path.file_name().ok_or_else(|| bad(path, "it names no file", "name the file that the jobs are kept in"))?.to_owned();
    // Threads of one process may make the same file at once.
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    name.push(format!(".{}-{}.new", std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed)));
    let draft = parent.join(name);
    let made = make(&draft).and_then(|()| appear(&draft, path, parent));
    // In any case: it is a second name of the file by now, or nobody's.
    let _ = fs::remove_file(&draft);
    made.map_err(|error| {
        let context = match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{}: the directory {} is not there; make it, or name another one", path.display(), parent.display())
            }
            io::ErrorKind::PermissionDenied => {
                format!("{}: no right to make a file in {}; give this user the right to write there", path.display(), parent.display())
            }
            _ => format!("{}: can not make it; {}", path.display(), of_io(&error).1),
        };
        let kind = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => ErrorKind::Invalid,
            _ => of_io(&error).0,
        };
        Error::new(kind, OP, context).with_source(error)
    })
}

fn make(draft: &Path) -> io::Result<()> {
    // One of an earlier process with this id, which was killed in here.
    let _ = fs::remove_file(draft);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(draft)?;
    initialise(FileBackend::new(file).map_err(io::Error::other)?)
}

/// Makes an empty store on an empty storage.
pub(crate) fn initialise(backend: impl StorageBackend) -> io::Result<()> {
    let plain = |error: redb::Error| match error {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    };
    let database = Builder::new().create_with_backend(backend).map_err(|error| plain(error.into()))?;
    let txn = database.begin_write().map_err(|error| plain(error.into()))?;
    create_all(&txn).map_err(|error| plain(error.into()))?;
    txn.commit().map_err(|error| plain(error.into()))?;
    database.close().map_err(|error| plain(error.into()))
}

/// Gives the draft its name, unless somebody else was faster.
fn appear(draft: &Path, path: &Path, parent: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        // A file system without links: a rename would take the place of another process's file, so look first.
        Err(_) if !path.exists() => fs::rename(draft, path)?,
        Err(_) => return Ok(()),
    }
    // Its name has to last as well.
    if cfg!(unix) { File::open(parent)?.sync_all() } else { Ok(()) }
}

/// Opens the file at `path`, which has to be there and to be ours.
pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Opened> {
    let meta = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if meta.is_dir() {
        return Err(foreign(path, "it is a directory", "name a file in it"));
    }
    if !meta.is_file() {
        return Err(foreign(path, "it is no ordinary file", "name another one"));
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| unreadable(path, error))?;
    look(path, &mut file)?;
    let backend = FileBackend::new(file).map_err(|error| refused(path, error))?;
    open_on(path, Box::new(backend), cache_bytes)
}

/// Opens a storage that is there; `path` is for messages.
pub(crate) fn open_on(path: &Path, backend: Box<dyn StorageBackend>, cache_bytes: usize) -> Result<Opened> {
    let guard = Guard::new(backend).map_err(|error| unreadable(path, error))?;
    let check = guard.len().map_err(|error| unreadable(path, error))? <= CHECK_BYTES_MAX;
    let held = guard.clone();
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes).set_check_integrity_on_open(check);
        let database = builder.create_with_backend(held).map_err(|error| refused(path, error))?;
        let format = is_ours(path, &database)?;
        let found = begin_read(&database).and_then(|txn| Found::read(&txn, format)).map_err(|error| refused(path, error.into()))?;
        Ok((database, format, found))
    }));
    let (database, format, found) = opened.unwrap_or_else(|panic| Err(damaged(path, &said(&*panic))))?;
    guard.release().map_err(|error| unreadable(path, error))?;
    if format < FORMAT {
        upgrade(&database, format, &found).map_err(|error| unreadable(path, io::Error::other(error)))?;
    }
    Ok(Opened { database, guard, found })
}

/// Makes a file of format 1, which has the timers of running jobs in a table, or of format 2, which lists them apart, one of format 3. Rows of
/// jobs stay as they are: small parts come to lie in them when they are written next.
fn upgrade(database: &Database, format: u64, found: &Found) -> std::result::Result<(), redb::Error> {
    let txn = database.begin_write()?;
    {
        let (mut wake, mut meta) = (txn.open_table(WAKE)?, txn.open_table(META)?);
        for (at, id) in found.leases.iter().filter(|_| format < 2) {
            wake.remove(&keys::wake(*at, *id))?;
        }
        let (mut list, mut batches) = (txn.open_table(LIST)?, txn.open_table(RUNNING)?);
        for (mut key, _) in running::listed_as_running(&list)? {
            list.remove(key.as_slice())?;
            key[0] = keys::line(JobState::Running).index();
            list.insert(key.as_slice(), ())?;
        }
        for (number, ids) in found.batches() {
            batches.insert(number, running::batch_row(&ids).as_slice())?;
        }
        meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
    }
    Ok(txn.commit()?)
}

/// Looks at the first bytes, so that redb never sees what is none of its files.
fn look(path: &Path, file: &mut File) -> Result<()> {
    let mut start = Vec::new();
    file.take(REDB_MAGIC.len() as u64).read_to_end(&mut start).map_err(|error| unreadable(path, error))?;
    if start.is_empty() {
        return Err(foreign(path, "it is empty", "if nobody needs it, delete it: a new one is made where none is"));
    }
    if start != REDB_MAGIC {
        return Err(foreign(path, "it is a file of another program, or the start of it is damaged", "name another file"));
    }
    Ok(())
}

/// The format of a file of redb, if it is one of ours and this build knows it.
fn is_ours(path: &Path, database: &Database) -> Result<u64> {
    let foreign_tables = || foreign(path, "it is a database of another program", "name another file");
    let storage = |error| refused(path, DatabaseError::Storage(error));
    let txn = database.begin_read().map_err(|error| damaged(path, &error.to_string()))?;
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::Storage(error)) => return Err(storage(error)),
        Err(_) => return Err(foreign_tables()),
    };
    let magic = meta.get("magic").map_err(storage)?;
    if magic.is_none_or(|magic| magic.value() != MAGIC) {
        return Err(foreign_tables());
    }
    let format = meta.get("format").map_err(storage)?.and_then(|format| format.value().try_into().ok()).map(u64::from_be_bytes);
    match format {
        Some(known @ 1..=FORMAT) => Ok(known),
        Some(newer) if newer > FORMAT => {
            let what = format!("its format is {newer}, and this build reads up to {FORMAT}: a newer Jobbers wrote it");
            Err(foreign(path, &what, "use that one, or another file"))
        }
        _ => Err(damaged(path, "it names no format version")),
    }
}

fn bad(path: &Path, what: &str, advice: &str) -> Error {
    Error::new(ErrorKind::Invalid, OP, format!("{}: {what}; {advice}", path.display()))
}

fn foreign(path: &Path, what: &str, advice: &str) -> Error {
    Error::new(ErrorKind::Damaged, OP, format!("{}: {what}. It was left as it is; {advice}", path.display()))
}

fn damaged(path: &Path, what: &str) -> Error {
    foreign(path, &format!("it is damaged: {what}"), "keep a copy of it, and restore it from a backup")
}

/// A file that can not be read or written.
fn unreadable(path: &Path, error: io::Error) -> Error {
    let (what, advice) = match error.kind() {
        io::ErrorKind::NotFound => ("it is not there", "check the path, or let it be made"),
        io::ErrorKind::PermissionDenied => ("no right to read and write it", "give this user the right, or name another file"),
        io::ErrorKind::NotADirectory => ("a part of the path is no directory", "check the path"),
        io::ErrorKind::ReadOnlyFilesystem => ("its file system is mounted read-only", "mount it for writing, or name another file"),
        _ => {
            let (kind, advice) = of_io(&error);
            return Error::new(kind, OP, format!("{}: can not use it; {advice}", path.display())).with_source(error);
        }
    };
    bad(path, what, advice).with_source(error)
}

/// What redb says of a file that it does not open.
fn refused(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            let who = holder::describe(path);
            let advice =
                "a file serves one process at a time: stop that one, name another file, or use a backend with a server for several";
            Error::new(ErrorKind::Held, OP, format!("{}: it is in use by {who}; {advice}", path.display()))
        }
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => damaged(path, &error.to_string()),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => damaged(path, "it was cut off"),
        DatabaseError::Storage(StorageError::Io(error)) => unreadable(path, error),
        other => damaged(path, &other.to_string()),
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "redb gave up on it".to_owned())
}

/// The one name of the file.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| unreadable(path, error))
}
