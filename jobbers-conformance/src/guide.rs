//! How to write a driver: from an empty crate to a green suite.
//!
//! # 1. The crate
//! A driver is a crate that depends on `jobbers-core`, `async-trait`, `bytes` and `tokio`, and on `jobbers-conformance` for its tests:
//!
//! ```toml
//! [dev-dependencies]
//! jobbers-conformance = "0.1"
//!
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! # 2. One of three traits
//! A backend is a queue, a store and a limiter, possibly of different drivers. Start with one of them, and borrow the others from
//! [`Memory`](jobbers_core::memory::Memory). The contract is the docs of [`driver`](jobbers_core::driver): each bullet there is the promise
//! of a scenario. This queue keeps every one of them:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! use jobbers_core::driver::{Backend, BackendParts, Capabilities, Delivery, Dispatch, Place, Pull, Pulled, Queue, Receipt};
//! use jobbers_core::memory::Memory;
//! use jobbers_core::{QueueName, Result, Timestamp};
//!
//! #[derive(Debug, Default)]
//! struct MyQueue(Mutex<Lines>);
//!
//! #[derive(Debug, Default)]
//! struct Lines {
//!     waiting: Vec<Delivery>,
//!     held: Vec<(Timestamp, Receipt, Delivery)>,
//!     pulls: u64,
//! }
//!
//! #[async_trait::async_trait]
//! impl Queue for MyQueue {
//!     // What is not claimed needs no proof: here neither order nor priorities.
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::default()
//!     }
//!
//!     async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
//!         self.0.lock().unwrap().waiting.extend_from_slice(deliveries);
//!         Ok(())
//!     }
//!
//!     async fn pull(&self, pull: &Pull) -> Result<Pulled> {
//!         let mut lines = self.0.lock().unwrap();
//!         // A queue has no clock: the caller says what time it is.
//!         let (back, held) = std::mem::take(&mut lines.held).into_iter().partition(|(back_at, ..)| *back_at <= pull.now);
//!         lines.held = held;
//!         lines.waiting.extend(Vec::into_iter(back).map(|(_, _, delivery)| delivery));
//!         let mut pulled = Pulled::default();
//!         for (queue, most) in &pull.queues {
//!             for _ in 0..*most {
//!                 let Some(at) = lines.waiting.iter().position(|one| one.queue == *queue) else { break };
//!                 if pulled.items.len() == pull.max as usize {
//!                     break;
//!                 }
//!                 let delivery = lines.waiting.remove(at);
//!                 lines.pulls += 1;
//!                 let receipt = Receipt(lines.pulls.to_string().into());
//!                 lines.held.push((pull.back_at, receipt.clone(), delivery.clone()));
//!                 pulled.items.push((delivery, receipt));
//!             }
//!             pulled.more |= lines.waiting.iter().any(|one| one.queue == *queue);
//!         }
//!         Ok(pulled)
//!     }
//!
//!     async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
//!         let mut left = most;
//!         while !self.0.lock().unwrap().waiting.iter().any(|one| queues.contains(&one.queue)) && !left.is_zero() {
//!             let nap = left.min(Duration::from_millis(20));
//!             tokio::time::sleep(nap).await;
//!             left -= nap;
//!         }
//!         Ok(())
//!     }
//!
//!     async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
//!         self.0.lock().unwrap().held.retain(|(_, receipt, _)| !receipts.contains(receipt));
//!         Ok(())
//!     }
//!
//!     async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
//!         let lines = self.0.lock().unwrap();
//!         Ok(queues.iter().map(|queue| lines.waiting.iter().filter(|one| one.queue == *queue).count() as u64).collect())
//!     }
//! }
//!
//! /// The queue, with store and limiter of the memory driver: the store never enqueues, its caller pushes.
//! fn open(memory: Memory) -> Result<Backend> {
//!     let parts = memory.dispatch(Dispatch::Caller).parts();
//!     Backend::new(BackendParts { name: "mine", queue: Arc::new(MyQueue::default()), paired: false, take: None, ..parts })
//! }
//! # // What the guide says is true: all scenarios hold for this queue.
//! # use jobbers_conformance::{Broken, Capability, Fixture, Opening, Stage, scenarios};
//! # struct MyFixture;
//! # #[async_trait::async_trait]
//! # impl Fixture for MyFixture {
//! #     fn name(&self) -> &'static str { "mine" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::of(&[Capability::List]) }
//! #     async fn open(&self, opening: &Opening) -> Result<Backend> { open(opening.memory()) }
//! # }
//! # let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! #     for scenario in scenarios::all().into_iter().filter(|one| one.subject == "queue") {
//! #         let stage = Stage::open(Arc::new(MyFixture), Dispatch::Caller, None, scenario.name).await.unwrap();
//! #         let outcome = scenario.play(stage).await;
//! #         assert!(!matches!(outcome, Err(Broken::Failed(_))), "{scenario:?}: {outcome:?}");
//! #     }
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 3. The test
//! `tests/conformance.rs` says how the suite opens the driver, and what it claims:
//!
//! ```
//! use jobbers_conformance::{Backend, Capabilities, Capability, Fixture, Opening};
//! # mod mine {
//! #     pub fn open(memory: jobbers_core::memory::Memory) -> jobbers_core::Result<jobbers_core::driver::Backend> { Ok(memory.open()) }
//! # }
//!
//! struct MyFixture;
//!
//! #[async_trait::async_trait]
//! impl Fixture for MyFixture {
//!     fn name(&self) -> &'static str {
//!         "mine"
//!     }
//!
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::of(&[Capability::List])
//!     }
//!
//!     async fn open(&self, opening: &Opening) -> jobbers_core::Result<Backend> {
//!         mine::open(opening.memory())
//!     }
//! }
//!
//! # fn suite() {
//! jobbers_conformance::run(MyFixture)
//! # }
//! ```
//!
//! `cargo test --test conformance` plays every scenario, each on a namespace of its own. A failure quotes the promise and says what was
//! seen. A skip says why; with `JOBBERS_CONFORMANCE_STRICT=1` a server that is not there is a failure. A driver of a server names the
//! variable of its URL in [`Fixture::url_variable`](crate::Fixture::url_variable); one of files opens
//! [`Opening::scratch`](crate::Opening::scratch).
//!
//! # 4. What needs time, and what survives
//! A driver that needs time says how much; what it can be put through, the suite does:
//!
//! ```
//! # use jobbers_conformance::{Backend, Capabilities, Fixture, InMemory, Opening};
//! # use jobbers_core::Result;
//! # use std::time::Duration;
//! # struct MyFixture;
//! #[async_trait::async_trait]
//! impl Fixture for MyFixture {
//! #     fn name(&self) -> &'static str { "mine" }
//! #     fn capabilities(&self) -> Capabilities { InMemory.capabilities() }
//! #     async fn open(&self, opening: &Opening) -> Result<Backend> { InMemory.open(opening).await }
//!     fn first_pull_within(&self) -> Duration {
//!         Duration::from_secs(3)
//!     }
//!
//!     async fn reopen(&self, backend: Backend, opening: &Opening) -> Result<Option<Backend>> {
//!         drop(backend);
//!         self.open(opening).await.map(Some)
//!     }
//! }
//! # assert_eq!(MyFixture.first_pull_within(), Duration::from_secs(3));
//! ```
//!
//! # 5. A store
//! The rules of a commit are one pure function, [`apply`](jobbers_core::driver::apply): a store that can run code where its data lies
//! loads, asks it, and writes the answer as one step. Then random histories compare the store with the memory driver, step by step:
//!
//! ```
//! use jobbers_conformance::InMemory;
//! use jobbers_conformance::differential::{Amount, Way, play};
//!
//! // In the place of the second stands the driver under test.
//! play(&Way::own(InMemory), &Way::composed(InMemory), &Amount { seeds: vec![1, 2], steps: 200 }).unwrap();
//! ```
//!
//! A whole driver in one file, a queue over a plain directory, is in `examples/custom-driver` of the repository.
