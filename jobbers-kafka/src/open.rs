//! Opening a backend: what the cluster has to be, and what its topics have to say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::driver::{Backend, BackendParts, Capabilities, Capability, Dispatch};
use jobbers_core::{Error, ErrorKind, Result};
use rdkafka::TopicPartitionList;

use crate::client::Idle;
use crate::config::{Config, OP};
use crate::keeper::{Asked, Keeper};
use crate::poll::Reader;
use crate::produce::Producer;
use crate::pulse::Pulse;
use crate::queue::KafkaQueue;
use crate::rights;
use crate::topic;
use crate::topics::Topics;
use crate::url::{self, Target};

/// How long opening tries to reach the cluster, or to hear why not.
const REACH_WITHIN: Duration = Duration::from_secs(10);
/// A refused user is retried for ever in the background: what was heard is looked at this often.
const REACH_SLICE: Duration = Duration::from_secs(1);

/// Opens a backend: the queue on the cluster of a URL (`kafka://[user:password@]host:port[,host:port..][?options]`), store and limiter of
/// `store`, whose queue is not used. The option `store` of the URL is left to whoever opened that.
///
/// # Errors
/// `Unavailable` if the cluster can not be reached; `Invalid` if the URL is wrong, the user is refused or has not the rights, a topic's
/// settings would lose jobs, or the store dispatches by itself. Each says what to do.
///
/// Cancel safe.
pub async fn open(url: &str, store: BackendParts) -> Result<Backend> {
    open_with(url, Config::default(), store).await
}

/// Opens a backend with options of its own; those in the URL win.
///
/// # Errors
/// As [`open`].
///
/// Cancel safe.
pub async fn open_with(url: &str, config: Config, store: BackendParts) -> Result<Backend> {
    let target = Arc::new(url::read(url, config)?);
    if store.dispatch != Dispatch::Caller {
        let why = format!("{} dispatches into its own queue; open it with Dispatch::Caller", store.location);
        return Err(Error::new(ErrorKind::Invalid, OP, why));
    }
    let pulse = Pulse::default();
    let idle = Idle::new(target.clone(), pulse.clone())?;
    let brokers = reach(&idle).await?;
    let topics = Topics::new(idle)?;
    topics.may_make(brokers).await?;
    may_join(&topics.idle).await?;
    let (durable, topic) = check_topics(&topics, brokers).await?;
    rights::may_write(&target, &pulse, topic).await?;
    let mut capabilities = Capabilities::of(&[Capability::MultiProcess]);
    if durable {
        capabilities = capabilities.either(Capabilities::of(&[Capability::Durable]));
    }
    // With fewer bands several levels share one.
    if usize::from(target.config.bands) == jobbers_core::record::Priority::ALL.len() {
        capabilities = capabilities.either(Capabilities::of(&[Capability::Priority]));
    }
    let producer = Producer::new(topics.clone())?;
    let reader = Arc::new(Reader::new(target.clone(), pulse));
    Reader::start(&reader)?;
    let (asked, alive) = (Arc::new(Asked::default()), Arc::new(()));
    let queue = KafkaQueue { capabilities, topics: topics.clone(), producer, reader: reader.clone(), asked: asked.clone(), alive };
    Keeper { topics, reader, asked }.start(Arc::downgrade(&queue.alive))?;
    let location = format!("kafka://{}?namespace={}&store={}", target.brokers, target.config.namespace, store.location);
    Backend::new(BackendParts { name: "kafka", location, queue: Arc::new(queue), paired: false, take: None, ..store })
}

/// Asks for a topic that need not exist, until somebody answers; how many brokers there are.
async fn reach(idle: &Idle) -> Result<usize> {
    let (start, name) = (Instant::now(), format!("{}check.0", topic::start(&idle.target.config)));
    loop {
        match idle.metadata(OP, &name, REACH_SLICE).await {
            Ok(metadata) => {
                idle.pulse.well(crate::pulse::Part::Link);
                return Ok(metadata.brokers().len());
            }
            Err(error) if error.is_transient() && start.elapsed() < REACH_WITHIN => (),
            Err(error) => return Err(error),
        }
    }
}

/// Asks whether this user may be in the group, without joining it.
async fn may_join(idle: &Idle) -> Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition(&format!("{}check.0", topic::start(&idle.target.config)), 0);
    match idle.committed(OP, list).await {
        Err(error) if !error.is_transient() => Err(error),
        // Who may not see the topic, or finds none, is told so when there is one. A coordinator may have to be made first.
        _ => Ok(()),
    }
}

/// Checks the topics that are there; answers whether what is acknowledged survives a broker, on them and on those that will be made, and one of
/// them.
async fn check_topics(topics: &Topics, brokers: usize) -> Result<(bool, Option<String>)> {
    let Target { config, .. } = &*topics.idle.target;
    let (copies, in_sync) = config.copies(brokers);
    let mut durable = copies >= 2 && in_sync >= 2;
    let within = crate::client::ANSWER_WITHIN;
    let all = topics.idle.ask(OP, "the list of topics", move |client| {
        use rdkafka::consumer::Consumer;
        client.fetch_metadata(None, within)
    });
    let start = topic::start(config);
    let names: Vec<String> = all.await?.topics().iter().map(|one| one.name().to_owned()).filter(|name| name.starts_with(&start)).collect();
    topics.look(OP, &names).await?;
    for name in &names {
        let shape = topics.shape(OP, name).await?.0;
        let settings = topics.described(name).await;
        let number = |setting: &str| settings.as_ref()?.get(setting)?.value.as_deref()?.parse::<usize>().ok();
        durable &= shape.is_none_or(|shape| shape.copies >= 2) && number("min.insync.replicas").unwrap_or(1) >= 2;
    }
    Ok((durable, names.into_iter().next()))
}
