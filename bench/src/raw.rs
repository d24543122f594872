//! The raw bounds: what the same machine does without Jobbers.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};
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

/// What a job writes over its life, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobBytes {
    pub(crate) head: usize,
    pub(crate) spec: usize,
    pub(crate) trail: usize,
    pub(crate) output: usize,
}

/// Writes the same bytes in the same number of durable transactions, and nothing else: no index, no queue, no decision.
pub(crate) fn redb(path: &Path, jobs: usize, transactions: usize, bytes: JobBytes) -> Result<Took, Trouble> {
    const HEADS: TableDefinition<'static, &[u8; 20], &[u8]> = TableDefinition::new("heads");
    const PARTS: TableDefinition<'static, &[u8; 21], &[u8]> = TableDefinition::new("parts");
    let database = Database::create(path)?;
    let most = [bytes.head, bytes.spec, bytes.trail, bytes.output].into_iter().max().unwrap_or_default();
    let source = vec![b'x'; most];
    let batch = (3 * jobs).div_ceil(transactions.max(1)).max(1);
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
                    heads.insert(&key(job), &source[..bytes.head])?;
                    match step {
                        Step::Submit => drop(parts.insert(&part(job, 1), &source[..bytes.spec])?),
                        Step::Claim => {}
                        Step::End => {
                            parts.insert(&part(job, 2), &source[..bytes.trail])?;
                            parts.insert(&part(job, 4), &source[..bytes.output])?;
                        }
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

/// How many transactions a store's file has seen, once nobody holds it any more.
pub(crate) fn transactions(path: &Path) -> Result<usize, Trouble> {
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
    let table = database.begin_read()?.open_table(META)?;
    let stored = table.get("transactions")?.ok_or("the file counts no transactions")?;
    let count = u64::from_be_bytes(stored.value().try_into()?);
    Ok(usize::try_from(count)?)
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
