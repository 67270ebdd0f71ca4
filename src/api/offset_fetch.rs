//! OffsetFetch: what groups have committed. A group that nobody knows has committed nothing, which is no error.
//!
//! While there are no transactions no commit is pending, so `require_stable` always holds.

use std::collections::{BTreeMap, HashSet};

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use crate::log::catalog::Topics;
use crate::log::offsets::{CommittedOffset, CommittedOffsets};
use crate::types::{PartitionId, PartitionIndex};
use crate::wire::{Close, RequestHeader};

/// Partitions of a topic with what is committed for them.
type OfTopic = (TopicName, Vec<(PartitionIndex, Option<CommittedOffset>)>);

/// Answers one group below version 8, many from there on; null topics mean all that the group has.
///
/// A group and a partition that are named again are answered once: what a few bytes ask for can be 4096 characters long.
pub async fn offset_fetch(
    cx: Context,
    header: RequestHeader,
    request: OffsetFetchRequest,
) -> Result<OffsetFetchResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let offsets = &cx.broker.offsets;
    if header.api_version < 8 {
        let asked = request.topics.map(|asked| asked.into_iter().map(|topic| (topic.name, topic.partition_indexes)));
        let found = committed(&topics, offsets, &request.group_id, asked);
        let found = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, committed)| of_one_group(index, committed.as_ref()));
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
        return Ok(OffsetFetchResponse::default().with_topics(found.collect()));
    }
    let mut named = HashSet::new();
    let groups = request.groups.into_iter().filter(|group| named.insert(group.group_id.clone())).map(|group| {
        let asked = group.topics.map(|asked| asked.into_iter().map(|topic| (topic.name, topic.partition_indexes)));
        let found = committed(&topics, offsets, &group.group_id, asked);
        let found = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, committed)| of_many_groups(index, committed.as_ref()));
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
        });
        OffsetFetchResponseGroup::default().with_group_id(group.group_id).with_topics(found.collect())
    });
    Ok(OffsetFetchResponse::default().with_groups(groups.collect()))
}

fn committed(
    topics: &Topics,
    offsets: &CommittedOffsets,
    group: &str,
    asked: Option<impl Iterator<Item = (TopicName, Vec<PartitionIndex>)>>,
) -> Vec<OfTopic> {
    let Some(asked) = asked else { return all_of(topics, offsets, group) };
    let mut named = HashSet::new();
    let of_topic = |(name, mut indexes): (TopicName, Vec<PartitionIndex>)| {
        let no = topics.by_name.get(name.as_str()).map(|topic| topic.no);
        indexes.retain(|index| named.insert((name.clone(), *index)));
        let of_index = |index: PartitionIndex| {
            let id = no.zip(u32::try_from(index).ok()).map(|(topic, index)| PartitionId { topic, index });
            (index, id.and_then(|id| offsets.get(group, id)))
        };
        (name, indexes.into_iter().map(of_index).collect())
    };
    asked.map(of_topic).collect()
}

fn all_of(topics: &Topics, offsets: &CommittedOffsets, group: &str) -> Vec<OfTopic> {
    let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (id, committed) in offsets.all(group).unwrap_or_default() {
        if let (Some(topic), Ok(index)) = (topics.by_no.get(&id.topic), PartitionIndex::try_from(id.index)) {
            by_name.entry(&topic.name).or_default().push((index, Some(committed)));
        }
    }
    let named = |(name, partitions): (&str, _)| (TopicName(StrBytes::from_string(name.to_owned())), partitions);
    by_name.into_iter().map(named).collect()
}

/// Offset, leader epoch and text as answered; -1, -1 and empty for nothing committed.
fn answered(committed: Option<&CommittedOffset>) -> (i64, i32, Option<StrBytes>) {
    match committed {
        Some(committed) => {
            let metadata = StrBytes::from_string(committed.metadata.clone());
            (committed.offset, committed.leader_epoch.0, Some(metadata))
        }
        None => (-1, -1, Some(StrBytes::default())),
    }
}

fn of_one_group(index: PartitionIndex, committed: Option<&CommittedOffset>) -> OffsetFetchResponsePartition {
    let (offset, leader_epoch, metadata) = answered(committed);
    OffsetFetchResponsePartition::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(metadata)
}

fn of_many_groups(index: PartitionIndex, committed: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    let (offset, leader_epoch, metadata) = answered(committed);
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(metadata)
}

#[cfg(test)]
#[path = "offset_fetch_tests.rs"]
mod tests;
