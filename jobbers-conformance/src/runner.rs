//! Plays every scenario against one fixture, as a test program.

use std::panic::AssertUnwindSafe;
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use jobbers_core::ErrorKind;
use jobbers_core::driver::{Capability, Dispatch};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::fixture::scratch_of_this_process;
use crate::report::{Ended, Played, Report};
use crate::scenarios::{self, Modes, Scenario};
use crate::{Broken, Fixture, Outcome, Stage, audit};

/// How long a scenario may take: each moves time by hand, so more is a hang.
pub const SCENARIO_LIMIT: Duration = Duration::from_secs(30);

/// Set to `1`: a server that is not there is a failure, no skip.
pub const STRICT_VARIABLE: &str = "JOBBERS_CONFORMANCE_STRICT";

/// Plays every scenario against `fixture`, and ends the process: with 0 if all that apply hold, else with 101.
///
/// Arguments are those of a test program: a filter, `--exact`, `--list`, `--skip`, `--test-threads`. A run without a filter leaves its
/// [`Report`] in `target/conformance/<name>.json`.
pub fn run(fixture: impl Fixture) -> ! {
    exit(play_all(Arc::new(fixture), &Arguments::from_args()))
}

#[expect(clippy::print_stdout, reason = "the runner's output is its purpose")]
fn play_all(fixture: Arc<dyn Fixture>, arguments: &Arguments) -> i32 {
    let plays: Vec<Play> = scenarios::all().into_iter().flat_map(|scenario| Play::of(scenario, &*fixture)).collect();
    let results: Arc<Mutex<Vec<Option<Played>>>> = Arc::new(Mutex::new(vec![None; plays.len()]));
    let trials = plays.into_iter().enumerate().map(|(index, play)| play.trial(index, fixture.clone(), results.clone())).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    // What no fixture has used is not there; what is left is in the way of nobody.
    let _ = std::fs::remove_dir_all(scratch_of_this_process());
    if arguments.list {
        return 0;
    }
    let played = results.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect();
    let report = Report::new(fixture.name(), fixture.capabilities().iter().map(|one| one.to_string()).collect(), played);
    if conclusion.num_filtered_out == 0 {
        match report.save() {
            Ok(path) => println!("report: {}", path.display()),
            Err(error) => println!("the report could not be written: {error}"),
        }
    }
    println!("{} passed, {} failed, {} skipped", report.passed, report.failed, report.skipped);
    if conclusion.has_failed() { 101 } else { 0 }
}

/// One way to play one scenario.
struct Play {
    scenario: Scenario,
    name: String,
    dispatch: Dispatch,
    path: Path,
}

/// How an engine claims jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// By the fast path, if there is one.
    Any,
    /// By the fast path.
    Fast,
    /// Call by call.
    Calls,
}

impl Play {
    fn of(scenario: Scenario, fixture: &dyn Fixture) -> Vec<Play> {
        let plain = format!("{}::{}", scenario.subject, scenario.name);
        let own = fixture.capabilities().has(Capability::AtomicDispatch);
        let best = if own { Dispatch::Own } else { Dispatch::Caller };
        let play = |way: &str, dispatch, path| Play { scenario, name: format!("{plain}{way}"), dispatch, path };
        match scenario.modes {
            Modes::Once => vec![play("", best, Path::Any)],
            Modes::BothDispatches => vec![play("::own", Dispatch::Own, Path::Any), play("::caller", Dispatch::Caller, Path::Any)],
            Modes::Engine => {
                vec![play("::take", best, Path::Fast), play("::calls", best, Path::Calls), play("::caller", Dispatch::Caller, Path::Calls)]
            }
        }
    }

