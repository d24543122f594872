//! What the file adds to the rules that every driver keeps.

use std::time::Duration;

use bytes::Bytes;
use jobbers_core::driver::{
    Cursor, Delivery, Dispatch, Doc, DocKey, DocKind, DocVerdict, DocWrite, Filter, Op, Page, Place, Queue, StateStore, Take, Verdict,
};
use jobbers_core::record::{JobState, Parts, Priority};
use jobbers_core::{JobId, RunId, SmallText};

use super::audit::audit;
use super::disk::Disk;
use super::jobs::*;
use crate::driver::Handle;

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        let now = at(1_000);
        for number in 1..=4 {
            applied(&store, insert(job(number), ready(now), 5)).await;
        }
        let taken = store.take(&take(2, now, 9)).await.unwrap();
        assert_eq!(taken.claimed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [job(1), job(2)]);
        assert!(taken.more);
        let (id, record) = taken.claimed[0].clone();
        applied(&store, succeeded(id, record, at(2_000), 11)).await;
        // Not closed: what the disk has at this moment is what a kill leaves.
        let store = Disk::of(disk.bytes()).open().unwrap();
        let end = load(&store, job(1)).await.unwrap();
        assert_eq!((end.head.state, end.spec.as_ref(), end.output.len()), (JobState::Succeeded, &b"spec"[..], 300));
        assert_eq!(store.owned(WORKER, 10).await.unwrap(), [(job(2), load(&store, job(2)).await.unwrap().head.revision)]);
        assert_eq!(store.take(&take(9, now, 12)).await.unwrap().claimed.len(), 2);
        audit(&store);
    });
}

#[test]
fn what_was_pulled_and_not_acked_comes_back_in_time_and_after_a_restart() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        let first = store.pull(&pull(5, at(1_000))).await.unwrap();
        assert_eq!((first.items.len(), first.more), (1, false));
        assert_eq!(store.depth(&[queue("mail")]).await.unwrap(), [0]);
        assert!(store.pull(&pull(5, at(30_999))).await.unwrap().items.is_empty());
        let second = store.pull(&pull(5, at(31_000))).await.unwrap();
        assert_eq!(second.items[0].0, first.items[0].0);
        // The receipt of who had it first is void: it is with somebody else.
        store.ack(&[first.items[0].1.clone()]).await.unwrap();
        let store = Disk::of(disk.bytes()).open().unwrap();
        let third = store.pull(&pull(5, at(31_001))).await.unwrap();
        store.ack(&[third.items[0].1.clone(), third.items[0].1.clone()]).await.unwrap();
        assert!(store.pull(&pull(5, at(99_000))).await.unwrap().items.is_empty());
        assert_eq!(store.depth(&[queue("mail")]).await.unwrap(), [0]);
    });
}

#[test]
fn deliveries_come_by_priority_then_front_before_back_then_in_order() {
    block_on(async {
        let store = Disk::new().open().unwrap();
        let push = |number, priority, place| Delivery { id: job(number), queue: queue("mail"), priority, place };
        let (normal, high) = (Priority::Normal, Priority::High);
        let pushed =
            [push(1, normal, Place::Back), push(2, normal, Place::Front), push(3, high, Place::Back), push(4, normal, Place::Back)];
        store.push(&pushed).await.unwrap();
        store.push(&[push(5, normal, Place::Front)]).await.unwrap();
        let pulled = store.pull(&pull(9, at(0))).await.unwrap();
        assert_eq!(pulled.items.iter().map(|(delivery, _)| delivery.id).collect::<Vec<_>>(), [3, 5, 2, 1, 4].map(job));
    });
}

#[test]
fn a_beat_beside_a_large_spec_writes_few_bytes() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        let mut record = ready(at(0));
        record.spec = Bytes::from(vec![1; 400_000]);
        applied(&store, insert(job(1), record, 5)).await;
        let taken = store.take(&take(1, at(0), 9)).await.unwrap();
        let before = disk.state().written;
        applied(&store, beat(job(1), &taken.claimed[0].1, at(60_000), 10)).await;
        let written = disk.state().written - before;
        assert!(written < 100_000, "{written} bytes");
        let after = load(&store, job(1)).await.unwrap();
        assert_eq!(
            (after.head.wake_at, after.head.revision, after.spec.len()),
            (Some(at(60_000)), taken.claimed[0].1.head.revision, 400_000)
        );
        assert_eq!(after.progress, Bytes::from(format!("at {}", at(60_000))));
        assert_eq!(store.due(at(59_999), at(60_000), 9).await.unwrap().next, Some(at(60_000)));
        audit(&store);
    });
}

