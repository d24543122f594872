//! A storm proves something: over a backend that breaks a promise of the store it does not pass.

use std::sync::Arc;

use jobbers_conformance::faults::{Fault, Profile};
use jobbers_conformance::sabotage::{Sabotage, Sabotaged};
use jobbers_conformance::{Broken, Stage, storm};
use jobbers_core::driver::Dispatch;

/// What the engine, its clients and its schedulers can not do without, and what breaks a history as soon as a call is sent again.
const NOTICED: [Sabotage; 10] = [
    Sabotage::NoFence,
    Sabotage::NeighboursDropped,
    Sabotage::BlindRetry,
    Sabotage::InsertOverwrites,
    Sabotage::ReleasedByARefusedEnd,
    Sabotage::ReleasedByAResend,
    Sabotage::FailedReleaseIgnored,
    Sabotage::StaleRead,
    Sabotage::DueForgets,
    Sabotage::PruneEverything,
];

async fn weather(sabotaged: Sabotaged, seed: u64) -> Result<(), Broken> {
    let stage = Stage::open(Arc::new(sabotaged), Dispatch::Own, None, "storm").await.expect("memory opens");
    let profile = Profile::default().with(Fault::After, 60).with(Fault::Before, 60).with(Fault::Partial, 60);
    storm::weather(&stage, seed, profile).await.map(drop)
}

#[tokio::test]
async fn a_storm_over_a_store_that_breaks_a_promise_does_not_pass() {
    weather(Sabotaged::by_nobody(), 1).await.unwrap();
    for sabotage in NOTICED {
        let mut seen = Ok(());
        for seed in 1..7 {
            seen = weather(Sabotaged::by(sabotage), seed).await;
            if seen.is_err() {
                break;
            }
        }
        assert!(matches!(seen, Err(Broken::Failed(_))), "{sabotage:?}: {} But no storm of 6 notices it", sabotage.words());
    }
}
