mod queue;
mod store;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::driver::*;
use crate::id::{JobId, QueueName, RunId, SmallText, TaskName, WorkerId};
use crate::record::{Head, JobState, Outcome, Parts, Priority, Record, Revision};
use crate::time::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn id(run: u128) -> JobId {
    JobId::from(RunId::from_u128(run))
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn delivery(run: u128, priority: Priority, place: Place) -> Delivery {
    Delivery { id: id(run), queue: queue("mail"), priority, place }
}

fn pull(max: u32, now: i64, back_at: i64) -> Pull {
    Pull { queues: vec![(queue("mail"), max)], max, now: at(now), back_at: at(back_at) }
}

fn runs(pulled: &Pulled) -> Vec<u128> {
    pulled.items.iter().map(|(delivery, _)| delivery.id.run.as_u128()).collect()
}

fn job(state: JobState) -> Record {
    Record { head: Head { state, queue: queue("mail"), ..Head::default() }, ..Record::default() }
}

fn insert(job: JobId, record: Record) -> Commit {
    Commit { run: job.run, nonce: 1, ops: vec![Op::Insert { id: job, record, over: None }] }
}

/// Changes a record as it is stored.
async fn change(backend: &Backend, job: JobId, nonce: u64, by: impl FnOnce(&mut Record)) -> Verdict {
    let mut record = load(backend, job).await;
    let expect = record.head.revision;
    by(&mut record);
    let ops = vec![Op::Update { id: job, expect, lapsed: None, record, changed: Parts::ALL, place: Place::Back }];
    commit(backend, Commit { run: job.run, nonce, ops }).await
}

async fn commit(backend: &Backend, commit: Commit) -> Verdict {
    backend.store().commit(&[commit]).await.remove(0).unwrap()
}

async fn load(backend: &Backend, job: JobId) -> Record {
    backend.store().load(&[job]).await.remove(0).unwrap().unwrap()
}

async fn put(backend: &Backend, job: JobId, record: Record) {
    assert!(matches!(commit(backend, insert(job, record)).await, Verdict::Applied { .. }));
}
