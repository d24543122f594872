//! The queue: lines of deliveries, and what was pulled and not acked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::Shared;
use super::listen::first_of;
use crate::driver::{Capabilities, Capability, Delivery, Place, Pull, Pulled, Queue, Receipt};
use crate::error::Result;
use crate::id::{JobId, QueueName};
use crate::record::Priority;
use crate::time::Timestamp;

/// The queue of a memory backend.
#[derive(Debug)]
pub(super) struct MemoryQueue(pub(super) Arc<Shared>);

#[async_trait]
impl Queue for MemoryQueue {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Priority, Capability::Fifo])
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.0.step(|state, bells| deliveries.iter().for_each(|delivery| state.lines.push(delivery, bells)));
        Ok(())
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        Ok(self.0.lock().lines.pull(pull))
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        let bells = {
            let mut state = self.0.lock();
            queues.iter().map(|queue| state.lines.line(queue).bell.clone()).collect::<Vec<_>>()
        };
        let waits = || {
            let state = self.0.lock();
            queues.iter().any(|queue| state.lines.depth(queue) > 0)
        };
        // Whether it rang or `most` is over makes no difference: only a pull tells.
        let _ = tokio::time::timeout(most, first_of(&bells, waits)).await;
        Ok(())
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        let mut state = self.0.lock();
        receipts.iter().for_each(|receipt| state.lines.ack(receipt));
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        let state = self.0.lock();
        Ok(queues.iter().map(|queue| state.lines.depth(queue)).collect())
    }
}

/// Bells to ring once the lock is given back: one ring a delivery, so that a push of n wakes at most n listeners.
#[derive(Debug, Default)]
pub(super) struct Bells(Vec<Arc<Notify>>);

impl Bells {
    pub(super) fn ring(self) {
        self.0.iter().for_each(|bell| bell.notify_one());
    }
}

/// Every queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    lines: HashMap<QueueName, Line>,
    /// Pulled and not acked, by receipt.
    pulled: HashMap<u64, Hidden>,
    /// When each of those comes back.
    back: BTreeSet<(Timestamp, u64)>,
    last_receipt: u64,
}

/// One queue. A delivery's place is a number that grows from front to back, and that it keeps while it is pulled.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    levels: [BTreeMap<i64, (JobId, Place)>; Priority::ALL.len()],
    front: i64,
    back: i64,
    bell: Arc<Notify>,
}

#[derive(Debug, Clone)]
struct Hidden {
    delivery: Delivery,
    place: i64,
    back_at: Timestamp,
}

impl Line {
    fn first(&mut self) -> Option<(Priority, i64, JobId, Place)> {
        Priority::ALL.into_iter().find_map(|priority| {
            let (place, (id, end)) = self.levels[priority as usize].pop_first()?;
            Some((priority, place, id, end))
        })
    }
}

impl Lines {
    fn line(&mut self, queue: &QueueName) -> &mut Line {
        self.lines.entry(queue.clone()).or_default()
    }

    pub(super) fn depth(&self, queue: &QueueName) -> u64 {
        self.lines.get(queue).map_or(0, |line| line.levels.iter().map(|level| level.len() as u64).sum())
    }

    /// Keeps the bells of other lines, and rings them: who listens there hears of what is here now.
    pub(super) fn keep_bells(&mut self, other: &Lines) {
        for (queue, line) in &other.lines {
            self.line(queue).bell = line.bell.clone();
            line.bell.notify_one();
        }
    }

    /// Adds one delivery.
    pub(super) fn push(&mut self, delivery: &Delivery, bells: &mut Bells) {
        let line = self.line(&delivery.queue);
        let place = match delivery.place {
            Place::Back => {
                line.back += 1;
                line.back
            }
            Place::Front => {
                line.front -= 1;
                line.front
            }
        };
        line.levels[delivery.priority as usize].insert(place, (delivery.id, delivery.place));
        bells.0.push(line.bell.clone());
    }

    fn pull(&mut self, pull: &Pull) -> Pulled {
        self.return_until(pull.now);
        let mut pulled = Pulled::default();
        for (queue, most) in &pull.queues {
            for _ in 0..*most {
                if pulled.items.len() >= pull.max as usize {
                    break;
                }
                let Some((delivery, place)) = self.pop(queue) else { break };
                let receipt = self.hide(delivery.clone(), place, pull.back_at);
                pulled.items.push((delivery, receipt));
            }
        }
        pulled.more = pull.queues.iter().any(|(queue, _)| self.depth(queue) > 0);
        pulled
    }

    /// Takes the first delivery of a queue, and its place there.
    pub(super) fn pop(&mut self, queue: &QueueName) -> Option<(Delivery, i64)> {
        let (priority, place, id, end) = self.lines.get_mut(queue)?.first()?;
        Some((Delivery { id, queue: queue.clone(), priority, place: end }, place))
    }

    /// Keeps a delivery that was taken from `place`, until it is acked or `back_at` comes.
    pub(super) fn hide(&mut self, delivery: Delivery, place: i64, back_at: Timestamp) -> Receipt {
        self.last_receipt += 1;
        self.pulled.insert(self.last_receipt, Hidden { delivery, place, back_at });
        self.back.insert((back_at, self.last_receipt));
        Receipt(Bytes::copy_from_slice(&self.last_receipt.to_be_bytes()))
    }

    /// Puts back, at their old places, what nobody acked in time.
    pub(super) fn return_until(&mut self, now: Timestamp) {
        while let Some((back_at, receipt)) = self.back.first().copied().filter(|(back_at, _)| *back_at <= now) {
            self.back.remove(&(back_at, receipt));
            let hidden = self.pulled.remove(&receipt).expect("each time belongs to a receipt");
            let Delivery { id, queue, priority, place } = hidden.delivery;
            self.line(&queue).levels[priority as usize].insert(hidden.place, (id, place));
        }
    }

    fn ack(&mut self, receipt: &Receipt) {
        let Ok(number) = receipt.0.as_ref().try_into().map(u64::from_be_bytes) else { return };
        if let Some(hidden) = self.pulled.remove(&number) {
            self.back.remove(&(hidden.back_at, number));
        }
    }
}
