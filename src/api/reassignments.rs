//! AlterPartitionReassignments and ListPartitionReassignments: one node has nowhere to move a partition to.
//!
//! Mirrors `ReplicationControlManager.alterPartitionReassignments`. A partition that is to lie on this node lies there already:
//! that is done at once, so that none is ever under way, nor late: `timeout_ms` counts for nothing (see `create_topics`).

use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::create_topics::check_replicas;
use super::told::told;
use super::{Context, partition_of, topic_name};
use crate::config::Config;
use crate::log::catalog::{Topic, Topics};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Answers each partition for itself.
pub async fn alter_partition_reassignments(
    cx: Context,
    header: RequestHeader,
    request: AlterPartitionReassignmentsRequest,
) -> Result<AlterPartitionReassignmentsResponse, Close> {
    let config = cx.broker.config.load_full();
    let topics = cx.broker.catalog.topics();
    // Kafka's answer to nothing at all has the text that it has by default.
    let message = request.topics.is_empty().then(StrBytes::default);
    let responses = request.topics.into_iter().map(|topic| answered(&header, &config, &topics, topic));
    Ok(AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_error_message(message)
        .with_responses(responses.collect()))
}

fn answered(
    header: &RequestHeader,
    config: &Config,
    topics: &Topics,
    asked: ReassignableTopic,
) -> ReassignableTopicResponse {
    let topic = topics.by_name.get(asked.name.as_str());
    let name = topic_name::shown(&asked.name).to_owned();
    // Made once for all partitions of the topic, of which there may be many.
    let no_topic = told(format!("Unable to find a topic named {name}."));
    let partitions = asked.partitions.into_iter().map(|partition| {
        let (error, message) = match topic {
            None => (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(no_topic.clone())),
            Some(topic) => judge(config, topic, &partition),
        };
        count_error(header, error);
        ReassignablePartitionResponse::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error.0)
            .with_error_message(message)
    });
    let partitions = partitions.collect();
    ReassignableTopicResponse::default().with_name(asked.name).with_partitions(partitions)
}

fn judge(config: &Config, topic: &Topic, partition: &ReassignablePartition) -> (ErrorCode, Option<StrBytes>) {
    let index = partition.partition_index;
    if partition_of(topic, index).is_none() {
        let message = format!("Unable to find partition {}:{index}.", topic.name);
        return (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(told(message)));
    }
    match &partition.replicas {
        // Null takes back what is under way. Kafka's answer to this has no text.
        None => (ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, None),
        Some(replicas) => match check_replicas(config, replicas) {
            Ok(()) => (ErrorCode::NONE, None),
            Err(message) => (ErrorCode::INVALID_REPLICA_ASSIGNMENT, Some(told(message))),
        },
    }
}

/// Answers that none is under way.
pub async fn list_partition_reassignments(
    _: Context,
    _: RequestHeader,
    _: ListPartitionReassignmentsRequest,
) -> Result<ListPartitionReassignmentsResponse, Close> {
    Ok(ListPartitionReassignmentsResponse::default().with_error_message(None))
}

#[cfg(test)]
#[path = "reassignments_tests.rs"]
mod tests;
