//! Faults between an engine and its backend, drawn from a seed: calls that fail before or after they were applied, that come late or never
//! return, deliveries that are lost, doubled, late or out of order; and what happens to the processes that make the calls.

mod wrapper;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobbers_core::driver::Backend;
use jobbers_core::{Clock, DrawSource, Error, ErrorKind, Result};

/// The longest delay of an answer, unless [`Profile::delay_max`] says otherwise: real time is what storms have little of.
const DELAY_MAX: Duration = Duration::from_millis(30);

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The call fails, and was not applied.
    Before,
    /// The call fails although it was applied: the outcome is unknown.
    After,
    /// Of a call of several commits some fail, before or after; a push is applied in part.
    Partial,
    /// The answer comes late.
    Delay,
    /// The call never returns, applied or not: its caller has to give up by itself.
    Hang,
    /// A delivery vanishes.
    Lost,
    /// A delivery comes twice.
    Twice,
    /// A delivery comes only after its time to come back.
    Late,
    /// Deliveries come out of order.
    Reorder,
    /// The whole backend refuses every call of every process for some time.
    Outage,
    /// A process stops for some time, and goes on where it was.
    Freeze,
    /// A process is gone at once, and started again later.
    Kill,
    /// The clock of a process is wrong by up to a third of a lease.
    Skew,
    /// The clock of a process jumps by up to an hour.
    Jump,
    /// A handler kills the process that it runs in.
    Poison,
    /// The whole backend comes back as it was up to two seconds ago, under whoever uses it.
    Rewind,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 16] = [
        Fault::Before,
        Fault::After,
        Fault::Partial,
        Fault::Delay,
        Fault::Hang,
        Fault::Lost,
        Fault::Twice,
        Fault::Late,
        Fault::Reorder,
        Fault::Outage,
        Fault::Freeze,
        Fault::Kill,
        Fault::Skew,
        Fault::Jump,
        Fault::Poison,
        Fault::Rewind,
    ];
    /// Those of calls that need no time of their own to pass: what a storm over a real server has.
    pub const OF_STORMS: [Fault; 7] = [Fault::Before, Fault::After, Fault::Partial, Fault::Delay, Fault::Lost, Fault::Twice, Fault::Late];

    /// Whether it strikes a process, and not one of its calls.
    pub const fn is_of_processes(self) -> bool {
        matches!(self, Fault::Outage | Fault::Freeze | Fault::Kill | Fault::Skew | Fault::Jump | Fault::Poison | Fault::Rewind)
    }
}

/// How often each fault strikes, in a thousand calls (of a process: in a thousand turns); 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    permille: [u32; Fault::ALL.len()],
    delay_max: Option<Duration>,
}

impl Profile {
    /// The same profile, with this fault so often.
    #[must_use]
    pub fn with(mut self, fault: Fault, permille: u32) -> Profile {
        self.permille[fault as usize] = permille;
        self
    }

    /// The same profile, whose answers come late by up to so much; 30 ms by default. Short delays are as likely as long ones.
    #[must_use]
    pub fn delay_max(mut self, most: Duration) -> Profile {
        self.delay_max = Some(most);
        self
    }

    /// How often this fault strikes.
    pub fn of(&self, fault: Fault) -> u32 {
        self.permille[fault as usize]
    }

    /// A profile of storms drawn from a seed: about half of the faults are off, so that each can show what the others would hide.
    pub fn swarm(seed: u64) -> Profile {
        let mut rng = fastrand::Rng::with_seed(seed);
        let faults = Fault::OF_STORMS.into_iter();
        faults.fold(Profile::default(), |all, fault| if rng.bool() { all.with(fault, rng.u32(10..200)) } else { all })
    }
}

/// What strikes, drawn from a seed; shared by all wrappers of one backend.
#[derive(Debug)]
pub struct Faults {
    profile: Profile,
    rng: Mutex<fastrand::Rng>,
    struck: Mutex<BTreeMap<Fault, u64>>,
    /// How many may still strike.
    left: AtomicU64,
    on: AtomicBool,
    /// Nothing can be reached.
    out: AtomicBool,
}

