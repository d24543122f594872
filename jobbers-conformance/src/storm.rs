//! The engine in a storm: workers, clients and schedulers over faults, and a history of all that happened.
//!
//! A storm is what the [simulation](crate::simulation) can not be: it plays on every backend, over its real connection and in real time. A
//! simulation owns all time, so it needs a backend without I/O; in return it plays thousands of seeds, with processes that freeze and die.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jobbers_core::client::Client;
use jobbers_core::driver::{Backend, Capability, Filter, Page};
use jobbers_core::policy::{Jitter, Retry};
use jobbers_core::record::{Cause, JobState};
use jobbers_core::scheduler::{SchedulerOptions, tend_once};
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker, WorkerHandle};
use jobbers_core::{JobId, Result};

use crate::checker::{End, check};
use crate::crew::hands;
use crate::faults::{Fault, Faults, Profile};
use crate::history::{History, What};
use crate::{Broken, Outcome, Stage, ensure, truth};

const RETRY: Retry = Retry::constant(Duration::from_secs(2)).jitter(Jitter::None).failures_max(3);
/// A job: its parameter says what its handler does.
const JOB: Task<u32, u32> = Task::new("storm.job").retry(RETRY);
/// The join of a map over such jobs.
const JOIN: Task<u32, u32> = Task::new("storm.join");
/// Jobs that are submitted alone.
const JOBS: u32 = 30;
/// Maps, each with so many items.
const MAPS: (u32, u32) = (2, 8);
/// Looks while faults strike; time goes on by a second with each.
const STORM_ROUNDS: u32 = 40;
/// Looks within which everything has to end once the faults have stopped.
const CALM_ROUNDS: u32 = 400;
/// How long a look waits for workers: real time, which their pauses take.
const ROUND: Duration = Duration::from_millis(15);

/// Plays a storm of these faults; returns how often each has struck.
///
/// # Errors
/// Each promise that the history breaks, with the seed.
pub async fn weather(stage: &Stage, seed: u64, profile: Profile) -> Outcome<BTreeMap<Fault, u64>> {
    // Joining a queue may take longer than a storm lasts.
    stage.settle(&["default"]).await?;
    let history = Arc::new(History::default());
    let truth = truth::recorded(&stage.backend, &history)?;
    let faults = Faults::new(seed, profile);
    let storm = Storm { stage: stage.clone(), faulty: faults.around(&truth)?, history: history.clone() };
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(storm.worker().await?);
    }
    let submits = tokio::spawn(storm.clone().submit_all());
    for _ in 0..STORM_ROUNDS {
        storm.round().await;
    }
    faults.stop();
    submits.await.map_err(Broken::failed)?;
    let calm = storm.calm().await;
    for worker in workers {
        drop(tokio::time::timeout(crate::crew::PATIENCE, worker.stop_now()).await);
    }
    calm?;
    truth::found(&stage.backend, &history).await?;
    storm.joins().await?;
    let broken = check(&history.events(), End::Drained);
    let words: Vec<String> = broken.iter().map(ToString::to_string).collect();
    ensure!(broken.is_empty(), "with seed {seed} and {profile:?}: {}", words.join("; "));
    Ok(faults.struck())
}

#[derive(Clone)]
struct Storm {
    stage: Stage,
    faulty: Backend,
    history: Arc<History>,
}

impl Storm {
    fn add(&self, what: What) {
        self.history.add(self.faulty.clock().now(), what);
    }

