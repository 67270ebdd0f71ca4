//! DescribeTopicPartitions: topics by name, page by page (KIP-966).
//!
//! Mirrors `DescribeTopicPartitionsRequestHandler`.

use std::collections::BTreeSet;
use std::ops::Bound;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition as DescribedPartition,
    DescribeTopicPartitionsResponseTopic as DescribedTopic,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::{Context, authorized_operations, topic_name};
use crate::log::catalog::Topic;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Answers as many partitions as are asked for, at most `max.request.partition.size.limit`, from the cursor on, and the cursor of
/// the rest. No names means all topics.
pub async fn describe_topic_partitions(
    cx: Context,
    header: RequestHeader,
    request: DescribeTopicPartitionsRequest,
) -> Result<DescribeTopicPartitionsResponse, Close> {
    let named: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    let cursor = request.cursor.as_ref().map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    let is_bad = |(name, index): (&str, i32)| index < 0 || (!named.is_empty() && !named.contains(name));
    if cursor.is_some_and(is_bad) {
        // There is no place for an error of the request as a whole.
        let refused = request.topics.iter().map(|topic| refused(&header, ErrorCode::INVALID_REQUEST, &topic.name));
        return Ok(DescribeTopicPartitionsResponse::default().with_topics(refused.collect()));
    }
    let config = cx.broker.config.load();
    let topics = cx.broker.catalog.topics();
    let (first, first_partition) = cursor.unwrap_or_default();
    let names: Box<dyn Iterator<Item = &str> + Send> = match named.is_empty() {
        true => Box::new(
            topics.by_name.range::<str, _>((Bound::Included(first), Bound::Unbounded)).map(|(name, _)| &**name),
        ),
        false => Box::new(named.range(first..).copied()),
    };
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = limit.min(config.request_partitions_max).max(1);
    let mut answer = DescribeTopicPartitionsResponse::default();
    for name in names {
        if left == 0 {
            answer.next_cursor = Some(cursor_at(name, 0));
            break;
        }
        let Some(topic) = topics.by_name.get(name) else {
            let error = match topic_name::check(name) {
                Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            };
            let unknown = refused(&header, error, &TopicName(StrBytes::from_string(name.to_owned())));
            let unknown = unknown.with_topic_authorized_operations(authorized_operations::TOPIC);
            answer.topics.push(unknown);
            continue;
        };
        let from = if name == first { usize::try_from(first_partition).unwrap_or(0) } else { 0 };
        let end = topic.partitions.len().min(from.saturating_add(left));
        answer.topics.push(described(topic, from, end, config.node_id));
        if end < topic.partitions.len() {
            answer.next_cursor = Some(cursor_at(name, i32::try_from(end).unwrap_or(i32::MAX)));
            break;
        }
        left -= end.saturating_sub(from);
    }
    Ok(answer)
}

fn cursor_at(topic: &str, partition: i32) -> Cursor {
    Cursor::default().with_topic_name(StrBytes::from_string(topic.to_owned()).into()).with_partition_index(partition)
}

fn described(topic: &Topic, from: usize, end: usize, node_id: i32) -> DescribedTopic {
    let here = || vec![node_id.into()];
    let partitions = topic.partitions.iter().zip(0..).take(end).skip(from).map(|(partition, index)| {
        DescribedPartition::default()
            .with_partition_index(index)
            .with_leader_id(node_id.into())
            .with_leader_epoch(partition.leader_epoch().0)
            .with_replica_nodes(here())
            .with_isr_nodes(here())
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    });
    DescribedTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.to_string()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(topic_name::is_internal(&topic.name))
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(authorized_operations::TOPIC)
}

fn refused(header: &RequestHeader, error: ErrorCode, name: &TopicName) -> DescribedTopic {
    count_error(header, error);
    DescribedTopic::default().with_error_code(error.0).with_name(Some(name.clone()))
}

#[cfg(test)]
#[path = "describe_topic_partitions_tests.rs"]
mod tests;
