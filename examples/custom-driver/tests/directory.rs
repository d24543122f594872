//! What the suite does not ask of a backend whose store is in memory: the queue outlives its process, and is shared by several.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use custom_driver::DirectoryQueue;
use jobbers_core::driver::{Delivery, Place, Pull, Queue, Receipt};
use jobbers_core::record::Priority;
use jobbers_core::{JobId, QueueName, RunId, Timestamp};

fn delivery(run: u128) -> Delivery {
    let queue = QueueName::new("mail").unwrap();
    Delivery { id: JobId::new(RunId::from_u128(run), 3), queue, priority: Priority::High, place: Place::Back }
}

fn pull_at(seconds: u64) -> Pull {
    let now = Timestamp::MIN + Duration::from_secs(seconds);
    Pull { queues: vec![(QueueName::new("mail").unwrap(), 100)], max: 100, now, back_at: now + Duration::from_secs(60) }
}

/// A directory, gone when the test ends.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("custom-driver-{name}-{}", std::process::id())))
    }

    fn open(&self) -> DirectoryQueue {
        DirectoryQueue::open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn pulled(queue: &DirectoryQueue, seconds: u64) -> Vec<(Delivery, Receipt)> {
    queue.pull(&pull_at(seconds)).await.unwrap().items
}

#[tokio::test]
async fn what_a_process_held_when_it_was_killed_comes_back_to_the_next() {
    let scratch = Scratch::new("killed");
    let first = scratch.open();
    first.push(&[delivery(1), delivery(2)]).await.unwrap();
    let held = pulled(&first, 0).await;
    first.ack(&[held[0].1.clone()]).await.unwrap();
    // It is not closed: a killed process closes nothing.
    std::mem::forget(first);
    let next = scratch.open();
    assert_eq!(pulled(&next, 59).await, vec![]);
    let back = pulled(&next, 60).await;
    assert_eq!(back.iter().map(|(one, _)| one.clone()).collect::<Vec<_>>(), vec![delivery(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_processes_share_one_directory() {
    let scratch = Scratch::new("shared");
    let pushing = scratch.open();
    pushing.push(&(0..200).map(delivery).collect::<Vec<_>>()).await.unwrap();
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let queue = scratch.open();
            tokio::spawn(async move { pulled(&queue, 0).await })
        })
        .collect();
    let mut runs = Vec::new();
    for pull in pulls {
        runs.extend(pull.await.unwrap().into_iter().map(|(one, _)| one.id.run.as_u128()));
    }
    // A pull that lost a race for some may have left others: they are there for the next.
    runs.extend(pulled(&pushing, 0).await.into_iter().map(|(one, _)| one.id.run.as_u128()));
    runs.extend(pulled(&pushing, 0).await.into_iter().map(|(one, _)| one.id.run.as_u128()));
    runs.sort_unstable();
    assert_eq!(runs, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receipt_that_names_a_path_removes_nothing() {
    let scratch = Scratch::new("paths");
    let queue = scratch.open();
    queue.push(&[delivery(1)]).await.unwrap();
    let waiting = std::fs::read_dir(scratch.0.join("mail/waiting")).unwrap().next().unwrap().unwrap().file_name();
    let waiting = waiting.to_str().unwrap();
    let before_it =
        ["mail/", "mail/../waiting/", "mail/1_2_", "mail/1_2_1b/../../waiting/", "mail/waiting/../held/../waiting/", "../mail/1_2_"];
    for receipt in before_it.map(|path| format!("{path}{waiting}")) {
        queue.ack(&[Receipt(receipt.into())]).await.unwrap();
    }
    assert_eq!(pulled(&queue, 0).await.len(), 1);
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_alone() {
    let scratch = Scratch::new("foreign");
    let queue = scratch.open();
    queue.push(&[delivery(1)]).await.unwrap();
    let foreign = scratch.0.join("mail/waiting/.DS_Store");
    std::fs::write(&foreign, "not a delivery").unwrap();
    let one = Pull { max: 1, ..pull_at(0) };
    assert_eq!(queue.depth(&[QueueName::new("mail").unwrap()]).await.unwrap(), vec![1]);
    assert_eq!(queue.pull(&one).await.unwrap().items.len(), 1);
    assert!(foreign.exists());
}
