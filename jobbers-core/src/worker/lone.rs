//! An attempt without a worker: for unit tests of handlers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Ctx;
use super::claim::{Claimed, Lease, Told};
use super::engine::{Engine, moment};
use super::registry::Registry;
use super::settings::Settings;
use crate::client::CANCEL_GRACE;
use crate::driver::{Backend, Claim, Op};
use crate::id::{Ids, QueueName, SmallText, TaskName, WorkerId};
use crate::machine::{self, Job, Look, Submission};
use crate::record::{Priority, ReadyWhen, Spec, Stop};
use crate::task::{Task, payload};

/// How long its lease is said to be; nobody looks.
const LEASE: Duration = Duration::from_secs(3600);

/// An attempt without a worker, for a handler that takes a [`Ctx`] and is called as the function that it is. Nothing is stored; what the
/// handler says of itself is asked here.
///
/// ```
/// use jobbers_core::task::Task;
/// use jobbers_core::testing::Kit;
/// use jobbers_core::worker::{Ctx, JobError, State};
///
/// const THANK: Task<String> = Task::new("mail.thank");
///
/// async fn charge(ctx: Ctx, State(bank): State<&'static str>, cents: u64) -> Result<u64, JobError> {
///     ctx.step(format!("charging at {bank}"));
///     if ctx.is_cancelled() {
///         return Err(JobError::cancel("in time"));
///     }
///     ctx.then(THANK, &"anna".to_owned())?;
///     Ok(cents)
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), JobError> {
/// let kit = Kit::new();
/// let attempt = kit.attempt().number(2);
/// assert_eq!(charge(attempt.ctx(), State("the bank"), 500).await?, 500);
/// assert_eq!(attempt.step(), "charging at the bank");
/// assert_eq!(attempt.follow_ups(THANK), ["anna"]);
///
/// let attempt = kit.attempt();
/// attempt.cancel("the order was withdrawn");
/// assert_eq!(charge(attempt.ctx(), State("the bank"), 500).await.unwrap_err().to_string(), "in time");
/// # Ok(()) }
/// ```
pub struct LoneAttempt {
    /// Of a worker that never starts.
    engine: Arc<Engine>,
    job: Arc<Job>,
    claimed: Arc<Claimed>,
}

impl LoneAttempt {
    /// The first attempt of a job that was just submitted, by that backend's clock.
    pub(crate) fn new(backend: &Backend) -> LoneAttempt {
        let worker = Ids::default().worker(backend.clock().now(), backend.draws().wide());
        let job = Arc::new(claimed_job(backend, worker));
        let claimed = claimed(backend, &job);
        let engine = Engine::new(backend, worker, Settings::new(), Registry::default(), Default::default());
        LoneAttempt { engine: Arc::new(engine), job, claimed }
    }

    /// Sets the number of the attempt; 1 by default. Before [`ctx`](LoneAttempt::ctx) is asked for.
    #[must_use]
    pub fn number(self, attempt: u32) -> LoneAttempt {
        self.changed(|job| job.record.head.attempt = attempt)
    }

    /// Sets how long the job has until its deadline; it has none by default. Before [`ctx`](LoneAttempt::ctx) is asked for.
    #[must_use]
    pub fn deadline_after(self, after: Duration) -> LoneAttempt {
        let at = self.engine.backend.clock().now() + after;
        self.changed(|job| job.spec.deadline = Some(at))
    }

    /// Gives it what [`Worker::state`](super::Worker::state) would: for what the handler asks its context for. A `State<T>` that it takes
    /// as an argument is passed to it.
    ///
    /// # Panics
    /// If a context was made before.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> LoneAttempt {
        Arc::get_mut(&mut self.engine).expect("states are given to an attempt before its first context is made").states.add(value);
        self
    }

    /// The context to call the handler with; all of them are of this attempt.
    pub fn ctx(&self) -> Ctx {
        Ctx::new(&self.engine, &self.job, &self.claimed)
    }

    /// Asks the attempt to stop, as the cancel of its job does.
    pub fn cancel(&self, why: &str) {
        let (by, why, at) = (SmallText::new("test"), SmallText::new(why), self.engine.backend.clock().now());
        self.claimed.tell(Told::Asked(Box::new(Stop { by, why, at, grace: CANCEL_GRACE, ..Stop::default() })));
    }

    /// Tells the attempt that its worker stops.
    pub fn stop_worker(&self) {
        self.engine.stopping.cancel();
    }

    /// The step that the handler last named; empty if it named none.
    pub fn step(&self) -> String {
        self.claimed.state().said.step.to_string()
    }

    /// The share that it last said is done, from 0 to 1.
    pub fn share(&self) -> Option<f64> {
        self.claimed.state().said.permille.map(|permille| f64::from(permille) / 1_000.0)
    }

    /// The parameters of the follow-ups of that task that it has added, in their order. They are submitted only if it succeeds.
    ///
    /// # Panics
    /// If they are no `P`.
    #[track_caller]
    pub fn follow_ups<P: DeserializeOwned, O>(&self, task: Task<P, O>) -> Vec<P> {
        let def = task.def();
        let state = self.claimed.state();
        let of_task = state.then.iter().filter(|then| (then.task.as_str(), then.version) == (def.name, def.version));
        let decoded = of_task.map(|then| payload::decode_parameters(then.spec.content_type.as_str(), def.name, &then.spec.parameters));
        decoded.map(|decoded| decoded.unwrap_or_else(|error| panic!("{error}"))).collect()
    }

    fn changed(self, change: impl FnOnce(&mut Job)) -> LoneAttempt {
        let mut job = Job::clone(&self.job);
        change(&mut job);
        let job = Arc::new(job);
        let claimed = claimed(&self.engine.backend, &job);
        LoneAttempt { job, claimed, ..self }
    }
}

impl fmt::Debug for LoneAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoneAttempt({}, attempt {})", self.job.id, self.claimed.attempt)
    }
}

/// A job as a worker would find it that has just claimed it.
fn claimed_job(backend: &Backend, owner: WorkerId) -> Job {
    let moment = moment(backend);
    let submission = Submission {
        id: Ids::default().run(moment.now, backend.draws().wide()).into(),
        task: TaskName::new("test").expect("a name that keeps the rule"),
        version: 1,
        queue: QueueName::new("test").expect("a name that keeps the rule"),
        priority: Priority::Normal,
        limits: Vec::new(),
        run_at: None,
        remaining: 0,
        ready_when: ReadyWhen::AllEnded,
        spec: Spec::default(),
    };
    let Op::Insert { id, record, .. } = machine::insert(&submission, None, &moment) else { unreachable!("an insert is one") };
    let job = Job::read(id, record).expect("the machine encoded it");
    let claim = Claim { owner, now: moment.now, wake_at: moment.now + LEASE, nonce: backend.draws().draw().nonce };
    match machine::claim(&job, &claim, &moment) {
        Look::Claim(commit) => job.after(&commit),
        look => unreachable!("a new job can be claimed: {look:?}"),
    }
}

fn claimed(backend: &Backend, job: &Job) -> Arc<Claimed> {
    Claimed::new(job, Lease { claimed_at: backend.clock().now(), claimed: Instant::now(), length: LEASE })
}
