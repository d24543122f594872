//! The engine on a store that comes back older than it was: nothing of the lost future counts, and what was there before goes on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobbers_core::JobId;
use jobbers_core::policy::Retry;
use jobbers_core::record::JobState;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker, WorkerHandle};
use tokio::sync::Notify;

use crate::crew::{PATIENCE, hands, signalled, stopped};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// Its output is the nonce of the claim that it ran under.
const LONG: Task<u32, u64> = Task::new("long");
/// Each time the store comes back older some attempts are lost with what it forgot.
const QUICK: Task<u32, u64> = Task::new("quick").retry(Retry::constant(Duration::ZERO).losses_max(1_000));
/// A lease, and a bit.
const LEASE: Duration = Duration::from_secs(16);
const JOBS: u32 = 80;
/// How often the store comes back older while they are worked on.
const REWINDS: u32 = 6;
/// Looks at the jobs, of some milliseconds each, before time is moved: what is lost comes back only then.
const LOOKS: u32 = 20;

/// A handler that says that it runs, and ends when it is let go.
#[derive(Clone, Default)]
struct Gate {
    runs: Arc<Notify>,
    go: Arc<Notify>,
}

impl Gate {
    async fn start(&self, stage: &Stage, lease: Duration) -> Outcome<WorkerHandle> {
        let gate = self.clone();
        let handler = move |ctx: Ctx, _: u32| {
            let gate = gate.clone();
            async move {
                gate.runs.notify_one();
                gate.go.notified().await;
                Ok::<u64, JobError>(ctx.fence().nonce)
            }
        };
        let worker = stage.work(hands().slots(1).lease(lease).task(LONG, handler)).await?;
        signalled(&self.runs, "the attempt runs").await?;
        Ok(worker)
    }
}

/// A worker of a lost future changes nothing, although it and the worker of today have claimed the job equally often.
async fn a_worker_of_a_lost_future_changes_nothing(stage: Stage) -> Outcome {
    let job = stage.client().submit(LONG, &0).await?;
    let older = stage.snapshot().await?;
    let (one, two) = (Gate::default(), Gate::default());
    let of_the_future = one.start(&stage, LEASE).await?;
    let lost = stage.load(job.id()).await?.head.revision;
    older.restore().await?;
    let today = two.start(&stage, LEASE).await?;
    let before = stage.load(job.id()).await?;
    let stands = before.head.revision;
    ensure!(stands.count == lost.count && stands.nonce != lost.nonce, "both claims have one count, and nonces of their own: {lost:?}, {stands:?}");
    one.go.notify_one();
    stopped(of_the_future).await?;
    ensure_eq!(stage.load(job.id()).await?, before, "the job after the end of the attempt of the lost future");
    two.go.notify_one();
    ensure_eq!(job.output_within(PATIENCE).await?, stands.nonce, "whose output stands");
    stopped(today).await.map(drop)
}

/// Tells what becomes of an attempt, also when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A worker of a lost future learns with its next beat that its claim is gone, and the handler is stopped.
async fn a_worker_of_a_lost_future_is_told_with_its_next_beat(stage: Stage) -> Outcome {
    let job = stage.client().submit(LONG, &0).await?;
    let older = stage.snapshot().await?;
    let (runs, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, end) = (runs.clone(), gone.clone());
    let handler = move |_: u32| {
        let (signal, end) = (signal.clone(), end.clone());
        async move {
            let _dropped = Dropped(end);
            signal.notify_one();
            std::future::pending::<Result<u64, JobError>>().await
        }
    };
    let worker = stage.work(hands().slots(1).lease(Duration::from_millis(300)).task(LONG, handler)).await?;
    signalled(&runs, "the attempt runs").await?;
    older.restore().await?;
    signalled(&gone, "the attempt of the lost future is stopped").await?;
    // In the store that came back nobody has claimed it yet: the same worker does, as the first.
    signalled(&runs, "it runs again").await?;
    ensure_eq!(stage.view(job.id()).await?.losses, 0, "losses");
    worker.stop_now().await?;
    Ok(())
}

