//! Crash points: a scene of jobs that is played again and again, with a crash at another call each time.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use super::cut::{Cutter, Point, Points, each_point};
use super::run::options;
use super::{Kit, Ran};
use crate::client::Client;
use crate::driver::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::record::JobState;
use crate::scheduler::tend_once;
use crate::worker::{LEASE, Watch, Worker};

/// What plays one point alone.
const VARIABLE: &str = "JOBBERS_CRASH_POINT";
/// How often a process is started: only one crash strikes it.
const STARTS_MAX: u32 = 3;

/// Plays `scene` once uncut, then once for each crash point: each call that its processes make to their backend (to submit, to claim, to
/// renew, to end, to read), each [`Ctx::step`](crate::worker::Ctx::step), `progress`, `heartbeat` and `then` of a handler, and each of its
/// awaits that waits. A process is killed there, before or after the call is applied, or the call fails, before or after; the process
/// is started again, and the scene has to come to the same good end.
///
/// A scene submits with [`Crash::run`], works with [`Crash::work`], and asserts what has to hold. It makes what outlives a crash (your
/// database, your files) itself, anew for each play.
///
/// Runs in real time, some milliseconds a point; the clock of the jobs is the [`Kit`]'s. Call it from a plain `#[test]`.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
/// use jobbers_core::testing::crash_points;
/// use jobbers_core::{RunId, task::Task, worker::{Ctx, JobError, State, Worker}};
///
/// const PAY: Task<u64> = Task::new("salary.pay");
///
/// /// The resource: payments by their job, so that one that is made twice is one.
/// type Bank = Arc<Mutex<BTreeMap<String, u64>>>;
///
/// async fn pay(ctx: Ctx, State(bank): State<Bank>, cents: u64) -> Result<(), JobError> {
///     bank.lock().unwrap().insert(ctx.id().to_string(), cents);
///     ctx.step("paid");
///     Ok(())
/// }
///
/// let points = crash_points(|crash| {
///     let bank = Bank::default();
///     // Its id says what it is about, so that a process that starts again sends the same job.
///     let june = RunId::derived(&["salary", "anna", "june"]);
///     crash.run(async |client| client.submit(PAY, &5000).id(june).await.map(drop));
///     crash.work(|| Worker::queues(["default"]).state(bank.clone()).task(PAY, pay));
///     assert_eq!(bank.lock().unwrap().values().sum::<u64>(), 5000, "anna is paid once");
/// });
/// assert!(points.cut > 20, "{points}");
/// ```
///
/// # Panics
/// Where the scene goes wrong: with the point (which call, how it was cut), and how to play that one alone, `JOBBERS_CRASH_POINT=12:dies-after`.
/// On a tokio runtime: it makes its own.
#[track_caller]
pub fn crash_points(scene: impl Fn(&Crash)) -> Points {
    assert!(Handle::try_current().is_err(), "crash_points makes runtimes of its own: call it from a plain #[test], not a #[tokio::test]");
    let only = std::env::var(VARIABLE).ok().map(|text| text.parse::<Point>().unwrap_or_else(|error| panic!("{VARIABLE}: {error}")));
    let played = each_point(only, |cutter| {
        // Questions to the kit are asked outside of any process.
        let desk = runtime();
        let crash = Crash { kit: Kit::new(), cutter: cutter.clone(), lease: Cell::new(LEASE) };
        let _guard = desk.enter();
        catch_unwind(AssertUnwindSafe(|| scene(&crash))).map_err(|panic| message(&*panic))
    });
    match played {
        Ok(points) => points,
        Err(broken) => match broken.point {
            None => panic!("{broken}"),
            Some(point) => panic!("{broken}\nto play it alone: {VARIABLE}={point} cargo test"),
        },
    }
}

/// One play of a scene, with at most one crash in it.
#[derive(Debug)]
pub struct Crash {
    kit: Kit,
    cutter: Arc<Cutter>,
    /// The longest of a worker, a default one among them: what a process leaves is given back by then.
    lease: Cell<Duration>,
}

impl Crash {
    /// The backend and its clock, as they are without any crash: for assertions.
    pub fn kit(&self) -> &Kit {
        &self.kit
    }

    /// Runs code of yours in a process of its own. One that was killed, or that failed since its backend did, is started again, from the
    /// beginning: give what it submits an id.
    ///
    /// # Panics
    /// With any other error that it returns.
    #[track_caller]
    pub fn run<T>(&self, main: impl AsyncFn(Client) -> Result<T>) -> T {
        self.process(async |backend| main(Client::new(&backend)).await)
    }

    /// Runs a worker in a process of its own until every job has ended, as [`Kit::run_until_idle`]. One that was killed leaves what it ran to
    /// the next one, once its leases are over.
    ///
    /// # Panics
    /// With the error of the run.
    #[track_caller]
    pub fn work(&self, worker: impl Fn() -> Worker) -> Ran {
        self.process(async |backend| {
            let (cutter, worker) = (self.cutter.clone(), worker());
            self.lease.set(self.lease.get().max(worker.leases()));
            let again = cutter.is_dead();
            let watch = Watch(Arc::new(move |moment| {
                if !again {
                    cutter.passes(moment)
                }
            }));
            self.kit.run_until_idle_on(&backend, worker.watched(watch)).await
        })
    }

    #[track_caller]
    fn process<T>(&self, main: impl AsyncFn(Backend) -> Result<T>) -> T {
        for _ in 0..STARTS_MAX {
            let before = self.cutter.has_struck();
            // Who comes after a death is another process, which nothing befalls.
            let cutter = if self.cutter.is_dead() { Cutter::never() } else { self.cutter.clone() };
            let backend = cutter.around(self.kit.backend()).expect("a backend is put together again from its own parts");
            let runtime = runtime();
            let ended = runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = cutter.death() => None,
                    ended = timeout(2 * self.kit.patience, main(backend)) => Some(ended.unwrap_or_else(|_| Err(self.hangs()))),
                }
            });
            // All its tasks are dropped where they wait.
            runtime.shutdown_background();
            match ended {
                Some(Ok(done)) => return done,
                Some(Err(error)) if before == self.cutter.has_struck() || !error.is_transient() => panic!("a process failed: {error}"),
                _ => self.rescue(),
            }
        }
        unreachable!("one crash ends one process")
    }

    /// Lets the leases of the process that was run out, and gives back what it had.
    fn rescue(&self) {
        let runs = self.kit.heads().into_iter().filter(|(_, head)| head.state == JobState::Running).filter_map(|(_, head)| head.wake_at);
        let until = runs.chain([self.kit.now() + self.lease.get()]).max().expect("there is one at least");
        self.kit.advance(until.since(self.kit.now()) + Duration::from_millis(1));
        let tended = runtime().block_on(tend_once(self.kit.backend(), &options()));
        tended.expect("a backend in memory answers");
    }

    fn hangs(&self) -> Error {
        let why = format!("it did not end within {:?}", 2 * self.kit.patience);
        Error::new(ErrorKind::Internal, "run a process", why)
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime of this thread starts")
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked without a message").to_owned()
}
