//! Forgetting what ended long ago.

use jobbers_core::{JobId, Timestamp};
use jobbers_core::record::JobState;

use crate::kit::{at, queue};
use crate::{Outcome, Stage, ensure, ensure_eq};

/// Steps 0 to 4 of a run, ended at `at(10)`; step 0 in `state`.
async fn ended_run(stage: &Stage, state: JobState) -> Outcome<Vec<JobId>> {
    let run = stage.run();
    let ids: Vec<_> = (0..5).map(|step| JobId::new(run, step)).collect();
    for id in &ids {
        let state = if id.step == 0 { state } else { JobState::Succeeded };
        stage.submit_at(*id, state, |record| record.head.ended_at = Some(at(10))).await?;
    }
    Ok(ids)
}

async fn left(stage: &Stage, ids: &[JobId]) -> Outcome<Vec<u32>> {
    let loaded = stage.load_all(ids).await?;
    Ok(ids.iter().zip(loaded).filter(|(_, record)| record.is_some()).map(|(id, _)| id.step).collect())
}

/// A run is forgotten if its step 0 is in `queue` and `state`, it ended before `before`, and no record of the run is unended.
async fn an_ended_run_is_forgotten(stage: Stage) -> Outcome {
    let lone = stage.submit_with(JobState::Dead, |record| record.head.ended_at = Some(at(10))).await?;
    let ids = ended_run(&stage, JobState::Dead).await?;
    ensure_eq!(stage.store().prune(&queue("mail"), JobState::Dead, at(11), 100).await?, 6, "how many were forgotten");
    ensure_eq!((left(&stage, &ids).await?, left(&stage, &[lone.id]).await?), (vec![], vec![]), "what is left");
    ensure_eq!(stage.store().prune(&queue("mail"), JobState::Dead, at(11), 100).await?, 0, "how many were forgotten the second time");
    Ok(())
}

/// A run is forgotten if its step 0 is in `queue` and `state`, it ended before `before`: not at it, and not later. Where everything is kept
/// for ever that is the first moment of all.
async fn what_ended_later_is_kept(stage: Stage) -> Outcome {
    let ids = ended_run(&stage, JobState::Succeeded).await?;
    for before in [at(10), Timestamp::MIN] {
        ensure_eq!(stage.store().prune(&queue("mail"), JobState::Succeeded, before, 100).await?, 0, "how many were forgotten");
    }
    ensure_eq!(left(&stage, &ids).await?.len(), 5, "how many are left");
    Ok(())
}

/// A run is forgotten if its step 0 is in `queue` and `state`: no other queue, and no other state, is touched.
async fn other_queues_and_states_are_kept(stage: Stage) -> Outcome {
    let ids = ended_run(&stage, JobState::Succeeded).await?;
    for (name, state) in [("mail", JobState::Dead), ("mai", JobState::Succeeded), ("mail.bulk", JobState::Succeeded)] {
        ensure_eq!(stage.store().prune(&queue(name), state, at(99), 100).await?, 0, "how many {state} were forgotten of {name}");
    }
    ensure_eq!(left(&stage, &ids).await?.len(), 5, "how many are left");
    Ok(())
}

/// A run is forgotten if its step 0 is in `queue` and `state`, it ended before `before`, and no record of the run is unended: one is, and
/// it is kept.
async fn a_run_with_an_unended_step_is_kept(stage: Stage) -> Outcome {
    let ids = ended_run(&stage, JobState::Dead).await?;
    let late = stage.submit_at(JobId::new(ids[0].run, 9), JobState::Parked, |_| ()).await?;
    ensure_eq!(stage.store().prune(&queue("mail"), JobState::Dead, at(99), 100).await?, 0, "how many were forgotten");
    ensure_eq!(left(&stage, &ids).await?.len(), 5, "how many are left");
    stage.end(&late, JobState::Cancelled, at(12)).await?;
    ensure_eq!(stage.store().prune(&queue("mail"), JobState::Dead, at(99), 100).await?, 6, "how many were forgotten once it had ended");
    Ok(())
}

/// Step 0 goes last.
async fn step_0_goes_last(stage: Stage) -> Outcome {
    let ids = ended_run(&stage, JobState::Dead).await?;
    for kept in [3, 1] {
        ensure_eq!(stage.store().prune(&queue("mail"), JobState::Dead, at(99), 2).await?, 2, "how many of at most 2 were forgotten");
        let left = left(&stage, &ids).await?;
        ensure!(left.len() == kept && left[0] == 0, "steps that are left: {left:?}; {kept} were due, step 0 among them");
    }
    ensure_eq!(stage.store().prune(&queue("mail"), JobState::Dead, at(99), 2).await?, 1, "how many were forgotten at last");
    Ok(())
}

/// Forgets up to `limit` records of ended runs; returns how many.
async fn prune_keeps_its_limit_over_many_runs(stage: Stage) -> Outcome {
    let mut left = 0;
    for _ in 0..4 {
        left += ended_run(&stage, JobState::Succeeded).await?.len();
    }
    for round in 0.. {
        ensure!(round < 20, "{left} records are never forgotten");
        let gone = stage.store().prune(&queue("mail"), JobState::Succeeded, at(99), 3).await?;
        ensure!(gone <= 3, "{gone} of at most 3 were forgotten");
        left -= gone;
        if gone == 0 {
            break;
        }
    }
    ensure_eq!(left, 0, "what is left");
    Ok(())
}

/// Of what was forgotten nothing is counted, listed or found, and its id is free again.
async fn what_was_forgotten_leaves_nothing_behind(stage: Stage) -> Outcome {
    let ids = ended_run(&stage, JobState::Cancelled).await?;
    stage.store().prune(&queue("mail"), JobState::Cancelled, at(99), 100).await?;
    ensure_eq!(stage.store().counts().await?, vec![], "the counts");
    ensure_eq!(stage.store().scan(None, 10).await?.heads, vec![], "a scan");
    ensure_eq!(stage.store().unended(&[ids[0].run]).await?, vec![0], "unended");
    let again = stage.submit_at(ids[0], JobState::Ready, |_| ()).await?;
    ensure_eq!(again.revision().count, 1, "the count of a new record");
    Ok(())
}

table! { "prune", "store_prune.rs";
    Once: [
        an_ended_run_is_forgotten,
        what_ended_later_is_kept,
        other_queues_and_states_are_kept,
        a_run_with_an_unended_step_is_kept,
        step_0_goes_last,
        prune_keeps_its_limit_over_many_runs,
        what_was_forgotten_leaves_nothing_behind,
    ];
}
