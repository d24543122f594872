use std::sync::Arc;

use super::*;
use crate::client::Client;
use crate::driver::{BackendParts, Capabilities, Claim, Commit, Delivery, Dispatch, Op, Place, Pull, Pulled, Queue, Receipt};
use crate::error::{Error, ErrorKind};
use crate::id::{JobId, QueueName, WorkerId};
use crate::machine::{self, Job, Look};
use crate::memory::Memory;
use crate::record::{Cause, JobState, Parts, Record};
use crate::task::Task;
use crate::time::{Clock, ManualClock, Timestamp};
use crate::worker::moment;

const WORK: Task<u32> = Task::new("work");
const SECOND: Duration = Duration::from_secs(1);

fn site(memory: Memory) -> (Backend, Arc<ManualClock>, SchedulerOptions) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000).unwrap()));
    (memory.clock(clock.clone()).open(), clock, SchedulerOptions::default())
}

async fn load(backend: &Backend, id: JobId) -> Option<Record> {
    backend.store().load(&[id]).await.remove(0).unwrap()
}

async fn state(backend: &Backend, id: JobId) -> JobState {
    load(backend, id).await.unwrap().head.state
}

async fn claim(backend: &Backend, id: JobId, lease: Duration) {
    let m = moment(backend);
    let claim = Claim { owner: WorkerId::from_u128(1), now: m.now, wake_at: m.now + lease, nonce: m.draw.nonce };
    let job = Job::read(id, load(backend, id).await.unwrap()).unwrap();
    let Look::Claim(commit) = machine::claim(&job, &claim, &m) else { panic!("it is ready") };
    backend.store().commit(&[commit]).await.remove(0).unwrap();
}

async fn pull_all(backend: &Backend) -> usize {
    let now = backend.clock().now();
    let queues = vec![(QueueName::default(), 300)];
    let pulled = backend.queue().pull(&Pull { queues, max: 300, now, back_at: now + SECOND }).await.unwrap();
    let receipts: Vec<_> = pulled.items.into_iter().map(|(_, receipt)| receipt).collect();
    backend.queue().ack(&receipts).await.unwrap();
    receipts.len()
}

#[tokio::test]
async fn every_timer_that_has_come_is_acted_on() {
    let (backend, clock, options) = site(Memory::new());
    let client = Client::new(&backend);
    let later = client.submit(WORK, &1).delay(10 * SECOND).await.unwrap().id();
    let lost = client.submit(WORK, &2).await.unwrap().id();
    let expired = client.submit(WORK, &3).expires_after(10 * SECOND).await.unwrap().id();
    let late = client.submit(WORK, &4).deadline_after(10 * SECOND).await.unwrap().id();
    claim(&backend, lost, 10 * SECOND).await;
    let next = Some(clock.now() + 10 * SECOND);
    assert_eq!(tend_once(&backend, &options).await.unwrap(), Tended { next, ..Tended::default() });
    clock.advance(10 * SECOND);
    assert_eq!(tend_once(&backend, &options).await.unwrap().due, 4);
    assert_eq!((state(&backend, later).await, state(&backend, lost).await), (JobState::Ready, JobState::Ready));
    for (id, cause) in [(expired, Cause::Expired), (late, Cause::Deadline)] {
        let job = Job::read(id, load(&backend, id).await.unwrap()).unwrap();
        assert_eq!((job.record.head.state, job.trail.cause), (JobState::Dead, Some(cause)));
    }
    assert_eq!(tend_once(&backend, &options).await.unwrap(), Tended::default());
}

#[tokio::test]
async fn ten_thousand_jobs_due_at_one_instant_are_acted_on_once_by_two_schedulers() {
    let (backend, clock, options) = site(Memory::new());
    let client = Client::new(&backend);
    let submits = (0..10_000).map(|n| client.submit(WORK, &n).delay(SECOND));
    assert!(client.submit_each(submits).await.iter().all(Result::is_ok));
    clock.advance(SECOND);
    let (one, other) = tokio::join!(tend_once(&backend, &options), tend_once(&backend, &options));
    assert_eq!(one.unwrap().due + other.unwrap().due, 10_000);
    assert_eq!(backend.queue().depth(&[QueueName::default()]).await.unwrap(), [10_000]);
}

