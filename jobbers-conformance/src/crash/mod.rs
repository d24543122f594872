//! Crash points of the product's own flows: client, worker and scheduler in one process, cut at each call that they make to their backend.
//!
//! Each [`Flow`] is played once uncut, and then once for each call and each kind of cut. A process that was killed is started again as its
//! user would: with the same script, whose jobs have the same ids. Everything has to end as it should, without the help of reconcile: it is
//! off meanwhile, and finds nothing at the end. What the backend really did is written down, and [`checker`](crate::checker) proves it.
//!
//! Time is not real, and draws are seeded: the same point is the same history.

mod flows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jobbers_core::client::Client;
use jobbers_core::driver::{Backend, Bounds, Dispatch, LimitChange};
use jobbers_core::record::JobState;
use jobbers_core::scheduler::{Scheduler, SchedulerOptions};
use jobbers_core::testing::cut::{Broken, Cutter, Point, Points, each_point};
use jobbers_core::worker::{LeaseRuntime, WithScheduler, Worker};
use jobbers_core::{Clock, Namespace, SeededDraws, Timestamp};
use tokio::runtime::{Builder, Runtime};

pub use flows::Flow;

use crate::audit::nothing_is_forgotten_in;
use crate::checker::{End, check};
use crate::history::{History, What};
use crate::kit::{at_millis, limit_name};
use crate::simulation::client::Caller;
use crate::simulation::process::{Process, Seat};
use crate::simulation::shapes::{BOUND, LIMIT, Stagehand};
use crate::{Fixture, Opening, truth};

/// How long the claims of a process hold: what it left is taken up again by then.
const LEASE: Duration = Duration::from_secs(5);
/// How far the world goes on between two looks.
const TURN_MILLIS: u64 = 100;
/// The longest time that it may take until everything has ended: a permit of the dead is held for a minute.
const WORLD_MAX: Duration = Duration::from_secs(300);
/// Longer than any world: what is not to happen meanwhile.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The way that jobs take to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// Pulled and claimed in one call.
    Take,
    /// Pulled, and then claimed.
    Pull,
    /// Pushed by whoever made them ready, as to a queue that is not of the store.
    Push,
}

impl Road {
    /// Every one.
    pub const ALL: [Road; 3] = [Road::Take, Road::Pull, Road::Push];
}

/// Plays a flow over backends of a fixture that needs no runtime, a new one each time: uncut, and at each of its points, or at `only` one.
///
/// # Errors
/// The first play that goes wrong.
pub fn points<F: Fixture>(flow: &Flow, road: Road, fixture: impl Fn() -> F, only: Option<Point>) -> Result<Points, Broken> {
    points_of(flow, road, fixture, Ok, only)
}

/// The same, with a part of the driver that is cut as well: `driver` puts it on top of the backend that each process calls, so that a call
/// that it makes of several has a point between them.
///
/// # Errors
/// The first play that goes wrong.
pub fn points_of<F: Fixture>(
    flow: &Flow,
    road: Road,
    fixture: impl Fn() -> F,
    driver: fn(Backend) -> jobbers_core::Result<Backend>,
    only: Option<Point>,
) -> Result<Points, Broken> {
    each_point(only, |cutter| play(flow, road, &fixture(), driver, cutter))
}

/// Plays a flow once.
fn play(flow: &Flow, road: Road, fixture: &dyn Fixture, driver: Driver, cutter: &Arc<Cutter>) -> Result<(), String> {
    let mut world = World::open(flow, road, fixture, driver)?;
    let mut process = world.start(cutter, 1);
    let mut again = false;
    while world.clock.millis() < WORLD_MAX.as_millis() as u64 {
        let now = world.clock.millis() + TURN_MILLIS;
        let lives = process.live_until(now);
        world.clock.0.store(now, Ordering::SeqCst);
        if !lives || cutter.is_dead() && !again {
            if again || !cutter.is_dead() {
                return Err("a process ended by itself".to_owned());
            }
            process.kill();
            // Who comes after a death is another process, which nothing befalls.
            process = world.start(&Cutter::never(), 2);
            again = true;
        } else if world.done.load(Ordering::SeqCst) && world.unended() == 0 {
            process.kill();
            return world.judge();
        }
    }
    process.kill();
    Err(format!("after {WORLD_MAX:?} not all has ended: {:?}", world.states()))
}

/// What lies between a process and the calls that are cut.
type Driver = fn(Backend) -> jobbers_core::Result<Backend>;

/// The time of the world.
#[derive(Debug, Default)]
struct WorldClock(AtomicU64);

impl WorldClock {
    fn millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        at_millis(self.millis())
    }
}

/// The world of one play.
struct World<'a> {
    flow: &'a Flow,
    driver: Driver,
    clock: Arc<WorldClock>,
    /// Where calls of the master itself are made.
    desk: Runtime,
    truth: Backend,
    history: Arc<History>,
    /// The script of the process that lives has come to its end.
    done: Arc<AtomicBool>,
}

