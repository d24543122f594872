//! Properties of librdkafka: those that this driver sets itself, each with its reason, and those that users may set.

use std::time::Duration;

use jobbers_core::Result;
use rdkafka::ClientConfig;

use crate::config::{Config, Protocol, refused};
use crate::topic;

/// A property that only this driver may set, and why.
type Owned = (&'static str, &'static str);

/// Refused when a user names them: another value breaks a promise.
const OWNED: &[Owned] = &[
    ("bootstrap.servers", "it is in the URL"),
    ("metadata.broker.list", "the brokers are in the URL"),
    ("group.id", "it is made from prefix and namespace"),
    ("group.protocol", "it is the option group_protocol"),
    ("group.instance.id", "a static member keeps its partitions while it is gone"),
    ("group.remote.assignor", "the broker's own is right for queues"),
    ("partition.assignment.strategy", "a mix of strategies in one group is refused by the broker"),
    ("session.timeout.ms", "it is the option session_timeout_ms"),
    ("heartbeat.interval.ms", "it follows session_timeout_ms"),
    ("max.poll.interval.ms", "the driver polls from a thread that runs no job"),
    ("auto.offset.reset", "anything but earliest loses jobs of new partitions"),
    ("enable.auto.offset.store", "a delivery is done when it is acked, not when it is handed out"),
    ("enable.auto.commit", "what was acked is committed by it"),
    ("auto.commit.interval.ms", "depth and redelivery lag by it"),
    ("isolation.level", "an aborted delivery is none"),
    ("enable.partition.eof", "the driver would take it for trouble"),
    ("allow.auto.create.topics", "topics are made explicitly, with their settings"),
    ("acks", "fewer than all loses what was acknowledged"),
    ("request.required.acks", "fewer than all loses what was acknowledged"),
    ("enable.idempotence", "without it a retry delivers twice and a failover may reorder"),
    ("transactional.id", "the driver makes no transactions"),
    ("message.timeout.ms", "it is the option push_timeout_ms"),
    ("delivery.timeout.ms", "it is the option push_timeout_ms"),
    ("partitioner", "deliveries go to partitions at random: a key would put a whole run into one"),
    ("sticky.partitioning.linger.ms", "deliveries go to partitions at random, one by one"),
];

/// Refuses what is ours.
pub(crate) fn check(properties: &[(String, String)]) -> Result<()> {
    match properties.iter().find_map(|(name, _)| OWNED.iter().find(|(owned, _)| owned == name)) {
        Some((name, why)) => Err(refused(format_args!("the property {name} is set by the driver: {why}; leave it out"))),
        None => Ok(()),
    }
}

/// What every client has. The user's own come last.
fn of_all(brokers: &str, config: &Config, own: &[(&str, &str)]) -> ClientConfig {
    let mut all = ClientConfig::new();
    all.set("bootstrap.servers", brokers).set("client.id", "jobbers");
    // A dead broker is noticed within this; well below the time a push may take.
    all.set("socket.timeout.ms", "10000").set("socket.keepalive.enable", "true").set("socket.nagle.disable", "true");
    // After a restart the first connection is made within a second; the default doubles up to 10 s.
    all.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "1000");
    // New partitions, and topics that were made again, are seen within that; the default is 5 min.
    all.set("topic.metadata.refresh.interval.ms", "10000");
    for (name, value) in own.iter().copied().chain(config.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        all.set(name, value);
    }
    all
}

/// Of the producer.
pub(crate) fn of_producer(brokers: &str, config: &Config) -> ClientConfig {
    let timeout = config.push_timeout.as_millis().to_string();
    let own = [
        ("acks", "all"),
        ("enable.idempotence", "true"),
        // Ids are small, and their sender's thread is the bound: waiting longer for a batch gains nothing.
        ("linger.ms", "1"),
        ("compression.type", "lz4"),
        ("message.timeout.ms", &timeout),
        // A push waits for room there: the bound of what a process holds while no broker takes it.
        ("queue.buffering.max.messages", "100000"),
        ("partitioner", "random"),
        ("sticky.partitioning.linger.ms", "0"),
    ];
    of_all(brokers, config, &own)
}

