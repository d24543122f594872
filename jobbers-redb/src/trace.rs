//! What the writer does to the tables, noted row by row, and done again without it: the raw bound that a bench has beside this crate.
//!
//! Nobody has to say a second time what a job costs: what is done again is what was done, whatever the driver comes to write tomorrow.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jobbers_core::{Error, ErrorKind, Result};
use redb::{Database, Durability, Key, ReadableTable, StorageError, TableHandle as _, Value};

use crate::batch::Row;
use crate::file::{self, Opened};
use crate::group::Change;
use crate::tables::{
    COUNTS, DOCUMENTS, Disk, HEADS, LIMITS, LIST, Lazy, META, Open, PARTS, READY, RUNNING, RUNS, WAKE, begin_read, begin_write, open,
};

static NOTED: Mutex<Option<Trace>> = Mutex::new(None);

/// Does something with each table, its code, and its definition.
macro_rules! each_table {
    ($do:ident) => {
        $do!(
            heads 0 HEADS, parts 1 PARTS, list 2 LIST, running 3 RUNNING, wake 4 WAKE, ready 5 READY, counts 6 COUNTS, runs 7 RUNS,
            documents 8 DOCUMENTS, limits 9 LIMITS, meta 10 META
        )
    };
}

/// Rows that were written and removed, transaction by transaction.
#[derive(Debug, Default)]
pub struct Trace {
    /// One byte says what and of which table; then the lengths of key and value, and the key.
    steps: Vec<u8>,
    /// Where the transaction starts that is not yet made.
    pending: usize,
    transactions: usize,
    value_bytes_max: usize,
}

const TABLE: u8 = 15;
const INSERT: u8 = 0;
const REMOVE: u8 = 16;
/// The row is one of a run, and the first of one.
const RUN: u8 = 32;
const FIRST: u8 = 64;
const COMMIT: u8 = 128;
const COMMIT_LATER: u8 = 129;

/// Whose rows are done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    All,
    /// Those that hold the jobs themselves, `heads` and `parts`: nothing that finds, counts or delivers a job.
    Jobs,
}

/// What a table holds: its name, its rows, and the bytes of their keys and values.
pub type Contents = (&'static str, u64, u64);

/// Notes from now on what is written, to whichever file: one at a time, or the trace is of none.
pub fn start() {
    *noted() = Some(Trace::default());
}

/// What was noted since the start.
pub fn stop() -> Trace {
    noted().take().unwrap_or_default()
}

fn noted() -> MutexGuard<'static, Option<Trace>> {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a row that is written, or (without a value) removed.
pub(crate) fn note<'k, 'v, K: Key, V: Value>(table: &str, key: &K::SelfType<'k>, value: Option<&V::SelfType<'v>>) {
    let mut noted = noted();
    let Some(trace) = &mut *noted else { return };
    let (what, length) = value.map_or((REMOVE, 0), |value| (INSERT, V::as_bytes(value).as_ref().len()));
    trace.step(what | code(table), K::as_bytes(key).as_ref(), length);
}

/// What is done to the rows of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    Insert,
    Remove,
}

impl<K: Key + 'static, V: Value + 'static> Open<'_, K, V> {
    /// Notes rows that are written or removed together.
    pub(crate) fn note_run(&self, rows: &[impl Row], run: Run) {
        if let Some(trace) = &mut *noted() {
            let what = code(self.name()) | RUN | if run == Run::Insert { INSERT } else { REMOVE };
            for (at, row) in rows.iter().enumerate() {
                trace.step(what | if at == 0 { FIRST } else { 0 }, row.key(), row.value().len());
            }
        }
    }
}

/// Notes that a transaction begins: what was noted of an earlier one that was not made is dropped.
pub(crate) fn begins() {
    if let Some(trace) = &mut *noted() {
        trace.steps.truncate(trace.pending);
    }
}

/// Notes that the transaction was made.
pub(crate) fn made(change: Change) {
    if let Some(trace) = &mut *noted() {
        trace.step(if change == Change::Later { COMMIT_LATER } else { COMMIT }, &[], 0);
        trace.transactions += 1;
        trace.pending = trace.steps.len();
    }
}

fn code(table: &str) -> u8 {
    macro_rules! code {
        ($($name:ident $code:literal $definition:ident),*) => {
            match table {
                $(stringify!($name) => $code,)*
                other => unreachable!("{other} is no table of ours"),
            }
        };
    }
    each_table!(code)
}

impl Trace {
    /// How many transactions it has.
    pub fn transactions(&self) -> usize {
        self.transactions
    }

    /// How many rows were written, and how many removed.
    pub fn rows(&self, rows: Rows) -> (usize, usize) {
        let mut counted = (0, 0);
        for (what, ..) in self.steps().filter(|(what, ..)| *what < COMMIT && rows.has(what & TABLE)) {
            if what & REMOVE == 0 { counted.0 += 1 } else { counted.1 += 1 }
        }
        counted
    }

    fn step(&mut self, what: u8, key: &[u8], value: usize) {
        let lengths = (u16::try_from(key.len()).expect("keys are short"), u32::try_from(value).expect("values have limits"));
        self.steps.push(what);
        self.steps.extend_from_slice(&lengths.0.to_be_bytes());
        self.steps.extend_from_slice(&lengths.1.to_be_bytes());
        self.steps.extend_from_slice(key);
        self.value_bytes_max = self.value_bytes_max.max(value);
    }

