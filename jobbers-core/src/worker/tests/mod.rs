//! The worker as a whole, on the memory driver.

mod codecs;
mod extracts;
mod faults;
#[cfg(feature = "tower")]
mod layers;
mod leases;
mod maps;
mod presences;
mod rates;
mod run;
#[cfg(unix)]
mod signals;
mod starts;
mod stops;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{Worker, WorkerHandle};
use crate::client::{Client, JobView};
use crate::driver::{Backend, Dispatch};
use crate::id::JobId;
use crate::machine::Job;
use crate::memory;
use crate::record::JobState;
use crate::task::Task;

/// A test that waits longer than that has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const ECHO: Task<String, String> = Task::new("echo");

async fn echo(text: String) -> Result<String, super::JobError> {
    Ok(text)
}

/// A backend each way: with its fast path, without it, and with a store that leaves pushes to its callers.
fn each_way() -> [Backend; 3] {
    [memory::open(), memory::open().without_take(), memory::Memory::new().dispatch(Dispatch::Caller).open()]
}

/// A worker with defaults that suit a test.
fn worker() -> Worker {
    Worker::queues(["default"]).slots(4)
}

/// Waits until the job has ended.
async fn ended(backend: &Backend, id: impl Into<JobId>) -> JobView {
    Client::new(backend).handle::<()>(id).ended_within(PATIENCE).await.unwrap()
}

/// The output of a job that has succeeded.
async fn output<T: DeserializeOwned>(backend: &Backend, id: impl Into<JobId>) -> T {
    Client::new(backend).handle::<T>(id).output_within(PATIENCE).await.unwrap()
}

/// The job as it stands.
async fn stored(backend: &Backend, id: impl Into<JobId>) -> Job {
    let id = id.into();
    Job::read(id, backend.store().load(&[id]).await.remove(0).unwrap().unwrap()).unwrap()
}

/// Looks at the job until it stands as wanted.
async fn until(backend: &Backend, id: impl Into<JobId>, stands: impl Fn(&Job) -> bool) -> Job {
    let id = id.into();
    let look = async {
        loop {
            let job = stored(backend, id).await;
            if stands(&job) {
                return job;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the job never stood as wanted")
}

/// Waits for `signal`, not for ever.
async fn signalled(signal: &Arc<Notify>) {
    tokio::time::timeout(PATIENCE, signal.notified()).await.expect("the signal never came");
}

async fn stop(worker: WorkerHandle) -> super::StopReport {
    tokio::time::timeout(PATIENCE, worker.stop()).await.expect("the worker never stopped").unwrap()
}

fn is_end(state: JobState) -> impl Fn(&Job) -> bool {
    move |job| job.record.head.state == state
}
