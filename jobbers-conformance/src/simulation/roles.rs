//! What each process does: works, tends, or calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jobbers_core::client::Client;
use jobbers_core::driver::Backend;
use jobbers_core::scheduler::{Scheduler, SchedulerOptions};
use jobbers_core::worker::{LeaseRuntime, WithScheduler, Worker, WorkerHandle};
use jobbers_core::{Ids, TaskName};

use super::client::Caller;
use super::cron;
use super::plan::LEASE;
use super::process::Seat;
use super::shapes::{JOB, JOIN, NEW, RARE, RATED, Stagehand};
use crate::history::{History, What};
use crate::kit::task;

const SECOND: Duration = Duration::from_secs(1);
/// The task of a map's step 0, which every worker knows.
const MAP: &str = "jobbers.map";

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Worker(u32),
    Scheduler,
    Client,
}

/// What a process is told when it starts.
pub(super) struct Stage {
    pub(super) history: Arc<History>,
    pub(super) options: SchedulerOptions,
    /// Whether the first worker brings a scheduler.
    pub(super) own: WithScheduler,
    /// Whether workers know the new task.
    pub(super) deployed: bool,
    /// Things that clients have done.
    pub(super) acts: Arc<AtomicU32>,
    /// Clients that have nothing left to do.
    pub(super) idle: Arc<AtomicU32>,
    /// Things that clients do in all.
    pub(super) most: u32,
}

impl Stage {
    pub(super) async fn play(self, role: Role, backend: Backend, seat: Arc<Seat>) {
        match role {
            Role::Worker(number) => self.work(backend, seat, number).await,
            Role::Scheduler => self.tend(backend).await,
            Role::Client => self.call(backend).await,
        }
    }

    async fn work(self, backend: Backend, seat: Arc<Seat>, number: u32) {
        let hand = Stagehand { backend: backend.clone(), history: self.history.clone(), second: SECOND, kill: Some(seat.clone()) };
        let rare = number.is_multiple_of(2);
        let handle = loop {
            let worker = Worker::queues(["default", "bulk"]).slots(4).lease(LEASE).grace(SECOND * 2).lease_runtime(LeaseRuntime::Shared);
            let worker = hand.teach(worker);
            let worker = if rare { hand.teach_more(worker, RARE) } else { worker.name(format!("worker-{number}")) };
            let worker = if self.deployed { hand.teach_more(worker, NEW) } else { worker };
            let with = if number == 0 { self.own } else { WithScheduler::Off };
            // A start may fail as any call may, or hang.
            match tokio::time::timeout(SECOND * 60, worker.scheduler(with).start(&backend)).await {
                Ok(Ok(handle)) => break handle,
                _ => tokio::time::sleep(SECOND / 2).await,
            }
        };
        self.tell_what_it_knows(&backend, &handle, rare);
        let caller = self.caller(&backend);
        while !seat.stop.load(Ordering::SeqCst) {
            // Where a scheduler is, the schedule is kept.
            if number == 0 {
                cron::tend(&caller).await;
            }
            tokio::time::sleep(SECOND / 2).await;
        }
        drop(handle.stop().await);
    }

    fn tell_what_it_knows(&self, backend: &Backend, handle: &WorkerHandle, rare: bool) {
        let always = [JOB.def().name, JOIN.def().name, RATED.def().name, MAP];
        let more = [(RARE.def().name, rare), (NEW.def().name, self.deployed)];
        let more = more.into_iter().filter(|(_, knows)| *knows).map(|(name, _)| name);
        let tasks: Vec<TaskName> = always.into_iter().chain(more).map(task).collect();
        for task in tasks {
            self.history.add(backend.clock().now(), What::Knows { worker: handle.id(), task });
        }
    }

    fn caller(&self, backend: &Backend) -> Caller {
        Caller { client: Client::new(backend), history: self.history.clone(), second: SECOND }
    }

    async fn tend(self, backend: Backend) {
        let caller = self.caller(&backend);
        let _scheduler = Scheduler::start_with(&backend, self.options);
        loop {
            cron::tend(&caller).await;
            tokio::time::sleep(SECOND).await;
        }
    }

    async fn call(self, backend: Backend) {
        let (ids, caller) = (Ids::default(), Arc::new(self.caller(&backend)));
        loop {
            let number = self.acts.fetch_add(1, Ordering::SeqCst);
            if number >= self.most {
                break;
            }
            let run = ids.run(backend.clock().now(), backend.draws().wide());
            // Nothing that a client does takes for ever, but for a backend that hangs.
            drop(tokio::time::timeout(SECOND * 120, caller.clone().act(number, run)).await);
            tokio::time::sleep(Duration::from_millis(backend.draws().number() % 1_500)).await;
        }
        self.idle.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
}
