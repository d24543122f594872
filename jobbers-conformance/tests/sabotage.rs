//! The suite is tested too: each backend that breaks a promise is noticed by the scenario named for it, and by random histories of calls.
//!
//! With `JOBBERS_SABOTAGE=all` each is played against every scenario, and those that notice it as well are printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobbers_conformance::differential::{Amount, Way, play};
use jobbers_conformance::sabotage::{Histories, Sabotage, Sabotaged};
use jobbers_conformance::scenarios::{self, Scenario};
use jobbers_conformance::{Broken, Fixture, InMemory, Outcome, Stage};
use jobbers_core::driver::Dispatch;
use libtest_mimic::{Arguments, Failed, Trial};

/// Saboteurs that were caught by the scenario named for them.
static CAUGHT: AtomicUsize = AtomicUsize::new(0);

/// Scenarios of the engine that have to notice a lie as well, beside the scenario of the seam that is named for it.
const ENGINE: [(Sabotage, &str); 2] = [
    (Sabotage::NonceIgnored, "a_worker_of_a_lost_future_changes_nothing"),
    (Sabotage::NonceIgnored, "a_store_that_comes_back_older_again_and_again_loses_no_job_of_before"),
];

fn main() {
    let arguments = Arguments::from_args();
    let named = Sabotage::ALL.iter().map(|one| Trial::test(format!("scenario::{one:?}"), || noticed_by_its_scenario(*one)));
    let seen = Sabotage::ALL.iter().filter(|one| one.histories() == Histories::Notice);
    let seen = seen.map(|one| Trial::test(format!("histories::{one:?}"), || noticed_by_histories(*one)));
    let engine = ENGINE.iter().map(|(one, name)| Trial::test(format!("engine::{one:?}::{name}"), || noticed_by_the_engine(*one, name)));
    let honest = [Trial::test("honest::the_layer_keeps_every_promise", the_layer_keeps_every_promise)];
    let conclusion = libtest_mimic::run(&arguments, named.chain(seen).chain(engine).chain(honest).collect());
    println!("{} saboteurs, {} caught", Sabotage::ALL.len(), CAUGHT.load(Ordering::SeqCst));
    conclusion.exit()
}

/// Plays a scenario against a backend of its own.
fn outcome(scenario: Scenario, sabotaged: Sabotaged) -> Outcome {
    let fixture: Arc<dyn Fixture> = Arc::new(sabotaged);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let stage = Stage::open(fixture, Dispatch::Own, None, scenario.name).await?;
        let played = tokio::time::timeout(Duration::from_secs(25), scenario.play(stage)).await;
        played.unwrap_or_else(|_| Err(Broken::failed("it hangs")))
    })
}

fn noticed_by_its_scenario(sabotage: Sabotage) -> Result<(), Failed> {
    let name = sabotage.scenario();
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).ok_or_else(|| format!("no scenario {name}"))?;
    let found = outcome(scenario, Sabotaged::by(sabotage));
    if !matches!(found, Err(Broken::Failed(_))) {
        return Err(format!("{sabotage:?}: {} But {name} says {found:?}", sabotage.words()).into());
    }
    CAUGHT.fetch_add(1, Ordering::SeqCst);
    if std::env::var("JOBBERS_SABOTAGE").is_ok_and(|value| value == "all") {
        println!("{sabotage:?}: {name}{}", others(sabotage));
    }
    Ok(())
}

fn noticed_by_the_engine(sabotage: Sabotage, name: &str) -> Result<(), Failed> {
    let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).ok_or_else(|| format!("no scenario {name}"))?;
    match outcome(scenario, Sabotaged::by(sabotage)) {
        Err(Broken::Failed(_)) => Ok(()),
        found => Err(format!("{sabotage:?}: {} But {name} says {found:?}", sabotage.words()).into()),
    }
}

/// The other scenarios that notice it.
fn others(sabotage: Sabotage) -> String {
    let others = scenarios::all().into_iter().filter(|one| one.name != sabotage.scenario());
    let notices = |one: &Scenario| matches!(outcome(*one, Sabotaged::by(sabotage)), Err(Broken::Failed(_)));
    others.filter(notices).map(|one| format!(", {}", one.name)).collect()
}

fn noticed_by_histories(sabotage: Sabotage) -> Result<(), Failed> {
    let broken = Way::own(Sabotaged::by(sabotage));
    match play(&Way::own(InMemory), &broken, &Amount { seeds: (0..30).collect(), steps: 400 }) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{sabotage:?}: {} But no history of 30 notices it", sabotage.words()).into()),
    }
}

/// What the saboteurs are caught by holds for the layer that they lie with: nothing fails without a lie, and what is named is not skipped.
fn the_layer_keeps_every_promise() -> Result<(), Failed> {
    for scenario in scenarios::all() {
        match outcome(scenario, Sabotaged::by_nobody()) {
            Err(Broken::Failed(what)) => return Err(format!("without a lie {scenario:?} fails: {what}").into()),
            Err(Broken::Skipped(why)) if Sabotage::ALL.iter().any(|one| one.scenario() == scenario.name) => {
                return Err(format!("without a lie {scenario:?} is skipped: {why}").into());
            }
            _ => (),
        }
    }
    Ok(())
}
