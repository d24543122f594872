//! The raw bounds: what the same machine does without Jobbers.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobbers::ErrorKind;
use jobbers_redb::Config;
use jobbers_redb::trace::{self, Contents, Raw, Rows, Trace};
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

/// What redb alone takes for what the driver has written.
#[derive(Debug)]
pub(crate) struct Redone {
    /// With all rows that it has written and removed.
    pub(crate) all: Took,
    /// With those of `heads` and `parts` alone, which hold the jobs: no queue, no listing, no count.
    pub(crate) jobs: Took,
}

/// Writes to a new file what the driver has written to `path`: keys and values of the same lengths, in the same order, with the same removals,
/// in the same transactions, synced as they were; redb with the same settings. No decision, no encoding, no other thread. Then to another
/// one the rows of the jobs alone, in as many transactions.
///
/// What the first holds is compared with what the driver's holds, table by table. Nobody may hold that one any more.
pub(crate) fn redb(path: &Path, trace: &Trace) -> Result<Redone, Trouble> {
    let beside = path.with_extension("raw");
    let all = redo(&beside, trace, Rows::All)?;
    let (driver, raw) = (contents(path)?, contents(&beside)?);
    std::fs::remove_file(&beside)?;
    if driver != raw {
        return Err(format!("the raw loop has not written what the driver has: {raw:?} instead of {driver:?}").into());
    }
    let jobs = redo(&beside, trace, Rows::Jobs)?;
    std::fs::remove_file(&beside)?;
    Ok(Redone { all, jobs })
}

fn redo(path: &Path, trace: &Trace, rows: Rows) -> Result<Took, Trouble> {
    let raw = Raw::create(path, Config::default().cache_bytes)?;
    let watch = Watch::start();
    raw.redo(trace, rows)?;
    Ok(watch.stop())
}

/// What lies in each table of a file, once nobody else has it open.
fn contents(path: &Path) -> Result<Vec<Contents>, Trouble> {
    let waiting = Instant::now();
    loop {
        match trace::contents(path) {
            Err(error) if error.kind() == ErrorKind::Held && waiting.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            contents => return Ok(contents?),
        }
    }
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
