//! Lies about deliveries.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{Capabilities, Capability, Delivery, Place, Pull, Pulled, Queue, Receipt};
use jobbers_core::record::Priority;
use jobbers_core::{QueueName, Result};

use super::Sabotage;
use super::home::Broken;

impl Broken {
    fn twist_pull(&self, pull: &Pull) -> Pull {
        let mut pull = Pull { now: self.now(pull.now), ..pull.clone() };
        match self.sabotage {
            Some(Sabotage::QueuePrefix) => {
                let longer = |name: &QueueName| QueueName::new(&format!("{name}.bulk")).ok();
                let more: Vec<_> = pull.queues.iter().filter_map(|(name, most)| Some((longer(name)?, *most))).collect();
                pull.queues.extend(more);
            }
            Some(Sabotage::PullNotHidden) => pull.back_at = pull.now,
            _ => (),
        }
        pull
    }

    async fn twist_pulled(&self, pulled: &mut Pulled) -> Result<()> {
        match self.sabotage {
            Some(Sabotage::PullAcks) => {
                self.home.parts.queue.ack(&pulled.items.iter().map(|(_, receipt)| receipt.clone()).collect::<Vec<_>>()).await?;
            }
            Some(Sabotage::FifoClaimed) => pulled.items.reverse(),
            Some(Sabotage::PriorityClaimed) => {
                for (delivery, _) in &mut pulled.items {
                    delivery.priority = self.home.memo().priorities.get(&delivery.id).copied().unwrap_or(delivery.priority);
                }
            }
            Some(Sabotage::DroppedPullLoses) => {
                let receipts = pulled.items.iter().map(|(_, receipt)| receipt.clone()).collect();
                let mut loss = Loss { queue: self.home.parts.queue.clone(), receipts };
                tokio::task::yield_now().await;
                loss.receipts.clear();
            }
            _ => (),
        }
        Ok(())
    }
}

/// Acks what it holds when it is dropped.
struct Loss {
    queue: Arc<dyn Queue>,
    receipts: Vec<Receipt>,
}

impl Drop for Loss {
    fn drop(&mut self) {
        let ack = std::pin::pin!(self.queue.ack(&self.receipts));
        // The memory driver waits for nothing: one poll is all of it.
        let _ = ack.poll(&mut Context::from_waker(Waker::noop()));
    }
}

#[async_trait]
impl Queue for Broken {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Durable, Capability::MultiProcess]).either(self.home.parts.queue.capabilities())
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.reach("push")?;
        let mut deliveries = deliveries.to_vec();
        self.home.memo().queues.extend(deliveries.iter().map(|delivery| delivery.queue.clone()));
        match self.sabotage {
            Some(Sabotage::GivenBackIsLost) => {
                let memo = self.home.memo();
                deliveries.retain(|one| one.place == Place::Back || !memo.in_flight.iter().any(|(_, id)| *id == one.id));
            }
            Some(Sabotage::PriorityClaimed) => {
                for delivery in &mut deliveries {
                    self.home.memo().priorities.insert(delivery.id, delivery.priority);
                    delivery.priority = Priority::Normal;
                }
            }
            _ => (),
        }
        self.home.parts.queue.push(&deliveries).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        if self.is(Sabotage::CutIsEmpty) && self.home.is_cut() {
            return Ok(Pulled::default());
        }
        self.reach("pull")?;
        let mut pulled = self.home.parts.queue.pull(&self.twist_pull(pull)).await?;
        self.twist_pulled(&mut pulled).await?;
        let mut memo = self.home.memo();
        let number = memo.pulls;
        memo.pulls += 1;
        memo.places.extend(pulled.items.iter().enumerate().map(|(place, (delivery, _))| (delivery.id, (number, place))));
        memo.in_flight.extend(pulled.items.iter().map(|(delivery, receipt)| (receipt.clone(), delivery.id)));
        Ok(pulled)
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.reach("listen")?;
        self.home.parts.queue.listen(queues, most).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.reach("ack")?;
        let mut receipts = receipts.to_vec();
        {
            let mut memo = self.home.memo();
            let unknown = receipts.iter().any(|one| !memo.in_flight.iter().any(|(receipt, _)| receipt == one));
            memo.in_flight.retain(|(receipt, _)| !receipts.contains(receipt));
            match self.sabotage {
                Some(Sabotage::AckIgnored) => receipts.clear(),
                Some(Sabotage::AckTakesAnother) if unknown => receipts.extend(memo.in_flight.pop().map(|(receipt, _)| receipt)),
                _ => (),
            }
        }
        self.home.parts.queue.ack(&receipts).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        self.reach("depth")?;
        self.home.parts.queue.depth(queues).await
    }
}
