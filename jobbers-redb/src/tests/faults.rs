//! Disks that fail: what a caller is told, and that work goes on.

use std::time::Duration;

use jobbers_core::driver::{Acquire, Bounds, Decision, Holder, LimitChange, Mode, Pull, Queue, RateLimiter, StateStore};
use jobbers_core::record::LimitKey;
use jobbers_core::{ErrorKind, LimitName, SmallText};
use redb::StorageBackend;

use super::audit::audit;
use super::disk::Disk;
use super::jobs::*;
use crate::driver::Handle;
use crate::guard::Guard;

/// Tries until it works: a disk that has recovered is noticed by itself, in a bounded time.
async fn in_time<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let tries = async {
        loop {
            match attempt().await {
                Some(done) => return done,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), tries).await.expect("the store has not recovered by itself")
}

#[test]
fn a_full_disk_fails_the_commit_and_nothing_else_and_work_goes_on_once_there_is_room() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        disk.state().full = true;
        let error = commit(&store, insert(job(2), ready(at(0)), 6)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Full, false), "{error}");
        assert!(error.to_string().contains("/simulated") && error.to_string().contains("make room"), "{error}");
        // While there is no room, who asks is told so, and is not kept waiting.
        let error = commit(&store, insert(job(3), ready(at(0)), 7)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Full, false), "{error}");
        disk.state().full = false;
        in_time(async || commit(&store, insert(job(4), ready(at(0)), 8)).await.ok()).await;
        assert!(load(&store, job(1)).await.is_some() && load(&store, job(4)).await.is_some());
        assert_eq!((load(&store, job(2)).await, load(&store, job(3)).await), (None, None));
        audit(&store);
    });
}

#[test]
fn a_disk_that_is_full_for_a_moment_leaves_no_doubt_about_the_outcome() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        for failing in 1..12 {
            disk.state().writes_until_full_once = Some(failing);
            let outcome = commit(&store, insert(job(100 + u128::from(failing)), ready(at(0)), 6)).await;
            disk.state().writes_until_full_once = None;
            let there = load(&store, job(100 + u128::from(failing))).await.is_some();
            match outcome {
                Ok(_) => assert!(there),
                Err(error) => assert_eq!((error.kind(), error.outcome_unknown(), there), (ErrorKind::Full, false, false), "{error}"),
            }
            audit(&store);
        }
    });
}

#[test]
fn the_header_reaches_the_disk_with_the_sync_and_not_before() {
    let disk = Disk::of(vec![0; 8_192]);
    let guard = Guard::new(Box::new(disk.clone())).unwrap();
    guard.release().unwrap();
    guard.write(0, &[1; 320]).unwrap();
    guard.write(4_096, &[2; 512]).unwrap();
    let mut seen = [9; 400];
    guard.read(0, &mut seen).unwrap();
    assert_eq!((&seen[..320], &seen[320..]), (&[1; 320][..], &[0; 80][..]));
    assert_eq!((disk.bytes()[0], disk.bytes()[4_096], guard.take_header_written()), (0, 2, false));
    // A write that makes room in memory may fail, and redb goes on to the sync.
    disk.state().writes_until_full_once = Some(0);
    guard.write(4_096, &[3; 512]).unwrap_err();
    guard.sync_data().unwrap();
    let synced = disk.after_power_cut(|| false);
    assert_eq!((&synced[..320], synced[320], guard.take_header_written()), (&[1; 320][..], 0, true));
}

#[test]
fn permits_of_a_call_that_failed_are_not_held() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        let key = LimitKey { limit: LimitName::new("customer").unwrap(), value: SmallText::new("42") };
        let ask = |number| {
            let holder = Holder { job: job(number), nonce: 1 };
            Acquire { holder, keys: vec![(key.clone(), 1)], hold: Duration::from_secs(60), mode: Mode::Claim }
        };
        let bounds = Some(Bounds { concurrency: Some(1), rate: None });
        store.set(&[LimitChange::Bounds { limit: key.limit.clone(), version: 1, bounds }], at(0)).await.unwrap();
        disk.state().full = true;
        assert_eq!(store.acquire(&[ask(1)], at(0)).await.unwrap_err().kind(), ErrorKind::Full);
        disk.state().full = false;
        let decisions = in_time(async || store.acquire(&[ask(2)], at(0)).await.ok()).await;
        assert_eq!(decisions, [Decision::Granted]);
        // And what was granted is known after a kill.
        let store = Disk::of(disk.bytes()).open().unwrap();
        assert!(matches!(store.acquire(&[ask(3)], at(1)).await.unwrap()[..], [Decision::Denied { .. }]));
        assert_eq!(store.give_back(&[ask(2).holder], at(2)).await.unwrap(), [ask(3).holder]);
    });
}

