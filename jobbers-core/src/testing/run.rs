//! Running jobs, and moving the clock to what comes next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Kit;
use super::at_once::at_once;
use super::unended::Why;
use crate::driver::Backend;
use crate::error::Result;
use crate::record::JobState;
use crate::scheduler::{SchedulerOptions, tend_once};
use crate::time::Timestamp;
use crate::worker::{LeaseRuntime, WithScheduler, Worker};

/// The first pause between two looks, and the longest: a bell rings first, but for a hint that is wrong.
const LOOK_PAUSE_FIRST: Duration = Duration::from_millis(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long the handlers of a run that has failed have to hear of it.
const STOP_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the clock is moved, without the end of a job, before it is counted whether attempts start at all.
const MOVES_IN_VAIN_MAX: u32 = 64;

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// How far the clock was moved.
    pub moved: Duration,
    /// Jobs that ended meanwhile.
    pub ended: u64,
    /// Jobs that have not ended.
    pub left: u64,
}

impl Kit {
    /// Runs jobs on `worker` until every job has ended: what is ready at once, and when nothing is, the clock is moved to whatever comes
    /// next: a retry, a delay, an expiry.
    ///
    /// The worker is the one that you would start; its scheduler is the kit's. Only one run at a time.
    ///
    /// Not cancel safe: dropped, the worker stops by itself, and the clock stands wherever it was.
    ///
    /// # Errors
    /// - [`TimedOut`](crate::ErrorKind::TimedOut): the run took longer than the kit's [`patience`](Kit::patience) (a handler hangs), it
    ///   would move the clock beyond the kit's [`horizon`](Kit::horizon) (a job puts itself off for ever), or the clock moves and no attempt
    ///   starts (the worker does not know the task).
    /// - [`WrongState`](crate::ErrorKind::WrongState): jobs are left that nobody runs, as those of a queue that the worker does not serve.
    /// - Both name jobs that have not ended, and say why. [`run_for`](Kit::run_for) leaves jobs without an error.
    /// - As [`Worker::start`].
    ///
    /// ```
    /// # use jobbers_core::{task::Task, testing::Kit, worker::{JobError, Worker}};
    /// # const MAIL: Task<String> = Task::new("mail.send").queue("mail");
    /// # async fn send(_to: String) -> Result<(), JobError> { Ok(()) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// let kit = Kit::new();
    /// kit.client().submit(MAIL, &"anna".to_owned()).await?;
    /// // Forgotten: the task's queue.
    /// let error = kit.run_until_idle(Worker::queues(["default"]).task(MAIL, send)).await.unwrap_err();
    /// assert!(error.to_string().contains("it waits in queue mail for a free slot"));
    ///
    /// let ran = kit.run_until_idle(Worker::queues(["default", "mail"]).task(MAIL, send)).await?;
    /// assert_eq!((ran.ended, ran.left), (1, 0));
    /// # Ok(()) }
    /// ```
    pub async fn run_until_idle(&self, worker: Worker) -> Result<Ran> {
        self.run_until_idle_on(self.backend(), worker).await
    }

    /// The same, on a worker that sees the backend so.
    pub(super) async fn run_until_idle_on(&self, backend: &Backend, worker: Worker) -> Result<Ran> {
        const OP: &str = "run until idle";
        let until = self.now() + self.horizon;
        let (ran, next) = self.run(backend, OP, worker, until, Vain::Refused).await?;
        match next {
            _ if ran.left == 0 => Ok(ran),
            Some(at) => Err(self.unended(OP, Why::Horizon { at, most: self.horizon })),
            None => Err(self.unended(OP, Why::Idle)),
        }
    }

    /// Runs jobs on `worker` for a time by the kit's clock, which then stands at its end: with [`Duration::ZERO`] what is ready, and what
    /// that makes ready. Jobs may be left.
    ///
    /// Not cancel safe, as [`run_until_idle`](Kit::run_until_idle).
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if it takes longer than the kit's [`patience`](Kit::patience) in real time; as
    /// [`Worker::start`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use jobbers_core::{record::JobState, task::Task, testing::Kit, worker::{JobError, Worker}};
    /// # const REPORT: Task<()> = Task::new("report.make");
    /// # async fn report(_: ()) -> Result<(), JobError> { Ok(()) }
    /// # fn worker() -> Worker { Worker::queues(["default"]).task(REPORT, report) }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
    /// let (kit, hour) = (Kit::new(), Duration::from_secs(3600));
    /// let report = kit.client().submit(REPORT, &()).delay(24 * hour).await?;
    /// kit.run_for(worker(), 23 * hour).await?;
    /// kit.assert_state(report.id(), JobState::Scheduled);
    /// kit.run_for(worker(), hour).await?;
    /// kit.assert_state(report.id(), JobState::Succeeded);
    /// # Ok(()) }
    /// ```
    pub async fn run_for(&self, worker: Worker, span: Duration) -> Result<Ran> {
        let from = self.now();
        let until = from + span;
        let (ran, _) = self.run(self.backend(), "run for a time", worker, until, Vain::Allowed).await?;
        self.clock.set(self.now().max(until));
        Ok(Ran { moved: self.now() - from, ..ran })
    }

