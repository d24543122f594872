//! The intake without a broker.

use std::sync::{Arc, Mutex};

use jobbers_core::RunId;

use super::*;

#[derive(Default, Clone)]
struct Stored(Arc<Mutex<Vec<i64>>>);

impl Commits for Stored {
    fn store(&self, _: &Line, _: i32, next: i64) {
        self.0.lock().unwrap().push(next);
    }
}

fn line(name: &str) -> Line {
    Line { queue: QueueName::new(name).unwrap(), band: 0 }
}

fn id(n: u128) -> JobId {
    JobId::from(RunId::from_u128(n))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000).unwrap()
}

fn pull(max: u32, now: i64) -> Pull {
    let queues = vec![(line("mail").queue, 100)];
    Pull { queues, max, now: at(now), back_at: at(now + 60) }
}

/// An intake with one partition of `mail`, in which ids 10.. wait at offsets 10...
fn filled(offsets: std::ops::Range<i64>) -> (Intake, Stored) {
    let (intake, stored) = (Intake::default(), Stored::default());
    intake.commits_to(Some(Box::new(stored.clone())));
    intake.assign((line("mail"), 0));
    add(&intake, offsets);
    (intake, stored)
}

fn add(intake: &Intake, offsets: std::ops::Range<i64>) {
    intake.read(&(line("mail"), 0), offsets.map(|n| (n, Some((id(n as u128), Priority::Normal)))));
}

fn receipts(pulled: &Pulled) -> Vec<Receipt> {
    pulled.items.iter().map(|(_, receipt)| receipt.clone()).collect()
}

fn ids(pulled: &Pulled) -> Vec<JobId> {
    pulled.items.iter().map(|(delivery, _)| delivery.id).collect()
}

#[test]
fn only_what_is_settled_without_a_gap_is_committed() {
    let (intake, stored) = filled(10..14);
    let all = receipts(&intake.pull(&pull(9, 0), 1));
    intake.ack(&all[1..3]);
    intake.ack(&all[..1]);
    intake.ack(&all[3..]);
    intake.ack(&all);
    assert_eq!(*stored.0.lock().unwrap(), [10, 13, 14]);
}

#[test]
fn ten_thousand_settled_behind_an_open_one_wait_for_it_alone() {
    let (intake, stored) = filled(0..1);
    let first = receipts(&intake.pull(&pull(1, 0), 1));
    for some in 0..100 {
        add(&intake, 1 + some * 100..101 + some * 100);
        intake.ack(&receipts(&intake.pull(&pull(100, 0), 1)));
    }
    assert!(stored.0.lock().unwrap().iter().all(|next| *next == 0));
    intake.ack(&first);
    assert_eq!(stored.0.lock().unwrap().last(), Some(&10_001));
}

#[test]
fn what_is_not_settled_comes_back_first_and_once() {
    let (intake, stored) = filled(10..12);
    let early = intake.pull(&pull(1, 0), 1);
    assert_eq!(ids(&intake.pull(&pull(1, 59), 1)), [id(11)]);
    assert_eq!(ids(&intake.pull(&pull(9, 59), 1)), []);
    let again = intake.pull(&pull(9, 60), 1);
    assert_eq!(ids(&again), [id(10)]);
    intake.ack(&receipts(&early));
    assert_eq!(ids(&intake.pull(&pull(9, 1_000), 1)), [id(11)], "the first was settled by its earlier receipt");
    assert_eq!(*stored.0.lock().unwrap(), [11]);
}

#[test]
fn what_came_back_and_is_settled_late_is_not_delivered_again() {
    let (intake, _) = filled(10..12);
    let early = intake.pull(&pull(1, 0), 1);
    // The pull that brings it back takes nothing of it.
    let none = Pull { queues: vec![(line("zip").queue, 9)], ..pull(9, 60) };
    assert_eq!(ids(&intake.pull(&none, 1)), []);
    intake.ack(&receipts(&early));
    assert_eq!(ids(&intake.pull(&pull(9, 60), 1)), [id(11)]);
}

#[test]
fn a_receipt_of_an_assignment_that_is_over_settles_nothing() {
    let (intake, stored) = filled(10..12);
    let old = receipts(&intake.pull(&pull(1, 0), 1));
    intake.revoke(&(line("mail"), 0));
    assert!(!intake.any(&[line("mail")]), "what waited is somebody else's");
    intake.assign((line("mail"), 0));
    add(&intake, 10..12);
    intake.ack(&old);
    assert_eq!(ids(&intake.pull(&pull(9, 0), 1)), [id(10), id(11)]);
    assert!(stored.0.lock().unwrap().is_empty());
}

#[test]
fn what_does_not_decode_is_settled_and_stops_nobody() {
    let (intake, stored) = filled(10..11);
    intake.read(&(line("mail"), 0), [(11, None), (12, None)]);
    assert_eq!(*stored.0.lock().unwrap(), [10], "not before what is open");
    intake.ack(&receipts(&intake.pull(&pull(9, 0), 1)));
    assert_eq!(stored.0.lock().unwrap().last(), Some(&13));
}

#[test]
fn a_record_that_is_read_twice_waits_once() {
    let (intake, _) = filled(10..12);
    add(&intake, 10..13);
    assert_eq!(ids(&intake.pull(&pull(9, 0), 1)), [id(10), id(11), id(12)]);
}

#[test]
fn what_was_stolen_commits_nothing() {
    let (intake, stored) = filled(10..11);
    intake.stole(&line("zip"), [(id(1), Priority::Normal)]);
    let pulled = intake.pull(&Pull { queues: vec![(line("zip").queue, 9)], ..pull(9, 0) }, 1);
    intake.ack(&receipts(&pulled));
    assert_eq!(ids(&pulled), [id(1)]);
    assert!(stored.0.lock().unwrap().is_empty());
}

#[test]
fn the_urgent_band_of_a_queue_comes_first_and_a_queue_gives_no_more_than_asked() {
    let (intake, _) = filled(10..20);
    let urgent = Line { band: 0, ..line("zip") };
    let later = Line { band: 1, ..line("zip") };
    intake.stole(&later, [(id(1), Priority::Low), (id(2), Priority::Low)]);
    intake.stole(&urgent, [(id(3), Priority::High)]);
    let queues = vec![(line("zip").queue, 2), (line("mail").queue, 3)];
    let pulled = intake.pull(&Pull { queues, ..pull(9, 0) }, 2);
    assert_eq!(ids(&pulled), [id(3), id(1), id(10), id(11), id(12)]);
    assert!(pulled.more);
}
