//! The engine: jobs that run.

use std::sync::Arc;
use std::time::Duration;

use jobbers_core::record::{JobState, Priority};
use jobbers_core::scheduler::{SchedulerOptions, tend_once};
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError};
use jobbers_core::{ErrorKind, RunId};
use tokio::sync::Notify;

use crate::crew::{PATIENCE, Tally, caller_dispatches, hands, signalled, stopped};
use crate::kit::{at, delivery};
use crate::{Broken, Outcome, Stage, ensure, ensure_eq};

const ECHO: Task<String, String> = Task::new("echo");
const COUNT: Task<u32, u32> = Task::new("count");

async fn echo(text: String) -> Result<String, JobError> {
    Ok(text)
}

/// A submit that was acknowledged is not lost: a worker runs it, and its output is stored.
async fn a_job_runs_and_its_output_is_stored(stage: Stage) -> Outcome {
    let job = stage.client().submit(ECHO, &"hello".to_owned()).await?;
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, "hello", "the output");
    let view = stage.view(job.id()).await?;
    ensure_eq!((view.state, view.attempt, view.failures, view.losses), (JobState::Succeeded, 1, 0, 0), "the job");
    ensure_eq!((view.owner, view.wake_at, view.attempts.len()), (None, None, 1), "owner, timer, and attempts that ended");
    stopped(worker).await.map(drop)
}

/// Every job of a crowd runs, and runs once.
async fn every_job_of_a_crowd_runs_once(stage: Stage) -> Outcome {
    let runs = Tally::default();
    let tally = runs.clone();
    let count = move |n: u32| {
        tally.add();
        std::future::ready(Ok::<u32, JobError>(n + 1))
    };
    let workers = [stage.work(hands().task(COUNT, count.clone())).await?, stage.work(hands().task(COUNT, count)).await?];
    let jobs = stage.client().submit_all(COUNT, 0..120).await;
    for (n, job) in (0..).zip(jobs) {
        ensure_eq!(job?.output_within(PATIENCE).await?, n + 1, "the output of job {n}");
    }
    ensure_eq!(runs.count(), 120, "handlers that ran");
    for worker in workers {
        stopped(worker).await?;
    }
    Ok(())
}

/// Sending the same id again is safe: the same content is the same job, other content is a conflict.
async fn a_submit_that_is_sent_again_is_one_job(stage: Stage) -> Outcome {
    let runs = Tally::default();
    let tally = runs.clone();
    let count = move |n: u32| std::future::ready(Ok::<u32, JobError>(n + tally.add()));
    let (run, client) = (stage.run(), stage.client());
    for _ in 0..3 {
        client.submit(COUNT, &5).id(run).await?;
    }
    let worker = stage.work(hands().task(COUNT, count)).await?;
    let job = client.submit(COUNT, &5).id(run).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, 6, "the output");
    let other = client.submit(COUNT, &6).id(run).await.err();
    ensure_eq!(other.map(|error| error.kind()), Some(ErrorKind::Conflict), "other content under the same id");
    ensure_eq!(runs.count(), 1, "handlers that ran");
    stopped(worker).await.map(drop)
}

/// A duplicate delivery loses the claim: the job runs once.
async fn a_job_that_is_delivered_many_times_runs_once(stage: Stage) -> Outcome {
    let runs = Tally::default();
    let tally = runs.clone();
    let count = move |n: u32| std::future::ready(Ok::<u32, JobError>(n + tally.add()));
    let job = stage.client().submit(COUNT, &1).await?;
    stage.push(&vec![delivery(job.id(), "default"); 7]).await?;
    let workers = [stage.work(hands().task(COUNT, count.clone())).await?, stage.work(hands().task(COUNT, count)).await?];
    stage.reaches(job.id(), JobState::Succeeded).await?;
    stage.push(&vec![delivery(job.id(), "default"); 7]).await?;
    let after = stage.client().submit(COUNT, &2).await?;
    stage.reaches(after.id(), JobState::Succeeded).await?;
    ensure_eq!((runs.count(), stage.view(job.id()).await?.attempt), (2, 1), "handlers of two jobs, and attempts of the first");
    for worker in workers {
        stopped(worker).await?;
    }
    Ok(())
}

