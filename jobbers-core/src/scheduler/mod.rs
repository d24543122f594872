//! The scheduler: it acts on every job whose time has come, and repairs what no timer covers.
//!
//! Any number of schedulers may run, in workers and elsewhere. No leader is elected: what several of them do at once, one compare-and-set lets
//! one of them do, and what one has been given is hidden from the others for some seconds.

mod due;
mod epoch;
mod prune;
mod queues;
mod reconcile;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::Committer;
use crate::driver::{Backend, Dispatch, DocKind, Page};
use crate::error::{Error, ErrorKind, Result};
use crate::seldom::seldom;
use crate::telemetry::Queues;
use crate::time::Timestamp;
use crate::worker::{jittered, meters};

/// How long a lone scheduler sleeps at most; many of them sleep longer, so that together they look as often.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Schedulers that look as often as one: with four, a job whose scheduler died waits hardly longer.
const SCHEDULERS_PER_SLEEP: u32 = 4;
/// The longest pause after trouble.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The shortest time between two looks: bells of a busy process are gathered.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How often it is counted how many schedulers live.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);
/// Presences that are counted: beyond that the sleep is long enough.
const PRESENCES_COUNT_MAX: usize = 256;
/// How long one look may take before its backend counts as silent: it is made of several calls, some of them over many jobs.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a stop waits for a call that is under way.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// How a scheduler works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchedulerOptions {
    /// How long the records of a run are kept after its end; 7 days by default.
    pub retention: Duration,
    /// How often ended runs are looked for; 60 s by default.
    pub prune_every: Duration,
    /// How often ready jobs are compared with deliveries; 10 s by default.
    pub reconcile_every: Duration,
    /// How long more jobs have to be ready than delivered before they are delivered again; 60 s by default.
    pub reconcile_after: Duration,
    /// How often it is looked whether the store came back older than it was; 10 s by default: two commands each time. A shorter loss may go unnoticed.
    pub epoch_every: Duration,
}

impl Default for SchedulerOptions {
    fn default() -> SchedulerOptions {
        SchedulerOptions {
            retention: Duration::from_secs(7 * 24 * 3600),
            prune_every: Duration::from_secs(60),
            reconcile_every: Duration::from_secs(10),
            reconcile_after: Duration::from_secs(60),
            epoch_every: Duration::from_secs(10),
        }
    }
}

/// A scheduler that runs. Workers bring one by default.
///
/// Dropped, it ends by itself.
#[derive(Debug)]
pub struct Scheduler {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Scheduler {
    /// Starts a scheduler on the runtime that asks.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(backend: &Backend) -> Scheduler {
        Scheduler::start_with(backend, SchedulerOptions::default())
    }

