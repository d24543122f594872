//! Stop: what becomes of running attempts when their worker ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::claim::Told;
use super::engine::Engine;
use super::metrics;
use crate::policy::OnStop;
use crate::scheduler::Scheduler;

/// How long attempts that have given up may take to end.
const GIVE_UP_PATIENCE: Duration = Duration::from_secs(1);
/// How long the parts of the worker may take to end after that.
const TIDY_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether attempts are left.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// It works.
    Work,
    /// It stops: running attempts have its grace.
    Stop,
    /// It stops, and hands back what runs.
    HandBack,
}

/// How a lease loop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nothing is left: the worker's presence is taken away.
    Tidy,
    /// Jobs are left: the presence stays, so that whoever finds it knows whose they were.
    AsIs,
}

/// What became of the attempts that ran when a worker was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StopReport {
    /// They came to an end of their own.
    pub finished: u64,
    /// Their jobs went back to their queues.
    pub handed_back: u64,
    /// They failed, by their own doing or by policy.
    pub failed: u64,
    /// They are still running (a handler that never awaits can not be stopped), or the store did not take their end: their leases run out,
    /// and their jobs are rescued.
    pub abandoned: u64,
}

/// The parts of a worker that its supervisor owns.
pub(super) struct Parts {
    pub(super) engine: Arc<Engine>,
    pub(super) fetcher: JoinHandle<()>,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) farewell: oneshot::Sender<Farewell>,
    /// Returns when the lease loop has ended.
    pub(super) leases: JoinHandle<()>,
}

/// Waits for the order to stop, and stops the worker. An owner that has gone orders it as well.
pub(super) async fn supervise(parts: Parts, mut orders: watch::Receiver<Order>) -> StopReport {
    let engine = parts.engine.clone();
    let mut leases = Some(parts.leases);
    let _slots = metrics::slots(engine.settings.slots);
    tokio::select! {
        biased;
        _ = orders.wait_for(|order| *order != Order::Work) => {}
        // Without leases it would work for nothing; whoever watches the process starts it anew.
        () = ended(&mut leases) => tracing::error!(worker = %engine.id, "the lease loop has ended, which is a bug; the worker stops"),
    }
    engine.stopping.cancel();
    tracing::info!(worker = %engine.id, attempts = engine.claims.count(), "the worker stops");
    let all_ended = async {
        // A fetch loop ends only with the worker, or the runtime.
        let _ = parts.fetcher.await;
        engine.attempts.close();
        engine.attempts.wait().await;
    };
    end_attempts(&engine, all_ended, &mut orders).await;
    let abandoned = engine.claims.count() as u64;
    let farewell = if abandoned == 0 { Farewell::Tidy } else { Farewell::AsIs };
    let _ = parts.farewell.send(farewell);
    if timeout(TIDY_PATIENCE, engine.committer.close()).await.is_err() {
        tracing::warn!(worker = %engine.id, "commits are left that the store did not answer");
    }
    if let Some(scheduler) = parts.scheduler {
        scheduler.stop().await;
    }
    if timeout(TIDY_PATIENCE, ended(&mut leases)).await.is_err() {
        tracing::warn!(worker = %engine.id, "the lease loop waits for a store that does not answer");
    }
    let tally = &engine.tally;
    let report = StopReport {
        finished: tally.finished.load(Ordering::Relaxed),
        handed_back: tally.handed_back.load(Ordering::Relaxed),
        failed: tally.failed.load(Ordering::Relaxed),
        abandoned,
    };
    tracing::info!(worker = %engine.id, ?report, "the worker has stopped");
    report
}

/// Returns when the task has ended.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    if let Some(handle) = task {
        let _ = handle.await;
    }
    *task = None;
}

/// Waits until all attempts have ended; tells them to, once the grace is over, or the order says so.
async fn end_attempts(engine: &Engine, all_ended: impl Future<Output = ()>, orders: &mut watch::Receiver<Order>) {
    let mut all_ended = std::pin::pin!(all_ended);
    tokio::select! {
        biased;
        () = &mut all_ended => return,
        () = sleep(engine.settings.grace) => tell(engine, Order::Stop),
        () = hand_back_ordered(orders) => tell(engine, Order::HandBack),
    }
    let (mut since, mut gave_up) = (None, false);
    loop {
        tokio::select! {
            biased;
            () = &mut all_ended => return,
            () = sleep(LOOK_INTERVAL) => {}
        }
        if *orders.borrow() == Order::HandBack {
            tell(engine, Order::HandBack);
        }
        // Those that may finish at any cost are waited for.
        if engine.claims.all().iter().any(|claimed| claimed.told().is_none() && !claimed.state().ending) {
            since = None;
            continue;
        }
        let waited = since.get_or_insert_with(Instant::now).elapsed();
        if waited > engine.settings.patience && !gave_up {
            gave_up = true;
            engine.committer.abandon();
        }
        if waited > engine.settings.patience + GIVE_UP_PATIENCE {
            tracing::warn!(worker = %engine.id, attempts = engine.claims.count(), "attempts are left; their leases run out");
            return;
        }
    }
}

async fn hand_back_ordered(orders: &mut watch::Receiver<Order>) {
    if orders.wait_for(|order| *order == Order::HandBack).await.is_err() {
        // Nobody is left to order anything.
        std::future::pending::<()>().await;
    }
}

fn tell(engine: &Engine, order: Order) {
    for claimed in engine.claims.all() {
        match (order, claimed.on_stop) {
            (Order::HandBack, _) | (_, OnStop::HandBack) => claimed.tell(Told::HandBack),
            (_, OnStop::Fail) => claimed.tell(Told::Fail),
            (_, OnStop::Finish) => continue,
        };
    }
}
