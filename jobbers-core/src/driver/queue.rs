//! The queue: it carries ids.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::Capabilities;
use crate::error::Result;
use crate::id::{JobId, QueueName};
use crate::record::Priority;
use crate::time::Timestamp;

/// Named lines of deliveries.
///
/// It may deliver one twice, late or out of order (see [`Capability::Fifo`](super::Capability::Fifo) and
/// [`Capability::Priority`](super::Capability::Priority)), and it knows nothing of records.
///
/// # Behavior
/// - A queue delivers each pushed delivery at least once until it is acked.
#[async_trait]
pub trait Queue: Debug + Send + Sync + 'static {
    /// What it can do beyond the contract; constant over its life, no I/O.
    fn capabilities(&self) -> Capabilities;

    /// Adds deliveries at the back, or at the front.
    ///
    /// # Behavior
    /// - What was pushed is pulled, by somebody, until it is acked.
    /// - A delivery at the front comes before those that wait; a queue that can not do that adds it at the back.
    /// - On an error any part of the deliveries may have been added.
    async fn push(&self, deliveries: &[Delivery]) -> Result<()>;

    /// Takes what is there, without waiting.
    ///
    /// # Behavior
    /// - At most `pull.max` deliveries are returned, and of each queue at most the number named with it.
    /// - Queues are looked at in the order of `pull.queues`.
    /// - Nothing of another queue is returned.
    /// - A delivery that was pulled is hidden from other pulls until `pull.back_at`.
    /// - What is not acked by `pull.back_at` comes back with the first pull whose `now` is not earlier.
    /// - An empty queue, and one that nobody has pushed to, gives nothing and no error.
    /// - What one pull has given is claimed and acked in any order.
    /// - `more` says that something was left; `partial` that a part of the queue could not be reached.
    ///
    /// Cancel safe: what a dropped future had taken comes back, as after a crash.
    async fn pull(&self, pull: &Pull) -> Result<Pulled>;

    /// Returns when one of the queues may have something, at the latest after `most`.
    ///
    /// # Behavior
    /// - It returns at once, or soon, where something waits in one of `queues`, or is pushed there.
    /// - It returns at the latest after `most`.
    /// - It is a hint, wrong both ways: only a pull tells.
    ///
    /// Cancel safe: listening takes nothing, and neither does a listener that is dropped.
    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()>;

    /// Removes pulled deliveries for good.
    ///
    /// # Behavior
    /// - What is acked never comes back.
    /// - Unknown receipts, and those acked before, are ignored.
    /// - Giving a delivery back is a push at the front, then an ack.
    async fn ack(&self, receipts: &[Receipt]) -> Result<()>;

    /// Deliveries that wait in each queue, approximately, in the order asked; what is pulled and not acked may count or not.
    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>>;
}

/// A hint that a job is Ready; the stored record decides. It is dropped if that is not Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The job.
    pub id: JobId,
    /// The queue that it waits in.
    pub queue: QueueName,
    /// Its level there.
    pub priority: Priority,
    /// Which end it is added at.
    pub place: Place,
}

/// Which end of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Place {
    /// Behind those that wait.
    #[default]
    Back,
    /// Before those that wait.
    Front,
}

/// What to pull.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The queues, in order, and the most to take of each.
    pub queues: Vec<(QueueName, u32)>,
    /// The most to take in all.
    pub max: u32,
    /// The caller's time.
    pub now: Timestamp,
    /// When what is not acked comes back.
    pub back_at: Timestamp,
}

/// What was pulled.
#[derive(Debug, Clone, Default)]
pub struct Pulled {
    /// Deliveries, each with what settles it.
    pub items: Vec<(Delivery, Receipt)>,
    /// Something was left behind.
    pub more: bool,
    /// A part of the queue could not be reached.
    pub partial: bool,
}

/// Settles one delivery; opaque to all but its queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(pub Bytes);
