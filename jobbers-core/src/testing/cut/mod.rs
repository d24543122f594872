//! Cuts: calls of a backend that fail, or whose process is killed at them, one at a time.
//!
//! A [`Cutter`] lies between a process and its backend, and counts what the process calls. [`each_point`] plays a scene once uncut, and then
//! once for each of its calls and each kind of [`Cut`]. Between two calls a process changes nothing that outlives it in its backend: who was
//! killed at any other await is to the next process one that was killed right behind its last call.

mod wrapper;

use std::fmt;
use std::future::pending;
use std::panic::resume_unwind;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use crate::driver::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::time::{Clock, DrawSource};

/// How a call is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// The process is killed before the call is applied.
    DiesBefore,
    /// The process is killed when the call was applied, and has not returned.
    DiesAfter,
    /// The call fails, and was not applied.
    FailsBefore,
    /// The call fails although it was applied: its outcome is unknown.
    FailsAfter,
}

impl Cut {
    /// Every kind.
    pub const ALL: [Cut; 4] = [Cut::DiesBefore, Cut::DiesAfter, Cut::FailsBefore, Cut::FailsAfter];

    const fn name(self) -> &'static str {
        match self {
            Cut::DiesBefore => "dies-before",
            Cut::DiesAfter => "dies-after",
            Cut::FailsBefore => "fails-before",
            Cut::FailsAfter => "fails-after",
        }
    }

    /// What happens, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Cut::DiesBefore => "the process is killed before it is applied",
            Cut::DiesAfter => "the process is killed after it was applied",
            Cut::FailsBefore => "it fails before it is applied",
            Cut::FailsAfter => "it fails after it was applied",
        }
    }
}

/// One crash point: which call, and how it is cut. Written as `12:dies-after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    /// The call's number, from 1.
    pub call: usize,
    /// How it is cut.
    pub cut: Cut,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.call, self.cut.name())
    }
}

impl FromStr for Point {
    type Err = Error;

    fn from_str(text: &str) -> Result<Point> {
        let parts = text.split_once(':').and_then(|(call, cut)| {
            let call = call.parse().ok().filter(|call| *call > 0)?;
            Some(Point { call, cut: Cut::ALL.into_iter().find(|one| one.name() == cut)? })
        });
        let names = Cut::ALL.map(Cut::name).join(", ");
        let wrong = || format!("{text:?} is none; write the number of a call, a colon, and one of {names}: 12:dies-after");
        parts.ok_or_else(|| Error::new(ErrorKind::Invalid, "read a crash point", wrong()))
    }
}

/// Counts the calls of a process, and cuts one of them.
#[derive(Debug)]
pub struct Cutter {
    point: Option<Point>,
    seen: Mutex<Seen>,
    dead: CancellationToken,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<String>,
    struck: Option<Struck>,
}

/// What was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Struck {
    /// A call of the backend.
    Call,
    /// A moment within the process, where all that can happen is that it ends.
    Moment,
}

impl Cutter {
    /// Only counts.
    pub fn never() -> Arc<Cutter> {
        Cutter::new(None)
    }

    /// Cuts there.
    pub fn at(point: Point) -> Arc<Cutter> {
        Cutter::new(Some(point))
    }

    fn new(point: Option<Point>) -> Arc<Cutter> {
        Arc::new(Cutter { point, seen: Mutex::default(), dead: CancellationToken::new() })
    }

    /// The backend as the process sees it. Once the process is dead, no call of it goes on.
    ///
    /// # Errors
    /// If the backend can not be put together.
    pub fn around(self: &Arc<Cutter>, backend: &Backend) -> Result<Backend> {
        self.around_for(backend, backend.clock().clone(), backend.draws().clone())
    }

    /// The same, with a clock and draws of the process' own.
    ///
    /// # Errors
    /// If the backend can not be put together.
    pub fn around_for(self: &Arc<Cutter>, backend: &Backend, clock: Arc<dyn Clock>, draws: Arc<dyn DrawSource>) -> Result<Backend> {
        wrapper::around(self, backend, clock, draws)
    }

    /// What was called so far.
    pub fn calls(&self) -> Vec<String> {
        self.seen().calls.clone()
    }

    /// Whether its call has come, and was cut.
    pub fn has_struck(&self) -> bool {
        self.seen().struck.is_some()
    }

