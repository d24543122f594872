//! How fast the store is beside a bare loop over redb that writes the same rows in as many transactions.
//!
//! `cargo bench -p jobbers-redb --bench speed`; `JOBBERS_BENCH_FILE` names the file to use (it is deleted), `JOBBERS_BENCH_JOBS` how many jobs.

#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jobbers_core::driver::{Backend, Claim, Commit, Op, Place, Pull, TakeRequest};
use jobbers_core::record::{Head, JobState, Parts, Record};
use jobbers_core::{Clock, DrawSource, Ids, JobId, QueueName, Result, SystemClock, SystemDraws, TaskName, WorkerId};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

/// What a busy client commits at once.
const BATCH: usize = 128;

fn jobs() -> usize {
    std::env::var("JOBBERS_BENCH_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(20_000)
}

const HEADS: TableDefinition<'_, &[u8; 20], &[u8]> = TableDefinition::new("heads");
const PARTS: TableDefinition<'_, &[u8; 21], &[u8]> = TableDefinition::new("parts");
const LIST: TableDefinition<'_, &[u8], ()> = TableDefinition::new("list");
const WAKE: TableDefinition<'_, &[u8; 28], ()> = TableDefinition::new("wake");
const READY: TableDefinition<'_, &[u8], &[u8; 20]> = TableDefinition::new("ready");

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::var_os("JOBBERS_BENCH_FILE").map_or_else(|| std::env::temp_dir().join("jobbers-speed.redb"), PathBuf::from);
    let raw = raw(&file).expect("the bare loop works on this disk");
    let _ = std::fs::remove_file(&file);
    let backend = jobbers_redb::Redb::open(&file)?;
    let ours = ours(&backend).await?;
    for (step, (ours, raw)) in ["submit", "take", "end"].into_iter().zip(ours.into_iter().zip(raw)) {
        let rate = |took: Duration| jobs() as f64 / took.as_secs_f64();
        println!("{step:7} {:9.0}/s   bare redb {:9.0}/s   {:3.0} %", rate(ours), rate(raw), 100.0 * rate(ours) / rate(raw));
    }
    reads(&backend).await;
    elsewhere().await;
    opens(backend, &file)?;
    let _ = std::fs::remove_file(&file);
    Ok(())
}

async fn ours(backend: &Backend) -> Result<[Duration; 3]> {
    let (queue, task) = (QueueName::new("mail")?, TaskName::new("mail.send")?);
    let now = SystemClock.now();
    let ids = Ids::default();
    let head = Head { queue: queue.clone(), task: task.clone(), version: 1, created_at: now, ..Head::default() };
    let record = Record { head, spec: Bytes::from(vec![b'x'; 300]), ..Record::default() };
    let commits: Vec<Commit> = (0..jobs())
        .map(|_| {
            let id = JobId::from(ids.run(now, SystemDraws.wide()));
            Commit { run: id.run, nonce: SystemDraws.draw().nonce, ops: vec![Op::Insert { id, record: record.clone(), over: None }] }
        })
        .collect();
    let begun = Instant::now();
    for batch in commits.chunks(BATCH) {
        for verdict in backend.store().commit(batch).await {
            verdict?;
        }
    }
    let submitted = begun.elapsed();

    let begun = Instant::now();
    let mut running = Vec::with_capacity(jobs());
    while running.len() < jobs() {
        let pull = Pull { queues: vec![(queue.clone(), BATCH as u32)], max: BATCH as u32, now, back_at: now + Duration::from_secs(30) };
        let claim = Claim { owner: WorkerId::from_u128(7), now, wake_at: now + Duration::from_secs(15), nonce: SystemDraws.draw().nonce };
        let take = TakeRequest { pull, claim, claimable: vec![(task.clone(), 1)] };
        running.extend(backend.take().expect("the driver has a fast path").take(&take).await?.claimed);
    }
    let taken = begun.elapsed();

    let ends = running.into_iter().map(|(id, mut record)| {
        let expect = record.head.revision;
        (record.head.state, record.head.ended_at) = (JobState::Succeeded, Some(now));
        (record.head.owner, record.head.wake_at) = (None, None);
        (record.output, record.trail) = (Bytes::from(vec![b'o'; 100]), Bytes::from(vec![b't'; 60]));
        let op = Op::Update { id, expect, lapsed: None, record, changed: Parts::OUTPUT.and(Parts::TRAIL), place: Place::Back };
        Commit { run: id.run, nonce: SystemDraws.draw().nonce, ops: vec![op] }
    });
    let ends: Vec<Commit> = ends.collect();
    let begun = Instant::now();
    for batch in ends.chunks(BATCH) {
        for verdict in backend.store().commit(batch).await {
            verdict?;
        }
    }
    Ok([submitted, taken, begun.elapsed()])
}

