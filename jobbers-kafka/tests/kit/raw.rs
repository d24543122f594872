//! What an operator does to a cluster, by librdkafka itself.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

pub(crate) const WITHIN: Duration = Duration::from_secs(15);

/// A connection of the test's own.
pub(crate) struct Operator {
    config: ClientConfig,
    admin: AdminClient<DefaultClientContext>,
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(WITHIN)).operation_timeout(Some(WITHIN))
}

/// The topics of which an assignment has partitions: behind a version and a count of topics each has a length, a name, a count and its partitions.
/// What follows is the strategy's own, and names topics as well.
fn topics_of(assignment: &[u8]) -> impl Iterator<Item = &[u8]> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let (count, mut rest) = assignment.get(2..).and_then(|rest| rest.split_at_checked(4)).unwrap_or_default();
    (0..number(count)).filter_map(move |_| {
        let (length, after) = rest.split_at(2);
        let (name, after) = after.split_at(number(length));
        let (partitions, after) = after.split_at(4);
        rest = &after[4 * number(partitions)..];
        (number(partitions) > 0).then_some(name)
    })
}

impl Operator {
    /// Of the cluster of a URL without a user.
    pub(crate) fn of(url: &str) -> Operator {
        let brokers = url.strip_prefix("kafka://").expect("it is a URL of Kafka").split('?').next().expect("there is a first part");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        let admin = config.create().expect("the properties are known");
        Operator { config, admin }
    }

    fn reader(&self, group: &str) -> BaseConsumer {
        self.config.clone().set("group.id", group).create().expect("the properties are known")
    }

    /// The nodes that lead the partitions of a topic, in their order; -1: nobody.
    pub(crate) fn leaders(&self, topic: &str) -> Vec<i32> {
        let metadata = self.reader("nobody").fetch_metadata(Some(topic), WITHIN).expect("the cluster answers");
        let mut partitions: Vec<(i32, i32)> = metadata.topics()[0].partitions().iter().map(|one| (one.id(), one.leader())).collect();
        partitions.sort_unstable();
        partitions.into_iter().map(|(_, leader)| leader).collect()
    }

    /// The node that leads most partitions of a topic.
    pub(crate) fn main_leader(&self, topic: &str) -> i32 {
        let leaders = self.leaders(topic);
        *leaders.iter().max_by_key(|one| leaders.iter().filter(|other| other == one).count()).expect("it has partitions")
    }

    /// The node that coordinates a group: it leads the group's partition of the offsets.
    pub(crate) fn coordinator(&self, group: &str) -> i32 {
        // As Java hashes a text.
        let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
        let leaders = self.leaders("__consumer_offsets");
        leaders[usize::try_from(hash & i32::MAX).expect("it is not negative") % leaders.len()]
    }

    /// What a group has settled of a topic's partitions, in their order; -1: nothing yet.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> Vec<i64> {
        let mut list = TopicPartitionList::new();
        (0..self.leaders(topic).len()).for_each(|partition| {
            list.add_partition(topic, partition as i32);
        });
        let committed = self.reader(group).committed_offsets(list, WITHIN).expect("the cluster answers");
        let number = |offset| if let Offset::Offset(offset) = offset { offset } else { -1 };
        committed.elements().iter().map(|one| number(one.offset())).collect()
    }

    /// The members of a group that is stable, by the ids that its coordinator gave them; one that joined again has another.
    pub(crate) fn members(&self, group: &str) -> Vec<String> {
        let groups = self.reader("nobody").fetch_group_list(Some(group), WITHIN).expect("the cluster answers");
        let stable = groups.groups().iter().filter(|one| one.name() == group && one.state() == "Stable");
        stable.flat_map(|one| one.members().iter().map(|member| member.id().to_owned())).collect()
    }

    /// Whether partitions of a topic are a member's, in a group of the classic protocol.
    pub(crate) fn assigned(&self, group: &str, topic: &str) -> bool {
        let groups = self.reader("nobody").fetch_group_list(Some(group), WITHIN).expect("the cluster answers");
        let members = groups.groups().iter().filter(|one| one.name() == group).flat_map(rdkafka::groups::GroupInfo::members);
        members
            .filter_map(rdkafka::groups::GroupMemberInfo::assignment)
            .any(|assignment| topics_of(assignment).any(|one| one == topic.as_bytes()))
    }

    /// Behind the last record of a topic's partitions, in their order.
    pub(crate) fn ends(&self, topic: &str) -> Vec<i64> {
        let reader = self.reader("nobody");
        let of = |partition| reader.fetch_watermarks(topic, partition, WITHIN).expect("the cluster answers").1;
        (0..self.leaders(topic).len()).map(|partition| of(partition as i32)).collect()
    }

    pub(crate) async fn make_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let made = self.admin.create_topics([&new], &options()).await.expect("the cluster answers");
        made.into_iter().for_each(|one| drop(one.expect("it can be made")));
    }

    pub(crate) async fn delete_topic(&self, topic: &str) {
        let deleted = self.admin.delete_topics(&[topic], &options()).await.expect("the cluster answers");
        deleted.into_iter().for_each(|one| drop(one.expect("it is there")));
    }

    pub(crate) async fn add_partitions(&self, topic: &str, count: usize) {
        let made = self.admin.create_partitions([&NewPartitions::new(topic, count)], &options()).await.expect("the cluster answers");
        made.into_iter().for_each(|one| drop(one.expect("it is there")));
    }

    /// Deletes a group, unless somebody is in it.
    pub(crate) async fn may_delete_group(&self, group: &str) -> bool {
        let deleted = self.admin.delete_groups(&[group], &options()).await.expect("the cluster answers");
        deleted.into_iter().all(|one| one.is_ok())
    }

    /// Replaces all settings of a topic.
    pub(crate) async fn set_topic(&self, topic: &str, settings: &[(&str, &str)]) {
        let new = settings.iter().fold(AlterConfig::new(ResourceSpecifier::Topic(topic)), |new, (name, value)| new.set(name, value));
        let set = self.admin.alter_configs([&new], &options()).await.expect("the cluster answers");
        set.into_iter().for_each(|one| drop(one.expect("it may be set")));
    }

    /// Removes all that is in a topic now, as its retention does.
    pub(crate) async fn delete_records(&self, topic: &str) {
        let mut list = TopicPartitionList::new();
        for (partition, end) in self.ends(topic).into_iter().enumerate() {
            list.add_partition_offset(topic, partition as i32, Offset::Offset(end)).expect("it is an offset");
        }
        self.admin.delete_records(&list, &options()).await.expect("the cluster answers");
    }

    /// Writes a value of its own into a partition.
    pub(crate) fn write(&self, topic: &str, partition: i32, values: &[String]) {
        let producer: BaseProducer = self.config.create().expect("the properties are known");
        for value in values {
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
            producer.send(record).map_err(|(error, _)| error).expect("there is room");
        }
        producer.flush(WITHIN).expect("the cluster answers");
    }

    /// Writes a value with a clock that is wrong by so many milliseconds.
    pub(crate) fn write_at(&self, topic: &str, value: &str, shift: i64) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        let wrong = i64::try_from(now.as_millis()).expect("it is before 9999") + shift;
        let producer: BaseProducer = self.config.create().expect("the properties are known");
        let record = BaseRecord::<(), str>::to(topic).timestamp(wrong).payload(value);
        producer.send(record).map_err(|(error, _)| error).expect("there is room");
        producer.flush(WITHIN).expect("the cluster answers");
    }
}