#[test]
fn who_commits_at_the_same_time_shares_a_sync() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        let before = disk.state().syncs;
        let commits: Vec<_> = (1..=200)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move { applied(&store, insert(job(number), ready(at(0)), 5)).await })
            })
            .collect();
        for commit in commits {
            commit.await.unwrap();
        }
        let syncs = disk.state().syncs - before;
        assert!(syncs <= 20, "{syncs} syncs for 200 commits");
        audit(&store);
    });
}

#[test]
fn what_changes_nothing_or_may_be_lost_costs_no_sync() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        let pulled = store.pull(&pull(1, at(0))).await.unwrap();
        let before = disk.state().syncs;
        assert!(store.take(&take(9, at(0), 9)).await.unwrap().claimed.is_empty());
        assert!(matches!(commit(&store, insert(job(1), ready(at(0)), 6)).await.unwrap(), Verdict::Conflict { .. }));
        assert_eq!(store.prune(&queue("mail"), JobState::Succeeded, at(9), 9).await.unwrap(), 0);
        store.ack(&[pulled.items[0].1.clone()]).await.unwrap();
        assert_eq!((store.depth(&[queue("mail")]).await.unwrap(), disk.state().syncs), (vec![0], before));
        applied(&store, insert(job(2), ready(at(0)), 5)).await;
        assert!(disk.state().syncs > before, "a test that counts no sync at all proves nothing");
    });
}

#[test]
fn a_refused_commit_changes_nothing_and_spares_its_neighbours() {
    block_on(async {
        let store = Disk::new().open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        let with_child = |run: u128, nonce| {
            let mut commit = insert(job(run), ready(at(0)), nonce);
            commit.ops.insert(0, Op::Insert { id: JobId::new(RunId::from_u128(run), 1), record: ready(at(0)), over: None });
            commit
        };
        let verdicts = store.commit(&[with_child(2, 6), with_child(1, 7), insert(job(3), ready(at(0)), 8)]).await;
        let verdicts: Vec<Verdict> = verdicts.into_iter().map(Result::unwrap).collect();
        assert!(matches!(verdicts[0], Verdict::Applied { .. }) && matches!(verdicts[2], Verdict::Applied { .. }));
        let Verdict::Conflict { id, current } = &verdicts[1] else { panic!("{verdicts:?}") };
        assert_eq!((*id, current.as_ref().unwrap().born), (job(1), 5));
        assert_eq!(load(&store, JobId::new(RunId::from_u128(1), 1)).await, None);
        assert_eq!(store.unended(&[1, 2, 3, 4].map(RunId::from_u128)).await.unwrap(), [1, 2, 1, 0]);
        audit(&store);
    });
}

