//! What a handler knows of its attempt, and says of itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::claim::Claimed;
use super::engine::Engine;
use super::follow_up::follow_up;
use super::parents::Parents;
use crate::driver::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, RunId, SmallText, WorkerId};
use crate::machine::{Job, follow_ups_max};
use crate::record::Revision;
use crate::task::Task;

/// Most bytes of the parameters of all follow-ups of one attempt: they share a commit with its output.
pub const FOLLOW_UPS_BYTES_MAX: usize = 256 * 1024;

/// The attempt that a handler runs: who it is, how long it has, and how it says where it is. Cheap to clone.
///
/// What it says is shown, never needed: a worker renews the lease by itself, however busy the handler is.
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

struct Inner {
    engine: Arc<Engine>,
    job: Arc<Job>,
    claimed: Arc<Claimed>,
}

/// Orders the attempts of one job: a resource that remembers the highest count it has seen can refuse what an older attempt sends late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// Grows with every attempt of the job.
    pub count: u32,
    /// Tells attempts with the same count apart: a store that came back older than it was may count anew.
    pub nonce: u64,
}

impl From<Revision> for Fence {
    fn from(revision: Revision) -> Fence {
        Fence { count: revision.count, nonce: revision.nonce }
    }
}

impl Ctx {
    pub(super) fn new(engine: &Arc<Engine>, job: &Arc<Job>, claimed: &Arc<Claimed>) -> Ctx {
        Ctx(Arc::new(Inner { engine: engine.clone(), job: job.clone(), claimed: claimed.clone() }))
    }

    /// The job.
    pub fn id(&self) -> JobId {
        self.0.job.id
    }

    /// Its run.
    pub fn run(&self) -> RunId {
        self.0.job.id.run
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.claimed.attempt
    }

    /// The worker that runs it.
    pub fn worker_id(&self) -> WorkerId {
        self.0.engine.id
    }

    /// The fencing token of this attempt, for resources that can refuse an older one.
    pub fn fence(&self) -> Fence {
        self.0.claimed.revision.into()
    }

    /// What [`Worker::state`](super::Worker::state) was given of that type; `None` if nothing. A handler takes it as an argument:
    /// [`State`](super::State).
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.engine.states.get()
    }

    /// Says which step the handler is at, as "resizing 3/9"; a sign of life. Text over 200 bytes is cut.
    ///
    /// It costs nothing: the store is told at most once each step interval (1 s by default), and of a shorter attempt only at its end.
    pub fn step(&self, text: impl AsRef<str>) {
        self.0.engine.passes("Ctx::step");
        let (now, step) = (self.0.engine.backend.clock().now(), SmallText::new(text.as_ref()));
        self.0.claimed.say(&self.0.engine.claims, now, |said| {
            if said.step != step {
                (said.step, said.step_at) = (step, Some(now));
            }
        });
    }

    /// Says which share is done, from 0 to 1; a sign of life. Told to the store as a [step](Ctx::step) is.
    pub fn progress(&self, share: f64) {
        self.0.engine.passes("Ctx::progress");
        // Not a number is as good as nothing done.
        let permille = (share.clamp(0.0, 1.0) * 1000.0) as u32;
        self.0.claimed.say(&self.0.engine.claims, self.0.engine.backend.clock().now(), |said| said.permille = Some(permille));
    }

    /// Gives a sign of life. Told to the store as a [step](Ctx::step) is.
    pub fn heartbeat(&self) {
        self.0.engine.passes("Ctx::heartbeat");
        self.0.claimed.say(&self.0.engine.claims, self.0.engine.backend.clock().now(), |_| {});
    }

    /// Whether the worker is stopping: the handler has the worker's grace left.
    pub fn is_stopping(&self) -> bool {
        self.0.engine.stopping.is_cancelled()
    }

    /// Returns when the worker starts to stop: save what can be saved, and end, at best with [`JobError::hand_back`](super::JobError::hand_back).
    /// Cancel safe.
    pub async fn stopping(&self) {
        self.0.engine.stopping.cancelled().await;
    }

    /// Whether the attempt is told to end: somebody cancelled the job, its time is up, or its claim no longer stands.
    pub fn is_cancelled(&self) -> bool {
        self.0.claimed.is_cancelled()
    }

    /// Returns when the attempt is told to end. Where somebody asked it to stop, it has the grace that they gave; then the handler is dropped
    /// at its next await. Cancel safe.
    pub async fn cancelled(&self) {
        self.0.claimed.cancelled().await;
    }

    /// How long the job has until its deadline; `None` if it has none.
    pub fn time_left(&self) -> Option<Duration> {
        self.0.job.spec.deadline.map(|deadline| deadline.since(self.0.engine.backend.clock().now()))
    }

    /// Adds a job to this one's run: it is submitted in the commit of this attempt's success, and only then.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the parameters can not be encoded or are too large, all follow-ups of the attempt are over
    /// [`FOLLOW_UPS_BYTES_MAX`] together, or there are more than fit.
    pub fn then<P: Serialize, O>(&self, task: Task<P, O>, parameters: &P) -> Result<()> {
        let inner = &*self.0;
        inner.engine.passes("Ctx::then");
        let submission = follow_up(self.id(), task.def(), parameters, inner.engine.backend.clock().now())?;
        let mut state = inner.claimed.state();
        let bytes: usize = state.then.iter().map(|then| then.spec.parameters.len()).sum();
        let (most, refused) = (follow_ups_max(&inner.job), |why: String| Error::new(ErrorKind::Invalid, "add a follow-up", why));
        if state.then.len() >= most {
            return Err(refused(format!(
                "job {} has {most} already, which is the most; submit a map, or the rest from one of them",
                self.id()
            )));
        }
        if bytes + submission.spec.parameters.len() > FOLLOW_UPS_BYTES_MAX {
            return Err(refused(format!(
                "job {}: the parameters of its follow-ups are over {FOLLOW_UPS_BYTES_MAX} bytes together; pass what is large by reference",
                self.id()
            )));
        }
        state.then.push(submission);
        Ok(())
    }

    /// How the job's parents ended, in order, page by page; of a map its items.
    pub fn parents(&self) -> Parents {
        Parents::new(self.0.engine.backend.clone(), self.run(), &self.0.job.spec.parents)
    }

    pub(super) fn job(&self) -> &Job {
        &self.0.job
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.0.engine.backend
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ctx({}, attempt {})", self.id(), self.attempt())
    }
}
