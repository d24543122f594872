//! What scenarios of the engine do often: start workers, move time, wait for a job to stand as wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jobbers_core::JobId;
use jobbers_core::client::{Client, JobView};
use jobbers_core::driver::{Backend, Dispatch};
use jobbers_core::record::JobState;
use jobbers_core::scheduler::{SchedulerOptions, Tended, tend_once};
use jobbers_core::worker::{LeaseRuntime, StopReport, WithScheduler, Worker, WorkerHandle};
use tokio::sync::Notify;

use crate::{Broken, Outcome, Stage};

/// What takes longer than that never comes.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How often a job is looked at that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A worker of queue `default` with four slots. It brings no scheduler: scenarios move time, and tend, by hand.
pub fn hands() -> Worker {
    Worker::queues(["default"]).slots(4).scheduler(WithScheduler::Off).lease_runtime(LeaseRuntime::Shared)
}

impl Stage {
    /// A client.
    pub fn client(&self) -> Client {
        Client::new(&self.backend)
    }

    /// Starts a worker.
    ///
    /// # Errors
    /// What it says.
    pub async fn work(&self, worker: Worker) -> Outcome<WorkerHandle> {
        Ok(worker.start(&self.backend).await?)
    }

    /// Acts on every job whose time has come.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn tend(&self) -> Outcome<Tended> {
        Ok(tend_once(&self.backend, &SchedulerOptions::default()).await?)
    }

    /// Moves time, and acts on every job whose time has come then.
    ///
    /// # Errors
    /// What the backend says.
    pub async fn after(&self, by: Duration) -> Outcome<Tended> {
        self.clock.advance(by);
        self.tend().await
    }

    /// The job as people see it.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn view(&self, id: impl Into<JobId>) -> Outcome<JobView> {
        let id = id.into();
        self.client().get(id).await?.ok_or_else(|| Broken::failed(format_args!("there is no job {id}")))
    }

    /// Waits until the job stands as wanted.
    ///
    /// # Errors
    /// If it never does.
    pub async fn until(&self, id: impl Into<JobId>, what: &str, stands: impl Fn(&JobView) -> bool) -> Outcome<JobView> {
        let (id, client) = (id.into(), self.client());
        let start = tokio::time::Instant::now();
        loop {
            let view = client.get(id).await?;
            match view {
                Some(view) if stands(&view) => return Ok(view),
                view if start.elapsed() > PATIENCE => {
                    return Err(Broken::failed(format_args!("job {id} was never {what}; it stands so: {view:?}")));
                }
                _ => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// Waits until the job is in this state.
    ///
    /// # Errors
    /// If it never is.
    pub async fn reaches(&self, id: impl Into<JobId>, state: JobState) -> Outcome<JobView> {
        self.until(id, state.as_str(), |view| view.state == state).await
    }
}

/// Waits for a signal.
///
/// # Errors
/// If it never comes.
pub async fn signalled(signal: &Notify, what: &str) -> Outcome {
    let heard = tokio::time::timeout(PATIENCE, signal.notified()).await;
    heard.map_err(|_| Broken::failed(format_args!("it never came to this: {what}")))
}

/// Stops a worker.
///
/// # Errors
/// If it does not.
pub async fn stopped(worker: WorkerHandle) -> Outcome<StopReport> {
    match tokio::time::timeout(PATIENCE, worker.stop()).await {
        Ok(report) => Ok(report?),
        Err(_) => Err(Broken::failed("the worker never stopped")),
    }
}

/// Counts how often a handler was called.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<AtomicU32>);

impl Tally {
    /// Counts one more; returns which it is, from 1.
    pub fn add(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many there were.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Whether deliveries are the caller's matter.
pub fn caller_dispatches(backend: &Backend) -> bool {
    backend.dispatch() == Dispatch::Caller
}