    /// What was done, the key, and the length of the value; of transactions that were made.
    fn steps(&self) -> impl Iterator<Item = (u8, &[u8], usize)> {
        let mut rest = &self.steps[..self.pending];
        std::iter::from_fn(move || {
            let (&what, behind) = rest.split_first()?;
            let (key, behind) = behind.split_first_chunk()?;
            let (value, behind) = behind.split_first_chunk()?;
            let (key, behind) = behind.split_at(usize::from(u16::from_be_bytes(*key)));
            rest = behind;
            Some((what, key, u32::from_be_bytes(*value) as usize))
        })
    }
}

impl Rows {
    fn has(self, table: u8) -> bool {
        self == Rows::All || table <= code("parts")
    }
}

/// A new file, made and opened as the driver does it, in which a trace is done again.
#[derive(Debug)]
pub struct Raw {
    database: Database,
}

impl Raw {
    /// Makes it at `path`, where nothing may be.
    ///
    /// # Errors
    /// As [`Config::open`](crate::Config::open).
    pub fn create(path: &Path, cache_bytes: usize) -> Result<Raw> {
        file::create(path)?;
        let Opened { database, .. } = file::open(path, cache_bytes)?;
        Ok(Raw { database })
    }

    /// Writes rows of the same keys and lengths, in the same order, runs and transactions: what redb is asked for is the same.
    ///
    /// # Errors
    /// What redb says.
    pub fn redo(&self, trace: &Trace, rows: Rows) -> Result<()> {
        self.all(trace, rows).map_err(|error| of_storage("write the raw file", error))
    }

    fn all(&self, trace: &Trace, rows: Rows) -> Disk<()> {
        macro_rules! all {
            ($($name:ident $code:literal $definition:ident),*) => {{
                let source = vec![b'x'; trace.value_bytes_max];
                let mut run = Vec::new();
                let mut steps = trace.steps().peekable();
                while steps.peek().is_some() {
                    let mut txn = begin_write(&self.database)?;
                    let mut durability = Durability::Immediate;
                    {
                        $(let mut $name = Lazy::new(&txn, $definition);)*
                        while let Some((what, key, value)) = steps.next() {
                            if what >= COMMIT {
                                if what == COMMIT_LATER {
                                    durability = Durability::None;
                                }
                                break;
                            }
                            let table = what & TABLE;
                            if !rows.has(table) {
                                continue;
                            }
                            run.clear();
                            run.push((key, &source[..value]));
                            if what & RUN != 0 {
                                let next = |step: &(u8, &[u8], usize)| step.0 == what & !FIRST;
                                while let Some((_, key, value)) = steps.next_if(next) {
                                    run.push((key, &source[..value]));
                                }
                            }
                            match table {
                                $($code => step($name.open()?, what, &run)?,)*
                                other => unreachable!("no table has the code {other}"),
                            }
                        }
                    }
                    txn.set_durability(durability).expect("one process has the file, and no savepoint was made");
                    txn.commit().map_err(|error| match error {
                        redb::CommitError::Storage(error) => error,
                        other => StorageError::Corrupted(other.to_string()),
                    })?;
                }
            }};
        }
        each_table!(all);
        Ok(())
    }
}

fn step<K: Key, V: Value>(table: &mut Open<'_, K, V>, what: u8, rows: &[(&[u8], &[u8])]) -> Disk<()> {
    let (key, value) = (K::from_bytes(rows[0].0), rows[0].1);
    match (what & RUN == 0, what & REMOVE == 0) {
        (true, true) => table.table().insert(key, V::from_bytes(value)).map(drop),
        (true, false) => table.table().remove(key).map(drop),
        (false, true) => table.insert_run(rows),
        (false, false) => table.remove_run(rows),
    }
}

/// What lies in each table of a file.
///
/// # Errors
/// As [`Config::open`](crate::Config::open); `Held` if this process has it open as well.
pub fn contents(path: &Path) -> Result<Vec<Contents>> {
    let Opened { database, .. } = file::open(path, 64 << 20)?;
    macro_rules! all {
        ($($name:ident $code:literal $definition:ident),*) => {
            begin_read(&database).and_then(|txn| Ok(vec![$(measure(stringify!($name), &open(&txn, $definition)?)?),*]))
        };
    }
    each_table!(all).map_err(|error| of_storage("look at the tables", error))
}

fn measure<K: Key, V: Value>(name: &'static str, table: &redb::ReadOnlyTable<K, V>) -> Disk<Contents> {
    let (mut rows, mut bytes) = (0, 0);
    for row in table.iter()? {
        let (key, value) = row?;
        rows += 1;
        bytes += (K::as_bytes(&key.value()).as_ref().len() + V::as_bytes(&value.value()).as_ref().len()) as u64;
    }
    Ok((name, rows, bytes))
}

fn of_storage(op: &'static str, error: StorageError) -> Error {
    Error::new(ErrorKind::Unavailable, op, "the raw file beside the bench's").with_source(error)
}