    fn trial(self, index: usize, fixture: Arc<dyn Fixture>, results: Arc<Mutex<Vec<Option<Played>>>>) -> Trial {
        Trial::ignorable_test(self.name.clone(), move || {
            let start = Instant::now();
            let outcome = self.play(&fixture);
            let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (ended, reason) = match &outcome {
                Ok(()) => (Ended::Ok, None),
                Err(Broken::Skipped(why)) => (Ended::Skipped, Some(why.clone())),
                Err(Broken::Failed(what)) => (Ended::Failed, Some(what.clone())),
            };
            let played = Played { name: self.name.clone(), outcome: ended, reason, millis };
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(played);
            self.verdict(outcome, fixture.name())
        })
    }

    fn verdict(&self, outcome: Outcome, backend: &str) -> Result<Completion, Failed> {
        match outcome {
            Ok(()) => Ok(Completion::Completed),
            Err(Broken::Skipped(why)) => Ok(Completion::ignored_with(why)),
            Err(Broken::Failed(what)) => {
                Err(format!("{} on {backend}\n  promised: {}\n  but: {what}", self.name, self.scenario.promise()).into())
            }
        }
    }

    /// Plays it on a thread of its own, so that also a hang that blocks is noticed.
    fn play(&self, fixture: &Arc<dyn Fixture>) -> Outcome {
        let url = url_of(&**fixture)?;
        let own = fixture.capabilities().has(Capability::AtomicDispatch);
        if self.dispatch == Dispatch::Own && !own {
            return Err(Broken::skipped("it does not claim atomic-dispatch: its store never dispatches by itself"));
        }
        let (scenario, fixture, dispatch, path, name) = (self.scenario, fixture.clone(), self.dispatch, self.path, self.name.clone());
        let (tell, told) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| play_here(scenario, fixture, dispatch, path, url)));
            // The other side has gone only after the limit, and has said so then.
            let _ = tell.send(outcome.unwrap_or_else(|panic| Err(Broken::failed(format_args!("it panicked: {}", words_of(&*panic))))));
        });
        thread.map_err(|error| Broken::failed(format_args!("no thread to play it on: {error}")))?;
        told.recv_timeout(SCENARIO_LIMIT).unwrap_or_else(|_| {
            Err(Broken::failed(format_args!("it hangs: no end after {} s; some call never returned", SCENARIO_LIMIT.as_secs())))
        })
    }
}

fn play_here(scenario: Scenario, fixture: Arc<dyn Fixture>, dispatch: Dispatch, path: Path, url: Option<String>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Broken::failed(format_args!("no runtime to play it on: {error}")))?;
    let outcome = runtime.block_on(async {
        match Stage::open(fixture, dispatch, url, &format!("{scenario:?}")).await {
            Ok(stage) if path == Path::Fast && stage.backend.take().is_none() => Err(Broken::skipped("it has no fast path")),
            Ok(stage) if path == Path::Calls => play_and_audit(scenario, stage.without_take()).await,
            Ok(stage) => play_and_audit(scenario, stage).await,
            Err(error) if error.kind() == ErrorKind::Unavailable && !strict() => Err(Broken::skipped(error)),
            Err(error) => Err(Broken::failed(format_args!("it can not be opened: {error}"))),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// What the engine leaves behind has to be whole: reconcile finds nothing. Scenarios of the seam leave behind what they like.
async fn play_and_audit(scenario: Scenario, stage: Stage) -> Outcome {
    let left = (scenario.modes == Modes::Engine).then(|| stage.clone());
    scenario.play(stage).await?;
    match left {
        Some(stage) => audit::nothing_is_forgotten(&stage).await,
        None => Ok(()),
    }
}

fn strict() -> bool {
    std::env::var(STRICT_VARIABLE).is_ok_and(|value| value == "1")
}

fn url_of(fixture: &dyn Fixture) -> Outcome<Option<String>> {
    let Some(variable) = fixture.url_variable() else {
        return Ok(None);
    };
    match std::env::var(variable) {
        Ok(url) if !url.is_empty() => Ok(Some(url)),
        _ if strict() => {
            Err(Broken::failed(format_args!("{variable} is not set, and {STRICT_VARIABLE}=1 asks for the server that it names")))
        }
        _ => Err(Broken::skipped(format_args!("{variable} is not set: no server to ask"))),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "without words",
    }
}
