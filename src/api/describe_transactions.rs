//! DescribeTransactions: where the transactions of some ids stand, and what takes part in them.

use std::collections::{BTreeMap, HashSet};

use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use super::topic_name::CONSUMER_OFFSETS;
use crate::log::catalog::Topics;
use crate::transaction::TransactionMetadata;
use crate::types::{ErrorCode, PartitionIndex};
use crate::wire::{Close, RequestHeader};

/// Answers each id for itself: those that nobody has with TRANSACTIONAL_ID_NOT_FOUND. One that is named again is answered once: what a
/// few bytes ask for can be large.
pub async fn describe_transactions(
    cx: Context,
    header: RequestHeader,
    request: DescribeTransactionsRequest,
) -> Result<DescribeTransactionsResponse, Close> {
    let mut named = HashSet::new();
    let mut asked = request.transactional_ids;
    asked.retain(|id| named.insert(id.clone()));
    let ids = asked.iter().map(|id| id.as_str().to_owned()).collect();
    let found = cx.broker.engine.describe_transactions(ids).await.map_err(|_| Close::Ending)?;
    let topics = cx.broker.catalog.topics();
    let offsets_partitions = cx.broker.config.load().offsets_topic_partitions;
    let states = asked.into_iter().zip(found).map(|(id, found)| match found {
        Some(transaction) => described(id, &transaction, &topics, offsets_partitions),
        None => {
            let error = if id.is_empty() { ErrorCode::INVALID_REQUEST } else { ErrorCode::TRANSACTIONAL_ID_NOT_FOUND };
            count_error(&header, error);
            TransactionState::default().with_transactional_id(id).with_error_code(error.0)
        }
    });
    Ok(DescribeTransactionsResponse::default().with_transaction_states(states.collect()))
}

/// Kafka keeps offsets of groups in partitions of a topic, and lists those as part of a transaction: tools know it.
fn described(
    id: TransactionalId,
    transaction: &TransactionMetadata,
    topics: &Topics,
    offsets_partitions: u32,
) -> TransactionState {
    let mut by_name: BTreeMap<&str, Vec<PartitionIndex>> = BTreeMap::new();
    for partition in &transaction.partitions {
        if let (Some(topic), Ok(index)) =
            (topics.by_no.get(&partition.topic), PartitionIndex::try_from(partition.index))
        {
            by_name.entry(&topic.name).or_default().push(index);
        }
    }
    if !transaction.groups.is_empty() {
        let mut partitions: Vec<_> =
            transaction.groups.iter().map(|group| offsets_partition(group, offsets_partitions)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        by_name.insert(CONSUMER_OFFSETS, partitions);
    }
    let participants = by_name.into_iter().map(|(name, partitions)| {
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        TopicData::default().with_topic(name).with_partitions(partitions)
    });
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(transaction.state.name()))
        .with_transaction_timeout_ms(i32::try_from(transaction.timeout_ms).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(transaction.start_time)
        .with_producer_id(transaction.producer_id.0.into())
        .with_producer_epoch(transaction.producer_epoch.0)
        .with_topics(participants.collect())
}

/// Where Kafka would keep the offsets of `group`: Java's hash of its characters.
fn offsets_partition(group: &str, partitions: u32) -> PartitionIndex {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) % PartitionIndex::try_from(partitions.max(1)).unwrap_or(PartitionIndex::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_listed_where_kafka_keeps_their_offsets() {
        // Computed by Java: ("...".hashCode() & 0x7fffffff) % 50.
        for (group, partition) in [("", 0), ("a", 47), ("group", 47), ("polygenelubricants", 0), ("é", 33)] {
            assert_eq!(offsets_partition(group, 50), partition, "{group}");
        }
    }
}
