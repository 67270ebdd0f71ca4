//! OffsetCommit: progress of members of a group, and of consumers that assign themselves and are none.
//!
//! Who may commit is the coordinator's to say; here is which offsets.

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::apis::count_error;
use super::group_id::TEXT_BYTES_MAX;
use super::{Context, now, partition_of};
use crate::coordinator::QueuedCommit;
use crate::engine::command::OffsetToCommit;
use crate::group::classic::Committer;
use crate::log::catalog::Topic;
use crate::log::offsets::CommittedOffset;
use crate::types::{ErrorCode, LeaderEpoch, PartitionId, Timestamp};
use crate::wire::{Close, RequestHeader};

/// What all offsets of a request share.
pub(super) struct Terms {
    pub metadata_chars_max: usize,
    pub now: Timestamp,
    /// -1: by the broker's retention.
    pub expire_timestamp: Timestamp,
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
    let judge = |topic: &OffsetCommitRequestTopic, partition: &OffsetCommitRequestPartition| {
        let topic = topics.by_name.get(topic.name.as_str()).map(AsRef::as_ref);
        to_commit(topic, partition, &terms)
    };
    // Of a partition that is named again the last offset counts.
    let mut offsets = BTreeMap::new();
    for topic in &request.topics {
        offsets.extend(topic.partitions.iter().filter_map(|partition| judge(topic, partition).ok()));
    }
    let (refusal, not_stored) = match commit(&cx, &header, &request, offsets) {
        Ok(committed) => (None, committed.stored().await.map_err(|_| Close::Ending)?),
        Err(error) => (Some(error), BTreeMap::new()),
    };
    let answer = answer(&header, &request, |topic, partition| match (judge(topic, partition), refusal) {
        (Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), _) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        (_, Some(refusal)) => refusal,
        (Err(error), None) => error,
        (Ok((id, _)), None) => not_stored.get(&id).copied().unwrap_or(ErrorCode::NONE),
    });
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    count_refused(&cx, &request.group_id, partitions.map(|partition| ErrorCode(partition.error_code)));
    Ok(answer)
}

/// Counts what was not committed for a group, of the codes of its partitions.
pub(super) fn count_refused(cx: &Context, group_id: &str, codes: impl Iterator<Item = ErrorCode>) {
    let refused = codes.filter(|code| !code.is_none()).count();
    if refused > 0 {
        cx.broker.coordinator.count_refused(group_id, refused);
    }
}

/// An empty group id is one too, as in Kafka: old tools commit with it.
fn commit(
    cx: &Context,
    header: &RequestHeader,
    request: &OffsetCommitRequest,
    offsets: BTreeMap<PartitionId, CommittedOffset>,
) -> Result<QueuedCommit, ErrorCode> {
    if request.group_id.len() > TEXT_BYTES_MAX {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation_id: request.generation_id_or_member_epoch,
    };
    let offsets = offsets.into_iter().map(|(partition, committed)| OffsetToCommit { partition, committed }).collect();
    cx.broker.coordinator.commit(&request.group_id, header.api_version, committer, offsets)
}

/// What is to be stored of one partition.
///
/// # Errors
/// Its code, if nothing is.
pub(super) fn to_commit(
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