#[test]
fn pages_of_a_state_follow_each_other_over_queues_and_steps() {
    block_on(async {
        let store = Disk::new().open().unwrap();
        for number in 1..=9u128 {
            let mut record = ready(at(number as i64 * 10));
            record.head.queue = queue(["a", "a.b", "c"][number as usize % 3]);
            record.head.state = JobState::Dead;
            record.head.ended_at = Some(at(1_000 - number as i64));
            let id = JobId::new(RunId::from_u128(number), (number % 2) as u32);
            applied(&store, insert(id, record, 5)).await;
        }
        let mut seen = Vec::new();
        let mut after: Option<Cursor> = None;
        let filter = Filter { state: JobState::Dead, queue: None, task: None };
        loop {
            let page = store.list(&filter, &Page { after, limit: 2 }).await.unwrap();
            assert!(page.records.len() <= 2);
            seen.extend(page.records.iter().map(|(id, _)| id.run.as_u128()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1..=9).collect::<Vec<u128>>());
        let one = Filter { queue: Some(queue("a.b")), ..filter };
        let page = store.list(&one, &Page { after: None, limit: 9 }).await.unwrap();
        assert_eq!(page.records.iter().map(|(id, _)| id.run.as_u128()).collect::<Vec<_>>(), [1, 4, 7]);
        let bad = store.list(&one, &Page { after: Some(Cursor(Bytes::from_static(b"x"))), limit: 9 }).await;
        assert_eq!(bad.unwrap_err().kind(), jobbers_core::ErrorKind::Invalid);
    });
}

#[test]
fn a_run_is_pruned_when_all_of_it_has_ended_and_step_0_last() {
    block_on(async {
        let store = Disk::new().open().unwrap();
        let run = RunId::from_u128(1);
        let ended = |millis| {
            let mut record = ready(at(0));
            record.head.state = JobState::Succeeded;
            record.head.ended_at = Some(at(millis));
            record.output = Bytes::from_static(b"out");
            record
        };
        let steps = (1..4).map(|step| Op::Insert { id: JobId::new(run, step), record: ended(5), over: None });
        let mut commit = insert(JobId::from(run), ended(5), 5);
        commit.ops.extend(steps);
        commit.ops.push(Op::Insert { id: JobId::new(run, 4), record: ready(at(0)), over: None });
        applied(&store, commit).await;
        let prune = async |before, limit| store.prune(&queue("mail"), JobState::Succeeded, at(before), limit).await.unwrap();
        assert_eq!(prune(10, 9).await, 0, "a step has not ended");
        let record = load(&store, JobId::new(run, 4)).await.unwrap();
        applied(&store, succeeded(JobId::new(run, 4), record, at(6), 6)).await;
        assert_eq!(prune(5, 9).await, 0, "it ended later");
        assert_eq!(prune(6, 2).await, 2);
        assert!(load(&store, JobId::from(run)).await.is_some());
        audit(&store);
        assert_eq!(prune(6, 9).await, 3);
        assert_eq!(load(&store, JobId::from(run)).await, None);
        assert!(store.counts().await.unwrap().is_empty());
        audit(&store);
    });
}

#[test]
fn a_version_of_a_document_is_never_used_twice() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        let key = DocKey { kind: DocKind::Queue, name: SmallText::new("mail") };
        let write = |expect, body: Option<&'static str>| DocWrite {
            key: key.clone(),
            expect,
            body: body.map(|body| Bytes::from_static(body.as_bytes())),
            expires_at: Some(at(9)),
        };
        let DocVerdict::Applied(first) = store.write(&[write(None, Some("a"))]).await.unwrap()[0].clone() else { panic!() };
        let stored = Doc { version: first, body: Bytes::from_static(b"a"), expires_at: Some(at(9)) };
        assert_eq!(store.write(&[write(None, Some("b"))]).await.unwrap(), [DocVerdict::Conflict(Some(stored.clone()))]);
        assert_eq!(store.read(std::slice::from_ref(&key)).await.unwrap(), [Some(stored)]);
        assert_eq!(store.write(&[write(Some(first), None)]).await.unwrap(), [DocVerdict::Applied(first)]);
        let store = Disk::of(disk.bytes()).open().unwrap();
        let DocVerdict::Applied(second) = store.write(&[write(None, Some("c"))]).await.unwrap()[0].clone() else { panic!() };
        assert!(second > first);
        let page = store.documents(DocKind::Queue, &Page { after: None, limit: 9 }).await.unwrap();
        assert_eq!(page.len(), 1);
        let after = Some(Cursor(Bytes::from_static(b"mail")));
        assert!(store.documents(DocKind::Queue, &Page { after, limit: 9 }).await.unwrap().is_empty());
    });
}

#[test]
fn a_listener_is_woken_by_a_commit_of_its_process() {
    block_on(async {
        let store = Disk::new().open().unwrap();
        let other = Handle { dispatch: Dispatch::Own, ..store.clone() };
        let listening = tokio::spawn(async move { other.listen(&[queue("other"), queue("mail")], Duration::from_secs(600)).await });
        tokio::task::yield_now().await;
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        tokio::time::timeout(Duration::from_secs(60), listening).await.unwrap().unwrap().unwrap();
    });
}

#[test]
fn a_store_whose_caller_dispatches_enqueues_nothing_and_names_what_turned_ready() {
    block_on(async {
        let store = Handle { dispatch: Dispatch::Caller, ..Disk::new().open().unwrap() };
        let Verdict::Applied { ready: named, .. } = commit(&store, insert(job(1), ready(at(0)), 5)).await.unwrap() else { panic!() };
        assert_eq!(named.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [job(1)]);
        assert!(store.pull(&pull(9, at(0))).await.unwrap().items.is_empty());
        store.push(&named).await.unwrap();
        assert_eq!(store.pull(&pull(9, at(0))).await.unwrap().items[0].0.id, job(1));
    });
}

#[test]
fn parts_that_become_empty_leave_no_row() {
    block_on(async {
        let store = Disk::new().open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        let mut record = load(&store, job(1)).await.unwrap();
        record.trail = Bytes::from_static(b"trail");
        applied(&store, update(job(1), record, Parts::TRAIL, 6)).await;
        let mut record = load(&store, job(1)).await.unwrap();
        assert_eq!(record.trail, Bytes::from_static(b"trail"));
        (record.trail, record.spec) = (Bytes::new(), Bytes::from_static(b"other"));
        applied(&store, update(job(1), record.clone(), Parts::TRAIL.and(Parts::SPEC), 7)).await;
        let stored = load(&store, job(1)).await.unwrap();
        assert_eq!((stored.trail, stored.spec), (record.trail, record.spec));
        audit(&store);
    });
}