/// A member hears at its next heartbeat that others come or go, and partitions stand still until all have heard: twice, where they move.
const HEARTBEAT_MAX: Duration = Duration::from_millis(500);

/// Of the consumer that is in the group.
pub(crate) fn of_consumer(brokers: &str, config: &Config) -> ClientConfig {
    let (group, session) = (topic::group(config), config.session_timeout.as_millis().to_string());
    let heartbeat = (config.session_timeout / 5).min(HEARTBEAT_MAX).as_millis().to_string();
    // Longer than a session has to be; the driver polls each half second, and a session is a second at least.
    let poll = (config.session_timeout * 6).as_millis().to_string();
    let mut own = reading(&group);
    own.extend([
        ("enable.auto.commit", "true"),
        // What a crash delivers twice at most, and what depth lags by.
        ("auto.commit.interval.ms", "100"),
        ("max.poll.interval.ms", poll.as_str()),
        // What is read ahead of the driver's own buffer, which is bounded too.
        ("queued.min.messages", "1000"),
        ("queued.max.messages.kbytes", "4096"),
    ]);
    match config.protocol {
        Protocol::Consumer => own.push(("group.protocol", "consumer")),
        Protocol::Classic => own.extend([
            ("group.protocol", "classic"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", session.as_str()),
            ("heartbeat.interval.ms", heartbeat.as_str()),
        ]),
    }
    of_all(brokers, config, &own)
}

/// Of clients that look at a topic without being in the group.
pub(crate) fn of_reader(brokers: &str, config: &Config) -> ClientConfig {
    let group = topic::group(config);
    let mut own = reading(&group);
    own.push(("enable.auto.commit", "false"));
    of_all(brokers, config, &own)
}

/// Of the client that makes topics.
pub(crate) fn of_admin(brokers: &str, config: &Config) -> ClientConfig {
    of_all(brokers, config, &[])
}

fn reading(group: &str) -> Vec<(&str, &str)> {
    vec![
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("allow.auto.create.topics", "false"),
        // The broker answers as soon as there is a record; an idle one is asked ten times a second.
        ("fetch.wait.max.ms", "100"),
        // The defaults, 500 and 1000 ms, are felt after each small trouble, and whenever the buffer was full.
        ("fetch.error.backoff.ms", "10"),
        ("fetch.queue.backoff.ms", "10"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_property_is_refused_and_says_why() {
        let error = check(&[("linger.ms".into(), "5".into()), ("auto.offset.reset".into(), "latest".into())]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("auto.offset.reset") && text.contains("loses jobs of new partitions"), "{text}");
        assert!(check(&[("linger.ms".into(), "5".into())]).is_ok());
    }

    #[test]
    fn everything_that_a_promise_hangs_on_is_owned_and_the_rest_may_be_changed() {
        let config = Config { properties: vec![("linger.ms".into(), "7".into())], ..Config::default() };
        let of = |client: ClientConfig, name: &str| client.get(name).map(str::to_owned);
        assert_eq!(of(of_producer("b:1", &config), "linger.ms").as_deref(), Some("7"));
        assert_eq!(of(of_consumer("b:1", &config), "group.id").as_deref(), Some("jobbers.jobbers"));
        let tunable =
            ["client.id", "socket.timeout.ms", "socket.keepalive.enable", "socket.nagle.disable", "compression.type", "linger.ms"];
        for client in [of_producer("b:1", &config), of_consumer("b:1", &config), of_reader("b:1", &config)] {
            for name in client.config_map().keys().filter(|name| !tunable.contains(name)) {
                let may_change = ["backoff", "queue", "fetch", "refresh"].iter().any(|part| name.contains(part));
                assert!(may_change || OWNED.iter().any(|(owned, _)| owned == name), "{name} is neither");
            }
        }
    }
}
