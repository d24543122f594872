//! Around a queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::check;
use super::observer::Observer;
use crate::driver::{Capabilities, Delivery, Pull, Pulled, Queue, Receipt};
use crate::error::Result;
use crate::id::QueueName;

#[derive(Debug)]
pub(super) struct Checked {
    pub(super) inner: Arc<dyn Queue>,
    pub(super) observer: Observer,
}

#[async_trait]
impl Queue for Checked {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        if deliveries.is_empty() {
            return Ok(());
        }
        self.observer.call("push", deliveries.len(), self.inner.push(deliveries)).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        check::pull("pull deliveries", pull)?;
        if pull.queues.is_empty() {
            return Ok(Pulled::default());
        }
        self.observer.call("pull", pull.max as usize, self.inner.pull(pull)).await
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        self.observer.call("listen", queues.len(), self.inner.listen(queues, most)).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        if receipts.is_empty() {
            return Ok(());
        }
        self.observer.call("ack", receipts.len(), self.inner.ack(receipts)).await
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        self.observer.call("depth", queues.len(), self.inner.depth(queues)).await
    }
}
