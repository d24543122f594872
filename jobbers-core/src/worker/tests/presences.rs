//! Start-up recovery.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::*;
use crate::driver::{Claim, Delivery, DocKey, DocKind, DocVerdict, DocWrite, Page};
use crate::id::{SmallText, WorkerId};
use crate::machine::{self, Look};
use crate::memory::Memory;
use crate::record::{Unknown, decode_versioned, encode_versioned};
use crate::time::{ManualClock, Timestamp};
use crate::worker::engine::moment;
use crate::worker::presence::Present;
use crate::worker::process::Process;
use crate::worker::{JobError, WithScheduler};

const GHOST: WorkerId = WorkerId::from_u128(0xdead);

/// A job that a worker which is no more has claimed.
async fn left_by_ghost(backend: &Backend) -> JobId {
    let id = Client::new(backend).submit(ECHO, &"left".to_owned()).await.unwrap().id();
    let m = moment(backend);
    let claim = Claim { owner: GHOST, now: m.now, wake_at: m.now + Duration::from_secs(60), nonce: m.draw.nonce };
    let Look::Claim(commit) = machine::claim(&stored(backend, id).await, &claim, &m) else { panic!("it is ready") };
    backend.store().commit(&[commit]).await.remove(0).unwrap();
    id
}

/// The ghost's presence, as it wrote it.
async fn ghost_document(backend: &Backend, name: &str, process: Process, expires_at: Timestamp) {
    let says = Present { worker: Some(GHOST), name: name.into(), started_at: Timestamp::MIN, process, unknown: Unknown::default() };
    let name = if name.is_empty() { GHOST.to_string() } else { name.to_owned() };
    let key = DocKey { kind: DocKind::Worker, name: SmallText::new(&name) };
    let write = DocWrite { key, expect: None, body: Some(encode_versioned(&says)), expires_at: Some(expires_at) };
    assert!(matches!(backend.store().write(&[write]).await.unwrap()[0], DocVerdict::Applied(_)));
}

/// A process that has ended: this one's id is used again.
fn ended_process() -> Process {
    let this = Process::this();
    Process { started: this.started + 1, ..this }
}

async fn documents(backend: &Backend) -> Vec<Present> {
    let page = Page { after: None, limit: 10 };
    let documents = backend.store().documents(DocKind::Worker, &page).await.unwrap();
    documents.iter().map(|(_, doc)| decode_versioned(&doc.body).unwrap()).collect()
}

#[tokio::test]
async fn what_a_process_that_ended_has_left_runs_at_once_and_counts_as_lost() {
    for name in ["", "tower"] {
        let backend = memory::open();
        let id = left_by_ghost(&backend).await;
        ghost_document(&backend, name, ended_process(), Timestamp::MAX).await;
        let mut builder = worker().scheduler(WithScheduler::Off).task(ECHO, echo);
        if !name.is_empty() {
            builder = builder.name(name);
        }
        let worker = builder.start(&backend).await.unwrap();
        assert_eq!(output::<String>(&backend, id).await, "left");
        let job = stored(&backend, id).await;
        assert_eq!((job.record.head.attempt, job.trail.losses), (2, 1));
        let present = documents(&backend).await;
        assert_eq!(present.iter().map(|p| (p.worker, p.name.as_str())).collect::<Vec<_>>(), [(Some(worker.id()), name)]);
        stop(worker).await;
    }
}

