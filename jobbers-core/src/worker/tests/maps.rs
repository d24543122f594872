//! Maps and their joins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::policy::Retry;
use crate::worker::{Ctx, JobError, MapEnd, MapPage};

const SQUARE: Task<u64, u64> = Task::new("square").retry(Retry::none());
const SUM: Task<String, (u64, u64)> = Task::new("sum");
const UP_TO: Task<u64> = Task::new("up-to");

async fn square(n: u64) -> Result<u64, JobError> {
    if n == 13 { Err(JobError::fail("unlucky")) } else { Ok(n * n) }
}

/// The sum of all outputs, and how many parents failed.
async fn sum(ctx: Ctx, _: String) -> Result<(u64, u64), JobError> {
    let (mut sum, mut failed, mut parents) = (0, 0, ctx.parents());
    let mut last = None;
    while let Some(page) = parents.next_page().await? {
        for parent in page {
            assert!(last < Some(parent.id), "in the order of the list");
            last = Some(parent.id);
            match parent.output::<u64>()? {
                Some(output) => sum += output,
                None => failed += 1,
            }
        }
    }
    Ok((sum, failed))
}

async fn up_to(_: Ctx, end: u64, cursor: u64, most: usize) -> Result<MapPage<u64>, JobError> {
    let items: Vec<u64> = (cursor..end).take(most.min(100)).collect();
    let last = if cursor + items.len() as u64 == end { MapEnd::Last } else { MapEnd::More };
    Ok(MapPage { items, last })
}

fn mapper() -> Worker {
    worker().task(SQUARE, square).task(SUM, sum).map_source(UP_TO, up_to)
}

#[tokio::test]
async fn a_join_runs_once_over_all_items_also_dead_ones() {
    for backend in each_way() {
        let worker = mapper().start(&backend).await.unwrap();
        let client = Client::new(&backend);
        let items: Vec<u64> = (0..600).collect();
        let squares: u64 = items.iter().filter(|n| **n != 13).map(|n| n * n).sum();
        let run = client.map_join(SQUARE, items, SUM, &"all".to_owned()).await.unwrap();
        assert_eq!(run.output_within(PATIENCE).await.unwrap(), (squares, 1));
        let map = stored(&backend, run.run()).await;
        assert_eq!((map.record.head.state, map.record.output.as_ref()), (JobState::Succeeded, b"600".as_slice()));
        assert_eq!(stored(&backend, JobId::new(run.run(), 1)).await.record.head.attempt, 1);
        stop(worker).await;
    }
}

#[tokio::test]
async fn a_map_over_nothing_runs_its_join() {
    let backend = memory::open();
    let worker = mapper().start(&backend).await.unwrap();
    let client = Client::new(&backend);
    let run = client.map_join(SQUARE, [], SUM, &"none".to_owned()).await.unwrap();
    assert_eq!(run.output_within(PATIENCE).await.unwrap(), (0, 0));
    let run = client.map_join_from(UP_TO, &0, SQUARE, SUM, &"none".to_owned()).await.unwrap();
    assert_eq!(run.output_within(PATIENCE).await.unwrap(), (0, 0));
    stop(worker).await;
}

#[tokio::test]
async fn a_source_is_asked_page_by_page_and_goes_on_after_an_error() {
    let backend = memory::open();
    let pages = Arc::new(AtomicU32::new(0));
    let count = pages.clone();
    let flaky = move |ctx: Ctx, end: u64, cursor: u64, most: usize| {
        let page = count.fetch_add(1, Ordering::SeqCst);
        async move { if page % 3 == 1 { Err(JobError::retry_after(Duration::ZERO, "flaky")) } else { up_to(ctx, end, cursor, most).await } }
    };
    let worker = worker().task(SQUARE, square).task(SUM, sum).map_source(UP_TO, flaky).start(&backend).await.unwrap();
    let run = Client::new(&backend).map_join_from(UP_TO, &450, SQUARE, SUM, &"all".to_owned()).await.unwrap();
    let squares: u64 = (0..450).filter(|n| *n != 13).map(|n| n * n).sum();
    assert_eq!(run.output_within(PATIENCE).await.unwrap(), (squares, 1));
    assert!(pages.load(Ordering::SeqCst) >= 7);
    stop(worker).await;
}

#[tokio::test]
async fn no_more_items_are_unended_than_the_window_allows() {
    const HELD: Task<u64, u64> = Task::new("held");
    let backend = memory::open();
    let (most, now) = (Arc::new(AtomicU32::new(0)), backend.clone());
    let seen = most.clone();
    let handler = move |ctx: Ctx, n: u64| {
        let (backend, seen) = (now.clone(), seen.clone());
        async move {
            let join = stored(&backend, JobId::new(ctx.run(), 1)).await;
            seen.fetch_max(join.record.head.remaining - 1, Ordering::SeqCst);
            Ok::<u64, JobError>(n)
        }
    };
    let worker = worker().task(HELD, handler).task(SUM, sum).start(&backend).await.unwrap();
    let run = Client::new(&backend).map_join(HELD, 0..60, SUM, &"all".to_owned()).window(16).await.unwrap();
    assert_eq!(run.output_within(PATIENCE).await.unwrap(), (60 * 59 / 2, 0));
    assert!((1..=16).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    stop(worker).await;
}

#[tokio::test]
async fn a_source_that_gives_more_than_it_was_asked_for_fails_its_map_and_the_join_still_runs() {
    let backend = memory::open();
    let greedy = async |_: Ctx, _: u64, _: u64, most: usize| Ok::<_, JobError>(MapPage { items: vec![1; most + 1], last: MapEnd::More });
    let worker = worker().task(SQUARE, square).task(SUM, sum).map_source(UP_TO, greedy).start(&backend).await.unwrap();
    let run = Client::new(&backend).map_join_from(UP_TO, &5, SQUARE, SUM, &"all".to_owned()).await.unwrap();
    assert_eq!(run.output_within(PATIENCE).await.unwrap(), (0, 0));
    let map = stored(&backend, run.run()).await;
    assert_eq!(map.record.head.state, JobState::Dead);
    assert!(map.trail.why.as_str().contains("were asked for"), "{}", map.trail.why);
    stop(worker).await;
}

#[tokio::test]
async fn a_map_whose_join_has_ended_ends() {
    let backend = memory::open();
    let run = Client::new(&backend).map_join(SQUARE, 0..9, SUM, &"all".to_owned()).window(3).await.unwrap();
    Client::new(&backend).cancel(JobId::new(run.run(), 1), "not needed").await.unwrap();
    let worker = mapper().start(&backend).await.unwrap();
    assert_eq!(ended(&backend, run.run()).await.state, JobState::Cancelled);
    assert!(stored(&backend, run.run()).await.trail.why.as_str().contains("is cancelled already"));
    assert_eq!(Client::new(&backend).handle::<()>(run.run()).record().await.unwrap().attempt, 1);
    stop(worker).await;
}
