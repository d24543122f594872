//! The shapes of jobs that a simulation and a storm submit, and their handlers: whatever an engine does for its users.

use std::sync::Arc;
use std::time::Duration;

use jobbers_core::JobId;
use jobbers_core::driver::{Acquire, Backend, Decision, Holder, Mode};
use jobbers_core::policy::{Jitter, Retry};
use jobbers_core::record::Revision;
use jobbers_core::task::Task;
use jobbers_core::worker::{Ctx, JobError, Worker};

use crate::history::{History, What};
use crate::kit::key;

pub(crate) const RETRY: Retry = Retry::constant(Duration::from_secs(2)).jitter(Jitter::None).failures_max(3);
/// A job: its parameter says what its handler does.
pub(crate) const JOB: Task<u32, u32> = Task::new("storm.job").retry(RETRY);
/// The same in another queue, which not every worker knows, and whose attempts have a time limit.
pub(crate) const RARE: Task<u32, u32> = Task::new("storm.rare").retry(RETRY).queue("bulk").timeout(Duration::from_secs(4));
/// The join of a map over such jobs.
pub(crate) const JOIN: Task<u32, u32> = Task::new("storm.join");
/// The same, and only those workers know it that were started after a deploy.
pub(crate) const NEW: Task<u32, u32> = Task::new("storm.new").retry(RETRY);
/// Spends a rate, as often as that allows.
pub(crate) const RATED: Task<u32, u32> = Task::new("storm.rated").retry(RETRY);
/// The rate that it spends.
pub(crate) const RATE: &str = "calls";
/// The limit that some handlers hold a permit of.
pub(crate) const LIMIT: &str = "tenant";
/// How many of them there are.
pub(crate) const BOUND: u32 = 2;
/// How long such a permit is held at most: longer than any of those handlers runs.
const HOLD: Duration = Duration::from_secs(60);

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// It succeeds.
    Plain,
    /// Its first attempt fails.
    Retrying,
    /// Its first attempt puts itself off.
    Snoozing,
    /// It fails for good.
    Failing,
    /// Its first attempt panics.
    Panicking,
    /// It runs for several leases, and says so.
    Slow,
    /// It has a follow-up.
    Chain,
    /// It holds a permit while it runs.
    Limited,
    /// It does not end by itself, unless it is told to.
    Endless,
    /// Its first attempt kills the process that it runs in.
    Poison,
}

impl Shape {
    pub(crate) const ALL: [Shape; 10] = [
        Shape::Plain,
        Shape::Retrying,
        Shape::Snoozing,
        Shape::Failing,
        Shape::Panicking,
        Shape::Slow,
        Shape::Chain,
        Shape::Limited,
        Shape::Endless,
        Shape::Poison,
    ];

    pub(crate) fn of(parameter: u32) -> Shape {
        Shape::ALL[parameter as usize % Shape::ALL.len()]
    }
}

/// What handlers share with whoever plays.
#[derive(Debug, Clone)]
pub(crate) struct Stagehand {
    /// What the handlers' process is given.
    pub(crate) backend: Backend,
    /// Where each start and end is written.
    pub(crate) history: Arc<History>,
    /// A second, as long as it takes in there.
    pub(crate) second: Duration,
    /// How a handler kills its process; none: it fails instead.
    pub(crate) kill: Option<Arc<dyn Killer>>,
}

/// Kills the process that calls it.
pub(crate) trait Killer: std::fmt::Debug + Send + Sync {
    /// Marks the process as dead; answers whether it is one that may die now.
    fn kill(&self) -> bool;

    /// Whether it has died: what is dropped then says nothing any more.
    fn is_dead(&self) -> bool;
}

impl Stagehand {
    /// Teaches a worker all tasks but the rare and the new one.
    pub(crate) fn teach(&self, worker: Worker) -> Worker {
        let (jobs, joins, rates) = (self.clone(), self.clone(), self.clone());
        let job = move |ctx: Ctx, parameter: u32| {
            let hand = jobs.clone();
            async move { hand.act(ctx, parameter).await }
        };
        let join = move |ctx: Ctx, expected: u32| {
            let hand = joins.clone();
            async move { hand.join(ctx, expected).await }
        };
        let rated = move |ctx: Ctx, parameter: u32| {
            let hand = rates.clone();
            async move { hand.spend(ctx, parameter).await }
        };
        worker.task(JOB, job).task(JOIN, join).task(RATED, rated)
    }

    /// Teaches a worker the rare or the new task as well.
    pub(crate) fn teach_more(&self, worker: Worker, task: Task<u32, u32>) -> Worker {
        let hand = self.clone();
        worker.task(task, move |ctx: Ctx, parameter: u32| {
            let hand = hand.clone();
            async move { hand.act(ctx, parameter).await }
        })
    }

