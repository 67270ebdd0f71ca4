//! OffsetCommit for groups without members: consumers that assign themselves and keep their progress here.
//!
//! Mirrors `ClassicGroup.validateOffsetCommit` for a group that is empty or unknown. Members of a group are not served yet.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::apis::count_error;
use super::{Context, now, partition_of};
use crate::engine::command::OffsetToCommit;
use crate::log::catalog::Topic;
use crate::log::offsets::CommittedOffset;
use crate::types::{ErrorCode, LeaderEpoch, PartitionId, Timestamp};
use crate::wire::{Close, RequestHeader};

/// Longest group id, bytes: a string of the protocol, whose compact form could carry more.
const GROUP_ID_BYTES_MAX: usize = i16::MAX as usize;

/// What all offsets of a request share.
struct Terms {
    metadata_chars_max: usize,
    now: Timestamp,
    expire_timestamp: Timestamp,
}

/// Stores the offsets of known partitions in one synced write; each partition has its own error code.
pub async fn offset_commit(
    cx: Context,
    header: RequestHeader,
    request: OffsetCommitRequest,
) -> Result<OffsetCommitResponse, Close> {
    let now = now();
    // Versions 2 to 4 may say how long to keep; -1 leaves it to the broker.
    let retention_ms = request.retention_time_ms;
    let terms = Terms {
        metadata_chars_max: cx.broker.config.load().offset_metadata_max_bytes,
        now,
        expire_timestamp: if retention_ms < 0 { -1 } else { now.saturating_add(retention_ms) },
    };
    let topics = cx.broker.catalog.topics();
    let is_known = cx.broker.offsets.is_known(&request.group_id);
    let refusal = refusal(header.api_version, is_known, &request);
    let judge = |topic: &OffsetCommitRequestTopic, partition: &OffsetCommitRequestPartition| {
        let topic = topics.by_name.get(topic.name.as_str()).map(AsRef::as_ref);
        to_commit(topic, partition, &terms).and_then(|offset| refusal.map_or(Ok(offset), Err))
    };
    // Of a partition that is named again the last offset counts.
    let mut offsets = BTreeMap::new();
    for topic in &request.topics {
        offsets.extend(topic.partitions.iter().filter_map(|partition| judge(topic, partition).ok()));
    }
    let mut not_stored = BTreeMap::new();
    if !offsets.is_empty() {
        let group = request.group_id.to_string();
        let offsets =
            offsets.into_iter().map(|(partition, committed)| OffsetToCommit { partition, committed }).collect();
        not_stored = cx.broker.engine.commit_offsets(group, offsets).await.map_err(|_| Close::Ending)?;
    }
    Ok(answer(&header, &request, |topic, partition| match judge(topic, partition) {
        Ok((id, _)) => not_stored.get(&id).copied().unwrap_or(ErrorCode::NONE),
        Err(error) => error,
    }))
}

/// An empty group id is one too, as in Kafka: old tools commit with it. Who commits without a generation is no member and may be
/// named anything.
fn refusal(version: i16, group_is_known: bool, request: &OffsetCommitRequest) -> Option<ErrorCode> {
    if request.group_id.len() > GROUP_ID_BYTES_MAX {
        return Some(ErrorCode::INVALID_GROUP_ID);
    }
    match (request.generation_id_or_member_epoch, group_is_known) {
        (..0, _) => None,
        (_, true) => Some(ErrorCode::UNKNOWN_MEMBER_ID),
        (_, false) if version >= 9 => Some(ErrorCode::GROUP_ID_NOT_FOUND),
        (_, false) => Some(ErrorCode::ILLEGAL_GENERATION),
    }
}

fn to_commit(
    topic: Option<&Topic>,
    partition: &OffsetCommitRequestPartition,
    terms: &Terms,
) -> Result<(PartitionId, CommittedOffset), ErrorCode> {
    let topic = topic.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let id: PartitionId =
        partition_of(topic, partition.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.id;
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    // Kafka counts the characters of a Java string, whatever the setting's name says.
    if metadata.encode_utf16().count() > terms.metadata_chars_max {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let committed = CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: metadata.to_owned(),
        commit_timestamp: terms.now,
        expire_timestamp: terms.expire_timestamp,
    };
    Ok((id, committed))
}

fn answer(
    header: &RequestHeader,
    request: &OffsetCommitRequest,
    error_of: impl Fn(&OffsetCommitRequestTopic, &OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let error = error_of(topic, partition);
            count_error(header, error);
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.0)
        });
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
#[path = "offset_commit_tests.rs"]
mod tests;