/// What handlers were started, and which claims are void since the store has forgotten them.
#[derive(Debug, Default)]
struct Claims {
    started: BTreeSet<(JobId, u64)>,
    void: BTreeSet<(JobId, u64)>,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Claims>>);

impl Log {
    fn with<T>(&self, look: impl FnOnce(&mut Claims) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn worker(&self) -> Worker {
        let log = self.clone();
        hands().task(QUICK, move |ctx: Ctx, pause: u32| {
            let log = log.clone();
            async move {
                let nonce = ctx.fence().nonce;
                log.with(|claims| claims.started.insert((ctx.id(), nonce)));
                tokio::time::sleep(Duration::from_millis(u64::from(pause % 4 * 10))).await;
                Ok::<u64, JobError>(nonce)
            }
        })
    }
}

/// Jobs that were accepted before a snapshot end, once each, however often the store comes back older, and never by a claim that it forgot.
async fn a_store_that_comes_back_older_again_and_again_loses_no_job_of_before(stage: Stage) -> Outcome {
    let (client, log) = (stage.client(), Log::default());
    let submitted = client.submit_all(QUICK, 0..JOBS).await.into_iter().collect::<jobbers_core::Result<Vec<_>>>()?;
    let ids: Vec<JobId> = submitted.iter().map(|job| job.id()).collect();
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(stage.work(log.worker()).await?);
    }
    for _ in 0..REWINDS {
        let older = stage.snapshot().await?;
        // Some of the work is done, and forgotten.
        let wanted = ended(&stage, &ids).await? + (JOBS / REWINDS / 2) as usize;
        work_until(&stage, &ids, wanted.min(ids.len())).await?;
        let started = log.with(|claims| claims.started.clone());
        older.restore().await?;
        let stands = standing(&stage, &ids).await?;
        log.with(|claims| claims.void.extend(started.difference(&stands)));
    }
    work_until(&stage, &ids, ids.len()).await?;
    for job in &submitted {
        ensure_eq!(stage.view(job.id()).await?.state, JobState::Succeeded, "how a job ended");
        let nonce = job.output().await?;
        ensure!(!log.with(|claims| claims.void.contains(&(job.id(), nonce))), "{} was ended by a claim that the store forgot", job.id());
    }
    ensure!(log.with(|claims| claims.void.len()) > REWINDS as usize, "hardly anything was forgotten: the scenario proves nothing");
    for worker in workers {
        stopped(worker).await?;
    }
    Ok(())
}

/// Lets workers work, and time go on where they have nothing to do, until so many of these have ended.
async fn work_until(stage: &Stage, ids: &[JobId], wanted: usize) -> Outcome {
    let start = tokio::time::Instant::now();
    for looks in 1.. {
        let found = ended(stage, ids).await?;
        if found >= wanted {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "{found} of {wanted} jobs have ended, and no other does");
        tokio::time::sleep(Duration::from_millis(3)).await;
        stage.after(if looks % LOOKS == 0 { LEASE } else { Duration::ZERO }).await?;
    }
    Ok(())
}

async fn ended(stage: &Stage, ids: &[JobId]) -> Outcome<usize> {
    Ok(stage.load_all(ids).await?.iter().flatten().filter(|record| record.head.state.is_end()).count())
}

/// The claims that the store knows: of those that run, and of those that ended.
async fn standing(stage: &Stage, ids: &[JobId]) -> Outcome<BTreeSet<(JobId, u64)>> {
    let mut stands = BTreeSet::new();
    for (id, record) in ids.iter().zip(stage.load_all(ids).await?) {
        match record {
            Some(record) if record.head.state == JobState::Running => stands.extend([(*id, record.head.revision.nonce)]),
            Some(record) if record.head.state.is_end() => stands.extend([(*id, stage.client().handle::<u64>(id.run).output().await?)]),
            _ => (),
        }
    }
    Ok(stands)
}

table! { "rewind", "engine_rewind.rs";
    Engine: [
        a_worker_of_a_lost_future_changes_nothing,
        a_worker_of_a_lost_future_is_told_with_its_next_beat,
        a_store_that_comes_back_older_again_and_again_loses_no_job_of_before,
    ];
}
