//! ElectLeaders: one node is the leader of every partition already, by either kind of election.
//!
//! Mirrors `ReplicationControlManager.electLeaders`.

use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::told::told;
use super::{Context, partition_of, topic_name};
use crate::log::catalog::Topics;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// `ElectionType` in Kafka: the preferred replica, or any.
const KINDS: [i8; 2] = [0, 1];

/// Answers each partition that is named; for null, which means all, only those where an election took place: none.
pub async fn elect_leaders(
    cx: Context,
    header: RequestHeader,
    request: ElectLeadersRequest,
) -> Result<ElectLeadersResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let refusal = (!KINDS.contains(&request.election_type)).then(|| {
        let message = format!("Unknown election type {}", request.election_type);
        (ErrorCode::INVALID_REQUEST, told(message))
    });
    let results = match request.topic_partitions {
        None if refusal.is_some() => Vec::new(),
        None => topics.by_name.keys().map(|name| result(StrBytes::from_string(name.to_string()).into())).collect(),
        Some(named) => named.into_iter().map(|named| judged(&header, &topics, named, refusal.as_ref())).collect(),
    };
    let error = refusal.map_or(ErrorCode::NONE, |(error, _)| error);
    Ok(ElectLeadersResponse::default().with_error_code(error.0).with_replica_election_results(results))
}

fn result(topic: TopicName) -> ReplicaElectionResult {
    ReplicaElectionResult::default().with_topic(topic)
}

fn judged(
    header: &RequestHeader,
    topics: &Topics,
    named: TopicPartitions,
    refusal: Option<&(ErrorCode, StrBytes)>,
) -> ReplicaElectionResult {
    let topic = topics.by_name.get(named.topic.as_str());
    let name = topic_name::shown(&named.topic).to_owned();
    // Made once for all partitions of the topic, of which there may be many.
    let not_needed = StrBytes::from_static_str("Leader election not needed for topic partition.");
    let no_topic = told(format!("No such topic as {name}"));
    let partitions = named.partitions.into_iter().map(|index| {
        let (error, message) = match (refusal, topic) {
            (Some((error, message)), _) => (*error, message.clone()),
            (None, None) => (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, no_topic.clone()),
            (None, Some(topic)) if partition_of(topic, index).is_none() => {
                let message = format!("No such partition as {name}-{index}");
                (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, told(message))
            }
            (None, Some(_)) => (ErrorCode::ELECTION_NOT_NEEDED, not_needed.clone()),
        };
        count_error(header, error);
        PartitionResult::default().with_partition_id(index).with_error_code(error.0).with_error_message(Some(message))
    });
    let partitions = partitions.collect();
    result(named.topic).with_partition_result(partitions)
}

#[cfg(test)]
#[path = "elect_leaders_tests.rs"]
mod tests;
