//! The producer: ids go to topics, each to a partition at random.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::driver::Delivery;
use jobbers_core::record::Priority;
use jobbers_core::{Error, ErrorKind, JobId, Result};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use crate::client::Closing;
use crate::config::OP;
use crate::fault::{self, Applied, At};
use crate::properties;
use crate::pulse::Pulse;
use crate::topic::{self, Line};
use crate::topics::Topics;

const PUSH: &str = "push deliveries";
/// The version of what a record holds. A reader skips none: what it can not decode is reported.
const VERSION: &str = "1";
/// How long a push waits for room before it looks again; its own records leave within some milliseconds.
const ROOM_PAUSE: Duration = Duration::from_millis(5);

/// One shared idempotent producer. A fatal error ends it for good; another takes its place.
pub(crate) struct Producer {
    topics: Topics,
    client: Closing<FutureProducer<Pulse>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Producer({:?})", self.topics)
    }
}

fn make(topics: &Topics) -> Result<FutureProducer<Pulse>> {
    let target = &topics.idle.target;
    let config = properties::of_producer(&target.brokers, &target.config);
    let at = At { op: OP, brokers: &target.brokers, what: "a producer" };
    FutureProducer::from_config_and_context(&config, topics.idle.pulse.clone()).map_err(|error| fault::of(at, &error, Applied::No))
}

impl Producer {
    pub(crate) fn new(topics: Topics) -> Result<Producer> {
        let client = Closing::new(make(&topics)?);
        Ok(Producer { topics, client })
    }

    /// Pushes; answers once the brokers have all of them.
    pub(crate) async fn push(&self, deliveries: &[Delivery]) -> Result<()> {
        let config = &self.topics.idle.target.config;
        let mut names: Vec<(Line, String)> = Vec::new();
        let mut of = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let band = topic::band_of(delivery.priority, config);
            let known = names.iter().position(|(line, _)| line.band == band && line.queue == delivery.queue);
            of.push(known.unwrap_or_else(|| {
                let line = Line { queue: delivery.queue.clone(), band };
                let name = line.topic(config);
                names.push((line, name));
                names.len() - 1
            }));
        }
        let all: Vec<String> = names.iter().map(|(_, topic)| topic.clone()).collect();
        self.topics.ensure(PUSH, &all).await?;
        let producer = self.client.get();
        let mut sent = Vec::with_capacity(deliveries.len());
        for (delivery, at) in deliveries.iter().zip(of) {
            sent.push((at, self.send(&producer, &names[at].1, delivery).await?));
        }
        let mut trouble = None;
        for (at, sent) in sent {
            match sent.await {
                Ok(Ok(_)) => (),
                Ok(Err((error, _))) => trouble = Some((at, error)),
                Err(_) => trouble = Some((at, KafkaError::Canceled)),
            }
        }
        match trouble {
            None => Ok(()),
            Some((at, error)) => Err(self.failed(&producer, &names[at].1, error).await),
        }
    }

    /// Hands one record to the library; waits while there is no room.
    async fn send(&self, producer: &Arc<FutureProducer<Pulse>>, topic: &str, delivery: &Delivery) -> Result<DeliveryFuture> {
        let (id, start) = (delivery.id.to_string(), Instant::now());
        let mut record = FutureRecord::<(), str>::to(topic).payload(&id).headers(headers(delivery.priority));
        loop {
            match producer.send_result(record) {
                Ok(sent) => return Ok(sent),
                Err((error, back)) => {
                    let full = error.rdkafka_error_code() == Some(Code::QueueFull);
                    if !full || start.elapsed() >= self.topics.idle.target.config.push_timeout {
                        return Err(self.failed(producer, topic, error).await);
                    }
                    record = back;
                    tokio::time::sleep(ROOM_PAUSE).await;
                }
            }
        }
    }

    /// What a failed record means, and what is done about it.
    async fn failed(&self, producer: &Arc<FutureProducer<Pulse>>, topic: &str, error: KafkaError) -> Error {
        let idle = &self.topics.idle;
        let (brokers, what) = (&idle.target.brokers, format!("topic {topic}"));
        let at = At { op: PUSH, brokers, what: &what };
        if let Some((code, why)) = producer.client().fatal_error() {
            if Arc::ptr_eq(producer, &self.client.get()) {
                match make(&self.topics) {
                    Ok(again) => self.client.replace(again),
                    Err(error) => return error,
                }
                tracing::warn!(%code, why, "kafka: the producer had a fatal error, and another takes its place");
            }
            if matches!(code, Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed) {
                // Who may write to no topic at all is refused as a producer already.
                let error = KafkaError::MessageProduction(Code::TopicAuthorizationFailed);
                return fault::of(at, &error, Applied::No);
            }
            let context = format!("{what} at kafka {brokers}: the producer had a fatal error and was replaced; push again");
            return Error::new(ErrorKind::Unavailable, PUSH, context).with_source(why).with_outcome_unknown();
        }
        let code = fault::code(&error);
        // The library says no more than that of a topic that has gone; whoever pushes again makes it. While the brokers do not answer it stays
        // known: a push then says that nobody knows what became of it, and not that its topic could not be looked at.
        if matches!(code, Code::MessageTimedOut | Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
            && let Ok((None, _)) = self.topics.shape(PUSH, topic).await
        {
            self.topics.forget(topic);
            return fault::of(at, &KafkaError::MessageProduction(Code::UnknownTopicOrPartition), Applied::Perhaps);
        }
        fault::of(at, &error, Applied::Perhaps)
    }
}

fn headers(priority: Priority) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(2).insert(Header { key: "v", value: Some(VERSION) });
    if priority == Priority::Normal {
        return headers;
    }
    let level = Priority::ALL.iter().position(|one| *one == priority).unwrap_or_default();
    headers.insert(Header { key: "p", value: Some(&[b'0' + u8::try_from(level).unwrap_or_default()]) })
}

/// Reads a record; `None` if it is none of ours.
pub(crate) fn decode(record: &impl Message) -> Option<(JobId, Priority)> {
    let id: JobId = std::str::from_utf8(record.payload()?).ok()?.parse().ok()?;
    let mut priority = Priority::Normal;
    if let Some(headers) = record.headers() {
        for header in headers.iter() {
            match (header.key, header.value) {
                ("v", Some(version)) if version != VERSION.as_bytes() => return None,
                ("p", Some([level])) => priority = *Priority::ALL.get(usize::from(level.wrapping_sub(b'0')))?,
                _ => (),
            }
        }
    }
    Some((id, priority))
}

#[cfg(test)]
mod tests {
    use jobbers_core::RunId;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn record(payload: &str, headers: Option<OwnedHeaders>) -> OwnedMessage {
        OwnedMessage::new(Some(payload.into()), None, "t".into(), Timestamp::NotAvailable, 0, 0, headers)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let id = JobId::new(RunId::from_u128(7), 17);
        for priority in Priority::ALL {
            assert_eq!(decode(&record(&id.to_string(), Some(headers(priority)))), Some((id, priority)));
        }
        assert_eq!(decode(&record(&id.to_string(), None)), Some((id, Priority::Normal)), "as kcat would write it");
    }

    #[test]
    fn a_record_of_somebody_else_is_none() {
        let newer = OwnedHeaders::new().insert(Header { key: "v", value: Some("2") });
        let id = JobId::from(RunId::from_u128(7)).to_string();
        for foreign in [record("hello", None), record("", None), record(&id, Some(newer))] {
            assert_eq!(decode(&foreign), None);
        }
    }
}
