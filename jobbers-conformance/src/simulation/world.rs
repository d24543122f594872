//! The world of one seed: its processes, its time, and what befalls them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use jobbers_core::driver::{Backend, Bounds, LimitChange, Rate};
use jobbers_core::scheduler::SchedulerOptions;
use jobbers_core::worker::WithScheduler;
use jobbers_core::{Clock, DrawSource, Namespace, SeededDraws, Timestamp};
use tokio::runtime::{Builder, Runtime};

use super::cron;
use super::plan::{LEASE, Mode, Path, Plan};
use super::process::Process;
use super::roles::{Role, Stage};
use super::shapes::{BOUND, LIMIT, RATE};
use crate::faults::{Fault, Faults, Reach};
use crate::history::{History, What};
use crate::kit::{at_millis, limit_name};
use crate::{Fixture, Opening, Snapshot, truth};

/// The longest turn in the chaos: within one a process is alone.
const TURN_MILLIS_MAX: u64 = 200;
/// The longest time that it may take until everything has ended: a clock that was an hour ahead has set timers that are.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(2 * 3600);
/// The rate that some handlers keep.
const OFTEN: Rate = Rate { count: 1, period: Duration::from_secs(2), burst: 2 };
/// How often what the backend holds is kept, in milliseconds, and how many of them: it comes back older by up to two seconds.
const KEEP_MILLIS: u64 = 500;
const KEPT_COUNT_MAX: usize = 4;

/// The time of the world: where its turn began.
#[derive(Debug, Default)]
struct WorldClock(AtomicU64);

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        at_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A process, and what is to become of it.
struct Cast {
    role: Role,
    process: Option<Process>,
    /// When it goes on, or is started again.
    back_at: u64,
    frozen: bool,
    /// It is among those that faults may strike.
    sick: bool,
    /// How often it was started.
    starts: u64,
}

/// What the backend held.
struct Kept {
    at: u64,
    mark: u64,
    snapshot: Box<dyn Snapshot>,
}

