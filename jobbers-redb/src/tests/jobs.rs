//! Commits of the kinds that the engine makes, in a few words.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{Claim, Commit, Op, Place, Pull, StateStore, TakeRequest, Verdict};
use jobbers_core::record::{Head, JobState, Parts, Record};
use jobbers_core::{JobId, QueueName, Result, RunId, TaskName, Timestamp, WorkerId};

use crate::driver::Handle;

pub(crate) const WORKER: WorkerId = WorkerId::from_u128(77);

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

pub(crate) fn job(number: u128) -> JobId {
    JobId::from(RunId::from_u128(number))
}

pub(crate) fn ready(now: Timestamp) -> Record {
    let head = Head { queue: queue("mail"), task: TaskName::new("mail.send").unwrap(), version: 1, created_at: now, ..Head::default() };
    Record { head, spec: Bytes::from_static(b"spec"), ..Record::default() }
}

pub(crate) fn insert(id: JobId, record: Record, nonce: u64) -> Commit {
    Commit { run: id.run, nonce, ops: vec![Op::Insert { id, record, over: None }] }
}

pub(crate) fn update(id: JobId, record: Record, changed: Parts, nonce: u64) -> Commit {
    let expect = record.head.revision;
    Commit { run: id.run, nonce, ops: vec![Op::Update { id, expect, lapsed: None, record, changed, place: Place::Back }] }
}

pub(crate) fn succeeded(id: JobId, mut record: Record, now: Timestamp, nonce: u64) -> Commit {
    record.head.state = JobState::Succeeded;
    record.head.ended_at = Some(now);
    (record.head.owner, record.head.wake_at) = (None, None);
    record.output = Bytes::from(vec![7; 300]);
    update(id, record, Parts::OUTPUT, nonce)
}

pub(crate) fn beat(id: JobId, record: &Record, wake_at: Timestamp, nonce: u64) -> Commit {
    let progress = Some(Bytes::from(format!("at {wake_at}")));
    Commit { run: id.run, nonce, ops: vec![Op::Beat { id, expect: record.head.revision, wake_at, progress }] }
}

pub(crate) fn pull(max: u32, now: Timestamp) -> Pull {
    Pull { queues: vec![(queue("mail"), max)], max, now, back_at: now + Duration::from_secs(30) }
}

pub(crate) fn take(max: u32, now: Timestamp, nonce: u64) -> TakeRequest {
    let claim = Claim { owner: WORKER, now, wake_at: now + Duration::from_secs(15), nonce };
    TakeRequest { pull: pull(max, now), claim, claimable: vec![(TaskName::new("mail.send").unwrap(), 1)] }
}

pub(crate) async fn commit(store: &Handle, commit: Commit) -> Result<Verdict> {
    store.commit(&[commit]).await.remove(0)
}

pub(crate) async fn applied(store: &Handle, one: Commit) {
    let verdict = commit(store, one).await.unwrap();
    assert!(matches!(verdict, Verdict::Applied { .. }), "{verdict:?}");
}

pub(crate) async fn load(store: &Handle, id: JobId) -> Option<Record> {
    store.load(&[id]).await.remove(0).unwrap()
}

/// Runs a test that waits for the writer.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
