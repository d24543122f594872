//! Whether this user may write, seen when a backend is opened and not at its first push; nothing is written for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jobbers_core::{Error, ErrorKind, Result};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::statistics::Statistics;

use crate::client::Closing;
use crate::config::OP;
use crate::fault;
use crate::properties;
use crate::pulse::Pulse;
use crate::topic;
use crate::url::Target;

/// How long a broker may take to tell: one that fails over just now tells nothing, and the first push will.
const TELL_WITHIN: Duration = Duration::from_secs(3);
/// How often the library is asked whether it was told; the pause between two looks at that.
const LOOK: Duration = Duration::from_millis(20);
/// Larger records are not made to be refused.
const REFUSED_BYTES_MAX: usize = 2 << 20;

/// A topic that is there, and the bytes that a batch in it may have.
pub(crate) type Limit = (String, usize);

/// Hears that a producer has its number.
#[derive(Clone)]
struct Ears {
    pulse: Pulse,
    numbered: Arc<AtomicBool>,
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.pulse.log(level, facility, text);
    }

    fn stats(&self, statistics: Statistics) {
        if statistics.eos.is_some_and(|eos| eos.producer_id >= 0) {
            self.numbered.store(true, Ordering::Release);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka: a producer that asks for rights reports");
    }
}

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    May,
    MayNot,
    Nothing,
}

/// Refuses a user who may not write.
///
/// Without a topic it asks what every producer has to ask: for a number, which a broker gives to who may write to any topic. With one it sends
/// that a record which is too large by a byte: a broker looks at the right before it looks at the size, and keeps it in neither case.
pub(crate) async fn may_write(target: &Arc<Target>, pulse: &Pulse, topic: Option<Limit>) -> Result<()> {
    let topic = topic.filter(|(_, bytes)| *bytes < REFUSED_BYTES_MAX);
    let mut config = properties::of_producer(&target.brokers, &target.config);
    config.set("statistics.interval.ms", LOOK.as_millis().to_string()).set("compression.type", "none");
    config.set("message.timeout.ms", TELL_WITHIN.as_millis().to_string());
    config.set("message.max.bytes", (2 * REFUSED_BYTES_MAX).to_string());
    let ears = Ears { pulse: pulse.clone(), numbered: Arc::default() };
    let made = FutureProducer::from_config_and_context(&config, ears.clone());
    let at = fault::At { op: OP, brokers: &target.brokers, what: "a producer" };
    let client = Closing::new(made.map_err(|error| fault::of(at, &error, fault::Applied::No))?);
    let producer = client.get();
    let told = match &topic {
        Some((name, bytes)) => told_by_topic(&producer, name, *bytes).await,
        None => told_by_number(&producer, &ears.numbered).await,
    };
    match told {
        Told::MayNot => Err(refused(target, topic.map(|(name, _)| name))),
        Told::May => Ok(()),
        Told::Nothing => {
            tracing::warn!("kafka: nobody said within {TELL_WITHIN:?} whether this user may write; the first push will say it");
            Ok(())
        }
    }
}

fn fatal(producer: &FutureProducer<Ears>) -> Option<Told> {
    let (code, _) = producer.client().fatal_error()?;
    let may_not = matches!(code, Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed);
    Some(if may_not { Told::MayNot } else { Told::Nothing })
}

async fn told_by_number(producer: &FutureProducer<Ears>, numbered: &AtomicBool) -> Told {
    let start = Instant::now();
    while start.elapsed() < TELL_WITHIN {
        if let Some(told) = fatal(producer) {
            return told;
        }
        if numbered.load(Ordering::Acquire) {
            return Told::May;
        }
        tokio::time::sleep(LOOK).await;
    }
    Told::Nothing
}

async fn told_by_topic(producer: &FutureProducer<Ears>, topic: &str, bytes: usize) -> Told {
    let record = vec![0; bytes + 1];
    let answer = match producer.send_result(FutureRecord::<(), [u8]>::to(topic).payload(&record)) {
        Ok(sent) => tokio::time::timeout(TELL_WITHIN, sent).await,
        Err(_) => return Told::Nothing,
    };
    let Ok(Ok(Err((error, _)))) = answer else { return fatal(producer).unwrap_or(Told::Nothing) };
    match fault::code(&error) {
        Code::TopicAuthorizationFailed => Told::MayNot,
        Code::MessageSizeTooLarge => Told::May,
        _ => fatal(producer).unwrap_or(Told::Nothing),
    }
}

/// What is missing, and the command that gives it.
fn refused(target: &Target, topic: Option<String>) -> Error {
    let start = topic::start(&target.config);
    let user = target.config.properties.iter().rev().find(|(name, _)| name == "sasl.username").map_or("NAME", |(_, value)| value.as_str());
    let what = topic.map_or_else(|| format!("topics {start}*"), |topic| format!("topic {topic}"));
    let why = format!(
        "{what} at kafka {brokers}: its user has not the right Write; give it: kafka-acls.sh --bootstrap-server {brokers} --add \
         --allow-principal User:{user} --operation Describe --operation Write --topic {start} --resource-pattern-type prefixed",
        brokers = target.brokers
    );
    Error::new(ErrorKind::Invalid, OP, why)
}
