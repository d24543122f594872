//! The suite is tested too: each backend that breaks a promise is noticed by the scenario named for it, and by the differential test.

use std::sync::Arc;

use jobbers_conformance::differential::{Amount, Way, play};
use jobbers_conformance::sabotage::{Sabotage, Sabotaged};
use jobbers_conformance::{Broken, InMemory, Stage, scenarios};
use jobbers_core::driver::Dispatch;

#[tokio::test]
async fn each_sabotage_is_noticed_by_the_scenario_named_for_it() {
    for (sabotage, name) in Sabotage::ALL {
        let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap_or_else(|| panic!("no scenario {name}"));
        for broken in [true, false] {
            let fixture: Arc<dyn jobbers_conformance::Fixture> =
                if broken { Arc::new(Sabotaged { fixture: InMemory, sabotage }) } else { Arc::new(InMemory) };
            let stage = Stage::open(fixture, Dispatch::Own, None, name).await.unwrap();
            let outcome = scenario.play(stage).await;
            assert_eq!(matches!(outcome, Err(Broken::Failed(_))), broken, "{sabotage:?}, broken {broken}: {name} says {outcome:?}");
        }
    }
}

#[test]
fn each_sabotage_is_noticed_by_the_differential_test() {
    for (sabotage, _) in Sabotage::ALL {
        let broken = Way::own(Sabotaged { fixture: InMemory, sabotage });
        let found = play(&Way::own(InMemory), &broken, &Amount { seeds: (0..30).collect(), steps: 400 });
        assert!(found.is_err(), "no history of 30 notices {sabotage:?}");
    }
}