/// A delivery is dropped if its job is not Ready: one of no job at all harms nobody.
async fn a_delivery_of_no_job_is_dropped(stage: Stage) -> Outcome {
    stage.push(&(0..5).map(|_| delivery(stage.id(), "default")).collect::<Vec<_>>()).await?;
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    let job = stage.client().submit(ECHO, &"hello".to_owned()).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, "hello", "the output of a job behind them");
    // Without an order the job may come before them.
    stage.depths(&[crate::kit::queue("default")], &[0]).await?;
    stopped(worker).await?;
    stage.pull_nothing(&crate::kit::pull(&["default"], at(3_600))).await
}

/// A delivery may vanish, but its job does not: it is delivered again.
async fn a_job_whose_delivery_vanished_is_delivered_again(stage: Stage) -> Outcome {
    let job = stage.client().submit(ECHO, &"hello".to_owned()).await?;
    let items = stage.pull(&crate::kit::pull(&["default"], at(0)), 1).await?;
    stage.queue().ack(&[items[0].1.clone()]).await?;
    stage.depths(&[crate::kit::queue("default")], &[0]).await?;
    stage.clock.set(at(600));
    let mut options = SchedulerOptions::default();
    options.reconcile_after = Duration::ZERO;
    let tended = tend_once(&stage.backend, &options).await?;
    ensure!(tended.pushed + tended.due == 1, "one job was to be delivered again: {tended:?}");
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, "hello", "the output");
    stopped(worker).await.map(drop)
}

/// A job that is submitted for later runs then, and not before.
async fn a_delayed_job_runs_at_its_time(stage: Stage) -> Outcome {
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    let job = stage.client().submit(ECHO, &"later".to_owned()).delay(Duration::from_secs(60)).await?;
    ensure_eq!(stage.view(job.id()).await?.state, JobState::Scheduled, "the state of a job for later");
    ensure_eq!(stage.after(Duration::from_secs(59)).await?.due, 0, "jobs whose time has come a second early");
    ensure_eq!(stage.after(Duration::from_secs(1)).await?.due, 1, "jobs whose time has come");
    ensure_eq!(job.output_within(PATIENCE).await?, "later", "the output");
    stopped(worker).await.map(drop)
}

/// What N schedulers do at once, one compare-and-set lets one of them do: each due job is acted on once.
async fn many_schedulers_do_nothing_twice(stage: Stage) -> Outcome {
    let runs = Tally::default();
    let tally = runs.clone();
    let count = move |n: u32| {
        tally.add();
        std::future::ready(Ok::<u32, JobError>(n))
    };
    let client = stage.client();
    let mut jobs = Vec::new();
    for n in 0..40 {
        jobs.push(client.submit(COUNT, &n).delay(Duration::from_secs(10)).await?);
    }
    stage.clock.set(at(10));
    let schedulers: Vec<_> = (0..4)
        .map(|_| {
            let backend = stage.backend.clone();
            tokio::spawn(async move { tend_once(&backend, &SchedulerOptions::default()).await })
        })
        .collect();
    for scheduler in schedulers {
        scheduler.await.map_err(Broken::failed)??;
    }
    let worker = stage.work(hands().task(COUNT, count)).await?;
    for job in &jobs {
        stage.reaches(job.id(), JobState::Succeeded).await?;
    }
    ensure_eq!(runs.count(), 40, "handlers that ran");
    stopped(worker).await.map(drop)
}

/// More urgent jobs run first, where the queue claims that.
async fn urgent_jobs_run_first(stage: Stage) -> Outcome {
    stage.needs(jobbers_core::driver::Capability::Priority)?;
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = order.clone();
    let note = move |n: u32| {
        seen.lock().expect("no handler panics").push(n);
        std::future::ready(Ok::<u32, JobError>(n))
    };
    let client = stage.client();
    let mut jobs = Vec::new();
    for (n, priority) in [(3, Priority::Low), (2, Priority::Normal), (1, Priority::High), (0, Priority::Urgent)] {
        jobs.push(client.submit(COUNT, &n).priority(priority).await?);
    }
    stage.settle(&["default"]).await?;
    let worker = stage.work(hands().slots(1).task(COUNT, note)).await?;
    for job in &jobs {
        stage.reaches(job.id(), JobState::Succeeded).await?;
    }
    ensure_eq!(*order.lock().expect("no handler panics"), [0, 1, 2, 3], "the order");
    stopped(worker).await.map(drop)
}

