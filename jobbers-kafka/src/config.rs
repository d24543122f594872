//! How a queue is opened: every option.

use std::time::Duration;

use jobbers_core::{Error, ErrorKind, Namespace, Result};

use crate::properties;

pub(crate) const OP: &str = "open a kafka backend";

/// Every option, with its default. Options in the URL win over these.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Isolates installations on one cluster; `jobbers` by default. URL: `namespace`.
    pub namespace: Namespace,
    /// What the names of all topics and groups start with; `jobbers` by default. URL: `prefix`.
    pub prefix: String,
    /// Topics of a queue: 1 by default, at most 4. With 4 each level of priority has a topic of its own, and urgent jobs come first. URL: `bands`.
    pub bands: u8,
    /// Partitions of a topic that is made: 8 by default, at most 64. At least as many as processes with workers, whatever slots those have.
    /// URL: `partitions`.
    pub partitions: i32,
    /// Copies of each partition of a topic that is made; by default 3, or as many as there are brokers. URL: `replication`.
    pub replication: Option<i32>,
    /// How many copies a push waits for; by default 2 with three copies or more, else 1. URL: `min_insync`.
    pub min_insync: Option<i32>,
    /// Whether missing topics are made; they are by default. URL: `create_topics=never`.
    pub create: Create,
    /// The protocol of the group; classic by default. URL: `group_protocol=consumer`.
    pub protocol: Protocol,
    /// After how long a process that vanished has lost its partitions; 10 s by default, at least 1 s. With [`Protocol::Consumer`] the broker's
    /// own setting holds instead. URL: `session_timeout_ms`.
    pub session_timeout: Duration,
    /// How long a push may take; 20 s by default, at least 1 s: above the 12 s that a failover takes with a broker's default settings. URL:
    /// `push_timeout_ms`.
    pub push_timeout: Duration,
    /// After how long a queue that no worker of this process asks for is left; 10 min by default. A paused queue stays that long. URL:
    /// `leave_after_ms`.
    pub leave_after: Duration,
    /// Properties of librdkafka, as its `CONFIGURATION.md` has them; those that this driver sets itself are refused. URL: `property.NAME`.
    pub properties: Vec<(String, String)>,
}

/// Whether missing topics are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// They are, with the settings that the README names.
    Missing,
    /// A missing topic is an error, which says how to make it.
    Never,
}

/// How a group shares partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The one that every broker knows; members bring their time limits.
    Classic,
    /// That of KIP-848, from Kafka 4.0 on; the broker has the time limits.
    Consumer,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            namespace: Namespace::new("jobbers").expect("it is one word of letters"),
            prefix: "jobbers".into(),
            bands: 1,
            partitions: 8,
            replication: None,
            min_insync: None,
            create: Create::Missing,
            protocol: Protocol::Classic,
            session_timeout: Duration::from_secs(10),
            push_timeout: Duration::from_secs(20),
            leave_after: Duration::from_secs(600),
            properties: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of properties may be passwords.
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        let Config { namespace, prefix, bands, partitions, protocol, .. } = self;
        write!(f, "Config({prefix}.{namespace}, {bands} bands, {partitions} partitions, {protocol:?}, properties {names:?})")
    }
}

impl Config {
    /// Refuses what can not be.
    pub(crate) fn check(&self) -> Result<()> {
        let in_bounds = [
            (1..=4).contains(&self.bands),
            (1..=64).contains(&self.partitions),
            self.replication.is_none_or(|copies| (1..=32).contains(&copies)),
            self.min_insync.is_none_or(|copies| (1..=32).contains(&copies)),
            self.session_timeout >= Duration::from_secs(1),
            self.push_timeout >= Duration::from_secs(1),
        ];
        if in_bounds.contains(&false) {
            return Err(refused(
                "an option is out of bounds: bands 1 to 4, partitions 1 to 64, replication and min_insync 1 to 32, \
                 session_timeout_ms and push_timeout_ms from 1000",
            ));
        }
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if self.prefix.is_empty() || self.prefix.len() > 40 || !self.prefix.chars().all(named) {
            return Err(refused("the prefix is made of a-z, 0-9, - and dots, at most 40"));
        }
        properties::check(&self.properties)
    }

    /// Copies of each partition, and how many of them a push waits for, of topics that are made on so many brokers.
    pub(crate) fn copies(&self, brokers: usize) -> (i32, i32) {
        let copies = self.replication.unwrap_or_else(|| i32::try_from(brokers.clamp(1, 3)).unwrap_or(3));
        (copies, self.min_insync.unwrap_or(if copies >= 3 { 2 } else { 1 }))
    }
}

pub(crate) fn refused(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, OP, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_follow_the_brokers_unless_they_are_named() {
        let mut config = Config::default();
        assert_eq!([1, 2, 3, 9].map(|brokers| config.copies(brokers)), [(1, 1), (2, 1), (3, 2), (3, 2)]);
        (config.replication, config.min_insync) = (Some(5), Some(3));
        assert_eq!(config.copies(9), (5, 3));
    }

    #[test]
    fn what_can_not_be_is_refused() {
        assert!(Config::default().check().is_ok());
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().map_err(|error| error.kind())
        };
        let invalid = Err(ErrorKind::Invalid);
        assert_eq!(with(|config| config.bands = 0), invalid);
        assert_eq!(with(|config| config.partitions = 65), invalid);
        assert_eq!(with(|config| config.prefix = "A_b".into()), invalid);
        assert_eq!(with(|config| config.session_timeout = Duration::from_millis(999)), invalid);
        assert_eq!(with(|config| config.properties = vec![("acks".into(), "0".into())]), invalid);
    }
}
