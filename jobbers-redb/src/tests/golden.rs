//! A store with some of everything: written once by each format, and read for ever.
//!
//! To make the file of a new format: `JOBBERS_GOLDEN=write cargo test -p jobbers-redb golden`, once, and never again for that format.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{
    Acquire, Backend, Bounds, Decision, DocKey, DocKind, DocVerdict, DocWrite, Filter, Holder, LimitChange, Mode, Op, Page, Rate, Verdict,
};
use jobbers_core::record::{JobState, LimitKey, Parts, Record};
use jobbers_core::{JobId, LimitName, RunId, SmallText};

use super::jobs::*;

const RUN: RunId = RunId::from_u128(900);

fn key() -> LimitKey {
    LimitKey { limit: LimitName::new("customer").unwrap(), value: SmallText::new("42") }
}

fn ask(number: u128) -> Acquire {
    let holder = Holder { job: job(number), nonce: 3 };
    Acquire { holder, keys: vec![(key(), 1)], hold: Duration::from_secs(60), mode: Mode::Claim }
}

fn document() -> DocWrite {
    let key = DocKey { kind: DocKind::Role, name: SmallText::new("images") };
    DocWrite { key, expect: None, body: Some(Bytes::from_static(b"{}")), expires_at: Some(at(77_000)) }
}

async fn apply(backend: &Backend, commit: jobbers_core::driver::Commit) {
    let verdict = backend.store().commit(&[commit]).await.remove(0).unwrap();
    assert!(matches!(verdict, Verdict::Applied { .. }), "{verdict:?}");
}

/// Fills an empty store.
pub(crate) async fn fill(backend: &Backend) {
    for number in 1..=5 {
        apply(backend, insert(job(number), ready(at(1_000 + number as i64)), 5)).await;
    }
    let taken = backend.take().unwrap().take(&take(2, at(2_000), 6)).await.unwrap();
    apply(backend, beat(job(1), &taken.claimed[0].1, at(20_000), 7)).await;
    apply(backend, succeeded(job(2), taken.claimed[1].1.clone(), at(3_000), 8)).await;
    let mut later = ready(at(1_500));
    (later.head.state, later.head.wake_at) = (JobState::Scheduled, Some(at(50_000)));
    apply(backend, insert(job(6), later, 5)).await;
    let mut parked = backend.store().load(&[job(3)]).await.remove(0).unwrap().unwrap();
    (parked.head.state, parked.head.parked_on, parked.head.wake_at) = (JobState::Parked, Some(Box::new(key())), Some(at(60_000)));
    parked.trail = Bytes::from_static(b"trail");
    apply(backend, update(job(3), parked, Parts::TRAIL, 9)).await;
    let mut step = ready(at(1_600));
    (step.head.state, step.head.remaining) = (JobState::Waiting, 2);
    let ops = (0..3).map(|number| Op::Insert { id: JobId::new(RUN, number), record: step.clone(), over: None }).collect();
    apply(backend, jobbers_core::driver::Commit { run: RUN, nonce: 5, ops }).await;
    backend.store().write(&[document()]).await.unwrap();
    let bounds = Bounds { concurrency: Some(1), rate: Some(Rate { count: 5, period: Duration::from_secs(1), burst: 5 }) };
    let limit = LimitChange::Bounds { limit: key().limit, version: 4, bounds: Some(bounds) };
    backend.limiter().set(&[limit], at(2_000)).await.unwrap();
    let decisions = backend.limiter().acquire(&[ask(1), ask(3)], at(2_000)).await.unwrap();
    assert!(matches!(decisions[..], [Decision::Granted, Decision::Denied { .. }]));
}

/// Whether the store holds what [`fill`] put there.
pub(crate) async fn check(backend: &Backend) {
    let store = backend.store();
    let load = async |id: JobId| -> Record { store.load(&[id]).await.remove(0).unwrap().unwrap() };
    let states = [(1, JobState::Running), (2, JobState::Succeeded), (3, JobState::Parked), (4, JobState::Ready), (6, JobState::Scheduled)];
    for (number, state) in states {
        let record = load(job(number)).await;
        assert_eq!((record.head.state, record.spec.as_ref()), (state, &b"spec"[..]), "job {number}");
    }
    assert_eq!(load(job(1)).await.progress, Bytes::from(format!("at {}", at(20_000))));
    assert_eq!(load(job(2)).await.output.len(), 300);
    assert_eq!(load(job(3)).await.trail, Bytes::from_static(b"trail"));
    assert_eq!(load(job(3)).await.head.parked_on, Some(Box::new(key())));
    assert_eq!(store.unended(&[RUN]).await.unwrap(), [3]);
    assert_eq!(store.owned(WORKER, 9).await.unwrap().len(), 1);
    let due = store.due(at(50_000), at(50_001), 9).await.unwrap();
    assert_eq!((due.ids, due.next), (vec![job(1), job(6)], Some(at(60_000))));
    let filter = Filter { state: JobState::Waiting, queue: None, task: None };
    assert_eq!(store.list(&filter, &Page { after: None, limit: 9 }).await.unwrap().records.len(), 3);
    assert_eq!(backend.queue().depth(&[queue("mail")]).await.unwrap(), [3]);
    let doc = store.read(&[document().key]).await.unwrap().remove(0).unwrap();
    assert_eq!((doc.body.as_ref(), doc.expires_at), (&b"{}"[..], Some(at(77_000))));
    let verdict = store.write(&[document()]).await.unwrap().remove(0);
    assert_eq!(verdict, DocVerdict::Conflict(Some(doc)));
    let given = backend.limiter().give_back(&[ask(1).holder], at(2_100)).await.unwrap();
    assert_eq!(given, [ask(3).holder], "the one that waited holds");
    // And it can be worked with: job 3 left a delivery behind, which is dropped.
    let taken = backend.take().unwrap().take(&take(9, at(2_200), 20)).await.unwrap();
    assert_eq!(taken.claimed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [job(4), job(5)]);
}

#[test]
fn the_golden_file_is_made_of_what_it_is_checked_for() {
    let scratch = super::Scratch::new("fill");
    let path = scratch.file("jobs.redb");
    let backend = crate::Redb::open(&path).unwrap();
    block_on(fill(&backend));
    drop(backend);
    if std::env::var("JOBBERS_GOLDEN").is_ok_and(|what| what == "write") {
        let mut database = redb::Database::open(&path).unwrap();
        database.compact().unwrap();
        drop(database);
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-3.redb");
        std::fs::copy(&path, golden).unwrap();
    }
    block_on(check(&crate::Redb::open(&path).unwrap()));
}
