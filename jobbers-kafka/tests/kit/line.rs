//! Deliveries without jobs, pushed and pulled by queues that stand for processes of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_conformance::kit;
use jobbers_core::driver::{Backend, Delivery, Dispatch, Pull, Queue, Receipt};
use jobbers_core::memory::Memory;
use jobbers_core::{Clock, JobId, Result, RunId, SystemClock};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const QUEUE: &str = "work";

/// A queue of a process of its own: nobody asks its store.
pub(crate) async fn open(url: &str) -> Result<Backend> {
    jobbers_kafka::open(url, Memory::new().dispatch(Dispatch::Caller).parts()).await
}

/// The topic of the queue in a namespace.
pub(crate) fn topic(namespace: &jobbers_core::Namespace) -> String {
    topic_of(namespace, QUEUE)
}

pub(crate) fn topic_of(namespace: &jobbers_core::Namespace, queue: &str) -> String {
    format!("jobbers.{namespace}.Q.{queue}.0")
}

pub(crate) fn group(namespace: &jobbers_core::Namespace) -> String {
    format!("jobbers.{namespace}")
}

/// Deliveries of jobs that are nowhere.
pub(crate) fn deliveries(count: usize) -> Vec<Delivery> {
    (0..count).map(|_| kit::delivery(JobId::from(RunId::from_u128(fastrand::u128(..))), QUEUE)).collect()
}

pub(crate) fn ids(deliveries: &[Delivery]) -> BTreeSet<JobId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

/// A pull of up to 100, back after a minute of now.
pub(crate) fn pull() -> Pull {
    pull_back_after(Duration::from_secs(60))
}

pub(crate) fn pull_back_after(after: Duration) -> Pull {
    let now = SystemClock.now();
    Pull { now, back_at: now + after, ..kit::pull(&[QUEUE], now) }
}

/// Pulls once something is there, or until the time is over; trouble that passes is waited out.
pub(crate) async fn pull_some(queue: &Arc<dyn Queue>, within: Duration) -> Vec<(JobId, Receipt)> {
    let end = Instant::now() + within;
    loop {
        match queue.pull(&pull()).await {
            Ok(pulled) if pulled.items.is_empty() => (),
            Ok(pulled) => return pulled.items.into_iter().map(|(delivery, receipt)| (delivery.id, receipt)).collect(),
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Vec::new();
        }
        let _ = queue.listen(&[kit::queue(QUEUE)], left.min(Duration::from_millis(200))).await;
    }
}

/// Pulls and acks until each of these has come; answers how often each came.
pub(crate) async fn drain(queue: &Arc<dyn Queue>, mut wanted: BTreeSet<JobId>, within: Duration) -> BTreeMap<JobId, u32> {
    let (end, mut came) = (Instant::now() + within, BTreeMap::new());
    while !wanted.is_empty() {
        let items = pull_some(queue, end.saturating_duration_since(Instant::now())).await;
        assert!(!items.is_empty(), "after {within:?} {} deliveries have not come, {} have", wanted.len(), came.len());
        for (id, _) in &items {
            wanted.remove(id);
            *came.entry(*id).or_default() += 1;
        }
        queue.ack(&items.into_iter().map(|(_, receipt)| receipt).collect::<Vec<_>>()).await.expect("an ack does not fail");
    }
    came
}

/// What a puller has seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// What came, in its order.
    pub(crate) ids: Vec<JobId>,
    /// The longest time without a delivery, between two of them.
    pub(crate) silence: Duration,
    pub(crate) errors: Vec<String>,
}

/// Pulls and acks in the background until it is told to stop.
pub(crate) struct Puller {
    stop: watch::Sender<bool>,
    task: JoinHandle<Seen>,
}

impl Puller {
    pub(crate) fn start(queue: Arc<dyn Queue>) -> Puller {
        let (stop, stopped) = watch::channel(false);
        Puller { stop, task: tokio::spawn(run(queue, stopped)) }
    }

    /// What it has seen; its queue is dropped by then.
    pub(crate) async fn stop(self) -> Seen {
        self.stop.send_replace(true);
        self.task.await.expect("it does not panic")
    }
}

async fn run(queue: Arc<dyn Queue>, stopped: watch::Receiver<bool>) -> Seen {
    let (mut seen, mut last): (Seen, Option<Instant>) = Default::default();
    while !*stopped.borrow() {
        let items = match queue.pull(&pull()).await {
            Ok(pulled) => pulled.items,
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                seen.errors.push(error.to_string());
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if items.is_empty() {
            let _ = queue.listen(&[kit::queue(QUEUE)], Duration::from_millis(100)).await;
            continue;
        }
        let now = Instant::now();
        seen.silence = seen.silence.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
        let (ids, receipts): (Vec<_>, Vec<_>) = items.into_iter().map(|(delivery, receipt)| (delivery.id, receipt)).unzip();
        seen.ids.extend(ids);
        queue.ack(&receipts).await.expect("an ack does not fail");
    }
    seen
}

/// What a pusher has done.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    pub(crate) ids: BTreeSet<JobId>,
    pub(crate) longest: Duration,
    pub(crate) errors: Vec<String>,
}

/// Pushes ten at a time in the background, each 20 ms, until it is told to stop.
pub(crate) struct Pusher {
    stop: watch::Sender<bool>,
    task: JoinHandle<Pushed>,
}

impl Pusher {
    pub(crate) fn start(queue: Arc<dyn Queue>) -> Pusher {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut pushed = Pushed::default();
            while !*stopped.borrow() {
                let (batch, start) = (deliveries(10), Instant::now());
                match queue.push(&batch).await {
                    Ok(()) => pushed.ids.extend(ids(&batch)),
                    Err(error) => pushed.errors.push(error.to_string()),
                }
                pushed.longest = pushed.longest.max(start.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            pushed
        });
        Pusher { stop, task }
    }

    pub(crate) async fn stop(self) -> Pushed {
        self.stop.send_replace(true);
        self.task.await.expect("it does not panic")
    }
}
