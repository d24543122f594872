//! How far the group is behind the ends of its partitions.

use jobbers_core::Result;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{ANSWER_WITHIN, Idle};

/// One partition's offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Up to where the group has settled, or retention has removed.
    pub(crate) settled: i64,
    /// Behind the last record.
    pub(crate) end: i64,
}

impl Lag {
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.end - self.settled).unwrap_or(0)
    }
}

/// Asks for topics, each with the number of its partitions. Three calls for all of them.
pub(crate) async fn of(idle: &Idle, op: &'static str, topics: &[(String, i32)]) -> Result<Vec<Lag>> {
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        (0..*partitions).for_each(|partition| {
            list.add_partition(topic, partition);
        });
    }
    if list.count() == 0 {
        return Ok(Vec::new());
    }
    let committed = idle.committed(op, list.clone()).await?;
    // Committed first: a lag is rather shown a little too large than missed.
    let ends = bounds(idle, op, list.clone(), Offset::End).await?;
    // What retention has removed waits no more, whether it was settled or not.
    let starts = bounds(idle, op, list, Offset::Beginning).await?;
    let number = |list: &TopicPartitionList, topic: &str, partition| match list.find_partition(topic, partition).map(|one| one.offset()) {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    };
    let lags = committed.elements().into_iter().filter_map(|one| {
        let (topic, partition) = (one.topic().to_owned(), one.partition());
        let end = number(&ends, &topic, partition)?;
        let (settled, start) = (number(&committed, &topic, partition), number(&starts, &topic, partition));
        let settled = settled.max(start).unwrap_or(0);
        Some(Lag { topic, partition, settled, end })
    });
    Ok(lags.collect())
}

async fn bounds(idle: &Idle, op: &'static str, mut list: TopicPartitionList, which: Offset) -> Result<TopicPartitionList> {
    let set = list.set_all_offsets(which);
    idle.ask(op, "the ends of partitions", move |client| {
        set?;
        client.offsets_for_times(list, ANSWER_WITHIN)
    })
    .await
}