/// How long small reads take on the thread that asks.
async fn reads(backend: &Backend) {
    let page = backend.store().scan(None, 200).await.expect("the store works");
    for size in [1, 32, 200] {
        let ids: Vec<JobId> = page.heads.iter().map(|(id, _)| *id).cycle().take(size).collect();
        let begun = Instant::now();
        for _ in 0..200 {
            backend.store().load(&ids).await;
        }
        println!("load of {size:3}: {:?}", begun.elapsed() / 200);
    }
}

/// What it would cost to hand a read to another thread.
async fn elsewhere() {
    let begun = Instant::now();
    for _ in 0..1000 {
        tokio::task::spawn_blocking(|| ()).await.expect("it does not panic");
    }
    println!("another thread and back: {:?}", begun.elapsed() / 1000);
}

/// How long an open takes: of a file as a kill leaves it, and of one that was closed.
fn opens(backend: Backend, file: &Path) -> Result<()> {
    let killed = file.with_extension("killed");
    let bytes = std::fs::copy(file, &killed).expect("there is room for a copy");
    drop(backend);
    for (file, how) in [(killed.as_path(), "a kill"), (file, "a close")] {
        let begun = Instant::now();
        let backend = jobbers_redb::Redb::open(file)?;
        println!("open after {how}, {} MB: {:?}", bytes >> 20, begun.elapsed());
        drop(backend);
    }
    let _ = std::fs::remove_file(killed);
    Ok(())
}

fn key(number: usize) -> [u8; 20] {
    let mut key = [9; 20];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

fn with<const N: usize>(start: &[u8], id: &[u8; 20]) -> [u8; N] {
    let mut key = [0; N];
    key[..start.len()].copy_from_slice(start);
    key[N - 20..].copy_from_slice(id);
    key
}

/// The rows that the store writes, without a thought: what redb alone can do.
fn raw(file: &Path) -> std::result::Result<[Duration; 3], redb::Error> {
    let _ = std::fs::remove_file(file);
    let database = Database::create(file)?;
    let head = vec![b'h'; 90];
    let mut took = [Duration::ZERO; 3];
    for (step, took) in took.iter_mut().enumerate() {
        let begun = Instant::now();
        for batch in (0..jobs()).collect::<Vec<_>>().chunks(BATCH) {
            let mut txn = database.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            {
                let (mut heads, mut parts) = (txn.open_table(HEADS)?, txn.open_table(PARTS)?);
                let (mut list, mut wake, mut ready) = (txn.open_table(LIST)?, txn.open_table(WAKE)?, txn.open_table(READY)?);
                for number in batch {
                    let id = key(*number);
                    let (delivery, before, after): ([u8; 30], [u8; 36], [u8; 36]) =
                        (with(b"m", &id), with(&[step as u8], &id), with(&[step as u8 + 1], &id));
                    match step {
                        0 => {
                            parts.insert(&with(&[0], &id), [b'x'; 300].as_slice())?;
                            ready.insert(delivery.as_slice(), &id)?;
                        }
                        1 => {
                            heads.get(&id)?.expect("it was inserted").value().to_vec();
                            parts.get(&with(&[0], &id))?.expect("it was inserted").value().to_vec();
                            ready.remove(delivery.as_slice())?;
                            list.remove(before.as_slice())?;
                            wake.insert(&with(b"t", &id), ())?;
                        }
                        _ => {
                            heads.get(&id)?.expect("it was inserted").value().to_vec();
                            parts.insert(&with(&[1], &id), [b'o'; 100].as_slice())?;
                            parts.insert(&with(&[2], &id), [b't'; 60].as_slice())?;
                            list.remove(before.as_slice())?;
                            wake.remove(&with(b"t", &id))?;
                        }
                    }
                    heads.insert(&id, head.as_slice())?;
                    list.insert(after.as_slice(), ())?;
                }
            }
            txn.commit()?;
        }
        *took = begun.elapsed();
    }
    let _ = database.begin_read()?;
    Ok(took)
}
