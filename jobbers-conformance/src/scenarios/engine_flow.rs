//! The engine: jobs that wait for others.

use std::time::Duration;

use jobbers_core::JobId;
use jobbers_core::policy::Retry;
use jobbers_core::record::JobState;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker};

use crate::crew::{PATIENCE, Tally, hands, stopped};
use crate::{Outcome, Stage, ensure_eq};

const ITEM: Task<u32, u32> = Task::new("item").retry(Retry::none());
const TOTAL: Task<u32, Vec<u32>> = Task::new("total").retry(Retry::none());

/// Doubles; fails on multiples of seven.
fn item(n: u32) -> std::future::Ready<Result<u32, JobError>> {
    std::future::ready(if n > 0 && n.is_multiple_of(7) { Err(JobError::fail("seven")) } else { Ok(2 * n) })
}

/// Sums what the parents returned; counts those that did not.
async fn total(ctx: Ctx, extra: u32) -> Result<Vec<u32>, JobError> {
    let (mut parents, mut sum, mut failed) = (ctx.parents(), extra, 0);
    while let Some(page) = parents.next_page().await? {
        for parent in page {
            match parent.output::<u32>()? {
                Some(output) => sum += output,
                None => failed += 1,
            }
        }
    }
    Ok(vec![sum, failed])
}

fn crew() -> Worker {
    hands().slots(8).task(ITEM, item).task(TOTAL, total)
}

/// Moves time on until the run has ended: a map waits between its chunks.
async fn pushed_on(stage: &Stage, join: JobId) -> Outcome {
    for _ in 0..200 {
        let look = stage.until(join, "ended", |view| view.state.is_end());
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(60), look).await {
            return ended.map(drop);
        }
        stage.after(Duration::from_secs(1)).await?;
    }
    stage.until(join, "ended", |view| view.state.is_end()).await.map(drop)
}

/// A join runs once, when all its parents have ended, and reads what they returned.
async fn a_join_reads_what_its_parents_returned(stage: Stage) -> Outcome {
    let worker = stage.work(crew()).await?;
    let run = stage.client().map_join(ITEM, 1..=6, TOTAL, &100).await?;
    pushed_on(&stage, run.join().id()).await?;
    ensure_eq!(run.output_within(PATIENCE).await?, vec![142, 0], "the sum, and parents without an output");
    ensure_eq!(stage.view(run.join().id()).await?.attempt, 1, "attempts of the join");
    ensure_eq!(stage.store().unended(&[run.run()]).await?, vec![0], "unended records of the run");
    stopped(worker).await.map(drop)
}

/// The join of a map always runs, also over dead items.
async fn a_join_runs_over_dead_items(stage: Stage) -> Outcome {
    let worker = stage.work(crew()).await?;
    let run = stage.client().map_join(ITEM, 1..=20, TOTAL, &0).await?;
    pushed_on(&stage, run.join().id()).await?;
    ensure_eq!(run.output_within(PATIENCE).await?, vec![2 * (210 - 21), 2], "the sum, and dead parents");
    let view = run.view().await?;
    ensure_eq!(view.unended, 0, "unended records");
    stopped(worker).await.map(drop)
}

/// A map never has more unended items than its window; all of them run all the same.
async fn a_map_keeps_to_its_window(stage: Stage) -> Outcome {
    let run = stage.client().map_join(ITEM, (0..50).map(|n| n * 7 + 1), TOTAL, &0).window(6).await?;
    let only_map = stage.work(hands().task(TOTAL, total)).await?;
    let map = JobId::from(run.run());
    stage.until(map, "waiting for its window", |view| view.items_added == Some(6) && view.state == JobState::Scheduled).await?;
    stage.after(Duration::from_secs(2)).await?;
    stage.until(map, "waiting for its window", |view| view.state == JobState::Scheduled).await?;
    ensure_eq!(stage.view(map).await?.items_added, Some(6), "items that were added while none of six has ended");
    stopped(only_map).await?;
    let worker = stage.work(crew()).await?;
    pushed_on(&stage, run.join().id()).await?;
    let sum: u32 = (0..50).map(|n| 2 * (n * 7 + 1)).sum();
    ensure_eq!(run.output_within(PATIENCE).await?, vec![sum, 0], "the sum, and parents without an output");
    stopped(worker).await.map(drop)
}

