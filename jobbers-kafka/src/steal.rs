//! Stealing: reading a partition whose owner is full, without a group. The store decides who gets a job; the owner finds the claims taken later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobbers_core::record::Priority;
use jobbers_core::{JobId, Result};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::Closing;
use crate::config::OP;
use crate::fault::{self, Applied, At};
use crate::lag::Lag;
use crate::produce;
use crate::properties;
use crate::pulse::Pulse;
use crate::url::Target;

/// Ids that one look takes of one partition: thieves that look at the same time waste no more than that.
const STOLEN_COUNT_MAX: usize = 200;
/// How long a look reads: a first record came after 61 ms.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Where a partition stood when it was looked at last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    settled: i64,
    /// Up to where this thief has read.
    read: i64,
    since: Instant,
}

/// Reads partitions of others.
pub(crate) struct Thief {
    target: Arc<Target>,
    pulse: Pulse,
    client: Option<Closing<BaseConsumer<Pulse>>>,
    seen: HashMap<(String, i32), Seen>,
}

/// A decoded record.
pub(crate) type Stolen = (JobId, Priority);

impl Thief {
    pub(crate) fn new(target: Arc<Target>, pulse: Pulse) -> Thief {
        Thief { target, pulse, client: None, seen: HashMap::new() }
    }

    /// Chooses, of partitions of others that lag, the one with the most left to read; only one whose owner has not got on since the last look.
    pub(crate) fn choose(&mut self, lags: Vec<Lag>, now: Instant, patience: Duration) -> Option<(Lag, i64)> {
        let mut best: Option<(Lag, i64)> = None;
        let mut seen = HashMap::with_capacity(lags.len());
        for lag in lags.into_iter().filter(|lag| lag.count() > 0) {
            let place = (lag.topic.clone(), lag.partition);
            let before = self.seen.get(&place).filter(|seen| seen.settled == lag.settled);
            let here = before.copied().unwrap_or(Seen { settled: lag.settled, read: lag.settled, since: now });
            // Offsets beyond the end: the topic was made again.
            let here = if here.read > lag.end { Seen { read: lag.settled, ..here } } else { here };
            seen.insert(place, here);
            let left = lag.end - here.read;
            let full = now.duration_since(here.since) >= patience;
            if full && left > 0 && best.as_ref().is_none_or(|(other, from)| left > other.end - from) {
                best = Some((lag, here.read));
            }
        }
        self.seen = seen;
        best
    }

    /// Reads some ids of a partition, from this offset on. Blocks for at most half a second.
    pub(crate) fn read(&mut self, lag: &Lag, from: i64) -> Result<Vec<Stolen>> {
        let at = At { op: "read a partition of a full worker", brokers: &self.target.brokers, what: &lag.topic };
        let failed = |error: KafkaError| fault::of(at, &error, Applied::No);
        if self.client.is_none() {
            let config = properties::of_reader(&self.target.brokers, &self.target.config);
            let client = BaseConsumer::from_config_and_context(&config, self.pulse.clone());
            self.client = Some(Closing::new(client.map_err(failed)?));
        }
        let Some(client) = self.client.as_ref().map(Closing::get) else {
            return Err(jobbers_core::Error::new(jobbers_core::ErrorKind::Internal, OP, "the client was made above"));
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&lag.topic, lag.partition, Offset::Offset(from)).map_err(failed)?;
        client.assign(&list).map_err(failed)?;
        let (start, mut ids, mut next) = (Instant::now(), Vec::new(), from);
        while next < lag.end && ids.len() < STOLEN_COUNT_MAX && start.elapsed() < READ_WITHIN {
            match client.poll(Duration::from_millis(50)) {
                Some(Ok(record)) if record.topic() == lag.topic && record.partition() == lag.partition => {
                    next = record.offset() + 1;
                    ids.extend(produce::decode(&record));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, topic = lag.topic, "kafka: a partition of somebody else is not read now");
                    break;
                }
                _ => (),
            }
        }
        client.unassign().map_err(failed)?;
        if let Some(seen) = self.seen.get_mut(&(lag.topic.clone(), lag.partition)) {
            seen.read = next;
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(partition: i32, settled: i64, end: i64) -> Lag {
        Lag { topic: "t".into(), partition, settled, end }
    }

    fn thief() -> Thief {
        let target = crate::url::read("kafka://h", crate::Config::default()).unwrap();
        Thief::new(Arc::new(target), Pulse::default())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_partition_whose_owner_gets_on_is_left_to_it() {
        let (mut thief, start) = (thief(), Instant::now());
        assert!(thief.choose(vec![lag(0, 0, 100)], start, SECOND).is_none(), "it may be on its way");
        assert!(thief.choose(vec![lag(0, 50, 100)], start + SECOND, SECOND).is_none(), "its owner got on");
        assert!(thief.choose(vec![lag(0, 50, 100)], start + 2 * SECOND, SECOND).is_some(), "its owner stands");
    }

    #[test]
    fn the_partition_with_the_most_left_is_chosen_and_read_on_where_it_was_left() {
        let (mut thief, start) = (thief(), Instant::now());
        let lags = vec![lag(0, 0, 100), lag(1, 0, 300), lag(2, 7, 7)];
        assert!(thief.choose(lags.clone(), start, SECOND).is_none());
        let (chosen, from) = thief.choose(lags.clone(), start + SECOND, SECOND).unwrap();
        assert_eq!((chosen.partition, from), (1, 0));
        thief.seen.get_mut(&("t".into(), 1)).unwrap().read = 250;
        assert_eq!(thief.choose(lags.clone(), start + SECOND, SECOND).map(|(lag, from)| (lag.partition, from)), Some((0, 0)));
        thief.seen.get_mut(&("t".into(), 0)).unwrap().read = 100;
        assert_eq!(thief.choose(lags, start + SECOND, SECOND).map(|(lag, from)| (lag.partition, from)), Some((1, 250)));
    }
}