#[tokio::test]
async fn what_only_a_presence_that_ran_out_speaks_for_is_left_to_its_lease() {
    let start = Timestamp::from_millis(1_800_000_000_000).unwrap();
    let clock = Arc::new(ManualClock::new(start));
    let backend = Memory::new().clock(clock.clone()).open();
    let id = left_by_ghost(&backend).await;
    // Of this process, which lives: nothing but the time speaks against it.
    ghost_document(&backend, "", Process::this(), start + Duration::from_secs(30)).await;
    clock.advance(Duration::from_secs(31));
    let first = worker().scheduler(WithScheduler::Off).task(ECHO, echo).start(&backend).await.unwrap();
    assert_eq!(stored(&backend, id).await.record.head.owner, Some(GHOST), "its lease holds");
    stop(first).await;
    clock.advance(Duration::from_secs(30));
    let second = worker().scheduler(WithScheduler::Off).task(ECHO, echo).start(&backend).await.unwrap();
    assert_eq!(output::<String>(&backend, id).await, "left");
    assert_eq!(documents(&backend).await.len(), 1, "the ghost's document is gone with its last job");
    stop(second).await;
}

#[tokio::test]
async fn two_live_workers_with_one_name_both_work() {
    const OTHER: Task<u32, u32> = Task::new("other").queue("other");
    let backend = memory::open();
    let first = worker().name("tower").task(ECHO, echo).start(&backend).await.unwrap();
    let other = async |n: u32| Ok::<u32, JobError>(n);
    let second = Worker::queues(["other"]).name("tower").task(OTHER, other).start(&backend).await.unwrap();
    assert_eq!(documents(&backend).await.len(), 2);
    let client = Client::new(&backend);
    let (a, b) = (client.submit(ECHO, &"a".to_owned()).await.unwrap().id(), client.submit(OTHER, &1).await.unwrap().id());
    assert_eq!((output::<String>(&backend, a).await.as_str(), output::<u32>(&backend, b).await), ("a", 1));
    stop(first).await;
    stop(second).await;
    assert!(documents(&backend).await.is_empty());
}

#[tokio::test]
async fn a_presence_is_renewed_while_its_worker_lives() {
    let backend = memory::open();
    let lease = Duration::from_millis(120);
    let worker = worker().lease(lease).task(ECHO, echo).start(&backend).await.unwrap();
    let page = Page { after: None, limit: 10 };
    let expires = async || backend.store().documents(DocKind::Worker, &page).await.unwrap()[0].1.expires_at.unwrap();
    let first = expires().await;
    let renewed = async {
        while expires().await <= first + lease {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    stop(worker).await;
}

#[tokio::test]
async fn a_runtime_that_ends_leaves_the_presence_for_the_next_start() {
    let backend = memory::open();
    let started = Arc::new(Notify::new());
    let (there, signal) = (backend.clone(), started.clone());
    let crashed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let handler = move |_: String| {
                signal.notify_one();
                std::future::pending::<Result<String, JobError>>()
            };
            let worker = worker().task(ECHO, handler).start(&there).await.unwrap();
            let id = Client::new(&there).submit(ECHO, &"cut".to_owned()).await.unwrap().id();
            signalled(&started).await;
            (worker.id(), id)
        })
        // The runtime goes, with all its tasks, in the middle of the work.
    });
    let (gone, id) = crashed.join().unwrap();
    assert_eq!(documents(&backend).await[0].worker, Some(gone));
    assert_eq!(stored(&backend, id).await.record.head.state, JobState::Running);
}

#[tokio::test]
async fn a_delivery_of_a_job_that_is_not_ready_is_dropped() {
    let backend = memory::open().without_take();
    let id = left_by_ghost(&backend).await;
    let delivery = Delivery { id, queue: "default".try_into().unwrap(), priority: Default::default(), place: Default::default() };
    backend.queue().push(&[delivery]).await.unwrap();
    let worker = worker().scheduler(WithScheduler::Off).task(ECHO, echo).start(&backend).await.unwrap();
    let next = Client::new(&backend).submit(ECHO, &"next".to_owned()).await.unwrap().id();
    assert_eq!(output::<String>(&backend, next).await, "next");
    assert_eq!(stored(&backend, id).await.record.head.owner, Some(GHOST));
    assert_eq!(backend.queue().depth(&["default".try_into().unwrap()]).await.unwrap(), [0]);
    stop(worker).await;
}
