//! The product survives a crash at each call that its own flows make; a product that does not is noticed.
//!
//! `JOBBERS_CRASH_POINT=12:dies-after` plays that point alone: name the flow and its road as well, `one::Take`.

#[path = "crash_points/planted.rs"]
mod planted;

use std::future::poll_fn;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;

use jobbers_conformance::InMemory;
use jobbers_conformance::crash::{Flow, Road, points};
use jobbers_core::client::Client;
use jobbers_core::task::Task;
use jobbers_core::testing::Kit;
use jobbers_core::testing::cut::{Cutter, Point};
use jobbers_core::{Result, RunId};
use libtest_mimic::{Arguments, Failed, Trial};

/// What plays one point alone.
const VARIABLE: &str = "JOBBERS_CRASH_POINT";
/// Points of all flows together: fewer means that something is not cut any more.
const POINTS_MIN: usize = 400;
/// Turns of the runtime that a submit takes: fewer means that it is dropped before its call is under way, or behind it, and nowhere between.
const PLACES_MIN: usize = 3;
const JOB: Task<u32> = Task::new("crash.job");
const JOIN: Task<u32> = Task::new("crash.join");

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (total, played) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut trials = Vec::new();
    for flow in Flow::ALL {
        for road in Road::ALL {
            let (total, played) = (total.clone(), played.clone());
            trials.push(Trial::test(format!("{}::{road:?}", flow.name), move || {
                total.fetch_add(survives(&flow, road)?, Ordering::SeqCst);
                played.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }));
        }
    }
    trials.push(Trial::test("a_submit_that_is_dropped_at_any_poll_can_be_sent_again", || dropped(submit_one)));
    trials.push(Trial::test("a_batch_that_is_dropped_at_any_poll_can_be_sent_again", || dropped(submit_batch)));
    trials.push(Trial::test("a_map_that_is_dropped_at_any_poll_can_be_sent_again", || dropped(submit_map)));
    trials.push(Trial::test("planted::a_client_that_sends_again_under_a_fresh_id", planted::fresh_id));
    trials.push(Trial::test("planted::a_queue_that_forgets_what_it_gave_out", planted::early_ack));
    trials.push(Trial::test("planted::a_store_that_writes_over_what_its_writer_has_not_seen", planted::no_fence));
    trials.push(Trial::test("planted::a_commit_of_several_requests", planted::several_requests));
    let ended = libtest_mimic::run(&arguments, trials);
    let (total, played) = (total.load(Ordering::SeqCst), played.load(Ordering::SeqCst));
    println!("{total} crash points in {played} flows");
    if played == Flow::ALL.len() * Road::ALL.len() && std::env::var_os(VARIABLE).is_none() && total < POINTS_MIN {
        eprintln!("error: there were {POINTS_MIN} at least");
        return ExitCode::FAILURE;
    }
    ended.exit_code()
}

fn only() -> Result<Option<Point>> {
    std::env::var(VARIABLE).ok().map(|text| text.parse()).transpose()
}

fn survives(flow: &Flow, road: Road) -> Result<usize, Failed> {
    let start = Instant::now();
    match points(flow, road, || InMemory, only()?) {
        Ok(points) => {
            println!("{} by {road:?}: {points}, {:.1?}", flow.name, start.elapsed());
            Ok(points.cut)
        }
        Err(broken) => {
            let again = broken.point.map(|point| format!("\nto play it alone: {VARIABLE}={point}")).unwrap_or_default();
            Err(format!("{broken}{again}, cargo test --test crash_points -- {}::{road:?}", flow.name).into())
        }
    }
}

// What is dropped.

fn id(number: u128) -> RunId {
    RunId::from_u128(RunId::derived(&["dropped"]).as_u128() + number)
}

async fn submit_one(client: Client) -> (usize, bool) {
    (1, client.submit(JOB, &1).id(id(0)).await.is_ok())
}

async fn submit_batch(client: Client) -> (usize, bool) {
    let submits: Vec<_> = (0..5).map(|number| client.submit(JOB, &1).id(id(number))).collect();
    (5, client.submit_each(submits).await.iter().all(|answer| answer.is_ok()))
}

async fn submit_map(client: Client) -> (usize, bool) {
    // Items are made as they run: its map and its join.
    (2, client.map_join(JOB, [1, 2, 3], JOIN, &3).id(id(0)).await.is_ok())
}

/// Polls the future so often, once each turn of the runtime, and then drops it.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let (mut future, mut left) = (pin!(future), times);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        context.waker().wake_by_ref();
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Drops a submit after each number of polls that it takes; sent again under the same ids, its jobs are there once.
fn dropped<F: Future<Output = (usize, bool)>>(submit: impl Fn(Client) -> F) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for polls in 0..1_000 {
            let kit = Kit::new();
            // So that each call of the backend is an await.
            let client = Client::new(&Cutter::never().around(kit.backend())?);
            let uncut = polled(submit(client.clone()), polls).await.is_some();
            let (due, accepted) = submit(client.clone()).await;
            client.close().await;
            let jobs: u64 = kit.client().counts().await?.iter().map(|count| count.jobs).sum();
            if !accepted || jobs != due as u64 {
                return Err(format!("dropped at poll {polls}, and sent again: {jobs} jobs and not {due}, accepted: {accepted}").into());
            }
            if uncut {
                println!("dropped at {polls} places");
                return if polls > PLACES_MIN { Ok(()) } else { Err("nothing was dropped".into()) };
            }
        }
        Err("it does not end".into())
    })
}
