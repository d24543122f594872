//! Start: recovery, then the loops.

use std::sync::Arc;
use std::thread;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::extract::States;
use super::fetch;
use super::handle::WorkerHandle;
use super::lease::LeaseLoop;
use super::presence::{Presence, key_of};
use super::recover::recover;
use super::registry::Registry;
use super::settings::{LeaseRuntime, Settings, WithScheduler};
use super::stop::{Farewell, Order, Parts, supervise};
use crate::driver::Backend;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Ids;
use crate::scheduler::Scheduler;

/// Starts all parts of a worker.
pub(super) async fn start(backend: &Backend, settings: Settings, registry: Registry, states: States) -> Result<WorkerHandle> {
    let id = Ids::default().worker(backend.clock().now(), backend.draws().wide());
    let engine = Arc::new(Engine::new(backend, id, settings, registry, states));
    let settings = &engine.settings;
    let own = key_of(settings.name.as_ref(), id);
    let left = recover(backend, &engine.committer, &own).await?;
    let mut presence = Presence::new(backend, id, settings.name.as_ref(), settings.lease);
    presence.enter(backend.store(), left).await?;
    let (farewell, goodbye) = oneshot::channel();
    let leases = match settings.lease_runtime {
        LeaseRuntime::Own => on_own_thread(&engine, presence, goodbye).await?,
        LeaseRuntime::Shared => {
            let lease_loop = LeaseLoop::open(&engine, presence).await?;
            tokio::spawn(lease_loop.run(goodbye))
        }
    };
    let scheduler = (settings.scheduler == WithScheduler::On).then(|| Scheduler::start(backend));
    let fetcher = tokio::spawn(fetch::run(engine.clone()));
    tracing::info!(worker = %id, queues = ?settings.queues, slots = settings.slots, backend = backend.location(), "the worker has started");
    let (orders, ordered) = watch::channel(Order::Work);
    let parts = Parts { engine: engine.clone(), fetcher, scheduler, farewell, leases };
    let supervisor = tokio::spawn(supervise(parts, ordered));
    Ok(WorkerHandle::new(engine, orders, supervisor))
}

/// Runs the lease loop on a thread and a runtime of its own; returns once it has opened its store. The handle's task joins the thread.
async fn on_own_thread(engine: &Arc<Engine>, presence: Presence, goodbye: oneshot::Receiver<Farewell>) -> Result<JoinHandle<()>> {
    let failed = |why: &str, error: std::io::Error| Error::new(ErrorKind::Internal, "start a worker", why.to_owned()).with_source(error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the runtime of its lease loop could not be made", error))?;
    let (opened, answer) = oneshot::channel();
    let (ended, end) = oneshot::channel::<()>();
    let engine = engine.clone();
    let thread = thread::Builder::new().name("jobbers-lease".into()).spawn(move || {
        // Dropped when the thread ends, however it does.
        let _ended = ended;
        let runtime = runtime;
        runtime.block_on(async move {
            let lease_loop = LeaseLoop::open(&engine, presence).await;
            // The loop must not keep alive what it renews the leases of.
            drop(engine);
            match lease_loop {
                Ok(lease_loop) => {
                    let _ = opened.send(Ok(()));
                    lease_loop.run(goodbye).await;
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
    });
    let thread = thread.map_err(|error| failed("the thread of its lease loop could not be started", error))?;
    let broken = || Error::new(ErrorKind::Internal, "start a worker", "its lease loop ended before it began; this is a bug");
    answer.await.map_err(|_| broken())??;
    Ok(tokio::spawn(async move {
        let _ = end.await;
        // It has ended, or is about to: the channel is the last thing that it drops.
        if thread.join().is_err() {
            tracing::error!("the lease loop panicked; this is a bug");
        }
    }))
}
