//! The idle client: it asks about topics and offsets, and is in no group.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobbers_core::{Error, ErrorKind, Result};
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;

use crate::fault::{self, Applied, At};
use crate::properties;
use crate::pulse::Pulse;
use crate::url::Target;

/// How long the cluster may take to answer a question. A failover of a coordinator took 2.2 s.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl ConsumerContext for Pulse {}

/// A client whose connections carry no fetches: on one that does, each question waits behind a fetch for half a second.
#[derive(Clone)]
pub(crate) struct Idle {
    shared: Arc<Closing<BaseConsumer<Pulse>>>,
    pub(crate) target: Arc<Target>,
    pub(crate) pulse: Pulse,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idle({:?})", self.target)
    }
}

impl Idle {
    pub(crate) fn new(target: Arc<Target>, pulse: Pulse) -> Result<Idle> {
        let config = properties::of_reader(&target.brokers, &target.config);
        let at = At { op: crate::config::OP, brokers: &target.brokers, what: "a client" };
        let made = BaseConsumer::from_config_and_context(&config, pulse.clone()).map_err(|error| fault::of(at, &error, Applied::No))?;
        Ok(Idle { shared: Arc::new(Closing::new(made)), target, pulse })
    }

    /// Asks something on a thread that may block.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        op: &'static str,
        what: impl Into<String>,
        question: impl FnOnce(&BaseConsumer<Pulse>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let (client, what) = (self.shared.clone(), what.into());
        let asked = tokio::task::spawn_blocking(move || {
            let client = client.get();
            // Its events are served by whoever asks: what it has noticed since is noted.
            let _ = client.poll(Duration::ZERO);
            let answer = question(&client);
            let _ = client.poll(Duration::ZERO);
            answer
        });
        let at = At { op, brokers: &self.target.brokers, what: &what };
        match asked.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let trouble = self.pulse.current().filter(|trouble| trouble.kind != ErrorKind::Unavailable);
                let error = fault::of(at, &error, Applied::No);
                // A refused user shows as a question that nobody answers.
                Err(trouble.map_or(error, |trouble| {
                    Error::new(trouble.kind, op, format!("{what} at kafka {}: {}", self.target.brokers, trouble.text))
                }))
            }
            Err(_) => Err(Error::new(ErrorKind::Stopped, op, "the runtime has ended")),
        }
    }

    /// What the cluster says of one topic; brokers as well.
    pub(crate) async fn metadata(&self, op: &'static str, topic: &str, within: Duration) -> Result<Metadata> {
        let name = topic.to_owned();
        self.ask(op, format!("topic {topic}"), move |client| client.fetch_metadata(Some(&name), within)).await
    }

    /// The group's committed offsets.
    pub(crate) async fn committed(&self, op: &'static str, of: TopicPartitionList) -> Result<TopicPartitionList> {
        let group = crate::topic::group(&self.target.config);
        self.ask(op, format!("group {group}"), move |client| client.committed_offsets(of, ANSWER_WITHIN)).await
    }
}

/// A client whose end may take long, or hang while its broker is gone: it ends on a thread of its own.
pub(crate) struct Closing<T: Send + Sync + 'static>(Mutex<Option<Arc<T>>>);

impl<T: Send + Sync + 'static> Closing<T> {
    pub(crate) fn new(client: T) -> Closing<T> {
        Closing(Mutex::new(Some(Arc::new(client))))
    }

    pub(crate) fn get(&self) -> Arc<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().expect("it is there until this is dropped")
    }

    /// Puts another one in its place.
    pub(crate) fn replace(&self, client: T) {
        let old = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(client));
        end(old);
    }
}

fn end<T: Send + Sync + 'static>(client: Option<T>) {
    if let Some(client) = client {
        // Without a thread it ends here, and may take its time.
        let _ = std::thread::Builder::new().name("jobbers-kafka-end".into()).spawn(move || drop(client));
    }
}

impl<T: Send + Sync + 'static> Drop for Closing<T> {
    fn drop(&mut self) {
        end(self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}