impl World<'_> {
    fn open<'a>(flow: &'a Flow, road: Road, fixture: &dyn Fixture, driver: Driver) -> Result<World<'a>, String> {
        let clock = Arc::new(WorldClock::default());
        let desk = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O starts");
        let opening = Opening {
            url: None,
            namespace: Namespace::new("crash").expect("a valid name"),
            dispatch: if road == Road::Push { Dispatch::Caller } else { Dispatch::Own },
            clock: clock.clone(),
            draws: Arc::new(SeededDraws::new(1)),
        };
        let backend = desk.block_on(fixture.open(&opening)).map_err(|error| error.to_string())?;
        let backend = if road == Road::Take { backend } else { backend.without_take() };
        let history = Arc::new(History::default());
        let truth = truth::recorded(&backend, &history).map_err(|error| error.to_string())?;
        let bounds = Some(Bounds { concurrency: Some(BOUND), rate: None });
        let change = LimitChange::Bounds { limit: limit_name(LIMIT), version: 1, bounds };
        desk.block_on(truth.limiter().set(&[change], clock.now())).map_err(|error| error.to_string())?;
        Ok(World { flow, driver, clock, desk, truth, history, done: Arc::default() })
    }

    fn start(&mut self, cutter: &Arc<Cutter>, seed: u64) -> Process {
        self.done = Arc::default();
        let (truth, history, done) = (self.truth.clone(), self.history.clone(), self.done.clone());
        let (script, driver, cutter) = (self.flow.script, self.driver, cutter.clone());
        Process::start(self.clock.millis(), move |seat| {
            let draws = Arc::new(SeededDraws::new(seed));
            let backend = cutter.around_for(&truth, seat.clone(), draws).and_then(driver);
            let backend = backend.expect("a wrapped backend is put together as its own was");
            async move {
                let options = SchedulerOptions::default();
                let _scheduler = Scheduler::start_with(&backend, without_reconcile(options));
                let second = Duration::from_secs(1);
                let caller = Caller { client: Client::new(&backend), history: history.clone(), second };
                let client = async {
                    script(caller, seat.clone()).await;
                    done.store(true, Ordering::SeqCst);
                };
                let lives = async { tokio::join!(work(&backend, &history, &seat), client) };
                tokio::select! {
                    biased;
                    () = cutter.death() => {}
                    _ = lives => {}
                }
            }
        })
    }

    fn unended(&self) -> u64 {
        self.states().iter().filter(|(state, _)| !state.is_end()).map(|(_, jobs)| jobs).sum()
    }

    /// How many jobs stand how.
    fn states(&self) -> BTreeMap<JobState, u64> {
        let mut states = BTreeMap::new();
        for count in self.desk.block_on(self.truth.store().counts()).expect("a store in memory answers") {
            *states.entry(count.state).or_default() += count.jobs;
        }
        states.retain(|_, jobs| *jobs > 0);
        states
    }

    /// Whether everything ended as it should.
    fn judge(&self) -> Result<(), String> {
        self.desk.block_on(truth::found(&self.truth, &self.history)).map_err(|error| error.to_string())?;
        let events = self.history.events();
        let violations: Vec<String> = check(&events, End::Drained).iter().map(ToString::to_string).collect();
        if !violations.is_empty() {
            return Err(violations.join("; "));
        }
        let mut ends = BTreeMap::<JobState, u64>::new();
        for event in &events {
            if let What::Found { state, .. } = event.what {
                *ends.entry(state).or_default() += 1;
            }
        }
        let due: BTreeMap<JobState, u64> = self.flow.ends.iter().copied().collect();
        if ends != due {
            return Err(format!("the jobs ended as {ends:?}, and should have as {due:?}"));
        }
        self.desk.block_on(nothing_is_forgotten_in(&self.truth)).map_err(|broken| broken.to_string())
    }
}

fn without_reconcile(mut options: SchedulerOptions) -> SchedulerOptions {
    (options.reconcile_after, options.retention) = (NEVER, NEVER);
    options
}

/// Works, and starts anew whenever it was told to stop.
async fn work(backend: &Backend, history: &Arc<History>, seat: &Arc<Seat>) {
    let second = Duration::from_secs(1);
    let hand = Stagehand { backend: backend.clone(), history: history.clone(), second, kill: Some(seat.clone()) };
    loop {
        let worker = Worker::queues(["default"]).slots(4).lease(LEASE).grace(2 * second);
        let worker = worker.lease_runtime(LeaseRuntime::Shared).scheduler(WithScheduler::Off);
        // A start may fail as any call may.
        let Ok(handle) = flows::teach(&hand, worker).start(backend).await else {
            tokio::time::sleep(second / 2).await;
            continue;
        };
        while !seat.stop.swap(false, Ordering::SeqCst) {
            tokio::time::sleep(second / 4).await;
        }
        drop(handle.stop().await);
    }
}