/// A worker runs no more attempts at once than it has slots.
async fn a_worker_keeps_to_its_slots(stage: Stage) -> Outcome {
    let (running, most, full, go) = (Tally::default(), Tally::default(), Arc::new(Notify::new()), Arc::new(tokio::sync::Semaphore::new(0)));
    let (tally, signal, gate) = (running.clone(), full.clone(), go.clone());
    let hold = move |n: u32| {
        let (tally, signal, gate) = (tally.clone(), signal.clone(), gate.clone());
        async move {
            if tally.add() == 3 {
                signal.notify_one();
            }
            gate.acquire().await.map_err(JobError::retry)?.forget();
            Ok::<u32, JobError>(n)
        }
    };
    let jobs = stage.client().submit_all(COUNT, 0..8).await;
    let worker = stage.work(hands().slots(3).task(COUNT, hold)).await?;
    signalled(&full, "three handlers run").await?;
    let owned = stage.store().owned(worker.id(), 100).await?;
    ensure_eq!((owned.len(), running.count(), most.count()), (3, 3, 0), "jobs that the worker owns, and handlers that have started");
    go.add_permits(8);
    for job in jobs {
        stage.reaches(job?.id(), JobState::Succeeded).await?;
    }
    stopped(worker).await.map(drop)
}

/// What the handler says of itself is in the record: its step, its share.
async fn what_a_handler_says_is_in_the_record(stage: Stage) -> Outcome {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let speak = move |ctx: Ctx, text: String| {
        let gate = gate.clone();
        async move {
            ctx.step("resizing 3/9");
            ctx.progress(0.25);
            gate.notified().await;
            Ok::<String, JobError>(text)
        }
    };
    let worker = stage.work(hands().step_interval(Duration::ZERO).task(ECHO, speak)).await?;
    let job = stage.client().submit(ECHO, &"hello".to_owned()).await?;
    let said = |view: &jobbers_core::client::JobView| view.progress.as_ref().is_some_and(|one| one.step.as_str() == "resizing 3/9" && one.share.is_some());
    let view = stage.until(job.id(), "said to be resizing", said).await?;
    ensure_eq!((view.state, view.progress.and_then(|one| one.share)), (JobState::Running, Some(0.25)), "state and share");
    go.notify_one();
    let ended = stage.reaches(job.id(), JobState::Succeeded).await?;
    ensure_eq!(ended.attempts[0].step.as_str(), "resizing 3/9", "the step that the attempt was last at");
    stopped(worker).await.map(drop)
}

/// A job whose task no worker here knows is put off, counts nothing, says so, and runs when one comes that does.
async fn a_job_of_an_unknown_task_waits_for_a_worker_that_knows_it(stage: Stage) -> Outcome {
    let strangers = stage.work(hands().task(COUNT, |n: u32| std::future::ready(Ok::<u32, JobError>(n)))).await?;
    let job = stage.client().submit(ECHO, &"hello".to_owned()).await?;
    let view = stage.reaches(job.id(), JobState::Scheduled).await?;
    ensure_eq!((view.attempt, view.failures), (0, 0), "attempts and failures of a job that was put off");
    let said = stage.client().explain(job.id()).await?;
    let advice = said.advice.unwrap_or_default();
    ensure!(said.reason.contains("does not know echo@1") && advice.contains("echo@1"), "it says {:?}, and advises {advice:?}", said.reason);
    stopped(strangers).await?;
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    stage.after(Duration::from_secs(10)).await?;
    ensure_eq!(job.output_within(PATIENCE).await?, "hello", "the output");
    stopped(worker).await.map(drop)
}

/// A job of a version that no worker here knows is put off as one of an unknown task is.
async fn a_job_of_another_version_is_put_off(stage: Stage) -> Outcome {
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    let job = stage.client().submit(ECHO.version(2), &"hello".to_owned()).await?;
    let view = stage.reaches(job.id(), JobState::Scheduled).await?;
    ensure_eq!((view.attempt, view.version), (0, 2), "attempts, and the version");
    let said = stage.client().explain(job.id()).await?.reason;
    ensure!(said.contains("does not know echo@2"), "it says {said:?}");
    stopped(worker).await.map(drop)
}

