//! DescribeQuorum: this node is the only voter of the quorum that decides on topics and settings, and always its leader.
//!
//! Mirrors `KafkaRaftClient.handleDescribeQuorumRequest`. What Kafka's metadata log is, the store is here: its sequence number is the
//! offset that rises with each change.

use kafka_protocol::messages::describe_quorum_request::TopicData as Asked;
use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::{Context, now, topic_name};
use crate::engine::command::UNKNOWN_PARTITION;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Answers for `__cluster_metadata-0` if nothing else is asked for; else every partition is unknown.
pub async fn describe_quorum(
    cx: Context,
    header: RequestHeader,
    request: DescribeQuorumRequest,
) -> Result<DescribeQuorumResponse, Close> {
    let is_quorum = matches!(request.topics.as_slice(), [topic] if is_metadata_log(topic));
    let answer = DescribeQuorumResponse::default();
    if !is_quorum {
        return Ok(answer.with_topics(request.topics.into_iter().map(|topic| unknown(&header, topic)).collect()));
    }
    let node_id = cx.broker.config.load().node_id.into();
    let sequence = cx.broker.reader.store_sequence().await.map_err(|_| Close::Ending)?;
    let end = i64::try_from(sequence).unwrap_or(i64::MAX);
    let mut voter = ReplicaState::default().with_replica_id(node_id).with_log_end_offset(end);
    if header.api_version >= 1 {
        (voter.last_fetch_timestamp, voter.last_caught_up_timestamp) = (now(), now());
    }
    let partition = PartitionData::default()
        .with_leader_id(node_id)
        .with_leader_epoch(cx.broker.leader_epoch.0)
        .with_high_watermark(end)
        .with_current_voters(vec![voter]);
    let topic = TopicData::default()
        .with_topic_name(StrBytes::from_static_str(topic_name::METADATA_TOPIC).into())
        .with_partitions(vec![partition]);
    let answer = answer.with_topics(vec![topic]);
    if header.api_version < 2 {
        return Ok(answer);
    }
    let endpoint = cx.endpoint();
    let listener = Listener::default()
        .with_name(StrBytes::from_string(endpoint.listener.to_string()))
        .with_host(StrBytes::from_string(endpoint.host.clone()))
        .with_port(endpoint.port);
    Ok(answer.with_nodes(vec![Node::default().with_node_id(node_id).with_listeners(vec![listener])]))
}

fn is_metadata_log(topic: &Asked) -> bool {
    topic.topic_name.as_str() == topic_name::METADATA_TOPIC
        && matches!(topic.partitions.as_slice(), [only] if only.partition_index == 0)
}

fn unknown(header: &RequestHeader, asked: Asked) -> TopicData {
    let partitions = asked.partitions.into_iter().map(|partition| {
        count_error(header, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let unknown = PartitionData::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0);
        if header.api_version < 2 {
            return unknown;
        }
        let message = StrBytes::from_static_str(UNKNOWN_PARTITION);
        unknown.with_error_message(Some(message))
    });
    let partitions = partitions.collect();
    TopicData::default().with_topic_name(asked.topic_name).with_partitions(partitions)
}

#[cfg(test)]
#[path = "describe_quorum_tests.rs"]
mod tests;
