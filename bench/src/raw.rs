//! The raw bounds: what the same machine does without Jobbers.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::Notify;

use crate::Trouble;
use crate::clock::{Took, Watch};

/// How often the cost of an fsync is tried.
const FSYNCS: usize = 50;

/// Spawns as many empty tasks on this runtime, and waits for all of them.
pub(crate) async fn spawns(tasks: usize) -> Took {
    let watch = Watch::start();
    let (left, done) = (Arc::new(AtomicUsize::new(tasks)), Arc::new(Notify::new()));
    for _ in 0..tasks {
        let (left, done) = (left.clone(), done.clone());
        tokio::spawn(async move {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                done.notify_one();
            }
        });
    }
    done.notified().await;
    watch.stop()
}

/// What a store's file holds, as the driver has written it.
#[derive(Debug)]
pub(crate) struct Stored {
    /// How many transactions it has seen.
    pub(crate) transactions: usize,
    /// The length of a job's row, which its submit, its claim and its end write.
    row: usize,
    /// The parts of that job that have rows of their own, by code, with their lengths: the submit writes the first, the end all others.
    parts: Vec<(u8, usize)>,
}

const HEADS: TableDefinition<'static, &[u8; 20], &[u8]> = TableDefinition::new("heads");
const PARTS: TableDefinition<'static, &[u8; 21], &[u8]> = TableDefinition::new("parts");
/// The code of the part that a submit writes.
const SPEC: u8 = 1;

/// Writes the same bytes in the same number of durable transactions, and nothing else: no index, no queue, no decision.
pub(crate) fn redb(path: &Path, jobs: usize, stored: &Stored) -> Result<Took, Trouble> {
    let database = Database::create(path)?;
    let most = stored.parts.iter().map(|(_, length)| *length).chain([stored.row]).max().unwrap_or_default();
    let source = vec![b'x'; most];
    let batch = (3 * jobs).div_ceil(stored.transactions.max(1)).max(1);
    let key = |job: usize| {
        let mut key = [0; 20];
        key[8..16].copy_from_slice(&(job as u64).to_be_bytes());
        key
    };
    let part = |job: usize, code: u8| {
        let mut part = [code; 21];
        part[1..].copy_from_slice(&key(job));
        part
    };
    let watch = Watch::start();
    for step in [Step::Submit, Step::Claim, Step::End] {
        for first in (0..jobs).step_by(batch) {
            let txn = database.begin_write()?;
            {
                let (mut heads, mut parts) = (txn.open_table(HEADS)?, txn.open_table(PARTS)?);
                for job in first..jobs.min(first + batch) {
                    heads.insert(&key(job), &source[..stored.row])?;
                    for (code, length) in stored.parts.iter().filter(|(code, _)| step.writes(*code)) {
                        parts.insert(&part(job, *code), &source[..*length])?;
                    }
                }
            }
            txn.commit()?;
        }
    }
    Ok(watch.stop())
}

#[derive(Clone, Copy)]
enum Step {
    Submit,
    Claim,
    End,
}

impl Step {
    fn writes(self, code: u8) -> bool {
        match self {
            Step::Submit => code == SPEC,
            Step::Claim => false,
            Step::End => code != SPEC,
        }
    }
}

/// What a store's file holds, once nobody else has it open.
pub(crate) fn stored(path: &Path) -> Result<Stored, Trouble> {
    const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
    let waiting = Instant::now();
    let database = loop {
        match Database::open(path) {
            Ok(database) => break database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if waiting.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(format!("count the transactions of {}: {error}", path.display()).into()),
        }
    };
    let txn = database.begin_read()?;
    let count = txn.open_table(META)?.get("transactions")?.ok_or("the file counts no transactions")?;
    let transactions = usize::try_from(u64::from_be_bytes(count.value().try_into()?))?;
    let (heads, parts) = (txn.open_table(HEADS)?, txn.open_table(PARTS)?);
    let (job, row) = heads.first()?.ok_or("the file holds no job")?;
    let mut apart = Vec::new();
    for code in [SPEC, 2, 4, 8] {
        let mut key = [code; 21];
        key[1..].copy_from_slice(job.value());
        apart.extend(parts.get(&key)?.map(|bytes| (code, bytes.value().len())));
    }
    Ok(Stored { transactions, row: row.value().len(), parts: apart })
}

/// The median of an fsync after a small write, in milliseconds, in the folder of `beside`.
pub(crate) fn fsync_ms(beside: &Path) -> Result<f64, Trouble> {
    let path = beside.with_extension("fsync");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        file.write_all(&[0; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    drop(file);
    std::fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