/// Retention: what ended long ago is forgotten, what ended lately is not.
async fn ended_jobs_are_forgotten_after_their_retention(stage: Stage) -> Outcome {
    let worker = stage.work(hands().task(ECHO, echo)).await?;
    let old = stage.client().submit(ECHO, &"old".to_owned()).await?;
    stage.reaches(old.id(), JobState::Succeeded).await?;
    let mut options = SchedulerOptions::default();
    options.retention = Duration::from_secs(3_600);
    stage.clock.set(at(3_599));
    let fresh = stage.client().submit(ECHO, &"fresh".to_owned()).await?;
    stage.reaches(fresh.id(), JobState::Succeeded).await?;
    ensure_eq!(tend_once(&stage.backend, &options).await?.pruned, 0, "records that were forgotten too early");
    stage.clock.set(at(3_601));
    ensure_eq!(tend_once(&stage.backend, &options).await?.pruned, 1, "records that were forgotten");
    ensure!(stage.client().get(old.id()).await?.is_none(), "the old job is still there");
    stage.view(fresh.id()).await?;
    stopped(worker).await.map(drop)
}

/// A job that a caller's queue was not told of is its own outbox: it has a timer.
async fn a_ready_job_has_a_timer_where_callers_dispatch(stage: Stage) -> Outcome {
    let job = stage.client().submit(ECHO, &"hello".to_owned()).id(RunId::from_u128(5)).await?;
    let timer = stage.view(job.id()).await?.wake_at;
    ensure_eq!(timer.is_some(), caller_dispatches(&stage.backend), "whether it has a timer: {timer:?}");
    Ok(())
}

/// A full worker holds nobody up: what waits behind it is run by one that is idle, in another process too.
async fn a_full_worker_does_not_starve_its_queue(stage: Stage) -> Outcome {
    stage.needs(jobbers_core::driver::Capability::MultiProcess)?;
    let other = stage.beside(stage.opening.clone()).await?;
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, gate) = (started.clone(), go.clone());
    let hold = move |text: String| {
        let (tell, gate) = (tell.clone(), gate.clone());
        async move {
            tell.notify_one();
            gate.notified().await;
            Ok::<String, JobError>(text)
        }
    };
    let quick = |n: u32| std::future::ready(Ok::<u32, JobError>(n));
    let full = stage.work(hands().slots(1).task(ECHO, hold.clone()).task(COUNT, quick)).await?;
    let long = stage.client().submit(ECHO, &"long".to_owned()).await?;
    signalled(&started, "the only slot of a worker is taken").await?;
    let idle = other.work(hands().task(ECHO, hold).task(COUNT, quick)).await?;
    for job in stage.client().submit_all(COUNT, 0..30).await {
        stage.reaches(job?.id(), JobState::Succeeded).await?;
    }
    ensure_eq!(stage.view(long.id()).await?.state, JobState::Running, "the job that takes long");
    go.notify_one();
    stage.reaches(long.id(), JobState::Succeeded).await?;
    stopped(idle).await?;
    stopped(full).await.map(drop)
}

table! { "engine", "engine_run.rs";
    Engine: [
        a_job_runs_and_its_output_is_stored,
        every_job_of_a_crowd_runs_once,
        a_submit_that_is_sent_again_is_one_job,
        a_job_that_is_delivered_many_times_runs_once,
        a_delivery_of_no_job_is_dropped,
        a_job_whose_delivery_vanished_is_delivered_again,
        a_delayed_job_runs_at_its_time,
        many_schedulers_do_nothing_twice,
        urgent_jobs_run_first,
        a_worker_keeps_to_its_slots,
        what_a_handler_says_is_in_the_record,
        a_full_worker_does_not_starve_its_queue,
        a_job_of_an_unknown_task_waits_for_a_worker_that_knows_it,
        a_job_of_another_version_is_put_off,
        ended_jobs_are_forgotten_after_their_retention,
    ];
    BothDispatches: [a_ready_job_has_a_timer_where_callers_dispatch];
}
