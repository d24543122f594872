//! What is played: scripts of a client, and how their jobs have to end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jobbers_core::record::JobState;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker};
use jobbers_core::{JobId, RunId};

use crate::history::What;
use crate::simulation::client::Caller;
use crate::simulation::process::Seat;
use crate::simulation::shapes::{JOB, JOIN, RETRY, Running, Stagehand};

/// A job each attempt of which fails.
const HOPELESS: Task<(), ()> = Task::new("crash.hopeless").retry(RETRY);
/// How often something is sent again before its client gives up.
const SENDS_MAX: u32 = 20;
/// Jobs that are submitted in one call.
const BATCH: u32 = 50;
/// Items of a map.
const ITEMS: u32 = 10;

pub(super) type Script = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A script, and how its jobs have to end. A process that was killed plays it again from the beginning.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// What it is about.
    pub name: &'static str,
    pub(super) script: fn(Caller, Arc<Seat>) -> Script,
    pub(super) ends: &'static [(JobState, u64)],
}

impl Flow {
    /// Every one that a user may rely on.
    pub const ALL: [Flow; 15] = [
        Flow { name: "one", script: |caller, _| jobs(caller, &[0]), ends: &[(JobState::Succeeded, 1)] },
        Flow { name: "batch", script: |caller, _| Box::pin(batch(caller)), ends: &[(JobState::Succeeded, BATCH as u64)] },
        Flow { name: "impatient-one", script: |caller, _| jobs(impatient(caller), &[0]), ends: &[(JobState::Succeeded, 1)] },
        Flow {
            name: "impatient-batch",
            script: |caller, _| Box::pin(batch(impatient(caller))),
            ends: &[(JobState::Succeeded, BATCH as u64)],
        },
        Flow { name: "delayed", script: |caller, _| Box::pin(delayed(caller)), ends: &[(JobState::Succeeded, 1)] },
        // Its map and its join are jobs as well.
        Flow { name: "map-join", script: |caller, _| Box::pin(map_join(caller)), ends: &[(JobState::Succeeded, ITEMS as u64 + 2)] },
        Flow { name: "retry", script: |caller, _| jobs(caller, &[1]), ends: &[(JobState::Succeeded, 1)] },
        Flow { name: "retry-until-dead", script: |caller, _| Box::pin(hopeless(caller)), ends: &[(JobState::Dead, 1)] },
        Flow { name: "snooze", script: |caller, _| jobs(caller, &[2]), ends: &[(JobState::Succeeded, 1)] },
        Flow { name: "panic", script: |caller, _| jobs(caller, &[4]), ends: &[(JobState::Succeeded, 1)] },
        Flow { name: "follow-up", script: |caller, _| jobs(caller, &[6]), ends: &[(JobState::Succeeded, 2)] },
        // Three that want one of two permits.
        Flow { name: "limited", script: |caller, _| jobs(caller, &[7, 27, 47]), ends: &[(JobState::Succeeded, 3)] },
        Flow { name: "cancel-waiting", script: |caller, _| Box::pin(cancel_waiting(caller)), ends: &[(JobState::Cancelled, 1)] },
        Flow { name: "cancel-running", script: |caller, _| Box::pin(cancel_running(caller)), ends: &[(JobState::Cancelled, 1)] },
        Flow { name: "graceful-stop", script: |caller, seat| Box::pin(stop(caller, seat)), ends: &[(JobState::Succeeded, 2)] },
    ];

    /// A client that is wrong: it sends again under a fresh id what it does not know the outcome of, also after its death.
    pub const FORGETFUL: Flow =
        Flow { name: "forgetful", script: |caller, _| Box::pin(forgetful(caller)), ends: &[(JobState::Succeeded, 1)] };
}

/// Teaches a worker what flows submit.
pub(super) fn teach(hand: &Stagehand, worker: Worker) -> Worker {
    let hopeless = hand.clone();
    hand.teach(worker).task(HOPELESS, move |ctx: Ctx, (): ()| {
        let hand = hopeless.clone();
        async move {
            let _running = Running::start(&hand, &ctx);
            Err::<(), _>(JobError::retry("it never works"))
        }
    })
}

