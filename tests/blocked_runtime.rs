//! A handler that keeps its runtime busy, so that nothing else runs there, loses no lease.
//!
//! By default it is busy for four leases of one and a half seconds. `JOBBERS_BUSY_SECONDS=60` makes it that long, with the default lease.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use jobbers::driver::Backend;
use jobbers::worker::LeaseRuntime;
use jobbers::{Client, Ctx, JobError, JobState, Scheduler, Task, Worker};

const BUSY: Task<u64, u32> = Task::new("busy");

async fn busy(ctx: Ctx, millis: u64) -> Result<u32, JobError> {
    let until = Instant::now() + Duration::from_millis(millis);
    while ctx.attempt() == 1 && Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok(ctx.attempt())
}

/// Runs one busy handler on a runtime of one thread; a scheduler on another thread rescues what it can. Returns the attempts.
fn attempts(backend: &Backend, leases: LeaseRuntime) -> u32 {
    let (stop, stopped) = mpsc::channel::<()>();
    let elsewhere = backend.clone();
    let scheduler = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let scheduler = Scheduler::start(&elsewhere);
            tokio::task::spawn_blocking(move || stopped.recv()).await.unwrap().ok();
            scheduler.stop().await;
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let attempts = runtime.block_on(async {
        let (long, worker) = (std::env::var("JOBBERS_BUSY_SECONDS"), Worker::queues(["default"]).task(BUSY, busy).lease_runtime(leases));
        let (millis, worker) = match long {
            Ok(seconds) => (1_000 * seconds.parse::<u64>().unwrap(), worker),
            Err(_) => (6_000, worker.lease(Duration::from_millis(1_500))),
        };
        let worker = worker.start(backend).await.unwrap();
        let job = Client::new(backend).submit(BUSY, &millis).await.unwrap();
        let view = job.ended_within(Duration::from_secs(120)).await.unwrap();
        assert_eq!(view.state, JobState::Succeeded);
        worker.stop().await.unwrap();
        view.attempt
    });
    drop(stop);
    scheduler.join().unwrap();
    attempts
}

#[test]
fn a_handler_that_blocks_its_runtime_loses_no_lease_in_memory() {
    assert_eq!(attempts(&jobbers::memory::open(), LeaseRuntime::Own), 1);
}

#[cfg(feature = "redb")]
#[test]
fn a_handler_that_blocks_its_runtime_loses_no_lease_in_a_file() {
    let path = std::env::temp_dir().join(format!("jobbers-busy-{}.redb", std::process::id()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let backend = runtime.block_on(jobbers::connect(&format!("redb:{}", path.display()))).unwrap();
    assert_eq!(attempts(&backend, LeaseRuntime::Own), 1);
    std::fs::remove_file(path).unwrap();
}

/// What the leases' own runtime is for: on the handler's the lease runs out, and the job is started again.
#[test]
fn leases_on_the_runtime_that_is_blocked_are_lost() {
    assert!(attempts(&jobbers::memory::open(), LeaseRuntime::Shared) > 1);
}
