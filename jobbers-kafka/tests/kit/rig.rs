//! Whole jobs: one store in memory, whose every write goes into a history, and any number of processes that share it by the queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jobbers_conformance::checker::{End, check};
use jobbers_conformance::history::{History, What};
use jobbers_conformance::truth;
use jobbers_core::client::Client;
use jobbers_core::driver::{Backend, BackendParts, Dispatch, Open, RateLimiter, StateStore};
use jobbers_core::memory::Memory;
use jobbers_core::record::Revision;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker, WorkerHandle};
use jobbers_core::{JobId, Namespace, Result, RunId};
use tokio::sync::Notify;

use super::line::QUEUE;

/// A job that takes so many milliseconds; [`UNTIL_TOLD`]: until the rig's bell rings.
pub(crate) const WORK: Task<u64> = Task::new("faults.work").queue(QUEUE);
pub(crate) const UNTIL_TOLD: u64 = u64::MAX;

/// Jobs under faults.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) url: String,
    pub(crate) namespace: Namespace,
    partner: BackendParts,
    history: Arc<History>,
    accepted: Arc<std::sync::Mutex<BTreeSet<JobId>>>,
    pub(crate) bell: Arc<Notify>,
    /// Attempts that started.
    pub(crate) started: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Same(Arc<dyn StateStore>, Arc<dyn RateLimiter>);

#[async_trait]
impl Open for Same {
    async fn open(&self) -> Result<(Arc<dyn StateStore>, Arc<dyn RateLimiter>)> {
        Ok((self.0.clone(), self.1.clone()))
    }
}

impl Rig {
    /// On the cluster of this URL, in a namespace of its own.
    pub(crate) fn new(url: &str, options: &str) -> Rig {
        let (options, namespace) = super::fresh(options);
        let url = format!("{}?{options}", url.split('?').next().expect("there is a first part"));
        let (history, memory) = (Arc::new(History::default()), Memory::new().dispatch(Dispatch::Caller));
        let parts = memory.parts();
        let whole = Backend::new(BackendParts { take: None, ..parts.clone() }).expect("it is whole");
        let recorded = truth::recorded(&whole, &history).expect("it is whole");
        let (store, limiter) = (recorded.store().clone(), recorded.limiter().clone());
        let open = Arc::new(Same(store.clone(), limiter.clone()));
        let partner = BackendParts { store, limiter, open, take: None, ..parts };
        Rig { url, namespace, partner, history, accepted: Arc::default(), bell: Arc::default(), started: Arc::default() }
    }

    /// What a process of its own would open.
    pub(crate) async fn process(&self) -> Backend {
        jobbers_kafka::open(&self.url, self.partner.clone()).await.unwrap_or_else(|error| panic!("{error}: {:?}", error))
    }

    /// A worker on it.
    pub(crate) async fn worker(&self, backend: &Backend, slots: usize) -> WorkerHandle {
        let rig = self.clone();
        let handler = move |ctx: Ctx, millis: u64| {
            let rig = rig.clone();
            async move { rig.work(&ctx, millis).await }
        };
        let worker = Worker::queues([QUEUE]).slots(slots).lease(Duration::from_secs(6)).task(WORK, handler);
        worker.start(backend).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn work(&self, ctx: &Ctx, millis: u64) -> Result<(), JobError> {
        let _running = Running::start(self, ctx);
        match millis {
            UNTIL_TOLD => self.bell.notified().await,
            millis => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
        Ok(())
    }

    fn add(&self, what: What) {
        self.history.add(self.partner.clock.now(), what);
    }

    /// Submits jobs that take so long, one by one; answers the slowest submit.
    pub(crate) async fn submit(&self, backend: &Backend, jobs: usize, millis: u64) -> Duration {
        let (client, mut slowest) = (Client::new(backend), Duration::ZERO);
        for _ in 0..jobs {
            let run = RunId::from_u128(fastrand::u128(..));
            let call = self.history.invoke(self.partner.clock.now(), vec![JobId::from(run)]);
            let start = Instant::now();
            let submitted = client.submit(WORK, &millis).id(run).await;
            slowest = slowest.max(start.elapsed());
            submitted.unwrap_or_else(|error| panic!("the store is well, and a submit fails: {error}"));
            self.add(What::Ok { call });
            self.accepted.lock().expect("nobody panics with it").insert(JobId::from(run));
        }
        slowest
    }

    /// Submits jobs in one call.
    pub(crate) async fn submit_together(&self, backend: &Backend, jobs: usize, millis: u64) {
        let runs: Vec<RunId> = (0..jobs).map(|_| RunId::from_u128(fastrand::u128(..))).collect();
        let call = self.history.invoke(self.partner.clock.now(), runs.iter().copied().map(JobId::from).collect());
        let client = Client::new(backend);
        let all = client.submit_each(runs.iter().map(|run| client.submit(WORK, &millis).id(*run))).await;
        all.into_iter().for_each(|one| drop(one.unwrap_or_else(|error| panic!("the store is well, and a submit fails: {error}"))));
        self.add(What::Ok { call });
        self.accepted.lock().expect("nobody panics with it").extend(runs.into_iter().map(JobId::from));
    }

    pub(crate) fn accepted(&self) -> BTreeSet<JobId> {
        self.accepted.lock().expect("nobody panics with it").clone()
    }

    pub(crate) async fn unended(&self) -> u64 {
        let counts = self.partner.store.counts().await.expect("memory does not fail");
        counts.iter().filter(|count| !count.state.is_end()).map(|count| count.jobs).sum()
    }

    /// Waits until at most so many jobs have not ended.
    pub(crate) async fn left(&self, most: u64, within: Duration) {
        let end = Instant::now() + within;
        loop {
            let left = self.unended().await;
            if left <= most {
                return;
            }
            assert!(Instant::now() < end, "after {within:?} {left} jobs have not ended, and not {most}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many attempts have started.
    pub(crate) async fn starts(&self, least: usize, within: Duration) {
        let end = Instant::now() + within;
        while self.started.load(Ordering::SeqCst) < least {
            assert!(Instant::now() < end, "after {within:?} {:?} attempts have started, and not {least}", self.started);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every job that was accepted has ended once, and every promise of the history holds.
    pub(crate) async fn prove(&self) {
        assert!(!self.accepted().is_empty(), "nothing was submitted");
        let whole = Backend::new(BackendParts { paired: true, ..self.partner.clone() }).expect("it is whole");
        truth::found(&whole, &self.history).await.expect("memory does not fail");
        let broken = check(&self.history.events(), End::Drained);
        let words: Vec<String> = broken.iter().map(ToString::to_string).collect();
        assert!(broken.is_empty(), "{}", words.join("; "));
    }
}

/// A handler that runs: its end is noted however it comes.
struct Running {
    rig: Rig,
    job: JobId,
    fence: Revision,
}

impl Running {
    fn start(rig: &Rig, ctx: &Ctx) -> Running {
        let fence = Revision { count: ctx.fence().count, nonce: ctx.fence().nonce };
        rig.add(What::HandlerStart { job: ctx.id(), fence, worker: ctx.worker_id() });
        rig.started.fetch_add(1, Ordering::SeqCst);
        Running { rig: rig.clone(), job: ctx.id(), fence }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.rig.add(What::HandlerEnd { job: self.job, fence: self.fence });
    }
}
