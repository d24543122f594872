//! The engine: workers that vanish, attempts that are stopped.

use std::sync::Arc;
use std::time::Duration;

use jobbers_core::client::Cancelled;
use jobbers_core::record::{AttemptEnd, Cause, JobState};
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker};
use jobbers_core::{ErrorKind, JobId};
use tokio::sync::Notify;

use crate::crew::{PATIENCE, Tally, hands, signalled, stopped};
use crate::kit::at;
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

const LONG: Task<u32, u32> = Task::new("long");
/// A lease, and a bit.
const LEASE: Duration = Duration::from_secs(16);

/// A handler that says that it runs, and ends with its attempt when it is let go.
#[derive(Clone, Default)]
struct Gate {
    runs: Arc<Notify>,
    go: Arc<Notify>,
}

impl Gate {
    fn worker(&self) -> Worker {
        let gate = self.clone();
        hands().slots(1).task(LONG, move |ctx: Ctx, _: u32| {
            let gate = gate.clone();
            async move {
                gate.runs.notify_one();
                gate.go.notified().await;
                Ok::<u32, JobError>(ctx.attempt())
            }
        })
    }
}

fn quick(ctx: Ctx, _: u32) -> std::future::Ready<Result<u32, JobError>> {
    std::future::ready(Ok(ctx.attempt()))
}

/// A job whose worker vanished is ready again when its lease is over, and not before.
async fn a_job_whose_worker_vanished_runs_again(stage: Stage) -> Outcome {
    let (gate, lost) = (Gate::default(), stage.client().submit(LONG, &0).await?);
    let frozen = stage.work(gate.worker()).await?;
    signalled(&gate.runs, "the first attempt runs").await?;
    stage.after(Duration::from_secs(14)).await?;
    ensure_eq!(stage.view(lost.id()).await?.state, JobState::Running, "the state before its lease is over");
    stage.after(Duration::from_secs(2)).await?;
    let worker = stage.work(hands().task(LONG, quick)).await?;
    ensure_eq!(lost.output_within(PATIENCE).await?, 2, "the attempt that succeeded");
    let view = stage.view(lost.id()).await?;
    ensure_eq!((view.losses, view.failures, view.attempts[0].how), (1, 0, AttemptEnd::Lost), "losses, failures, how the first attempt ended");
    gate.go.notify_one();
    stopped(worker).await?;
    stopped(frozen).await.map(drop)
}

/// Two attempts may overlap only when a lease ran out, and only one of them can change anything.
async fn a_worker_that_woke_up_changes_nothing(stage: Stage) -> Outcome {
    let (one, two) = (Gate::default(), Gate::default());
    let job = stage.client().submit(LONG, &0).await?;
    let frozen = stage.work(one.worker()).await?;
    signalled(&one.runs, "the first attempt runs").await?;
    stage.after(LEASE).await?;
    let worker = stage.work(two.worker()).await?;
    signalled(&two.runs, "the second attempt runs").await?;
    let before = stage.load(job.id()).await?;
    one.go.notify_one();
    stopped(frozen).await?;
    ensure_eq!(stage.load(job.id()).await?, before, "the job after the first attempt's end");
    two.go.notify_one();
    ensure_eq!(job.output_within(PATIENCE).await?, 2, "the attempt that succeeded");
    stopped(worker).await.map(drop)
}

/// A poison job, that takes its workers with it, ends up dead.
async fn a_job_that_loses_its_workers_is_dead_in_the_end(stage: Stage) -> Outcome {
    let job = stage.client().submit(LONG, &0).await?;
    let mut gates = Vec::new();
    for loss in 1..4 {
        let gate = Gate::default();
        let frozen = stage.work(gate.worker()).await?;
        signalled(&gate.runs, "another attempt runs").await?;
        stage.after(LEASE).await?;
        let view = stage.view(job.id()).await?;
        ensure_eq!((view.losses, view.state == JobState::Dead), (loss, loss == 3), "losses, and whether it is dead");
        gates.push((gate, frozen));
    }
    let view = stage.view(job.id()).await?;
    ensure_eq!((view.cause, view.attempt), (Some(Cause::WorkerLost), 3), "cause and attempts");
    for (gate, frozen) in gates {
        gate.go.notify_one();
        stopped(frozen).await?;
    }
    ensure_eq!(stage.view(job.id()).await?.state, JobState::Dead, "the state after all of them woke up");
    Ok(())
}

