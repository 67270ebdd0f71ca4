//! OffsetFetch: what groups have committed. A group that nobody knows has committed nothing, which is no error.
//!
//! A client that says `require_stable` is not told of an offset that an open transaction may replace: it asks again
//! (UNSTABLE_OFFSET_COMMIT, KIP-447).

use std::collections::{BTreeMap, HashMap, HashSet};

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use crate::log::catalog::Topics;
use crate::log::offsets::{CommittedOffset, CommittedOffsets, Progress};
use crate::types::{ErrorCode, PartitionId, PartitionIndex};
use crate::wire::{Close, RequestHeader};

/// Partitions of a topic with what is committed for them.
type OfTopic = (TopicName, Vec<(PartitionIndex, Result<Option<CommittedOffset>, ErrorCode>)>);

/// Answers one group below version 8, many from there on; null topics mean all that the group has. From version 9 on a member of a
/// consumer group says who it is, and is refused if it is so no more.
///
/// Each entry of a request is judged and answered for itself, also where a group is named again. A partition of a group is answered
/// once, in the first entry that may have it: what a few bytes ask for can be 4096 characters long.
pub async fn offset_fetch(
    cx: Context,
    header: RequestHeader,
    request: OffsetFetchRequest,
) -> Result<OffsetFetchResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let offsets = &cx.broker.offsets;
    let require_stable = request.require_stable;
    if header.api_version < 8 {
        let asked = request.topics.map(|asked| asked.into_iter().map(|topic| (topic.name, topic.partition_indexes)));
        let found = committed(&topics, offsets, &request.group_id, asked, require_stable, &mut Answered::default());
        let found = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, committed)| of_one_group(&header, index, committed));
            OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
        });
        return Ok(OffsetFetchResponse::default().with_topics(found.collect()));
    }
    let mut before: HashMap<GroupId, Answered> = HashMap::new();
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        let coordinator = &cx.broker.coordinator;
        let checked = coordinator.check_fetch(&group.group_id, group.member_id.as_deref(), group.member_epoch).await;
        let error = checked.map_err(|_| Close::Ending)?;
        if !error.is_none() {
            count_error(&header, error);
            let refused = OffsetFetchResponseGroup::default().with_error_code(error.0);
            groups.push(refused.with_group_id(group.group_id));
            continue;
        }
        let asked = group.topics.map(|asked| asked.into_iter().map(|topic| (topic.name, topic.partition_indexes)));
        let before = before.entry(group.group_id.clone()).or_default();
        let found = committed(&topics, offsets, &group.group_id, asked, require_stable, before);
        let found = found.into_iter().map(|(name, partitions)| {
            let partitions = partitions.into_iter().map(|(index, committed)| of_many_groups(&header, index, committed));
            OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
        });
        let answered = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
        groups.push(answered.with_topics(found.collect()));
    }
    Ok(OffsetFetchResponse::default().with_groups(groups))
}

/// What the entries of a request have been answered of one group.
#[derive(Default)]
struct Answered {
    named: HashSet<(TopicName, PartitionIndex)>,
    /// All that the group has.
    is_all: bool,
}

fn committed(
    topics: &Topics,
    offsets: &CommittedOffsets,
    group: &str,
    asked: Option<impl Iterator<Item = (TopicName, Vec<PartitionIndex>)>>,
    require_stable: bool,
    before: &mut Answered,
) -> Vec<OfTopic> {
    let Some(asked) = asked else {
        // Not even looked up again: many entries would have the broker copy all that a large group has for each.
        if std::mem::replace(&mut before.is_all, true) {
            return Vec::new();
        }
        let mut all = all_of(topics, offsets, group, require_stable);
        for (name, partitions) in &mut all {
            partitions.retain(|(index, _)| before.named.insert((name.clone(), *index)));
        }
        all.retain(|(_, partitions)| !partitions.is_empty());
        return all;
    };
    let named = &mut before.named;
    let of_topic = |(name, mut indexes): (TopicName, Vec<PartitionIndex>)| {
        let no = topics.by_name.get(name.as_str()).map(|topic| topic.no);
        indexes.retain(|index| named.insert((name.clone(), *index)));
        let of_index = |index: PartitionIndex| {
            let id = no.zip(u32::try_from(index).ok()).map(|(topic, index)| PartitionId { topic, index });
            (index, id.map_or(Ok(None), |id| stable(offsets.progress(group, id), require_stable)))
        };
        (name, indexes.into_iter().map(of_index).collect())
    };
    asked.map(of_topic).collect()
}

fn stable(progress: Progress, require_stable: bool) -> Result<Option<CommittedOffset>, ErrorCode> {
    if progress.is_pending && require_stable {
        return Err(ErrorCode::UNSTABLE_OFFSET_COMMIT);
    }
    Ok(progress.committed)
}

fn all_of(topics: &Topics, offsets: &CommittedOffsets, group: &str, require_stable: bool) -> Vec<OfTopic> {
    let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (id, progress) in offsets.all_progress(group).unwrap_or_default() {
        if let (Some(topic), Ok(index)) = (topics.by_no.get(&id.topic), PartitionIndex::try_from(id.index)) {
            by_name.entry(&topic.name).or_default().push((index, stable(progress, require_stable)));
        }
    }
    let named = |(name, partitions): (&str, _)| (TopicName(StrBytes::from_string(name.to_owned())), partitions);
    by_name.into_iter().map(named).collect()
}

/// Offset, leader epoch, text and code as answered; -1, -1 and empty for nothing committed.
fn answered(
    header: &RequestHeader,
    committed: Result<Option<CommittedOffset>, ErrorCode>,
) -> (i64, i32, Option<StrBytes>, i16) {
    match committed {
        Ok(Some(committed)) => {
            let metadata = StrBytes::from_string(committed.metadata);
            (committed.offset, committed.leader_epoch.0, Some(metadata), 0)
        }
        Ok(None) => (-1, -1, Some(StrBytes::default()), 0),
        Err(error) => {
            count_error(header, error);
            (-1, -1, Some(StrBytes::default()), error.0)
        }
    }
}

fn of_one_group(
    header: &RequestHeader,
    index: PartitionIndex,
    committed: Result<Option<CommittedOffset>, ErrorCode>,
) -> OffsetFetchResponsePartition {
    let (offset, leader_epoch, metadata, error) = answered(header, committed);
    OffsetFetchResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(metadata)
}

fn of_many_groups(
    header: &RequestHeader,
    index: PartitionIndex,
    committed: Result<Option<CommittedOffset>, ErrorCode>,
) -> OffsetFetchResponsePartitions {
    let (offset, leader_epoch, metadata, error) = answered(header, committed);
    OffsetFetchResponsePartitions::default()
        .with_error_code(error)
        .with_partition_index(index)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(metadata)
}

#[cfg(test)]
#[path = "offset_fetch_tests.rs"]
mod tests;
