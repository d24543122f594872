//! Topics: made, looked for, and checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobbers_core::{Error, ErrorKind, Result};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;

use crate::client::{ANSWER_WITHIN, Closing, Idle};
use crate::config::{Create, OP};
use crate::fault::{self, Applied, At};
use crate::properties;
use crate::pulse::Pulse;

/// How long what was pushed is kept: a worker that is away for longer gets its jobs again from the store.
const RETENTION_MILLIS: &str = "259200000";
/// The pause between two looks for a topic that was made a moment ago; where its settings are asked for, the first one.
const NEW_TOPIC_PAUSE: Duration = Duration::from_millis(10);
/// Within that every broker has heard of a topic that was made.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// Topics asked for in one call.
const TOPICS_COUNT_MAX: usize = 100;

/// The topics of a namespace.
#[derive(Clone)]
pub(crate) struct Topics {
    pub(crate) idle: Idle,
    admin: Arc<Closing<AdminClient<Pulse>>>,
    /// Those that were there and as they should be, with their partitions.
    known: Arc<Mutex<HashMap<String, i32>>>,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Topics({:?})", self.idle.target)
    }
}

/// What a topic is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) partitions: i32,
    pub(crate) copies: i32,
}

impl Topics {
    pub(crate) fn new(idle: Idle) -> Result<Topics> {
        let target = &idle.target;
        let config = properties::of_admin(&target.brokers, &target.config);
        let at = At { op: OP, brokers: &target.brokers, what: "a client" };
        let made = AdminClient::from_config_and_context(&config, idle.pulse.clone()).map_err(|error| fault::of(at, &error, Applied::No))?;
        Ok(Topics { admin: Arc::new(Closing::new(made)), idle, known: Arc::default() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, i32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a topic: the next [`ensure`](Topics::ensure) looks for it.
    pub(crate) fn forget(&self, topic: &str) {
        self.known().remove(topic);
    }

    /// The partitions of a topic that is known.
    pub(crate) fn partitions(&self, topic: &str) -> Option<i32> {
        self.known().get(topic).copied()
    }

    /// Makes sure that these are there; asks the cluster only about those that were never seen.
    pub(crate) async fn ensure(&self, op: &'static str, topics: &[String]) -> Result<()> {
        let unseen: Vec<String> = {
            let known = self.known();
            topics.iter().filter(|topic| !known.contains_key(*topic)).cloned().collect()
        };
        self.look(op, &unseen).await
    }

    /// Looks for these topics, whether they were seen or not; makes those that are missing, if it may.
    pub(crate) async fn look(&self, op: &'static str, topics: &[String]) -> Result<()> {
        for some in topics.chunks(TOPICS_COUNT_MAX) {
            let mut missing = Vec::new();
            let mut fresh = Vec::new();
            let mut brokers = 1;
            for topic in some {
                let (shape, alive) = self.shape(op, topic).await?;
                brokers = alive;
                match shape {
                    Some(shape) if self.known().insert(topic.clone(), shape.partitions).is_none() => fresh.push((topic.clone(), shape)),
                    Some(_) => (),
                    None => missing.push(topic.clone()),
                }
            }
            for (topic, shape) in fresh {
                self.check(op, &topic, shape).await.inspect_err(|_| self.forget(&topic))?;
            }
            self.make(op, &missing, brokers).await?;
        }
        Ok(())
    }

    /// What the topic is like, if it exists, and how many brokers there are.
    pub(crate) async fn shape(&self, op: &'static str, topic: &str) -> Result<(Option<Shape>, usize)> {
        let metadata = self.idle.metadata(op, topic, ANSWER_WITHIN).await?;
        let brokers = metadata.brokers().len();
        let Some(found) = metadata.topics().iter().find(|one| one.name() == topic) else { return Ok((None, brokers)) };
        match found.error() {
            None => (),
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok((None, brokers)),
            // It was made a moment ago: its leaders are being chosen.
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => (),
            Some(error) => {
                let at = At { op, brokers: &self.idle.target.brokers, what: &format!("topic {topic}") };
                return Err(fault::of(at, &KafkaError::MetadataFetch(error.into()), Applied::No));
            }
        }
        let partitions = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
        let copies = found.partitions().iter().map(|one| one.replicas().len()).min().unwrap_or(0);
        Ok((Some(Shape { partitions, copies: i32::try_from(copies).unwrap_or(0) }), brokers))
    }

    async fn make(&self, op: &'static str, missing: &[String], brokers: usize) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let config = &self.idle.target.config;
        let (copies, in_sync) = config.copies(brokers);
        if config.create == Create::Never {
            let advice = command(&missing[0], config.partitions, copies, in_sync, &self.idle.target.brokers);
            let why = format!("topic {} does not exist, and create_topics is never; make it: {advice}", missing[0]);
            return Err(Error::new(ErrorKind::NotFound, op, why));
        }
        let in_sync = in_sync.to_string();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|topic| {
                settings(&in_sync)
                    .into_iter()
                    .fold(NewTopic::new(topic, config.partitions, TopicReplication::Fixed(copies)), |new, (name, value)| {
                        new.set(name, value)
                    })
            })
            .collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).operation_timeout(Some(ANSWER_WITHIN));
        let admin = self.admin.get();
        let made = admin.create_topics(&new, &options).await;
        let at = |what| At { op, brokers: &self.idle.target.brokers, what };
        for result in made.map_err(|error| fault::of(at("new topics"), &error, Applied::No))? {
            match result {
                // Somebody else was faster.
                Ok(topic) | Err((topic, Code::TopicAlreadyExists)) => {
                    self.known().insert(topic, config.partitions);
                }
                Err((topic, code)) => {
                    return Err(unmade(at(&format!("new topic {topic}")), code));
                }
            }
        }
        // Brokers hear of new topics one after the other; whoever subscribes too early waits for the next look at them.
        let start = Instant::now();
        for topic in missing {
            while self.shape(op, topic).await?.0.is_none() && start.elapsed() < ANSWER_WITHIN {
                tokio::time::sleep(NEW_TOPIC_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Refuses a topic that would lose jobs, with the command that mends it.
    async fn check(&self, op: &'static str, topic: &str, shape: Shape) -> Result<()> {
        let Some(config) = self.described(topic).await else { return Ok(()) };
        let value = |name: &str| config.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
        let mut wrong: BTreeMap<&str, String> = BTreeMap::new();
        if value("message.timestamp.type") != "LogAppendTime" {
            wrong.insert("message.timestamp.type=LogAppendTime", "it takes the senders' clocks, which may be wrong".into());
        }
        if value("cleanup.policy") != "delete" {
            wrong.insert("cleanup.policy=delete", "compaction would remove deliveries".into());
        }
        if value("min.insync.replicas").parse::<i32>().is_ok_and(|least| least > shape.copies) {
            wrong.insert("min.insync.replicas=1", format!("it asks for more copies in sync than its {}", shape.copies));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let settings: Vec<&str> = wrong.keys().copied().collect();
        let why: Vec<&str> = wrong.values().map(String::as_str).collect();
        let brokers = &self.idle.target.brokers;
        let mend = format!(
            "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {topic} --add-config {}",
            settings.join(",")
        );
        Err(Error::new(ErrorKind::Invalid, op, format!("topic {topic} at kafka {brokers}: {}; mend it: {mend}", why.join(", "))))
    }

    /// What a topic's settings are; `None` if the user may not ask. The binding drops the broker's error: a topic that it may not describe, or
    /// has not heard of since it was made a moment ago, has no settings at all. The latter passes.
    pub(crate) async fn described(&self, topic: &str) -> Option<ConfigResource> {
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
        let (admin, start, mut pause) = (self.admin.get(), Instant::now(), NEW_TOPIC_PAUSE);
        loop {
            let asked = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
            match asked.map(|mut all| all.pop()) {
                Ok(Some(Ok(config))) if !config.entries.is_empty() => return Some(config),
                Ok(Some(Ok(_))) if start.elapsed() + pause < HEARD_WITHIN => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => {
                    tracing::warn!(
                        topic,
                        ?answer,
                        "kafka: the settings of a topic can not be read (DescribeConfigs), and were not checked"
                    );
                    return None;
                }
            }
        }
    }

    /// Asks whether topics like ours may be made, without making one.
    pub(crate) async fn may_make(&self, brokers: usize) -> Result<()> {
        let config = &self.idle.target.config;
        if config.create == Create::Never {
            return Ok(());
        }
        let (copies, in_sync) = config.copies(brokers);
        let (name, in_sync) = (format!("{}check.0", crate::topic::start(config)), in_sync.to_string());
        let replication = TopicReplication::Fixed(copies);
        let new = settings(&in_sync)
            .into_iter()
            .fold(NewTopic::new(&name, config.partitions, replication), |new, (key, value)| new.set(key, value));
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN)).validate_only(true);
        let asked = self.admin.get().create_topics([&new], &options).await;
        let code = match asked {
            Ok(results) => results.into_iter().find_map(|result| result.err()).map(|(_, code)| code),
            Err(error) => Some(fault::code(&error)),
        };
        match code {
            None | Some(Code::TopicAlreadyExists) => Ok(()),
            Some(code) => {
                let what = format!("new topics {}*", crate::topic::start(config));
                let at = At { op: OP, brokers: &self.idle.target.brokers, what: &what };
                let error = unmade(at, code);
                // With too few brokers just now it may succeed later.
                if code == Code::InvalidReplicationFactor {
                    let why =
                        format!("{what}: {copies} copies are asked for, and {brokers} brokers are there; start them, or say replication=");
                    return Err(Error::new(ErrorKind::Unavailable, OP, why));
                }
                Err(error)
            }
        }
    }
}

/// Why a topic was not made. A broker says that the topic is forbidden where it is the making of it that is.
fn unmade(at: At<'_>, code: Code) -> Error {
    let code = if code == Code::TopicAuthorizationFailed { Code::ClusterAuthorizationFailed } else { code };
    fault::of(at, &KafkaError::AdminOp(code), Applied::No)
}

/// The settings of topics that are made, beside partitions and copies.
fn settings(in_sync: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("min.insync.replicas", in_sync),
        ("cleanup.policy", "delete"),
        ("retention.ms", RETENTION_MILLIS),
        // A sender's wrong clock is refused otherwise, or makes retention wrong.
        ("message.timestamp.type", "LogAppendTime"),
        // A copy that lags may not lead: what was acknowledged would be gone.
        ("unclean.leader.election.enable", "false"),
    ]
}

/// The command that makes a topic as the driver would.
fn command(topic: &str, partitions: i32, copies: i32, in_sync: i32, brokers: &str) -> String {
    let in_sync = in_sync.to_string();
    let settings: Vec<String> = settings(&in_sync).iter().map(|(name, value)| format!("--config {name}={value}")).collect();
    let settings = settings.join(" ");
    format!(
        "kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions {partitions} --replication-factor {copies} {settings}"
    )
}