#[tokio::test]
async fn a_record_that_does_not_decode_is_hidden_for_an_hour_and_stops_nobody() {
    let (backend, clock, options) = site(Memory::new());
    let client = Client::new(&backend);
    let poison = client.submit(WORK, &1).delay(SECOND).await.unwrap().id();
    let good = client.submit(WORK, &2).delay(2 * SECOND).await.unwrap().id();
    let mut record = load(&backend, poison).await.unwrap();
    let expect = record.head.revision;
    record.trail = vec![99].into();
    let update = Op::Update { id: poison, expect, lapsed: None, record, changed: Parts::TRAIL, place: Place::Back };
    backend.store().commit(&[Commit { run: poison.run, nonce: 5, ops: vec![update] }]).await.remove(0).unwrap();
    clock.advance(2 * SECOND);
    assert_eq!(tend_once(&backend, &options).await.unwrap().due, 1);
    assert_eq!(state(&backend, good).await, JobState::Ready);
    let hidden = load(&backend, poison).await.unwrap();
    assert_eq!((hidden.head.state, hidden.trail.as_ref()), (JobState::Scheduled, [99].as_slice()), "what it is stays");
    clock.advance(3599 * SECOND);
    let due = backend.store().due(clock.now(), clock.now(), 10).await.unwrap();
    assert!(due.ids.is_empty(), "{due:?}");
    clock.advance(SECOND);
    assert_eq!(backend.store().due(clock.now(), clock.now(), 10).await.unwrap().ids, [poison]);
}

#[tokio::test]
async fn a_ready_job_whose_delivery_was_lost_is_pushed_again_by_its_timer() {
    let (backend, clock, options) = site(Memory::new().dispatch(Dispatch::Caller));
    let id = Client::new(&backend).submit(WORK, &1).await.unwrap().id();
    assert_eq!(pull_all(&backend).await, 1);
    clock.advance(machine::PUSH_AGAIN_FIRST);
    assert_eq!(tend_once(&backend, &options).await.unwrap().due, 1);
    assert_eq!((pull_all(&backend).await, state(&backend, id).await), (1, JobState::Ready));
}

#[tokio::test]
async fn a_ready_job_is_not_pushed_again_while_deliveries_wait_in_its_queue() {
    let (backend, clock, options) = site(Memory::new().dispatch(Dispatch::Caller));
    let id = Client::new(&backend).submit(WORK, &1).await.unwrap().id();
    clock.advance(machine::PUSH_AGAIN_FIRST);
    assert_eq!(tend_once(&backend, &options).await.unwrap().due, 1);
    assert_eq!(backend.queue().depth(&[QueueName::default()]).await.unwrap(), [1], "it waits there once");
    let next = load(&backend, id).await.unwrap().head.wake_at.unwrap();
    assert_eq!(next - clock.now(), 2 * machine::PUSH_AGAIN_FIRST, "its timer goes on");
    // Once it has slept for the longest time, it is pushed whatever waits there.
    for _ in 0..8 {
        clock.advance(machine::PUSH_AGAIN_MAX);
        tend_once(&backend, &options).await.unwrap();
    }
    assert!(backend.queue().depth(&[QueueName::default()]).await.unwrap()[0] > 1);
}

/// A queue that is gone.
#[derive(Debug)]
struct Gone;

#[async_trait::async_trait]
impl Queue for Gone {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn push(&self, _: &[Delivery]) -> Result<()> {
        Err(gone())
    }

    async fn pull(&self, _: &Pull) -> Result<Pulled> {
        Err(gone())
    }

    async fn listen(&self, _: &[QueueName], _: Duration) -> Result<()> {
        Err(gone())
    }

    async fn ack(&self, _: &[Receipt]) -> Result<()> {
        Err(gone())
    }

    async fn depth(&self, _: &[QueueName]) -> Result<Vec<u64>> {
        Err(gone())
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "ask a queue", "it is gone")
}