    /// Runs what is due at `until` or earlier; answers also when the next timer comes.
    async fn run(
        &self,
        backend: &Backend,
        op: &'static str,
        worker: Worker,
        until: Timestamp,
        vain: Vain,
    ) -> Result<(Ran, Option<Timestamp>)> {
        let (from, before) = (self.now(), self.tally());
        let looks =
            Looks { kit: self, bell: backend.bell().clone(), op, serves: worker.serves().to_vec(), since: Instant::now(), until, vain };
        let worker = worker.scheduler(WithScheduler::Off).lease_runtime(LeaseRuntime::Shared).start(backend).await?;
        let next = match looks.to_the_end().await {
            Ok(next) => next,
            Err(error) => {
                // A handler that hangs is no reason to hang: what does not hear of it goes on behind the test.
                timeout(STOP_WAIT_MAX, worker.stop_now()).await.ok();
                return Err(error);
            }
        };
        worker.stop().await?;
        let after = self.tally();
        Ok((Ran { moved: self.now() - from, ended: after.ended.saturating_sub(before.ended), left: after.left }, next))
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally { ended: 0, left: 0 };
        for count in at_once(self.backend().store().counts()).expect("jobs in memory can be counted") {
            *if count.state.is_end() { &mut tally.ended } else { &mut tally.left } += count.jobs;
        }
        tally
    }
}

/// How many jobs there are.
#[derive(Debug, Clone, Copy)]
struct Tally {
    ended: u64,
    left: u64,
}

/// What a test has submitted stays, however far its clock is moved.
pub(super) fn options() -> SchedulerOptions {
    SchedulerOptions { retention: Duration::MAX, ..SchedulerOptions::default() }
}

/// Whether a run may move the clock although no attempt starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vain {
    Allowed,
    Refused,
}

/// One run, as it looks at its jobs.
struct Looks<'a> {
    kit: &'a Kit,
    /// Of the worker's backend.
    bell: Arc<Notify>,
    op: &'static str,
    serves: Vec<String>,
    since: Instant,
    until: Timestamp,
    vain: Vain,
}

impl Looks<'_> {
    /// Moves the clock from timer to timer; answers when the next one comes, which is later than `until`.
    async fn to_the_end(&self) -> Result<Option<Timestamp>> {
        let options = options();
        let mut moves = Moves::default();
        loop {
            self.quiet().await?;
            let tended = tend_once(self.kit.backend(), &options).await?;
            if tended.due > 0 {
                continue;
            }
            let Some(at) = tended.next.filter(|at| *at <= self.until) else { return Ok(tended.next) };
            if self.vain == Vain::Refused && moves.are_in_vain(self.kit) {
                return Err(self.kit.unended(self.op, Why::Vain { moves: moves.count }));
            }
            self.kit.clock.set(self.kit.now().max(at));
            moves.count += 1;
        }
    }

    /// Waits until nothing runs, and nothing is ready that the worker would run.
    async fn quiet(&self) -> Result<()> {
        let mut pause = LOOK_PAUSE_FIRST;
        loop {
            // Made before the look: what rings in between is not missed.
            let rung = self.bell.notified();
            // Real time: a test may have paused tokio's.
            let Some(left) = self.kit.patience.checked_sub(self.since.elapsed()) else {
                return Err(self.kit.unended(self.op, Why::Patience { most: self.kit.patience }));
            };
            if !self.is_busy() {
                return Ok(());
            }
            tokio::select! {
                () = rung => {}
                () = sleep(pause.min(left)) => {}
            }
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }
    }

    fn is_busy(&self) -> bool {
        let counts = at_once(self.kit.backend().store().counts()).expect("jobs in memory can be counted");
        counts.iter().any(|count| match count.state {
            JobState::Running => true,
            JobState::Ready => self.serves.iter().any(|queue| queue == count.queue.as_str()),
            _ => false,
        })
    }
}

/// Moves of the clock since the last end of a job.
#[derive(Debug, Default)]
struct Moves {
    count: u32,
    ended: u64,
    /// Attempts that had started, when they were last counted.
    started: Option<u64>,
}

impl Moves {
    fn are_in_vain(&mut self, kit: &Kit) -> bool {
        let ended = kit.tally().ended;
        if ended != self.ended {
            *self = Moves { ended, ..Moves::default() };
        }
        if self.count == 0 || !self.count.is_multiple_of(MOVES_IN_VAIN_MAX) {
            return false;
        }
        let started = kit.heads().iter().map(|(_, head)| u64::from(head.attempt)).sum();
        self.started.replace(started) == Some(started)
    }
}