    /// Whether the process is dead. Whoever runs it drops it then, with all its tasks.
    pub fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Returns once the process is dead. Cancel safe.
    pub async fn death(&self) {
        self.dead.cancelled().await;
    }

    /// A moment within the process that counts as a call. Killed there, it unwinds, and whatever catches that can reach the backend no more.
    pub(super) fn passes(&self, moment: &'static str) {
        if self.is_dead() || self.enter(moment.to_owned(), Struck::Moment).is_some() {
            self.dead.cancel();
            // Without the hook, which would print each of them.
            resume_unwind(Box::new("its process is killed here"));
        }
    }

    /// Makes a call, and what is to become of it.
    async fn call<T>(&self, what: String, call: impl Future<Output = T>, fail: impl FnOnce(Error) -> T) -> T {
        self.unless_dead().await;
        let cut = self.enter(what, Struck::Call);
        // A call of a server is an await as well.
        yield_now().await;
        self.unless_dead().await;
        if matches!(cut, Some(Cut::DiesBefore)) {
            self.dead.cancel();
            pending::<()>().await;
        }
        if matches!(cut, Some(Cut::FailsBefore)) {
            return fail(error("before it was applied"));
        }
        let answer = call.await;
        if matches!(cut, Some(Cut::DiesAfter)) {
            self.dead.cancel();
        }
        yield_now().await;
        self.unless_dead().await;
        match cut {
            Some(Cut::FailsAfter) => fail(error("after it was applied").with_outcome_unknown()),
            _ => answer,
        }
    }

    async fn unless_dead(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    fn enter(&self, what: String, kind: Struck) -> Option<Cut> {
        let mut seen = self.seen();
        seen.calls.push(what);
        let point = self.point.filter(|point| point.call == seen.calls.len() && (kind == Struck::Call || point.cut == Cut::DiesBefore))?;
        seen.struck = Some(kind);
        Some(point.cut)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(when: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "call a backend", format!("the call was cut {when}, for a test"))
}

/// What was played.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Points {
    /// What the uncut play called, in order.
    pub calls: Vec<String>,
    /// How many points were cut.
    pub cut: usize,
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} crash points in {} calls", self.cut, self.calls.len())
    }
}

/// A play that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// Where it was cut; `None`: nowhere.
    pub point: Option<Point>,
    /// What the call is.
    pub call: String,
    /// What went wrong.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.point {
            None => write!(f, "it goes wrong without any crash: {}", self.why),
            Some(point) => write!(f, "crash point {point}: call {}, {}: {}\n{}", point.call, self.call, point.cut.words(), self.why),
        }
    }
}

/// Plays once uncut, and then once for each crash point; or `only` at one of them. A play whose call does not come goes on uncut: behind the
/// last one it ends.
///
/// # Errors
/// The first play that goes wrong.
pub fn each_point(only: Option<Point>, play: impl FnMut(&Arc<Cutter>) -> Result<(), String>) -> Result<Points, Broken> {
    let mut plays = Plays { play, points: Points::default() };
    if let Some(point) = only {
        plays.cut(point)?;
        return Ok(plays.points);
    }
    let uncut = Cutter::never();
    (plays.play)(&uncut).map_err(|why| Broken { point: None, call: String::new(), why })?;
    plays.points.calls = uncut.calls();
    for call in 1.. {
        let mut came = false;
        for cut in Cut::ALL {
            let struck = plays.cut(Point { call, cut })?;
            came |= struck.is_some();
            if struck == Some(Struck::Moment) {
                break;
            }
        }
        if !came {
            break;
        }
    }
    Ok(plays.points)
}

struct Plays<P> {
    play: P,
    points: Points,
}

impl<P: FnMut(&Arc<Cutter>) -> Result<(), String>> Plays<P> {
    fn cut(&mut self, point: Point) -> Result<Option<Struck>, Broken> {
        let cutter = Cutter::at(point);
        let played = (self.play)(&cutter);
        let (struck, call) = {
            let seen = cutter.seen();
            (seen.struck, seen.calls.get(point.call - 1).cloned().unwrap_or_default())
        };
        self.points.cut += usize::from(struck.is_some());
        match played {
            Ok(()) => Ok(struck),
            Err(why) => Err(Broken { point: struck.map(|_| point), call, why }),
        }
    }
}