#[test]
fn a_failed_sync_leaves_the_outcome_unknown_and_the_store_works_again() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        disk.state().sync_fails = true;
        let error = commit(&store, insert(job(1), ready(at(0)), 5)).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, true), "{error}");
        in_time(async || commit(&store, insert(job(2), ready(at(0)), 6)).await.ok()).await;
        audit(&store);
    });
}

#[test]
fn readers_alone_bring_a_store_back_whose_disk_did_not_answer() {
    block_on(async {
        let disk = Disk::new();
        let store = disk.open().unwrap();
        applied(&store, insert(job(1), ready(at(0)), 5)).await;
        // A fresh start, so that nothing is in the cache.
        drop(store);
        let store = disk.open().unwrap();
        disk.state().unreadable = true;
        let pull = Pull { queues: vec![(queue("mail"), 1)], max: 1, now: at(0), back_at: at(1) };
        let first = store.pull(&pull).await;
        disk.state().unreadable = false;
        if let Err(error) = &first {
            assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Unavailable, false), "{error}");
        }
        let loaded = in_time(async || store.load(&[job(1)]).await.remove(0).ok()).await;
        assert!(loaded.is_some());
    });
}

/// The image of a store that was closed cleanly.
fn closed_image() -> Vec<u8> {
    let disk = Disk::new();
    block_on(async {
        let store = disk.open().unwrap();
        for number in 1..=40 {
            applied(&store, insert(job(number), ready(at(0)), 5)).await;
        }
    });
    disk.bytes()
}

fn opens_or_is_refused_untouched(image: Vec<u8>, what: &str) -> bool {
    let disk = Disk::of(image.clone());
    match disk.open() {
        Ok(store) => {
            check_all(&store, what);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{what}: {error}");
            assert!(error.to_string().contains("/simulated"), "{error}");
            assert!(disk.bytes() == image, "{what}: it was written to");
            false
        }
    }
}

fn check_all(store: &Handle, what: &str) {
    audit(store);
    block_on(async {
        for number in 1..=40 {
            assert!(load(store, job(number)).await.is_some(), "{what}: job {number} is gone");
        }
    });
}

#[test]
fn a_byte_that_has_changed_behind_its_back_is_noticed_or_harmless() {
    let image = closed_image();
    let mut refused = 0;
    for at in (0..image.len()).step_by(499) {
        let mut damaged = image.clone();
        damaged[at] ^= 0x55;
        refused += u32::from(!opens_or_is_refused_untouched(damaged, &format!("byte {at}")));
    }
    assert!(refused >= 10, "only {refused} were noticed");
}

#[test]
fn a_file_that_was_cut_off_is_refused_and_left_alone() {
    let image = closed_image();
    let mut refused = 0;
    for len in [9, 64, 319, 320, 2_048, 4_096, 4_097, 6_000, 12_288, image.len() / 2, image.len() - 4_096, image.len() - 1] {
        refused += u32::from(!opens_or_is_refused_untouched(image[..len].to_vec(), &format!("the first {len} bytes")));
    }
    assert!(refused >= 9, "only {refused} were noticed");
}

#[test]
fn a_file_with_garbage_behind_it_opens_or_is_refused_untouched() {
    let mut image = closed_image();
    image.extend_from_slice(&[0xAB; 5_000]);
    opens_or_is_refused_untouched(image, "garbage behind the end");
}

#[test]
fn an_open_that_is_refused_has_written_nothing_whatever_redb_wanted_to_repair() {
    let disk = Disk::default();
    {
        // Another program's database, which was not closed.
        let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 1).unwrap();
        txn.commit().unwrap();
        let image = disk.bytes();
        assert!(!opens_or_is_refused_untouched(image, "a foreign database"));
    }
    assert!(disk.len().unwrap() > 0);
}
