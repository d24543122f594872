//! Runs: how far they are, and how to stop one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::map::JOIN_STEP;
use super::words::shown;
use super::{Cancelled, Client, JobHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{JobId, RunId};
use crate::machine::Job;
use crate::record::{Head, JobState, Outcome, Record};

/// Records that are loaded together.
const PAGE_JOBS: u32 = 256;

impl Client {
    /// A handle of a map with its join that was submitted before. Whether it exists is not looked at.
    pub fn run_handle<R>(&self, run: RunId) -> RunHandle<R> {
        RunHandle::new(self.clone(), run)
    }

    /// How far a run is; `None` if there is none with this id.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// What the store says, once the client's patience is over; [`ErrorKind::Damaged`] if a record can not be read.
    pub async fn run(&self, run: RunId) -> Result<Option<RunView>> {
        let mut records = self.load_all(&[JobId::new(run, 0), JobId::new(run, JOIN_STEP)]).await?.into_iter();
        let (step_0, step_1) = (records.next().flatten(), records.next().flatten());
        let Some(step_0) = step_0 else { return Ok(None) };
        let (store, runs) = (self.backend().store(), [run]);
        let unended = self.read(|| store.unended(&runs)).await?.first().copied().unwrap_or(0);
        let step_0 = Job::read(run.into(), step_0)?;
        let map = step_0.spec.map.as_ref().zip(step_1.as_ref()).map(|(plan, join)| MapView::of(plan.cursor, &step_0.record.head, join));
        Ok(Some(RunView { run, state: step_0.record.head.state, unended, map }))
    }

    /// Cancels every job of a run: no step that waited starts any more, and running attempts are asked to stop.
    ///
    /// A map's join goes first, then step 0, the steps that wait, those behind others first, all others, and those that run last: no end on
    /// the way can start one. Jobs that have ended are left alone. It can be sent again, and should be if it fails half-way.
    ///
    /// An attempt that succeeds although it was asked to stop may still add follow-ups; those are found by the next call.
    ///
    /// Not cancel safe: dropped, it leaves the run half cancelled; send it again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such run; what the store says.
    ///
    /// ```
    /// # use jobbers_core::{client::Client, task::Task, record::JobState};
    /// # const COUNT: Task<String, u64> = Task::new("file.count");
    /// # const TOTAL: Task<(), u64> = Task::new("file.total");
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// # let client = Client::new(&jobbers_core::memory::open());
    /// let run = client.map_join(COUNT, ["a.txt".to_owned()], TOTAL, &()).await?;
    /// let cancelled = client.cancel_run(run.run(), "the folder is gone").await?;
    /// assert_eq!((cancelled.cancelled, run.view().await?.state), (2, JobState::Cancelled));
    /// # Ok(()) }
    /// ```
    pub async fn cancel_run(&self, run: RunId, why: &str) -> Result<CancelledRun> {
        let root = self.job("cancel a run", run.into()).await?;
        let mut done = CancelledRun::default();
        if root.spec.map.is_some() {
            // Its end would release the join, which might run. The join's own end is no matter to the map.
            self.stop(JobId::new(run, JOIN_STEP), why, &mut done).await?;
        }
        self.stop(run.into(), why, &mut done).await?;
        let mut steps: Vec<(JobId, JobState)> = self.unended_steps(run).await?.into_iter().filter(|(id, _)| id.step != 0).collect();
        steps.sort_by_key(|(id, state)| match state {
            JobState::Waiting => (0, Reverse(id.step)),
            JobState::Running => (2, Reverse(id.step)),
            _ => (1, Reverse(id.step)),
        });
        for (id, _) in steps {
            self.stop(id, why, &mut done).await?;
        }
        Ok(done)
    }

    async fn stop(&self, id: JobId, why: &str, done: &mut CancelledRun) -> Result<()> {
        match self.cancel(id, why).await {
            Ok(Cancelled::Now) => done.cancelled += 1,
            Ok(Cancelled::Asked) => done.asked += 1,
            Err(error) if matches!(error.kind(), ErrorKind::WrongState | ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The steps of a run that have not ended, as they stood.
    ///
    /// Steps of a plan or a map have numbers in a row; each job that succeeded may have added others, in a row from a number that its spec
    /// names.
    async fn unended_steps(&self, run: RunId) -> Result<BTreeMap<JobId, JobState>> {
        let (store, runs) = (self.backend().store(), [run]);
        let unended = self.read(|| store.unended(&runs)).await?.first().copied().unwrap_or(0);
        let mut walk = Walk::default();
        self.walk_row(run, 0, &mut walk).await?;
        while (walk.unended.len() as u64) < unended && !walk.rows.is_empty() {
            let starts: Vec<u32> = std::iter::from_fn(|| walk.rows.pop_first()).take(PAGE_JOBS as usize).collect();
            let ids: Vec<JobId> = starts.iter().map(|step| JobId::new(run, *step)).collect();
            for (step, record) in starts.into_iter().zip(self.load_all(&ids).await?) {
                if record.is_some() {
                    self.walk_row(run, step, &mut walk).await?;
                }
            }
        }
        Ok(walk.unended)
    }

    /// Looks at the steps from `first` on, up to the first number that is not taken.
    async fn walk_row(&self, run: RunId, first: u32, walk: &mut Walk) -> Result<()> {
        let mut next = Some(first);
        while let Some(from) = next {
            let ids: Vec<JobId> = (from..from.saturating_add(PAGE_JOBS)).map(|step| JobId::new(run, step)).collect();
            let records = self.load_all(&ids).await?;
            next = if records.iter().all(Option::is_some) { from.checked_add(PAGE_JOBS) } else { None };
            for (id, record) in ids.into_iter().zip(records.into_iter().map_while(|record| record)) {
                walk.see(Job::read(id, record)?);
            }
        }
        Ok(())
    }
}

/// What was seen of a run.
#[derive(Default)]
struct Walk {
    unended: BTreeMap<JobId, JobState>,
    /// Where rows may start that have not been looked at.
    rows: BTreeSet<u32>,
    seen: BTreeSet<u32>,
}

impl Walk {
    fn see(&mut self, job: Job) {
        let state = job.record.head.state;
        if !state.is_end() {
            self.unended.insert(job.id, state);
        }
        if state == JobState::Succeeded && job.spec.step_room > 0 && self.seen.insert(job.spec.next_step) {
            self.rows.insert(job.spec.next_step);
        }
    }
}

/// What cancelling a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CancelledRun {
    /// Jobs that are cancelled now.
    pub cancelled: u64,
    /// Attempts that were asked to stop.
    pub asked: u64,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunView {
    /// Its id.
    #[serde(serialize_with = "shown")]
    pub run: RunId,
    /// The state of step 0: the lone job, or the map.
    #[serde(serialize_with = "shown")]
    pub state: JobState,
    /// Jobs that have not ended; 0 once the run has.
    pub unended: u64,
    /// How far the map is, if it is one.
    pub map: Option<MapView>,
}

/// How far a map is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MapView {
    /// Items added so far; all, once `listed`.
    pub items_added: u64,
    /// Items that succeeded.
    pub items_succeeded: u64,
    /// Items that ended dead or cancelled.
    pub items_failed: u64,
    /// Whether the map has ended: no item is added any more.
    pub listed: bool,
    /// The state of the join.
    #[serde(serialize_with = "shown")]
    pub join: JobState,
}

impl MapView {
    fn of(cursor: u64, map: &Head, join: &Record) -> MapView {
        // The join counts the map's own end as well.
        let own = |outcome| u64::from(map.state.outcome() == Some(outcome));
        let ended = |count: u32, outcome| u64::from(count).saturating_sub(own(outcome));
        MapView {
            items_added: cursor,
            items_succeeded: ended(join.head.succeeded, Outcome::Succeeded),
            items_failed: ended(join.head.failed, Outcome::Failed),
            listed: map.state.is_end(),
            join: join.head.state,
        }
    }

    /// Items that have ended.
    pub fn items_ended(&self) -> u64 {
        self.items_succeeded + self.items_failed
    }
}

/// A map with its join that was submitted. Cheap to clone; dropping it does nothing to the run.
pub struct RunHandle<R> {
    client: Client,
    run: RunId,
    output: PhantomData<fn() -> R>,
}

impl<R> RunHandle<R> {
    pub(super) fn new(client: Client, run: RunId) -> RunHandle<R> {
        RunHandle { client, run, output: PhantomData }
    }

    /// The run's id: write it down to find the run again.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The job of the join.
    pub fn join(&self) -> JobHandle<R> {
        JobHandle::new(self.client.clone(), JobId::new(self.run, JOIN_STEP))
    }

    /// How far it is.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such run; as [`Client::run`].
    pub async fn view(&self) -> Result<RunView> {
        let at = self.client.backend().location();
        let missing = || Error::new(ErrorKind::NotFound, "look at a run", format!("there is no run {} at {at}", self.run));
        self.client.run(self.run).await?.ok_or_else(missing)
    }

    /// Cancels the run; see [`Client::cancel_run`], also for what a dropped future leaves.
    ///
    /// # Errors
    /// As [`Client::cancel_run`].
    pub async fn cancel(&self, why: &str) -> Result<CancelledRun> {
        self.client.cancel_run(self.run, why).await
    }
}

impl<R: DeserializeOwned> RunHandle<R> {
    /// Waits for the output of the join.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`JobHandle::output`].
    pub async fn output(&self) -> Result<R> {
        self.join().output().await
    }

    /// Waits for the output of the join, for at most that time.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`JobHandle::output_within`].
    pub async fn output_within(&self, most: Duration) -> Result<R> {
        self.join().output_within(most).await
    }
}

impl<R> Clone for RunHandle<R> {
    fn clone(&self) -> RunHandle<R> {
        RunHandle::new(self.client.clone(), self.run)
    }
}

impl<R> fmt::Debug for RunHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunHandle").field(&self.run).finish()
    }
}
