//! A kit to test your tasks with: a backend in memory whose clock stands until it is moved.
//!
//! Four kinds of tests, from the smallest to the largest:
//!
//! - **One handler.** It is an ordinary function: call it. Where it takes a [`Ctx`](crate::worker::Ctx), [`Kit::attempt`] makes one.
//! - **What is submitted.** Give the code under test [`Kit::client`], then ask: [`Kit::assert_submitted`], [`Kit::submitted`].
//! - **All of it.** [`Kit::run_until_idle`] runs what is ready, and moves the clock to whatever comes next (the end of a backoff, of a delay)
//!   until every job has ended: hours pass in milliseconds.
//! - **All of it, killed everywhere.** [`crash_points`] does that again and again, with a crash at another call each time.
//!
//! ```
//! use std::time::Duration;
//! use jobbers_core::client::Client;
//! use jobbers_core::policy::Retry;
//! use jobbers_core::record::JobState;
//! use jobbers_core::task::Task;
//! use jobbers_core::testing::Kit;
//! use jobbers_core::worker::{Attempt, JobError, Worker};
//!
//! const MAIL: Task<String, u32> = Task::new("mail.send").retry(Retry::exponential(Duration::from_secs(1800)));
//!
//! async fn send(Attempt(attempt): Attempt, _to: String) -> Result<u32, JobError> {
//!     if attempt < 4 { Err(JobError::retry("the mailbox is busy")) } else { Ok(attempt) }
//! }
//!
//! /// The code under test.
//! async fn order(client: &Client) -> jobbers_core::Result<()> {
//!     client.submit(MAIL, &"anna".to_owned()).await.map(drop)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> jobbers_core::Result<()> {
//! let kit = Kit::new();
//! order(kit.client()).await?;
//! let mail = kit.assert_submitted(MAIL, &"anna".to_owned());
//!
//! kit.run_until_idle(Worker::queues(["default"]).task(MAIL, send)).await?;
//! kit.assert_state(mail.id(), JobState::Succeeded);
//! assert_eq!(mail.output().await?, 4);
//! # Ok(()) }
//! ```
//!
//! The clock stands while handlers run: what a handler itself waits for, and its timeout, pass in real time. A test that is run with
//! tokio's paused time (`#[tokio::test(start_paused = true)]`, tokio's feature `test-util`) skips those as well.

mod at_once;
mod crash;
pub mod cut;
mod run;
mod submitted;
#[cfg(test)]
mod tests;
mod unended;

use std::sync::Arc;
use std::time::Duration;

pub use crash::{Crash, crash_points};
pub use run::Ran;
pub use submitted::Submitted;

pub use crate::worker::LoneAttempt;

use crate::client::Client;
use crate::driver::Backend;
use crate::memory::Memory;
use crate::time::{Clock, ManualClock, SeededDraws, Timestamp};

/// Where the clock of a new kit stands: 2026-01-01, 08:00 UTC, a Thursday.
const START_MILLIS: i64 = 1_767_254_400_000;
/// How long one run may take in real time, unless [`Kit::patience`] says otherwise: a test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// How far one run may move the clock, unless [`Kit::horizon`] says otherwise: a year.
const HORIZON: Duration = Duration::from_secs(366 * 24 * 3600);
/// Chance is the same in every kit.
const SEED: u64 = 1;

/// A backend in memory whose clock stands until it is moved, a client of it, and questions about what was submitted.
///
/// Make one for each test: kits share nothing.
#[derive(Debug)]
pub struct Kit {
    client: Client,
    clock: Arc<ManualClock>,
    patience: Duration,
    horizon: Duration,
}

impl Default for Kit {
    fn default() -> Kit {
        Kit::new()
    }
}

impl Kit {
    /// An empty backend, whose clock stands at 2026-01-01, 08:00 UTC.
    pub fn new() -> Kit {
        Kit::at(Timestamp::from_millis(START_MILLIS).expect("a time within the years that there are"))
    }

    /// An empty backend, whose clock stands at `at`.
    ///
    /// ```
    /// use jobbers_core::testing::Kit;
    /// let kit = Kit::at("2026-02-28T23:59:00Z".parse()?);
    /// assert_eq!(kit.now().to_string(), "2026-02-28T23:59:00Z");
    /// # Ok::<(), jobbers_core::Error>(())
    /// ```
    pub fn at(at: Timestamp) -> Kit {
        let clock = Arc::new(ManualClock::new(at));
        let backend = Memory::new().clock(clock.clone()).draws(Arc::new(SeededDraws::new(SEED))).open();
        Kit { client: Client::new(&backend), clock, patience: PATIENCE, horizon: HORIZON }
    }

    /// The same kit, one run of which may take so long in real time; 10 s by default.
    #[must_use]
    pub fn patience(self, most: Duration) -> Kit {
        Kit { patience: most, ..self }
    }

    /// The same kit, one [`run_until_idle`](Kit::run_until_idle) of which may move the clock so far; 366 days by default.
    #[must_use]
    pub fn horizon(self, most: Duration) -> Kit {
        Kit { horizon: most, ..self }
    }

    /// A client of the backend: for the code under test.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The backend: for code that makes its own client, or starts its own worker.
    pub fn backend(&self) -> &Backend {
        self.client.backend()
    }

    /// The time by the kit's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock forward. What is due by then is done in the next run; [`run_for`](Kit::run_for) does both.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// An attempt without a worker: for a handler that takes a [`Ctx`](crate::worker::Ctx), and is called as the function that it is.
    pub fn attempt(&self) -> LoneAttempt {
        LoneAttempt::new(self.backend())
    }
}
