//! The tables of the file, and how a transaction opens them.

use std::borrow::Borrow;
use std::ops::Deref;

#[cfg(feature = "trace")]
use redb::TableHandle as _;
use redb::{Key, ReadTransaction, ReadableDatabase, StorageError, Table, TableDefinition, TableError, Value, WriteTransaction};

use crate::keys::{JobKey, PartKey, WakeKey};

/// The version of the tables, their keys and values that this build writes, and the newest that it reads.
pub(crate) const FORMAT: u64 = 3;
/// Says that the file is ours.
pub(crate) const MAGIC: &[u8] = b"jobbers";

/// Job -> where its parts are (one byte), the small ones, its head.
pub(crate) const HEADS: TableDefinition<'static, &JobKey, &[u8]> = TableDefinition::new("heads");
/// Part and job -> the part's bytes, if they are too many for the job's row.
pub(crate) const PARTS: TableDefinition<'static, &PartKey, &[u8]> = TableDefinition::new("parts");
/// State, queue, whether it is a run's own record, time, job: every job in its state's own order. A Running job stays among the Ready ones:
/// both are in the order of their submit.
pub(crate) const LIST: TableDefinition<'static, &[u8], ()> = TableDefinition::new("list");
/// Number -> the jobs that one transaction has claimed; gone when the last of them runs no more. The latest row that names a job counts.
pub(crate) const RUNNING: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("running");
/// Time and job: every timer, but those of running jobs, which are in memory: whoever opens the file reads them from the heads.
pub(crate) const WAKE: TableDefinition<'static, &WakeKey, ()> = TableDefinition::new("wake");
/// Queue, priority, number -> job: every delivery.
pub(crate) const READY: TableDefinition<'static, &[u8], &JobKey> = TableDefinition::new("ready");
/// Queue and state -> how many jobs; queue -> how many deliveries.
pub(crate) const COUNTS: TableDefinition<'static, &[u8], u64> = TableDefinition::new("counts");
/// Run -> how many of its records have not ended; only of runs that have steps.
pub(crate) const RUNS: TableDefinition<'static, &[u8; 16], u64> = TableDefinition::new("runs");
/// Kind and name -> version, when it is void, body.
pub(crate) const DOCUMENTS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("documents");
/// What the limiter keeps.
pub(crate) const LIMITS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("limits");
/// `magic`, `format`, and counters of the whole store.
pub(crate) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

/// What redb says, where nothing but the disk is to blame.
pub(crate) type Disk<T> = std::result::Result<T, StorageError>;

/// A table of a write transaction that is opened at its first use: a beat touches one of eleven.
pub(crate) struct Lazy<'t, K: Key + 'static, V: Value + 'static> {
    txn: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Open<'t, K, V>>,
}

/// A table that is written to. All writes go through here, where a bench can have them noted.
pub(crate) struct Open<'t, K: Key + 'static, V: Value + 'static>(Table<'t, K, V>);

impl<'t, K: Key + 'static, V: Value + 'static> Deref for Open<'t, K, V> {
    type Target = Table<'t, K, V>;

    fn deref(&self) -> &Table<'t, K, V> {
        &self.0
    }
}

impl<'t, K: Key + 'static, V: Value + 'static> Open<'t, K, V> {
    /// The table as redb has it: what is done to it is noted by who does it.
    pub(crate) fn table(&mut self) -> &mut Table<'t, K, V> {
        &mut self.0
    }

    /// Writes a row.
    pub(crate) fn insert<'k, 'v>(&mut self, key: impl Borrow<K::SelfType<'k>>, value: impl Borrow<V::SelfType<'v>>) -> Disk<()> {
        #[cfg(feature = "trace")]
        crate::trace::note::<K, V>(self.0.name(), key.borrow(), Some(value.borrow()));
        self.0.insert(key, value).map(drop)
    }

    /// Removes a row; says whether it was there.
    pub(crate) fn remove<'k>(&mut self, key: impl Borrow<K::SelfType<'k>>) -> Disk<bool> {
        #[cfg(feature = "trace")]
        crate::trace::note::<K, V>(self.0.name(), key.borrow(), None);
        self.0.remove(key).map(|row| row.is_some())
    }
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<'t, K, V> {
    pub(crate) fn new(txn: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Lazy<'t, K, V> {
        Lazy { txn, definition, table: None }
    }

    /// The table.
    pub(crate) fn open(&mut self) -> Disk<&mut Open<'t, K, V>> {
        if self.table.is_none() {
            self.table = Some(Open(self.txn.open_table(self.definition).map_err(of_table)?));
        }
        Ok(self.table.as_mut().expect("it was opened above"))
    }
}

/// A table of a read transaction.
pub(crate) fn open<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    definition: TableDefinition<'static, K, V>,
) -> Disk<redb::ReadOnlyTable<K, V>> {
    txn.open_table(definition).map_err(of_table)
}

/// Starts reading the file as it stands.
pub(crate) fn begin_read(database: &redb::Database) -> Disk<ReadTransaction> {
    database.begin_read().map_err(of_transaction)
}

/// Starts the one transaction that writes.
pub(crate) fn begin_write(database: &redb::Database) -> Disk<WriteTransaction> {
    database.begin_write().map_err(of_transaction)
}

/// Makes the tables that are not there; says whose file it is.
pub(crate) fn create_all(txn: &WriteTransaction) -> Disk<()> {
    fn make<K: Key + 'static, V: Value + 'static>(txn: &WriteTransaction, definition: TableDefinition<'static, K, V>) -> Disk<()> {
        txn.open_table(definition).map(drop).map_err(of_table)
    }
    make(txn, HEADS)?;
    make(txn, PARTS)?;
    make(txn, LIST)?;
    make(txn, RUNNING)?;
    make(txn, WAKE)?;
    make(txn, READY)?;
    make(txn, COUNTS)?;
    make(txn, RUNS)?;
    make(txn, DOCUMENTS)?;
    make(txn, LIMITS)?;
    let mut meta = txn.open_table(META).map_err(of_table)?;
    meta.insert("magic", MAGIC)?;
    meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
    Ok(())
}

pub(crate) fn of_table(error: TableError) -> StorageError {
    match error {
        TableError::Storage(error) => error,
        // The tables were made or checked when the file was opened: this is damage.
        other => StorageError::Corrupted(other.to_string()),
    }
}

fn of_transaction(error: redb::TransactionError) -> StorageError {
    match error {
        redb::TransactionError::Storage(error) => error,
        other => StorageError::Corrupted(other.to_string()),
    }
}