/// The fence that handlers see grows with every attempt of a job.
async fn the_fence_grows_with_every_attempt(stage: Stage) -> Outcome {
    let fences = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = fences.clone();
    let note = move |ctx: Ctx, _: u32| {
        let mut fences = seen.lock().expect("no handler panics");
        fences.push(ctx.fence());
        std::future::ready(if fences.len() < 3 { Err(JobError::retry_after(Duration::ZERO, "again")) } else { Ok(0) })
    };
    let worker = stage.work(hands().task(LONG, note)).await?;
    let job = stage.client().submit(LONG, &0).await?;
    for failures in 1..3 {
        stage.until(job.id(), "scheduled again", |view| view.failures == failures && view.state != JobState::Running).await?;
        stage.after(Duration::from_secs(1)).await?;
    }
    stage.reaches(job.id(), JobState::Succeeded).await?;
    let fences = fences.lock().expect("no handler panics").clone();
    ensure!(fences.len() == 3 && fences.windows(2).all(|two| two[0].count < two[1].count), "the fences: {fences:?}");
    stopped(worker).await.map(drop)
}

/// A worker that starts under the name of one that is gone rescues at once what that one has left.
async fn a_restarted_worker_rescues_what_it_had_left(stage: Stage) -> Outcome {
    let (gate, job) = (Gate::default(), stage.client().submit(LONG, &0).await?);
    let (backend, first) = (stage.backend.clone(), gate.worker().name("anna"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Broken::failed)?;
    let started = runtime.spawn(async move { first.start(&backend).await });
    let handle = started.await.map_err(Broken::failed)??;
    signalled(&gate.runs, "the first attempt runs").await?;
    // The process is gone: nothing of it says goodbye.
    runtime.shutdown_background();
    std::mem::forget(handle);
    // Three leases later its presence has run out as well. Nobody tends.
    stage.clock.set(at(60));
    let worker = stage.work(hands().name("anna").task(LONG, quick)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, 2, "the attempt that succeeded");
    ensure_eq!(stage.view(job.id()).await?.losses, 1, "losses");
    stopped(worker).await.map(drop)
}

/// A job that does not run is cancelled at once, and never starts.
async fn a_job_that_is_cancelled_before_it_started_never_runs(stage: Stage) -> Outcome {
    let (client, tally) = (stage.client(), Tally::default());
    let ready = client.submit(LONG, &0).await?;
    let later = client.submit(LONG, &0).delay(Duration::from_secs(5)).await?;
    for job in [&ready, &later] {
        ensure_eq!(job.cancel("not needed").await?, Cancelled::Now, "what the cancel did");
    }
    let count = tally.clone();
    let worker = stage.work(hands().task(LONG, move |n: u32| std::future::ready(Ok::<u32, JobError>(n + count.add())))).await?;
    stage.after(Duration::from_secs(10)).await?;
    let other = client.submit(LONG, &0).await?;
    stage.reaches(other.id(), JobState::Succeeded).await?;
    for id in [ready.id(), later.id()] {
        let view = stage.view(id).await?;
        ensure_eq!((view.state, view.attempt), (JobState::Cancelled, 0), "a cancelled job");
        ensure!(view.why.as_str().contains("not needed"), "why it was cancelled: {:?}", view.why);
    }
    ensure_eq!(tally.count(), 1, "handlers that ran: that of the other job");
    stopped(worker).await.map(drop)
}

/// A cancel reaches an attempt that runs: its handler is told, and the job ends cancelled.
async fn a_cancel_reaches_a_running_attempt(stage: Stage) -> Outcome {
    let runs = Arc::new(Notify::new());
    let signal = runs.clone();
    let obeys = move |ctx: Ctx, _: u32| {
        let signal = signal.clone();
        async move {
            signal.notify_one();
            ctx.cancelled().await;
            Err::<u32, _>(JobError::cancel("told to stop"))
        }
    };
    let worker = stage.work(hands().lease(Duration::from_millis(300)).task(LONG, obeys)).await?;
    let job = stage.client().submit(LONG, &0).await?;
    signalled(&runs, "the attempt runs").await?;
    ensure_eq!(job.cancel("not needed").await?, Cancelled::Asked, "what the cancel did");
    let view = stage.reaches(job.id(), JobState::Cancelled).await?;
    ensure_eq!((view.attempt, view.attempts[0].how), (1, AttemptEnd::Cancelled), "attempts, and how it ended");
    stopped(worker).await.map(drop)
}

/// A success stands, also after the attempt was asked to stop.
async fn a_success_stands_although_somebody_asked_to_stop(stage: Stage) -> Outcome {
    let (gate, job) = (Gate::default(), stage.client().submit(LONG, &0).await?);
    let worker = stage.work(gate.worker()).await?;
    signalled(&gate.runs, "the attempt runs").await?;
    ensure_eq!(job.cancel("too late").await?, Cancelled::Asked, "what the cancel did");
    gate.go.notify_one();
    ensure_eq!(job.output_within(PATIENCE).await?, 1, "the attempt that succeeded");
    stopped(worker).await.map(drop)
}

/// A failure of an attempt that was asked to stop is not tried again: the job is cancelled.
async fn a_failure_after_a_mark_ends_the_job(stage: Stage) -> Outcome {
    let (runs, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (signal, gate) = (runs.clone(), go.clone());
    let fails = move |_: u32| {
        let (signal, gate) = (signal.clone(), gate.clone());
        async move {
            signal.notify_one();
            gate.notified().await;
            Err::<u32, _>(JobError::retry("again, please"))
        }
    };
    let worker = stage.work(hands().task(LONG, fails)).await?;
    let job = stage.client().submit(LONG, &0).await?;
    signalled(&runs, "the attempt runs").await?;
    job.cancel("not needed").await?;
    go.notify_one();
    let view = stage.reaches(job.id(), JobState::Cancelled).await?;
    ensure_eq!((view.attempt, view.wake_at), (1, None), "attempts, and the timer");
    stopped(worker).await.map(drop)
}

/// What was asked of an ended job, or of none, is refused with the reason.
async fn a_cancel_of_an_ended_job_is_refused(stage: Stage) -> Outcome {
    let worker = stage.work(hands().task(LONG, quick)).await?;
    let job = stage.client().submit(LONG, &0).await?;
    stage.reaches(job.id(), JobState::Succeeded).await?;
    ensure_eq!(job.cancel("too late").await.err().map(|error| error.kind()), Some(ErrorKind::WrongState), "a cancel of an ended job");
    ensure_eq!(job.retry().await.err().map(|error| error.kind()), Some(ErrorKind::WrongState), "a retry of a succeeded job");
    let nobody: JobId = stage.id();
    let error = stage.client().cancel(nobody, "whoever").await.err();
    ensure_eq!(error.map(|error| error.kind()), Some(ErrorKind::NotFound), "a cancel of no job");
    stopped(worker).await.map(drop)
}

/// A worker that stops lets running attempts finish, and fetches no more.
async fn a_worker_that_stops_lets_its_attempts_finish(stage: Stage) -> Outcome {
    let (runs, client) = (Arc::new(Notify::new()), stage.client());
    let (running, waiting) = (client.submit(LONG, &0).await?, client.submit(LONG, &0).await?);
    let signal = runs.clone();
    // It ends once the worker has begun to stop: a slot that is free earlier would be filled.
    let finishes = move |ctx: Ctx, _: u32| {
        let signal = signal.clone();
        async move {
            signal.notify_one();
            ctx.stopping().await;
            Ok::<u32, JobError>(ctx.attempt())
        }
    };
    let worker = stage.work(hands().slots(1).task(LONG, finishes)).await?;
    signalled(&runs, "the attempt runs").await?;
    let report = stopped(worker).await?;
    ensure_eq!((report.finished, report.handed_back, report.abandoned), (1, 0, 0), "what became of the attempts");
    let states = [stage.view(running.id()).await?, stage.view(waiting.id()).await?].map(|view| (view.state, view.attempt));
    // Which of the two was claimed is the queue's matter.
    ensure!(states.contains(&(JobState::Succeeded, 1)) && states.contains(&(JobState::Ready, 0)), "the jobs: {states:?}");
    Ok(())
}

/// A worker that stops at once hands its jobs back: nothing is lost, no attempt counts, and another worker runs them.
async fn a_worker_that_stops_at_once_hands_its_jobs_back(stage: Stage) -> Outcome {
    let (gate, job) = (Gate::default(), stage.client().submit(LONG, &0).await?);
    let worker = stage.work(gate.worker()).await?;
    signalled(&gate.runs, "the attempt runs").await?;
    let report = worker.stop_now().await?;
    ensure_eq!((report.handed_back, report.abandoned), (1, 0), "what became of the attempts");
    let view = stage.view(job.id()).await?;
    ensure_eq!((view.state, view.failures, view.losses), (JobState::Ready, 0, 0), "the job");
    let other = stage.work(hands().task(LONG, quick)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, 2, "the attempt that succeeded");
    stopped(other).await.map(drop)
}

table! { "lost", "engine_lost.rs";
    Engine: [
        a_job_whose_worker_vanished_runs_again,
        a_worker_that_woke_up_changes_nothing,
        a_job_that_loses_its_workers_is_dead_in_the_end,
        the_fence_grows_with_every_attempt,
        a_restarted_worker_rescues_what_it_had_left,
        a_job_that_is_cancelled_before_it_started_never_runs,
        a_cancel_reaches_a_running_attempt,
        a_success_stands_although_somebody_asked_to_stop,
        a_failure_after_a_mark_ends_the_job,
        a_cancel_of_an_ended_job_is_refused,
        a_worker_that_stops_lets_its_attempts_finish,
        a_worker_that_stops_at_once_hands_its_jobs_back,
    ];
}
