//! Sets of partitions, by topic id: what a member should have, has, or says it has.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{PartitionIndex, Uuid};

/// One partition of one incarnation of a topic (`TopicIdPartition` in Kafka): a topic created again has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// The topic's id.
    pub topic_id: Uuid,
    /// Index of the partition, 0 and up.
    pub partition: PartitionIndex,
}

/// Partitions without more: a target assignment, or what a member reports to own.
pub type Partitions = BTreeSet<TopicIdPartition>;

/// Partitions a member owns, each with its assignment epoch: the member epoch with which the member got it (KIP-1251).
pub type OwnedPartitions = BTreeMap<TopicIdPartition, i32>;

/// The partitions grouped by topic, as the protocol lists them: topics by id, indexes ascending.
pub fn by_topic<'a>(partitions: impl IntoIterator<Item = &'a TopicIdPartition>) -> BTreeMap<Uuid, Vec<PartitionIndex>> {
    let mut topics: BTreeMap<Uuid, Vec<PartitionIndex>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(partition.topic_id).or_default().push(partition.partition);
    }
    topics
}
