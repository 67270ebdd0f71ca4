//! DescribeTransactions: where the transactions of some ids stand, and what takes part in them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::topic_name::CONSUMER_OFFSETS;
use super::{Context, internal_topics};
use crate::group::offsets_partition::offsets_partition;
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
    let offsets_partitions = internal_topics::offsets_partitions(&topics, &cx.broker.config.load());
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
        let at = |group: &Arc<str>| PartitionIndex::try_from(offsets_partition(group, offsets_partitions)).ok();
        let mut partitions: Vec<_> = transaction.groups.iter().filter_map(at).collect();
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
