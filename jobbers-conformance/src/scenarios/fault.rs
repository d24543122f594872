//! The engine over faults: whatever fails between it and its backend, no promise is broken.

use crate::faults::{Fault, Profile};
use crate::{Broken, Outcome, Stage, ensure, storm};

/// A storm of this fault; it has to have struck.
async fn of(stage: &Stage, seed: u64, fault: Fault, permille: u32) -> Outcome {
    let struck = storm::weather(stage, seed, Profile::default().with(fault, permille)).await?;
    ensure!(struck.contains_key(&fault), "no {fault:?} struck with seed {seed}: the storm proves nothing");
    Ok(())
}

/// A fault of deliveries, which a fast path does not see.
async fn of_deliveries(stage: &Stage, seed: u64, fault: Fault, permille: u32) -> Outcome {
    if stage.backend.take().is_some() {
        return Err(Broken::skipped("the fast path hands over no deliveries"));
    }
    of(stage, seed, fault, permille).await
}

/// Without faults every accepted job ends, and every promise of the history holds.
async fn a_calm_history_keeps_every_promise(stage: Stage) -> Outcome {
    let struck = storm::weather(&stage, 1, Profile::default()).await?;
    ensure!(struck.is_empty(), "{struck:?} struck in a calm");
    Ok(())
}

/// No accepted job is lost, and none ends twice, where calls fail that were not applied.
async fn calls_that_fail_before_they_are_applied_break_nothing(stage: Stage) -> Outcome {
    of(&stage, 2, Fault::Before, 120).await
}

/// No accepted job is lost, and none ends twice, where calls fail although they were applied.
async fn calls_that_fail_after_they_were_applied_break_nothing(stage: Stage) -> Outcome {
    of(&stage, 3, Fault::After, 120).await
}

/// No accepted job is lost, and none ends twice, where some commits of a call fail.
async fn calls_that_fail_in_part_break_nothing(stage: Stage) -> Outcome {
    of(&stage, 4, Fault::Partial, 250).await
}

/// No accepted job is lost, and none ends twice, where answers come late.
async fn late_answers_break_nothing(stage: Stage) -> Outcome {
    of(&stage, 5, Fault::Delay, 300).await
}

/// No accepted job is lost where deliveries vanish.
async fn lost_deliveries_break_nothing(stage: Stage) -> Outcome {
    of_deliveries(&stage, 6, Fault::Lost, 250).await
}

/// No job ends twice where deliveries come twice.
async fn doubled_deliveries_break_nothing(stage: Stage) -> Outcome {
    of_deliveries(&stage, 7, Fault::Twice, 300).await
}

/// No accepted job is lost where deliveries come late.
async fn late_deliveries_break_nothing(stage: Stage) -> Outcome {
    of_deliveries(&stage, 8, Fault::Late, 250).await
}

/// Whatever faults come together, no accepted job is lost, no two unfenced owners have it, and it ends once. The seed of `JOBBERS_SEED` is
/// played, or some of our own.
async fn a_swarm_of_faults_breaks_nothing(stage: Stage) -> Outcome {
    let asked = std::env::var(crate::differential::SEED_VARIABLE).ok().and_then(|seed| seed.parse().ok());
    for seed in asked.map_or_else(|| vec![101, 102], |seed: u64| vec![seed]) {
        storm::weather(&stage, seed, Profile::swarm(seed)).await?;
    }
    Ok(())
}

table! { "fault", "fault.rs";
    Engine: [
        a_calm_history_keeps_every_promise,
        calls_that_fail_before_they_are_applied_break_nothing,
        calls_that_fail_after_they_were_applied_break_nothing,
        calls_that_fail_in_part_break_nothing,
        late_answers_break_nothing,
        lost_deliveries_break_nothing,
        doubled_deliveries_break_nothing,
        late_deliveries_break_nothing,
        a_swarm_of_faults_breaks_nothing,
    ];
}