fn run(number: u32) -> RunId {
    RunId::derived(&["crash", &number.to_string()])
}

/// A client that sends nothing again by itself: each failure is its user's.
fn impatient(caller: Caller) -> Caller {
    Caller { client: caller.client.patience(Duration::ZERO), ..caller }
}

/// Submits jobs one after the other.
fn jobs(caller: Caller, parameters: &'static [u32]) -> Script {
    Box::pin(async move {
        for parameter in parameters {
            job(&caller, *parameter, Duration::ZERO).await;
        }
    })
}

async fn job(caller: &Caller, parameter: u32, delay: Duration) -> RunId {
    let id = run(parameter);
    let submit = || match delay {
        Duration::ZERO => caller.client.submit(JOB, &parameter).id(id),
        delay => caller.client.submit(JOB, &parameter).id(id).delay(delay),
    };
    caller.send(vec![JobId::from(id)], || submit().into_future()).await;
    id
}

async fn delayed(caller: Caller) {
    job(&caller, 0, Duration::from_secs(3)).await;
}

/// Many in one call, each answered for itself: those that may have failed are sent again.
async fn batch(caller: Caller) {
    let mut left: Vec<RunId> = (0..BATCH).map(run).collect();
    for _ in 0..SENDS_MAX {
        let calls: Vec<u64> = left.iter().map(|run| caller.invoke(vec![JobId::from(*run)])).collect();
        let submits: Vec<_> = left.iter().map(|run| caller.client.submit(JOB, &0).id(*run)).collect();
        let mut again = Vec::new();
        for ((run, call), answer) in left.into_iter().zip(calls).zip(caller.client.submit_each(submits).await) {
            caller.answered(call, &answer);
            if answer.is_err_and(|error| error.is_transient()) {
                again.push(run);
            }
        }
        left = again;
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(caller.second / 2).await;
    }
}

async fn map_join(caller: Caller) {
    // Plain ones, some of which take a while.
    let items = || (0..ITEMS).map(|item| item * 10);
    let jobs = vec![JobId::from(run(0)), JobId::new(run(0), 1)];
    caller.send(jobs, || caller.client.map_join(JOB, items(), JOIN, &ITEMS).window(3).id(run(0)).into_future()).await;
}

async fn hopeless(caller: Caller) {
    caller.send(vec![JobId::from(run(0))], || caller.client.submit(HOPELESS, &()).id(run(0)).into_future()).await;
}

async fn cancel_waiting(caller: Caller) {
    let id = job(&caller, 0, Duration::from_secs(3600)).await;
    cancel(&caller, id).await;
}

/// Of a job whose handler does not end by itself.
async fn cancel_running(caller: Caller) {
    let id = job(&caller, 8, Duration::ZERO).await;
    let runs = async {
        loop {
            if let Ok(Some(view)) = caller.client.get(id).await
                && (view.state == JobState::Running || view.state.is_end())
            {
                return;
            }
            tokio::time::sleep(caller.second / 4).await;
        }
    };
    runs.await;
    cancel(&caller, id).await;
}

/// Cancels, and again while the answer says that it may help.
async fn cancel(caller: &Caller, id: RunId) {
    for _ in 0..SENDS_MAX {
        match caller.client.cancel(id, "not needed").await {
            Ok(_) => return caller.history.add(caller.client.backend().clock().now(), What::Stopped { job: JobId::from(id) }),
            Err(error) if error.is_transient() => tokio::time::sleep(caller.second / 2).await,
            // It has ended.
            Err(_) => return,
        }
    }
}

/// A worker that stops in good order while it runs a job that outlasts its grace.
async fn stop(caller: Caller, seat: Arc<Seat>) {
    job(&caller, 5, Duration::ZERO).await;
    tokio::time::sleep(caller.second).await;
    seat.stop.store(true, Ordering::SeqCst);
    job(&caller, 0, Duration::ZERO).await;
}

async fn forgetful(caller: Caller) {
    for _ in 0..SENDS_MAX {
        let submit = caller.client.submit(JOB, &0);
        let call = caller.invoke(vec![submit.job_id()]);
        let answer = submit.await;
        caller.answered(call, &answer);
        if !answer.is_err_and(|error| error.is_transient()) {
            return;
        }
    }
}