impl Faults {
    /// Faults of this profile, on from the start.
    pub fn new(seed: u64, profile: Profile) -> Arc<Faults> {
        Faults::up_to(seed, profile, u64::MAX)
    }

    /// The same faults, of which only the first `most` strike: to find out how many it takes.
    pub fn up_to(seed: u64, profile: Profile, most: u64) -> Arc<Faults> {
        Arc::new(Faults {
            profile,
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            struck: Mutex::default(),
            left: AtomicU64::new(most),
            on: AtomicBool::new(true),
            out: AtomicBool::new(false),
        })
    }

    /// Ends all faults: what comes now is answered as it should be.
    pub fn stop(&self) {
        self.on.store(false, Ordering::SeqCst);
        self.set_reachable(Reach::Everything);
    }

    /// Begins or ends an outage of the whole backend.
    pub fn set_reachable(&self, reach: Reach) {
        self.out.store(reach == Reach::Nothing, Ordering::SeqCst);
    }

    /// How often each fault has struck.
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A backend between which and its user these faults strike.
    ///
    /// # Errors
    /// If the backend can not be put together.
    pub fn around(self: &Arc<Faults>, backend: &Backend) -> Result<Backend> {
        self.around_for(backend, backend.clock().clone(), backend.draws().clone())
    }

    /// The same for one process, with a clock and draws of its own.
    ///
    /// # Errors
    /// If the backend can not be put together.
    pub fn around_for(self: &Arc<Faults>, backend: &Backend, clock: Arc<dyn Clock>, draws: Arc<dyn DrawSource>) -> Result<Backend> {
        wrapper::around(self, backend, clock, draws)
    }

    /// Whether this fault strikes now.
    pub fn strikes(&self, fault: Fault) -> bool {
        let permille = self.profile.of(fault);
        let strikes = self.on.load(Ordering::SeqCst) && permille > 0 && self.draw(1_000) < permille;
        if !strikes || self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return false;
        }
        *self.struck.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default() += 1;
        true
    }

    /// A number below `below`, which has to be more than 0.
    pub fn draw(&self, below: u32) -> u32 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).u32(..below)
    }

    /// Makes a call, and what may become of it.
    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.reach()?;
        if self.strikes(Fault::Before) {
            return Err(refused());
        }
        let hangs = self.hangs();
        if hangs == Some(Hangs::Before) {
            std::future::pending::<()>().await;
        }
        let answer = call.await;
        if hangs.is_some() {
            std::future::pending::<()>().await;
        }
        self.delay().await;
        if self.strikes(Fault::After) { Err(lost()) } else { answer }
    }

    fn reach(&self) -> Result<()> {
        if self.out.load(Ordering::SeqCst) { Err(refused()) } else { Ok(()) }
    }

    fn hangs(&self) -> Option<Hangs> {
        self.strikes(Fault::Hang).then(|| if self.draw(2) == 0 { Hangs::Before } else { Hangs::After })
    }

    async fn delay(&self) {
        if self.strikes(Fault::Delay) {
            let most = self.profile.delay_max.unwrap_or(DELAY_MAX).as_millis().max(1);
            // As many below a tenth of it as above.
            let most = u32::try_from(most).unwrap_or(u32::MAX) / 10_u32.pow(self.draw(3));
            tokio::time::sleep(Duration::from_millis(u64::from(self.draw(most.max(1))))).await;
        }
    }
}

/// What can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As usual.
    Everything,
    /// Every call is refused.
    Nothing,
}

/// Where a call hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hangs {
    Before,
    After,
}

fn refused() -> Error {
    Error::new(ErrorKind::Unavailable, "call a faulty backend", "a fault before the call was applied")
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "call a faulty backend", "a fault after the call was applied").with_outcome_unknown()
}
