//! A queue that needs time passes if its fixture says how much, and fails if it does not.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jobbers_conformance::{Broken, Fixture, InMemory, Opening, Outcome, Stage, scenarios};
use jobbers_core::driver::{Backend, BackendParts, Capabilities, Capability, Delivery, Dispatch, Pull, Pulled, Queue, Receipt};
use jobbers_core::{QueueName, Result, Timestamp};

const PUSH: Duration = Duration::from_millis(60);
const BACK: Duration = Duration::from_millis(120);
const DEPTH: Duration = Duration::from_millis(90);

/// Memory, but a push is seen late, what was not acked comes back late, and the depth is known late.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Queue>,
    held: Mutex<Vec<Held>>,
    changed: Mutex<Instant>,
    pulls: Mutex<u64>,
}

#[derive(Debug)]
struct Held {
    receipt: Receipt,
    delivery: Delivery,
    back_at: Timestamp,
    /// Since when somebody has asked for it.
    asked: Option<Instant>,
}

impl Slow {
    fn change(&self) {
        *self.changed.lock().unwrap() = Instant::now();
    }

    /// What was asked for long enough goes back to the line.
    async fn bring_back(&self, now: Timestamp) -> Result<()> {
        let mut back = Vec::new();
        self.held.lock().unwrap().retain_mut(|held| {
            let due = held.back_at <= now;
            let come = due && held.asked.get_or_insert_with(Instant::now).elapsed() >= BACK;
            back.extend(come.then(|| held.delivery.clone()));
            !come
        });
        self.inner.push(&back).await
    }
}

#[async_trait]
impl Queue for Slow {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.change();
        let (inner, deliveries) = (self.inner.clone(), deliveries.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(PUSH).await;
            inner.push(&deliveries).await.unwrap();
        });
        Ok(())
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        self.bring_back(pull.now).await?;
        let mut pulled = self.inner.pull(pull).await?;
        let receipts: Vec<Receipt> = pulled.items.iter().map(|(_, receipt)| receipt.clone()).collect();
        self.inner.ack(&receipts).await?;
        for (delivery, receipt) in &mut pulled.items {
            let mut pulls = self.pulls.lock().unwrap();
            *pulls += 1;
            *receipt = Receipt(Bytes::copy_from_slice(&pulls.to_be_bytes()));
            let held = Held { receipt: receipt.clone(), delivery: delivery.clone(), back_at: pull.back_at, asked: None };
            self.held.lock().unwrap().push(held);
            self.change();
        }
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.inner.listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.change();
        self.held.lock().unwrap().retain(|held| !receipts.contains(&held.receipt));
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        let known = self.changed.lock().unwrap().elapsed() >= DEPTH;
        if known { self.inner.depth(queues).await } else { Ok(vec![999; queues.len()]) }
    }
}

/// How much time the fixture says that its queue needs: so many times what it does need.
#[derive(Clone, Copy)]
struct Says {
    push: u32,
    back: u32,
    depth: u32,
}

#[async_trait]
impl Fixture for Says {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::List])
    }

    fn first_pull_within(&self) -> Duration {
        PUSH * self.push
    }

    fn redelivery_within(&self) -> Duration {
        BACK * self.back
    }

    fn depth_settles_within(&self) -> Duration {
        DEPTH * self.depth
    }

    async fn open(&self, opening: &Opening) -> Result<Backend> {
        let parts = opening.memory().dispatch(Dispatch::Caller).parts();
        let (held, changed, pulls) = (Mutex::default(), Mutex::new(Instant::now()), Mutex::default());
        let queue = Arc::new(Slow { inner: parts.queue.clone(), held, changed, pulls });
        Backend::new(BackendParts { queue, paired: false, take: None, ..parts })
    }
}

/// Plays the queue's scenarios side by side; returns those that fail.
async fn failures(says: Says) -> Vec<(&'static str, String)> {
    let all = scenarios::all().into_iter().filter(|scenario| scenario.subject == "queue");
    let plays: Vec<_> = all
        .map(|scenario| {
            let played = tokio::spawn(async move { played(scenario, says).await });
            (scenario.name, played)
        })
        .collect();
    let mut failures = Vec::new();
    for (name, played) in plays {
        if let Err(Broken::Failed(what)) = played.await.unwrap() {
            failures.push((name, what));
        }
    }
    failures
}

async fn played(scenario: scenarios::Scenario, says: Says) -> Outcome {
    let stage = Stage::open(Arc::new(says), Dispatch::Caller, None, scenario.name).await?;
    scenario.play(stage).await
}

/// Ample: a machine under load is slower than the queue.
const ENOUGH: Says = Says { push: 10, back: 6, depth: 10 };

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_queue_passes_if_its_fixture_says_how_slow_it_is() {
    assert_eq!(failures(ENOUGH).await, vec![]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bound_that_is_not_given_is_missed() {
    for (says, name) in [
        (Says { push: 0, ..ENOUGH }, "what_was_pushed_is_pulled"),
        (Says { back: 0, ..ENOUGH }, "what_is_not_acked_comes_back_in_time"),
        (Says { depth: 0, ..ENOUGH }, "depth_counts_what_waits"),
    ] {
        let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap();
        let outcome = played(scenario, says).await;
        assert!(matches!(outcome, Err(Broken::Failed(_))), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_fixture_that_says_nothing_needs_no_time() {
    assert_eq!(InMemory.first_pull_within() + InMemory.redelivery_within() + InMemory.depth_settles_within(), Duration::ZERO);
}