    /// A worker; a start may fail as any call may, and is tried again.
    async fn worker(&self) -> Outcome<WorkerHandle> {
        for _ in 0..200 {
            match self.hands().start(&self.faulty).await {
                Ok(worker) => return Ok(worker),
                Err(error) if error.is_transient() => tokio::time::sleep(ROUND).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Broken::failed("200 starts of a worker failed"))
    }

    fn hands(&self) -> Worker {
        let (jobs, joins) = (self.clone(), self.clone());
        let job = move |ctx: Ctx, shape: u32| {
            let storm = jobs.clone();
            async move {
                let _running = Running::start(&storm, &ctx);
                tokio::time::sleep(Duration::from_millis(u64::from(shape % 4))).await;
                match shape % 5 {
                    1 if ctx.attempt() == 1 => Err(JobError::retry("the first attempt fails")),
                    2 if ctx.attempt() == 1 => Err(JobError::snooze(Duration::from_secs(1))),
                    3 if shape > 15 => Err(JobError::fail("it never works")),
                    _ => Ok(shape),
                }
            }
        };
        let join = move |ctx: Ctx, expected: u32| {
            let storm = joins.clone();
            async move {
                let _running = Running::start(&storm, &ctx);
                let (mut parents, mut ended) = (ctx.parents(), 0);
                while let Some(page) = parents.next_page().await? {
                    ended += page.iter().filter(|parent| parent.state.is_end()).count() as u32;
                }
                if ended == expected { Ok(ended) } else { Err(JobError::fail(format!("{ended} of {expected} parents have ended"))) }
            }
        };
        hands().lease(Duration::from_secs(5)).task(JOB, job).task(JOIN, join)
    }

    async fn submit_all(self) {
        let client = Client::new(&self.faulty);
        for shape in 0..JOBS {
            let run = self.stage.run();
            let call = self.history.invoke(self.faulty.clock().now(), vec![JobId::from(run)]);
            self.answered(call, client.submit(JOB, &shape).id(run).await.map(drop));
            if shape % 10 == 9 {
                // Whatever becomes of a cancel, the job has to come to an end.
                drop(client.cancel(run, "storm").await);
            }
        }
        let (maps, items) = MAPS;
        for map in 0..maps {
            let run = self.stage.run();
            let call = self.history.invoke(self.faulty.clock().now(), vec![JobId::from(run), JobId::new(run, 1)]);
            let shapes = (0..items).map(|item| item * 3 + map);
            self.answered(call, client.map_join(JOB, shapes, JOIN, &items).window(3).id(run).await.map(drop));
        }
    }

    /// A join that ran has seen all its parents ended.
    async fn joins(&self) -> Outcome {
        let dead = Filter { state: JobState::Dead, queue: None, task: Some(crate::kit::task(JOIN.def().name)) };
        if !self.stage.backend.capabilities().has(Capability::List) {
            return Ok(());
        }
        let jobs = self.stage.client().list(&dead, &Page { after: None, limit: 100 }).await?;
        let early = jobs.jobs.iter().find(|view| view.cause == Some(Cause::NotRetryable));
        ensure!(early.is_none(), "a join ran too early: {}", early.map_or("", |view| view.why.as_str()));
        Ok(())
    }

    fn answered(&self, call: u64, answer: Result<()>) {
        self.add(match answer {
            Ok(()) => What::Ok { call },
            Err(error) if error.outcome_unknown() => What::Unknown { call },
            Err(_) => What::Fail { call },
        });
    }

    /// Moves time, and tends; a scheduler that fails comes again.
    async fn round(&self) {
        self.stage.clock.advance(Duration::from_secs(1));
        let mut options = SchedulerOptions::default();
        options.reconcile_after = Duration::ZERO;
        drop(tend_once(&self.faulty, &options).await);
        tokio::time::sleep(ROUND).await;
    }

    /// Goes on until nothing is left.
    async fn calm(&self) -> Outcome {
        let mut left = u64::MAX;
        for _ in 0..CALM_ROUNDS {
            self.round().await;
            let counts = self.stage.store().counts().await?;
            left = counts.iter().filter(|count| !count.state.is_end()).map(|count| count.jobs).sum();
            if left == 0 {
                return Ok(());
            }
        }
        Err(Broken::failed(format_args!("{left} jobs have not ended {CALM_ROUNDS} s after the faults stopped")))
    }
}

/// A handler that runs: its end is noted however it comes.
struct Running {
    storm: Storm,
    job: JobId,
    fence: jobbers_core::record::Revision,
}

impl Running {
    fn start(storm: &Storm, ctx: &Ctx) -> Running {
        let fence = jobbers_core::record::Revision { count: ctx.fence().count, nonce: ctx.fence().nonce };
        storm.add(What::HandlerStart { job: ctx.id(), fence, worker: ctx.worker_id() });
        Running { storm: storm.clone(), job: ctx.id(), fence }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.storm.add(What::HandlerEnd { job: self.job, fence: self.fence });
    }
}