    async fn act(&self, ctx: Ctx, parameter: u32) -> Result<u32, JobError> {
        let _running = Running::start(self, &ctx);
        let first = ctx.attempt() == 1;
        self.nap(parameter / 10 % 4, 4).await;
        match Shape::of(parameter) {
            Shape::Retrying if first => return Err(JobError::retry("the first attempt fails")),
            Shape::Snoozing if first => return Err(JobError::snooze(Duration::from_secs(1))),
            Shape::Failing => return Err(JobError::fail("it never works")),
            // Without the hook of the process, which would print each of them.
            Shape::Panicking if first => std::panic::resume_unwind(Box::new("the first attempt panics")),
            Shape::Slow => self.slowly(&ctx).await,
            Shape::Chain => ctx.then(JOB, &(parameter / 10 % 3))?,
            Shape::Limited => self.with_a_permit(&ctx, parameter).await?,
            Shape::Endless => self.until_told(&ctx).await?,
            Shape::Poison if ctx.attempt() < 3 => self.poison().await?,
            _ => (),
        }
        Ok(parameter)
    }

    /// So many parts of a second.
    async fn nap(&self, parts: u32, of: u32) {
        tokio::time::sleep(self.second * parts / of).await;
    }

    async fn slowly(&self, ctx: &Ctx) {
        for step in 0..8 {
            ctx.step(format!("{step} of 8"));
            self.nap(6, 4).await;
        }
    }

    async fn with_a_permit(&self, ctx: &Ctx, parameter: u32) -> Result<(), JobError> {
        let holder = Holder { job: ctx.id(), nonce: ctx.fence().nonce };
        let keys = vec![(key(LIMIT, ["anna", "ben"][parameter as usize / 10 % 2]), 1)];
        // It waits in no line: who leaves one without a word would hold up all behind.
        let asked = Acquire { holder, keys, hold: HOLD, mode: Mode::Extend };
        let limiter = self.backend.limiter();
        match self.soon(limiter.acquire(&[asked], self.backend.clock().now())).await?.as_slice() {
            [Decision::Granted] => (),
            _ => return Err(JobError::rate_limited(LIMIT, Duration::from_secs(1))),
        }
        self.nap(2, 1).await;
        self.soon(limiter.give_back(&[holder], self.backend.clock().now())).await?;
        Ok(())
    }

    async fn spend(&self, ctx: Ctx, parameter: u32) -> Result<u32, JobError> {
        let _running = Running::start(self, &ctx);
        let holder = Holder { job: ctx.id(), nonce: ctx.fence().nonce };
        let keys = vec![(key(RATE, ["anna", "ben"][parameter as usize / 16 % 2]), 1)];
        let asked = Acquire { holder, keys, hold: HOLD, mode: Mode::Spend };
        // And again, as if the answer had been lost: that spends nothing.
        for _ in 0..2 {
            match self.soon(self.backend.limiter().acquire(std::slice::from_ref(&asked), self.backend.clock().now())).await?.as_slice() {
                [Decision::Granted] => (),
                _ => return Err(JobError::rate_limited(RATE, Duration::from_secs(1))),
            }
        }
        Ok(parameter)
    }

    /// A call of the handler's own, which does not wait for ever.
    async fn soon<T>(&self, call: impl Future<Output = jobbers_core::Result<T>>) -> Result<T, JobError> {
        Ok(tokio::time::timeout(self.second * 10, call).await??)
    }

    async fn until_told(&self, ctx: &Ctx) -> Result<(), JobError> {
        if tokio::time::timeout(self.second * 20, ctx.cancelled()).await.is_ok() {
            return Err(JobError::cancel("it was told to end"));
        }
        Ok(())
    }

    async fn poison(&self) -> Result<(), JobError> {
        if self.kill.as_ref().is_some_and(|kill| kill.kill()) {
            std::future::pending::<()>().await;
        }
        Err(JobError::retry("it can not kill anybody"))
    }

    /// A join that runs has to see all its parents ended.
    async fn join(&self, ctx: Ctx, expected: u32) -> Result<u32, JobError> {
        let running = Running::start(self, &ctx);
        let (mut parents, mut ended, mut unended) = (ctx.parents(), 0, 0);
        while let Some(page) = parents.next_page().await? {
            let ends = page.iter().filter(|parent| parent.state.is_end()).count();
            ended += ends as u32;
            unended += (page.len() - ends) as u32;
        }
        let (job, fence) = (running.job, running.fence);
        self.history.add(self.backend.clock().now(), What::Joined { job, fence, ended, unended, expected });
        Ok(ended)
    }
}

/// A handler that runs: its end is noted however it comes.
pub(crate) struct Running {
    hand: Stagehand,
    job: JobId,
    fence: Revision,
}

impl Running {
    pub(crate) fn start(hand: &Stagehand, ctx: &Ctx) -> Running {
        let fence = Revision { count: ctx.fence().count, nonce: ctx.fence().nonce };
        hand.history.add(hand.backend.clock().now(), What::HandlerStart { job: ctx.id(), fence, worker: ctx.worker_id() });
        Running { hand: hand.clone(), job: ctx.id(), fence }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.hand.kill.as_ref().is_some_and(|kill| kill.is_dead()) {
            return;
        }
        self.hand.history.add(self.hand.backend.clock().now(), What::HandlerEnd { job: self.job, fence: self.fence });
    }
}
