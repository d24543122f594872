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
/// A number of copies to wait for that brokers have refused since 0.9: they know none, one and all.
const REFUSED_ACKS: &str = "2";

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
/// that a record whose way of acknowledging no broker takes: it looks at the right before it looks at that, and keeps nothing in either case.
pub(crate) async fn may_write(target: &Arc<Target>, pulse: &Pulse, topic: Option<String>) -> Result<()> {
    let mut config = properties::of_producer(&target.brokers, &target.config);
    config.set("statistics.interval.ms", LOOK.as_millis().to_string());
    config.set("message.timeout.ms", TELL_WITHIN.as_millis().to_string());
    if topic.is_some() {
        config.set("enable.idempotence", "false").set("acks", REFUSED_ACKS);
    }
    let ears = Ears { pulse: pulse.clone(), numbered: Arc::default() };
    let made = FutureProducer::from_config_and_context(&config, ears.clone());
    let at = fault::At { op: OP, brokers: &target.brokers, what: "a producer" };
    let client = Closing::new(made.map_err(|error| fault::of(at, &error, fault::Applied::No))?);
    let producer = client.get();
    let told = match &topic {
        Some(name) => told_by_topic(&producer, name).await,
        None => told_by_number(&producer, &ears.numbered).await,
    };
    match told {
        Told::MayNot => Err(refused(target, topic)),
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

async fn told_by_topic(producer: &FutureProducer<Ears>, topic: &str) -> Told {
    let answer = match producer.send_result(FutureRecord::<(), str>::to(topic).payload("may I?")) {
        Ok(sent) => tokio::time::timeout(TELL_WITHIN, sent).await,
        Err(_) => return Told::Nothing,
    };
    let Ok(Ok(answer)) = answer else { return Told::Nothing };
    match answer.map_err(|(error, _)| fault::code(&error)) {
        Err(Code::TopicAuthorizationFailed) => Told::MayNot,
        // A broker that takes it has a record that is no delivery, and is skipped.
        Err(Code::InvalidRequiredAcks) | Ok(_) => Told::May,
        Err(_) => Told::Nothing,
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