/// A join over nothing runs.
async fn a_join_over_nothing_runs(stage: Stage) -> Outcome {
    let worker = stage.work(crew()).await?;
    let run = stage.client().map_join(ITEM, [], TOTAL, &5).await?;
    pushed_on(&stage, run.join().id()).await?;
    ensure_eq!(run.output_within(PATIENCE).await?, vec![5, 0], "the sum, and parents without an output");
    stopped(worker).await.map(drop)
}

/// Sending a run again is safe: it is the same run.
async fn a_run_that_is_sent_again_is_one_run(stage: Stage) -> Outcome {
    let (client, id) = (stage.client(), stage.run());
    client.map_join(ITEM, 1..=3, TOTAL, &0).id(id).await?;
    let run = client.map_join(ITEM, 1..=3, TOTAL, &0).id(id).await?;
    let worker = stage.work(crew()).await?;
    pushed_on(&stage, run.join().id()).await?;
    ensure_eq!(run.output_within(PATIENCE).await?, vec![12, 0], "the sum, and parents without an output");
    ensure_eq!(stage.store().scan(None, 100).await?.heads.len(), 5, "records: the map, the join, three items");
    stopped(worker).await.map(drop)
}

/// A cancelled run ends: no job of it starts any more.
async fn a_cancelled_run_ends(stage: Stage) -> Outcome {
    let client = stage.client();
    let run = client.map_join(ITEM, 1..=30, TOTAL, &0).window(4).await?;
    let map_only = stage.work(hands().task(TOTAL, total)).await?;
    stage.until(JobId::from(run.run()), "waiting for its window", |view| view.state == JobState::Scheduled).await?;
    stopped(map_only).await?;
    run.cancel("not needed").await?;
    let runs = Tally::default();
    let count = runs.clone();
    let counted = move |n: u32| std::future::ready(Ok::<u32, JobError>(n + count.add()));
    let worker = stage.work(hands().task(ITEM, counted).task(TOTAL, total)).await?;
    let other = client.submit(ITEM, &1).await?;
    stage.reaches(other.id(), JobState::Succeeded).await?;
    stage.after(Duration::from_secs(60)).await?;
    ensure_eq!((runs.count(), stage.store().unended(&[run.run()]).await?), (1, vec![0]), "items that ran, and unended records");
    stopped(worker).await.map(drop)
}

/// A follow-up of an attempt is submitted with its success, and not with a failure.
async fn a_follow_up_comes_with_the_success(stage: Stage) -> Outcome {
    const FIRST: Task<u32, u32> = Task::new("first").retry(Retry::constant(Duration::from_secs(5)));
    let (runs, followed) = (Tally::default(), Tally::default());
    let (count, after) = (runs.clone(), followed.clone());
    let first = move |ctx: Ctx, n: u32| {
        let count = count.clone();
        async move {
            ctx.then(ITEM, &n)?;
            if count.add() == 1 { Err(JobError::retry("not yet")) } else { Ok(n) }
        }
    };
    let item = move |n: u32| std::future::ready(Ok::<u32, JobError>(n + after.add()));
    let worker = stage.work(hands().task(FIRST, first).task(ITEM, item)).await?;
    let job = stage.client().submit(FIRST, &9).await?;
    stage.reaches(job.id(), JobState::Scheduled).await?;
    ensure_eq!(stage.store().scan(None, 9).await?.heads.len(), 1, "records after the failure");
    stage.after(Duration::from_secs(600)).await?;
    stage.reaches(job.id(), JobState::Succeeded).await?;
    let follow_up = JobId::new(job.id().run, 1);
    stage.reaches(follow_up, JobState::Succeeded).await?;
    ensure_eq!(followed.count(), 1, "follow-ups that ran");
    stopped(worker).await.map(drop)
}

table! { "flow", "engine_flow.rs";
    Engine: [
        a_join_reads_what_its_parents_returned,
        a_join_runs_over_dead_items,
        a_map_keeps_to_its_window,
        a_join_over_nothing_runs,
        a_run_that_is_sent_again_is_one_run,
        a_cancelled_run_ends,
        a_follow_up_comes_with_the_success,
    ];
}