#[tokio::test]
async fn what_is_due_goes_on_while_the_queue_is_gone() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0).unwrap()));
    let parts = Memory::new().dispatch(Dispatch::Caller).clock(clock.clone()).parts();
    let backend = Backend::new(BackendParts { queue: Arc::new(Gone), paired: false, take: None, ..parts }).unwrap();
    let client = Client::new(&backend);
    let ready = client.submit(WORK, &1).await.unwrap().id();
    let later = client.submit(WORK, &2).delay(machine::PUSH_AGAIN_FIRST).await.unwrap().id();
    clock.advance(machine::PUSH_AGAIN_FIRST);
    let before = load(&backend, ready).await.unwrap();
    tend_once(&backend, &SchedulerOptions::default()).await.unwrap();
    assert_eq!(state(&backend, later).await, JobState::Ready, "its time has come");
    assert_eq!(load(&backend, ready).await.unwrap(), before, "its timer is not put off: it is due again in seconds");
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_vanished_from_a_queue_come_back_after_a_minute() {
    let (backend, clock, options) = site(Memory::new());
    let client = Client::new(&backend);
    assert!(client.submit_all(WORK, 0..5).await.iter().all(Result::is_ok));
    assert_eq!(pull_all(&backend).await, 5);
    assert!(client.submit_all(WORK, 5..7).await.iter().all(Result::is_ok));
    clock.advance(120 * SECOND);
    let mut reconcile = reconcile::Reconcile::default();
    assert_eq!(reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap(), 0, "seen for the first time");
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap(), 0, "not for long enough");
    tokio::time::advance(30 * SECOND).await;
    assert_eq!(reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap(), 5, "no more than are missing");
    assert_eq!(backend.queue().depth(&[QueueName::default()]).await.unwrap(), [7]);
    tokio::time::advance(90 * SECOND).await;
    assert_eq!(reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_that_came_back_older_left_behind_is_delivered_again_at_once() {
    let mark = SchedulerOptions::default().epoch_every + SECOND;
    for dispatch in [Dispatch::Own, Dispatch::Caller] {
        let (backend, rewinder) = Memory::new().dispatch(dispatch).open_with_rewinder();
        let client = Client::new(&backend);
        let scheduler = Scheduler::start(&backend);
        assert!(client.submit_all(WORK, 0..3).await.iter().all(Result::is_ok));
        tokio::time::sleep(mark).await;
        let older = rewinder.snapshot();
        tokio::time::sleep(mark).await;
        // What it holds of before are jobs that are ready; their deliveries are gone.
        rewinder.restore(&older);
        assert_eq!(pull_all(&backend).await, 3);
        tokio::time::sleep(mark).await;
        assert_eq!(backend.queue().depth(&[QueueName::default()]).await.unwrap(), [3], "{dispatch:?}");
        scheduler.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_difference_that_goes_away_is_forgotten() {
    let (backend, clock, options) = site(Memory::new());
    let id = Client::new(&backend).submit(WORK, &1).await.unwrap().id();
    pull_all(&backend).await;
    clock.advance(120 * SECOND);
    let mut reconcile = reconcile::Reconcile::default();
    reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap();
    claim(&backend, id, 10 * SECOND).await;
    tokio::time::advance(50 * SECOND).await;
    reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap();
    Client::new(&backend).submit(WORK, &2).await.unwrap();
    pull_all(&backend).await;
    clock.advance(120 * SECOND);
    tokio::time::advance(50 * SECOND).await;
    assert_eq!(
        reconcile.look(&backend, backend.store().counts().await.unwrap(), &options).await.unwrap(),
        0,
        "the new one is missing for no time yet"
    );
}

#[tokio::test]
async fn runs_are_forgotten_once_their_retention_is_over() {
    let (backend, clock, options) = site(Memory::new());
    let client = Client::new(&backend);
    let (old, young) = (client.submit(WORK, &1).await.unwrap(), client.submit(WORK, &2).await.unwrap());
    old.cancel("done").await.unwrap();
    clock.advance(options.retention);
    young.cancel("done").await.unwrap();
    assert_eq!(tend_once(&backend, &options).await.unwrap().pruned, 0, "it ended exactly that long ago");
    clock.advance(SECOND);
    assert_eq!(tend_once(&backend, &options).await.unwrap().pruned, 1);
    assert!(load(&backend, old.id()).await.is_none() && load(&backend, young.id()).await.is_some());
}

#[tokio::test]
async fn a_running_scheduler_acts_when_a_job_is_due_and_when_it_is_rung() {
    let backend = crate::memory::open();
    let scheduler = Scheduler::start(&backend);
    let client = Client::new(&backend);
    let job = client.submit(WORK, &1).delay(Duration::from_millis(30)).expires_after(Duration::from_millis(60)).await.unwrap();
    let dead = job.ended_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(dead.cause, Some(Cause::Expired));
    // Sooner than the scheduler sleeps at most.
    assert!(dead.ended_at.unwrap() - dead.created_at < SLEEP_MAX);
    scheduler.stop().await;
}
