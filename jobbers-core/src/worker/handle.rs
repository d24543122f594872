//! A worker that runs.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::health::Health;
use super::stop::{Order, StopReport};
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkerId;

/// A worker that runs, until it is stopped.
///
/// Dropped, the worker stops by itself, as after [`stop`](WorkerHandle::stop), for as long as its runtime lives.
#[derive(Debug)]
pub struct WorkerHandle {
    engine: Arc<Engine>,
    orders: watch::Sender<Order>,
    supervisor: JoinHandle<StopReport>,
}

impl WorkerHandle {
    pub(super) fn new(engine: Arc<Engine>, orders: watch::Sender<Order>, supervisor: JoinHandle<StopReport>) -> WorkerHandle {
        WorkerHandle { engine, orders, supervisor }
    }

    /// The worker's id: drawn at each start.
    pub fn id(&self) -> WorkerId {
        self.engine.id
    }

    /// How the worker does now.
    pub fn health(&self) -> Health {
        let claims = self.engine.claims.all();
        let stalled = claims.iter().filter(|claimed| claimed.state().stalled).count();
        self.engine.vitals.health(claims.len(), stalled, self.engine.slots.available_permits())
    }

    /// Stops the worker: it fetches no more, and what runs has the worker's grace (30 s by default); then the policy of its task decides.
    ///
    /// Cancel safe: the worker goes on stopping.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the worker itself panicked; [`ErrorKind::Stopped`] if its runtime has ended.
    pub async fn stop(self) -> Result<StopReport> {
        self.order(Order::Stop);
        self.report().await
    }

    /// Stops the worker without a grace: what runs is told to end, and its jobs go back to their queues.
    ///
    /// Cancel safe: the worker goes on stopping.
    ///
    /// # Errors
    /// As [`stop`](WorkerHandle::stop).
    pub async fn stop_now(self) -> Result<StopReport> {
        self.order(Order::HandBack);
        self.report().await
    }

    /// Works until a signal comes. SIGTERM and SIGINT stop the worker as [`stop`](WorkerHandle::stop) does, SIGQUIT as
    /// [`stop_now`](WorkerHandle::stop_now). A second signal ends the process at once, with 128 and the signal's number as its code: leases
    /// do the rest.
    ///
    /// Not cancel safe: after a drop the signals do nothing any more.
    ///
    /// # Errors
    /// As [`stop`](WorkerHandle::stop); [`ErrorKind::Unsupported`] if signals can not be listened to.
    pub async fn run_until_signal(mut self) -> Result<StopReport> {
        let mut signals = signals::Signals::listen()
            .map_err(|error| Error::new(ErrorKind::Unsupported, "listen to signals", "of this process").with_source(error))?;
        tokio::select! {
            (signal, order) = signals.next() => {
                tracing::info!(worker = %self.engine.id, signal, "a signal stops the worker; a second one ends the process");
                self.order(order);
            }
            report = &mut self.supervisor => return read(report),
        }
        tokio::select! {
            report = &mut self.supervisor => read(report),
            (signal, _) = signals.next() => {
                tracing::warn!(worker = %self.engine.id, signal, "a second signal: the process ends now");
                std::process::exit(128 + signal)
            }
        }
    }

    fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }

    async fn report(mut self) -> Result<StopReport> {
        read((&mut self.supervisor).await)
    }
}

fn read(report: Result<StopReport, tokio::task::JoinError>) -> Result<StopReport> {
    report.map_err(|error| {
        let kind = if error.is_panic() { ErrorKind::Internal } else { ErrorKind::Stopped };
        Error::new(kind, "stop a worker", "its own task ended first; leases do the rest").with_source(error)
    })
}

#[cfg(unix)]
mod signals {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Order;

    /// The signals that stop a worker.
    pub(super) struct Signals(Signal, Signal, Signal);

    impl Signals {
        pub(super) fn listen() -> std::io::Result<Signals> {
            Ok(Signals(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::quit())?))
        }

        /// The number of the next signal, and what it orders.
        pub(super) async fn next(&mut self) -> (i32, Order) {
            tokio::select! {
                _ = self.0.recv() => (15, Order::Stop),
                _ = self.1.recv() => (2, Order::Stop),
                _ = self.2.recv() => (3, Order::HandBack),
            }
        }
    }
}

#[cfg(not(unix))]
mod signals {
    use super::Order;

    /// The signals that stop a worker.
    pub(super) struct Signals;

    impl Signals {
        pub(super) fn listen() -> std::io::Result<Signals> {
            Ok(Signals)
        }

        /// The number of the next signal, and what it orders.
        pub(super) async fn next(&mut self) -> (i32, Order) {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            (2, Order::Stop)
        }
    }
}
