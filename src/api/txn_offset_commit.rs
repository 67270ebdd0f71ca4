//! TxnOffsetCommit: progress of a group that counts once the transaction is committed.
//!
//! Who may commit for the group is the group's to say, who for the transaction the transaction's (KIP-447, KIP-890).

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::apis::count_error;
use super::group_id::is_valid;
use super::offset_commit::{Terms, count_refused, to_commit};
use super::txn_producer::{code, producer};
use super::{Context, now};
use crate::coordinator::QueuedStaging;
use crate::engine::command::OffsetToCommit;
use crate::group::classic::Committer;
use crate::log::offsets::CommittedOffset;
use crate::transaction::{TransactionRefused, TransactionVersion};
use crate::types::{ErrorCode, PartitionId};
use crate::wire::{Close, RequestHeader};

/// First version whose clients know TRANSACTION_ABORTABLE.
const ABORTABLE_FROM: i16 = 4;
/// First version that makes the group part of the transaction (KIP-890).
const ADDS_FROM: i16 = 5;

/// Stages the offsets of known partitions in one synced write; each partition has its own error code.
pub async fn txn_offset_commit(
    cx: Context,
    header: RequestHeader,
    request: TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, Close> {
    let metadata_chars_max = cx.broker.config.load().offset_metadata_max_bytes;
    let terms = Terms { metadata_chars_max, now: now(), expire_timestamp: -1 };
    let topics = cx.broker.catalog.topics();
    let judge = |topic: &TxnOffsetCommitRequestTopic, partition: &TxnOffsetCommitRequestPartition| {
        let topic = topics.by_name.get(topic.name.as_str()).map(AsRef::as_ref);
        to_commit(topic, &plain(partition), &terms)
    };
    // Of a partition that is named again the last offset counts.
    let mut offsets = BTreeMap::new();
    for topic in &request.topics {
        offsets.extend(topic.partitions.iter().filter_map(|partition| judge(topic, partition).ok()));
    }
    let staged = match stage(&cx, &header, &request, offsets) {
        Ok(staged) => match staged.staged().await.map_err(|_| Close::Ending)? {
            Ok(not_staged) => Ok(not_staged),
            Err(refused) => Err(code_of(&header, refused)?),
        },
        Err(error) => Err(error),
    };
    let answer = answer(&header, &request, |topic, partition| match (judge(topic, partition), &staged) {
        (Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), _) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        (_, Err(refusal)) => *refusal,
        (Err(error), Ok(_)) => error,
        (Ok((id, _)), Ok(not_staged)) => not_staged.get(&id).copied().unwrap_or(ErrorCode::NONE),
    });
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    count_refused(&cx, &request.group_id, partitions.map(|partition| ErrorCode(partition.error_code)));
    Ok(answer)
}

fn plain(partition: &TxnOffsetCommitRequestPartition) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default()
        .with_partition_index(partition.partition_index)
        .with_committed_offset(partition.committed_offset)
        .with_committed_leader_epoch(partition.committed_leader_epoch)
        .with_committed_metadata(partition.committed_metadata.clone())
}

fn stage(
    cx: &Context,
    header: &RequestHeader,
    request: &TxnOffsetCommitRequest,
    offsets: BTreeMap<PartitionId, CommittedOffset>,
) -> Result<QueuedStaging, ErrorCode> {
    if !is_valid(&request.group_id) {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let version = if header.api_version >= ADDS_FROM { TransactionVersion::V2 } else { TransactionVersion::V1 };
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    let producer = producer(&request.transactional_id, id, epoch, version, cx.arrival)?;
    let committer = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation_id: request.generation_id,
    };
    let offsets = offsets.into_iter().map(|(partition, committed)| OffsetToCommit { partition, committed }).collect();
    cx.broker.coordinator.commit_transactional(&request.group_id, committer, producer, offsets)
}

/// A fenced epoch is INVALID_PRODUCER_EPOCH here, as for a batch: the producer aborts and goes on.
fn code_of(header: &RequestHeader, refused: TransactionRefused) -> Result<ErrorCode, Close> {
    match refused {
        TransactionRefused::NotInTransaction if header.api_version < ABORTABLE_FROM => Ok(ErrorCode::INVALID_TXN_STATE),
        refused => code(refused, false),
    }
}

fn answer(
    header: &RequestHeader,
    request: &TxnOffsetCommitRequest,
    error_of: impl Fn(&TxnOffsetCommitRequestTopic, &TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let error = error_of(topic, partition);
            count_error(header, error);
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.0)
        });
        TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

#[cfg(test)]
#[path = "txn_offset_commit_tests.rs"]
mod tests;