    /// Starts a scheduler with options of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_with(backend: &Backend, options: SchedulerOptions) -> Scheduler {
        let end = CancellationToken::new();
        let tending = Tending::new(backend, options);
        let task = tokio::spawn(tending.run(end.clone()));
        Scheduler { end, task }
    }

    /// Stops it, and waits until it has ended.
    ///
    /// Cancel safe: it ends by itself.
    pub async fn stop(mut self) {
        self.end.cancel();
        if timeout(STOP_WAIT_MAX, &mut self.task).await.is_err() {
            // It waits for a store that does not answer; a dropped call changes nothing that the next scheduler would not do.
            self.task.abort();
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// What one look did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tended {
    /// Jobs whose time had come, and on which this look acted.
    pub due: usize,
    /// Jobs that were delivered again.
    pub pushed: usize,
    /// Records that were forgotten.
    pub pruned: usize,
    /// When the next job's time comes.
    pub next: Option<Timestamp>,
}

/// Looks once, at everything: for tests, and for tools that tend a backend without a process that stays.
///
/// # Errors
/// What the backend says.
pub async fn tend_once(backend: &Backend, options: &SchedulerOptions) -> Result<Tended> {
    let mut tending = Tending::new(backend, options.clone());
    let mut due = 0;
    // The last look finds nothing: what an earlier one did may have set a timer before the next that it saw.
    let next = loop {
        let look = tending.due.look(backend, &tending.committer).await?;
        due += look.acted;
        if look.acted == 0 && !look.full {
            break look.next;
        }
    };
    let pushed = tending.look_at_queues().await?;
    let pruned = prune::look(backend, tending.options.retention).await?;
    tending.committer.close().await;
    Ok(Tended { due, pushed, pruned, next })
}

/// The loop's state.
struct Tending {
    backend: Backend,
    options: SchedulerOptions,
    committer: Committer,
    due: due::DueLook,
    epoch: epoch::Epoch,
    reconcile: reconcile::Reconcile,
    queues: Queues,
    epoch_seen: Option<Instant>,
    reconciled: Instant,
    pruned: Instant,
    counted: Option<Instant>,
    live: u32,
    failures: u32,
}

impl Tending {
    fn new(backend: &Backend, options: SchedulerOptions) -> Tending {
        let now = Instant::now();
        Tending {
            backend: backend.clone(),
            options,
            committer: Committer::start(backend),
            due: due::DueLook::default(),
            epoch: epoch::Epoch::default(),
            reconcile: reconcile::Reconcile::default(),
            queues: Queues::new(),
            epoch_seen: None,
            reconciled: now,
            pruned: now,
            counted: None,
            live: 1,
            failures: 0,
        }
    }

    async fn run(mut self, end: CancellationToken) {
        let bell = self.backend.bell().clone();
        while !end.is_cancelled() {
            // Made before the look: a bell that rings during it counts.
            let rung = bell.notified();
            let looked = timeout(LOOK_WAIT_MAX, self.look()).await;
            let pause = match looked.unwrap_or_else(|_| Err(self.silent())) {
                Ok(pause) => {
                    self.failures = 0;
                    pause
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    if self.failures.is_power_of_two() {
                        tracing::warn!(%error, failures = self.failures, "the scheduler can not look after its jobs; trying again");
                    }
                    jittered((LOOK_INTERVAL * (1 << self.failures.min(10))).min(PAUSE_MAX), &self.backend)
                }
            };
            // A bell does not shorten the pause after trouble: the jobs of this process ring it all the time.
            let least = if self.failures > 0 { pause } else { LOOK_INTERVAL };
            let waited = async {
                sleep(least).await;
                tokio::select! {
                    biased;
                    () = sleep(pause.saturating_sub(least)) => {}
                    () = rung => {}
                }
            };
            tokio::select! {
                biased;
                () = waited => {}
                () = end.cancelled() => {}
            }
        }
        self.committer.close().await;
    }

    /// A look that was given up changes nothing that the next one would not do.
    fn silent(&self) -> Error {
        let why = format!("{}: no answer for {} s; is the backend reachable?", self.backend.location(), LOOK_WAIT_MAX.as_secs());
        Error::new(ErrorKind::Unavailable, "look after jobs", why)
    }

    /// Looks, and answers how long to sleep.
    async fn look(&mut self) -> Result<Duration> {
        let look = self.due.look(&self.backend, &self.committer).await?;
        if look.full {
            return Ok(Duration::ZERO);
        }
        let now = Instant::now();
        if self.epoch_seen.is_none_or(|seen| now >= seen + self.options.epoch_every) {
            self.epoch_seen = Some(now);
            self.look_at_epoch().await?;
        }
        if now >= self.reconciled + self.options.reconcile_every {
            self.reconciled = now;
            self.look_at_queues().await?;
        }
        if now >= self.pruned + self.options.prune_every {
            self.pruned = now;
            prune::look(&self.backend, self.options.retention).await?;
        }
        if self.counted.is_none_or(|counted| now >= counted + COUNT_INTERVAL) {
            self.counted = Some(now);
            self.live = live(&self.backend).await?;
        }
        let most = SLEEP_MAX.min(self.options.epoch_every);
        let most = jittered(most * (self.live / SCHEDULERS_PER_SLEEP).max(1), &self.backend);
        Ok(look.next.map_or(most, |next| next.since(self.backend.clock().now()).min(most)))
    }

    /// Looks whether the store came back older than it was. What that may have left behind is repaired at once.
    async fn look_at_epoch(&mut self) -> Result<()> {
        let every = self.options.epoch_every;
        match self.epoch.look(&self.backend, every).await {
            Ok(None) => Ok(()),
            Ok(Some(epoch::Rewound { marks })) => {
                meters().rewound();
                let seconds = every.as_secs_f64() * marks as f64;
                tracing::error!(
                    store = self.backend.location(),
                    seconds,
                    "the store came back older than it was, by about that much; what was accepted or ended since then may have to be done again"
                );
                self.reconcile.hurry();
                self.look_at_queues().await.map(drop)
            }
            Err(error) if error.kind() == ErrorKind::Damaged => {
                seldom!(warn, %error, "whether the store came back older can not be told");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Compares jobs with deliveries, and shows the counts to those who collect metrics; answers how many jobs were delivered again.
    async fn look_at_queues(&mut self) -> Result<usize> {
        let shown = Queues::are_collected();
        if !shown && self.backend.dispatch() == Dispatch::Caller && !self.reconcile.hurries() {
            return Ok(0);
        }
        let counts = self.backend.store().counts().await.inspect_err(|_| self.queues.saw_nothing())?;
        if shown && let Err(error) = queues::look(&self.backend, &counts, &self.queues).await {
            seldom!(warn, %error, "metrics do not have how long ready jobs have been there");
        }
        self.reconcile.look(&self.backend, counts, &self.options).await
    }
}

/// How many workers live: each of them, but for a few, brings a scheduler.
async fn live(backend: &Backend) -> Result<u32> {
    let page = Page { after: None, limit: PRESENCES_COUNT_MAX };
    let now = backend.clock().now();
    let documents = backend.store().documents(DocKind::Worker, &page).await?;
    let live = documents.iter().filter(|(_, doc)| doc.expires_at.is_none_or(|at| at > now)).count();
    Ok(u32::try_from(live).unwrap_or(u32::MAX).max(1))
}
