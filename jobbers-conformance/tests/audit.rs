//! The audit that follows each scenario of the engine is tested too: it notices each thing that it is there for.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use jobbers_conformance::audit::nothing_is_forgotten;
use jobbers_conformance::kit::{at, insert, pull, record};
use jobbers_conformance::sabotage::{Sabotage, Sabotaged};
use jobbers_conformance::{Broken, Fixture, InMemory, Stage};
use jobbers_core::driver::Dispatch;
use jobbers_core::record::JobState;

async fn stage(fixture: impl Fixture, dispatch: Dispatch) -> Stage {
    Stage::open(Arc::new(fixture), dispatch, None, "audit").await.unwrap()
}

async fn notices(stage: &Stage, words: &str) {
    match nothing_is_forgotten(stage).await {
        Err(Broken::Failed(what)) if what.contains(words) => (),
        other => panic!("not noticed as {words:?}: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_whole_is_left_as_it_is() {
    for dispatch in [Dispatch::Own, Dispatch::Caller] {
        let stage = stage(InMemory, dispatch).await;
        for state in JobState::ALL {
            stage.submit_with(state, |record| record.head.wake_at = record.head.wake_at.or(Some(at(1_000_000)))).await.unwrap();
        }
        // One is pulled, and not acked.
        let pulled = stage.queue().pull(&pull(&["mail"], at(0))).await.unwrap();
        nothing_is_forgotten(&stage).await.unwrap();
        nothing_is_forgotten(&stage).await.unwrap();
        stage.depths(&[jobbers_conformance::kit::queue("mail")], &[pulled.items.len() as u64]).await.unwrap();
    }
}

#[tokio::test]
async fn a_ready_job_without_a_delivery_is_noticed() {
    let stage = stage(InMemory, Dispatch::Own).await;
    let (lost, _kept) = (stage.submit(JobState::Ready).await.unwrap(), stage.submit(JobState::Ready).await.unwrap());
    for (delivery, receipt) in stage.queue().pull(&pull(&["mail"], at(0))).await.unwrap().items {
        if delivery.id == lost.id {
            stage.queue().ack(&[receipt]).await.unwrap();
        }
    }
    notices(&stage, &lost.id.to_string()).await;
}

#[tokio::test]
async fn a_job_without_a_timer_is_noticed() {
    for state in [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Parked] {
        let stage = stage(InMemory, Dispatch::Caller).await;
        let mut forgotten = record(state);
        forgotten.head.wake_at = None;
        let id = stage.id();
        stage.apply(vec![insert(id, forgotten)]).await.unwrap();
        notices(&stage, &id.to_string()).await;
    }
}

#[tokio::test]
async fn counts_that_are_wrong_are_noticed() {
    let stage = stage(Sabotaged::by(Sabotage::CountsLag), Dispatch::Own).await;
    stage.submit(JobState::Ready).await.unwrap();
    stage.store().counts().await.unwrap();
    stage.submit(JobState::Ready).await.unwrap();
    notices(&stage, "the counts").await;
}
