//! The queue: topics on the cluster, and what this process has read of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobbers_core::driver::{Capabilities, Delivery, Pull, Pulled, Queue, Receipt};
use jobbers_core::{QueueName, Result};

use crate::intake::queues_of;
use crate::keeper::Asked;
use crate::lag;
use crate::poll::Reader;
use crate::produce::Producer;
use crate::topic;
use crate::topics::Topics;

/// How long the end of a queue waits until its consumer has left the group: its partitions are somebody else's at once then. A broker that is
/// gone keeps nobody longer.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// The queue of a Kafka backend.
#[derive(Debug)]
pub(crate) struct KafkaQueue {
    pub(crate) capabilities: Capabilities,
    pub(crate) topics: Topics,
    pub(crate) producer: Producer,
    pub(crate) reader: Arc<Reader>,
    pub(crate) asked: Arc<Asked>,
    /// The keeper lives as long as this.
    pub(crate) alive: Arc<()>,
}

impl KafkaQueue {
    /// Reads these queues from now on. A queue that was not asked for before is looked for, so that what can not be read is an error.
    async fn reads(&self, op: &'static str, queues: &[QueueName]) -> Result<()> {
        let new = self.asked.name(queues);
        if new.is_empty() {
            return Ok(());
        }
        let config = &self.reader.target.config;
        let topics: Vec<String> = topic::lines(&new, config).iter().map(|line| line.topic(config)).collect();
        self.topics.look(op, &topics).await?;
        self.asked.add(&new);
        self.reader.want(topic::lines(&self.asked.queues(), config).iter().map(|line| line.topic(config)));
        Ok(())
    }
}

#[async_trait]
impl Queue for KafkaQueue {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        self.producer.push(deliveries).await
    }

    async fn pull(&self, pull: &Pull) -> Result<Pulled> {
        let op = "pull deliveries";
        let queues = queues_of(pull);
        self.reads(op, &queues).await?;
        // Nothing is awaited from here on: what is taken is returned.
        let pulled = self.reader.intake.pull(pull, self.reader.target.config.bands);
        let nothing = pulled.items.is_empty() && pull.max > 0;
        self.asked.got(&queues, nothing);
        match self.reader.pulse.error(op, &self.reader.target.brokers).filter(|_| nothing) {
            Some(error) => Err(error),
            None => Ok(pulled),
        }
    }

    async fn listen(&self, queues: &[QueueName], most: Duration) -> Result<()> {
        let listening = async {
            self.reads("listen for deliveries", queues).await?;
            let lines = topic::lines(queues, &self.reader.target.config);
            loop {
                // Made before the look: what is added during it counts.
                let news = self.reader.intake.news.notified();
                if self.reader.intake.any(&lines) {
                    return Ok(());
                }
                news.await;
            }
        };
        tokio::time::timeout(most, listening).await.unwrap_or(Ok(()))
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<()> {
        self.reader.intake.ack(receipts);
        Ok(())
    }

    async fn depth(&self, queues: &[QueueName]) -> Result<Vec<u64>> {
        let op = "count deliveries";
        let config = &self.reader.target.config;
        let mut topics = Vec::new();
        for line in topic::lines(queues, config) {
            let topic = line.topic(config);
            let partitions = match self.topics.partitions(&topic) {
                Some(partitions) => Some(partitions),
                None => self.topics.shape(op, &topic).await?.0.map(|shape| shape.partitions),
            };
            topics.extend(partitions.map(|partitions| (topic, partitions)));
        }
        let lags = lag::of(&self.topics.idle, op, &topics).await?;
        let of = |queue: &QueueName| {
            let lines = topic::lines([queue], config);
            let topics: Vec<String> = lines.iter().map(|line| line.topic(config)).collect();
            lags.iter().filter(|lag| topics.contains(&lag.topic)).map(lag::Lag::count).sum()
        };
        Ok(queues.iter().map(of).collect())
    }
}

impl Drop for KafkaQueue {
    fn drop(&mut self) {
        self.reader.end(LEAVE_WITHIN);
    }
}