/// The world of one seed.
pub(super) struct World<'a> {
    plan: Plan,
    fixture: &'a dyn Fixture,
    opening: Opening,
    clock: Arc<WorldClock>,
    rng: fastrand::Rng,
    /// Where calls of the master itself are made.
    desk: Runtime,
    /// What the processes are given: recorded, and honest or not.
    truth: Backend,
    pub(super) history: Arc<History>,
    pub(super) faults: Arc<Faults>,
    calm: Arc<Faults>,
    casts: Vec<Cast>,
    acts: Arc<AtomicU32>,
    /// Clients that have nothing left to do.
    idle: Arc<AtomicU32>,
    out_until: u64,
    /// The oldest first.
    kept: VecDeque<Kept>,
    marks: u64,
    deployed: bool,
    options: SchedulerOptions,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: Plan, fixture: &'a dyn Fixture, options: SchedulerOptions) -> World<'a> {
        let clock = Arc::new(WorldClock::default());
        let desk = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O starts");
        let opening = Opening {
            url: None,
            namespace: Namespace::new("simulation").expect("a valid name"),
            dispatch: plan.dispatch,
            clock: clock.clone(),
            draws: Arc::new(SeededDraws::new(plan.seed)),
        };
        let backend = desk.block_on(fixture.open(&opening)).expect("a backend in memory opens");
        let backend = if plan.path == Path::Long { backend.without_take() } else { backend };
        let history = Arc::new(History::default());
        let truth = truth::recorded(&backend, &history).expect("a recorded backend is put together as its own was");
        let change = |limit, bounds| LimitChange::Bounds { limit: limit_name(limit), version: 1, bounds: Some(bounds) };
        let changes =
            [change(LIMIT, Bounds { concurrency: Some(BOUND), rate: None }), change(RATE, Bounds { concurrency: None, rate: Some(OFTEN) })];
        desk.block_on(truth.limiter().set(&changes, clock.now())).expect("a limiter in memory answers");
        let faults = Faults::up_to(plan.seed, plan.profile, plan.faults_max);
        let calm = Faults::new(plan.seed, crate::faults::Profile::default());
        let rng = fastrand::Rng::with_seed(plan.seed ^ 0x5eed);
        let (acts, idle) = (Arc::default(), Arc::default());
        let mut world = World {
            plan,
            fixture,
            opening,
            clock,
            rng,
            desk,
            truth,
            history,
            faults,
            calm,
            casts: Vec::new(),
            acts,
            idle,
            out_until: 0,
            kept: VecDeque::new(),
            marks: 0,
            deployed: false,
            options,
        };
        world.cast();
        world
    }

    fn cast(&mut self) {
        let plan = self.plan;
        let workers = (0..plan.workers).map(Role::Worker);
        let others = (0..plan.schedulers).map(|_| Role::Scheduler).chain((0..plan.clients).map(|_| Role::Client));
        for (place, role) in workers.chain(others).enumerate() {
            let sick = match plan.mode {
                Mode::Safety => true,
                Mode::Liveness => place == 1 || role == Role::Scheduler && place as u32 == plan.workers,
            };
            let back_at = self.rng.u64(..2_000);
            self.casts.push(Cast { role, process: None, back_at, frozen: false, sick, starts: 0 });
        }
    }

    fn now(&self) -> u64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    /// Lets faults strike for as long as the plan says.
    pub(super) fn chaos(&mut self) {
        let end = self.plan.chaos.as_millis() as u64;
        while self.now() < end {
            let turn = 1 + self.rng.u64(..TURN_MILLIS_MAX);
            self.turn(turn);
        }
    }

    /// Ends the faults (of a safety seed), and goes on until all has ended; answers whether it has.
    pub(super) fn drain(&mut self) -> bool {
        if self.plan.mode == Mode::Safety {
            self.faults.stop();
            self.out_until = 0;
            for cast in &mut self.casts {
                cast.back_at = 0;
                if let Some(process) = &cast.process {
                    process.seat.set_skew(0);
                    process.seat.set_mortal(false);
                }
            }
        }
        let start = self.now();
        while self.now() < start + DRAIN_MAX.as_millis() as u64 {
            let since = self.now() - start;
            // The longer it takes, the more it is a matter of timers far ahead.
            let turn = if since < 120_000 { 250 } else { 5_000 };
            for _ in 0..4 {
                self.turn(turn);
            }
            if self.idle.load(Ordering::SeqCst) >= self.plan.clients && self.unended() == 0 && self.ticked() {
                return true;
            }
        }
        false
    }

    /// What is there at the end.
    pub(super) fn find(&mut self) {
        for cast in &mut self.casts {
            if let Some(process) = &mut cast.process {
                process.kill();
            }
        }
        self.desk.block_on(truth::found(&self.truth, &self.history)).expect("a store in memory answers");
    }

    fn ticked(&self) -> bool {
        self.desk.block_on(cron::is_over(&**self.truth.store())).expect("a store in memory answers")
    }

    fn unended(&self) -> u64 {
        let counts = self.desk.block_on(self.truth.store().counts()).expect("a store in memory answers");
        counts.iter().filter(|count| !count.state.is_end()).map(|count| count.jobs).sum()
    }

    /// Lets every process live for so long, in an order of chance.
    fn turn(&mut self, millis: u64) {
        self.deploy();
        self.befall();
        let now = self.now() + millis;
        let mut order: Vec<usize> = (0..self.casts.len()).collect();
        self.rng.shuffle(&mut order);
        for place in order {
            self.live(place, now);
        }
        self.clock.0.store(now, Ordering::SeqCst);
        if self.out_until > 0 && self.out_until <= now {
            self.out_until = 0;
            self.faults.set_reachable(Reach::Everything);
        }
    }

    fn live(&mut self, place: usize, now: u64) {
        let cast = &mut self.casts[place];
        if cast.frozen {
            if now < cast.back_at {
                return;
            }
            cast.frozen = false;
            if let Some(process) = &mut cast.process {
                process.thaw(now);
            }
        }
        let lives = cast.process.as_mut().is_some_and(|process| process.live_until(now));
        if lives {
            return;
        }
        if cast.process.take().is_some() {
            // It has ended, or killed itself.
            cast.back_at = now + 1 + self.rng.u64(..3_000);
        } else if now >= cast.back_at {
            let process = self.start(place, now);
            self.casts[place].process = Some(process);
        }
    }

    /// What befalls processes, once a turn.
    fn befall(&mut self) {
        let now = self.now();
        if self.plan.mode == Mode::Safety && self.faults.strikes(Fault::Outage) {
            self.out_until = now + self.rng.u64(100..30_000);
            self.faults.set_reachable(Reach::Nothing);
        }
        self.rewind();
        for place in 0..self.casts.len() {
            if !self.casts[place].sick {
                continue;
            }
            self.stop_now_and_then(place);
            let cast = &mut self.casts[place];
            let Some(process) = cast.process.as_mut().filter(|process| process.lives()) else { continue };
            if self.faults.strikes(Fault::Skew) {
                let third = LEASE.as_millis() as i64 / 3;
                process.seat.set_skew(self.rng.i64(-third..=third));
            }
            if self.faults.strikes(Fault::Jump) {
                let most = [5_000, 60_000, 600_000, 3_600_000][self.rng.usize(..4)];
                process.seat.set_skew(self.rng.i64(-most..=most));
            }
            if self.faults.strikes(Fault::Kill) {
                process.kill();
                cast.process = None;
                (cast.frozen, cast.back_at) = (false, now + self.rng.u64(..20_000));
            } else if !cast.frozen && self.faults.strikes(Fault::Freeze) {
                (cast.frozen, cast.back_at) = (true, now + self.rng.u64(..10 * LEASE.as_millis() as u64));
            }
        }
    }

    /// Keeps what the backend holds, and takes it back in time now and then.
    fn rewind(&mut self) {
        // In the drain nothing strikes, and of a liveness seed the backend is whole.
        if self.plan.profile.of(Fault::Rewind) == 0 || self.plan.mode != Mode::Safety {
            return;
        }
        if self.faults.strikes(Fault::Rewind) && !self.kept.is_empty() {
            let place = self.rng.usize(..self.kept.len());
            self.kept.truncate(place + 1);
            let kept = &self.kept[place];
            self.desk.block_on(kept.snapshot.restore()).expect("what is kept in memory can be restored");
            self.history.add(self.clock.now(), What::Rewound { mark: kept.mark });
        }
        let at = self.now();
        if self.kept.back().is_none_or(|kept| kept.at + KEEP_MILLIS <= at) {
            let snapshot = self.desk.block_on(self.fixture.snapshot(&self.opening)).expect("memory can be kept");
            let snapshot = snapshot.expect("the fixture of a plan that rewinds can take it back in time");
            self.marks += 1;
            self.history.add(self.clock.now(), What::Kept { mark: self.marks });
            self.kept.push_back(Kept { at, mark: self.marks, snapshot });
            self.kept.drain(..self.kept.len().saturating_sub(KEPT_COUNT_MAX));
        }
    }

    /// Halfway through the chaos a worker is started anew, as of then those do that know the new task.
    fn deploy(&mut self) {
        if !self.deployed && self.now() >= self.plan.chaos.as_millis() as u64 / 2 {
            self.deployed = true;
            if let Some(process) = &self.casts[0].process {
                process.seat.stop.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Workers stop in good order, and are started anew.
    fn stop_now_and_then(&mut self, place: usize) {
        let cast = &self.casts[place];
        if matches!(cast.role, Role::Worker(_))
            && self.now() < self.plan.chaos.as_millis() as u64
            && self.rng.u32(..1_000) < 2
            && let Some(process) = &cast.process
        {
            process.seat.stop.store(true, Ordering::SeqCst);
        }
    }

    fn start(&mut self, place: usize, now: u64) -> Process {
        let cast = &mut self.casts[place];
        cast.starts += 1;
        let seed = self.plan.seed.wrapping_mul(1_000_003) ^ (place as u64) << 32 ^ cast.starts;
        let (role, sick, faults) = (cast.role, cast.sick, if cast.sick { self.faults.clone() } else { self.calm.clone() });
        let draws: Arc<dyn DrawSource> = Arc::new(SeededDraws::new(seed));
        let truth = self.truth.clone();
        // Schedulers that are told how to work are the only ones.
        let own = if self.options == SchedulerOptions::default() { WithScheduler::On } else { WithScheduler::Off };
        let stage = Stage {
            history: self.history.clone(),
            options: self.options.clone(),
            own,
            deployed: self.deployed,
            acts: self.acts.clone(),
            idle: self.idle.clone(),
            most: self.plan.acts,
        };
        let mortal = sick && role != Role::Client && self.faults.strikes(Fault::Poison);
        Process::start(now, move |seat| {
            seat.set_mortal(mortal);
            let backend = faults.around_for(&truth, seat.clone(), draws).expect("a wrapped backend is put together as its own was");
            stage.play(role, backend, seat)
        })
    }
}
