//! Metadata: the one broker at the address of the client's listener, and topics; creates a topic on first use where allowed.
//!
//! Mirrors `KafkaApis.handleTopicMetadataRequest`. Where Kafka answers UNKNOWN_TOPIC_OR_PARTITION for a topic that it has just
//! begun to create, this answers the topic: it is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::{Context, authorized_operations, internal_topics, topic_name};
use crate::engine::command::NewTopic;
use crate::log::catalog::{Topic, Topics};
use crate::types::{ErrorCode, Uuid};
use crate::wire::{Close, RequestHeader};

/// Answers what was asked for; all topics for null, and in version 0 for an empty list.
pub async fn metadata(cx: Context, header: RequestHeader, request: MetadataRequest) -> Result<MetadataResponse, Close> {
    let config = cx.broker.config.load_full();
    let node_id = config.node_id;
    let version = header.api_version;
    let with_operations = request.include_topic_authorized_operations;
    let topics = match request.topics {
        None => all_topics(&cx, node_id),
        Some(topics) if topics.is_empty() && version == 0 => all_topics(&cx, node_id),
        Some(topics) => {
            let may_create = config.auto_create_topics_enable && (version < 4 || request.allow_auto_topic_creation);
            named_topics(&cx, &header, node_id, may_create, topics).await?
        }
    };
    let topics = topics.into_iter().map(|topic| match with_operations {
        true => topic.with_topic_authorized_operations(authorized_operations::TOPIC),
        false => topic,
    });
    let endpoint = cx.endpoint();
    let broker = MetadataResponseBroker::default()
        .with_node_id(node_id.into())
        .with_host(StrBytes::from_string(endpoint.host.clone()))
        .with_port(i32::from(endpoint.port));
    let mut answer = MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(StrBytes::from_string(cx.broker.cluster_id.to_string())))
        .with_controller_id(node_id.into())
        .with_topics(topics.collect());
    if request.include_cluster_authorized_operations {
        answer.cluster_authorized_operations = authorized_operations::CLUSTER;
    }
    Ok(answer)
}

fn all_topics(cx: &Context, node_id: i32) -> Vec<MetadataResponseTopic> {
    cx.broker.catalog.topics().by_name.values().map(|topic| described(topic, node_id)).collect()
}

/// The topics in the order asked for, each once however often and by whatever it is named: the answer would else outgrow the
/// request without bound. Those to be created are created with one command.
async fn named_topics(
    cx: &Context,
    header: &RequestHeader,
    node_id: i32,
    may_create: bool,
    asked: Vec<MetadataRequestTopic>,
) -> Result<Vec<MetadataResponseTopic>, Close> {
    // Versions 10 and 11 have ids in the answer only; a request that asks by one is refused as a whole.
    let asks_by_id = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_nil();
    if header.api_version < 12 && asked.iter().any(asks_by_id) {
        let refused =
            |topic: MetadataRequestTopic| refused(header, ErrorCode::INVALID_REQUEST, topic.name, topic.topic_id);
        return Ok(asked.into_iter().map(refused).collect());
    }
    if may_create {
        create_missing(cx, &asked).await?;
    }
    let topics = cx.broker.catalog.topics();
    let (mut answered, mut refusals) = (HashSet::new(), HashSet::new());
    let mut answers = Vec::new();
    for topic in asked {
        let found = find(&topics, &topic);
        match found {
            Ok(found) if answered.insert(found.no) => answers.push(described(found, node_id)),
            Err(error) if refusals.insert((topic.name.clone(), topic.topic_id)) => {
                let name = topic.name.filter(|_| topic.topic_id.is_nil());
                answers.push(refused(header, error, name, topic.topic_id));
            }
            _ => {}
        }
    }
    Ok(answers)
}

/// By id where there is one, else by name.
fn find<'a>(topics: &'a Topics, asked: &MetadataRequestTopic) -> Result<&'a Arc<Topic>, ErrorCode> {
    match &asked.name {
        Some(name) if asked.topic_id.is_nil() => {
            topics.by_name.get(name.as_str()).ok_or_else(|| match topic_name::check(name) {
                Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            })
        }
        _ => topics.by_id.get(&asked.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
    }
}

async fn create_missing(cx: &Context, asked: &[MetadataRequestTopic]) -> Result<(), Close> {
    let topics = cx.broker.catalog.topics();
    let mut missing = BTreeSet::new();
    for name in asked.iter().filter(|topic| topic.topic_id.is_nil()).filter_map(|topic| topic.name.as_ref()) {
        let may_be = topic_name::check(name).is_ok() && name.as_str() != topic_name::METADATA_TOPIC;
        if may_be && !topics.by_name.contains_key(name.as_str()) {
            missing.insert(name.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let config = cx.broker.config.load();
    let new = |name: String| {
        internal_topics::new_topic(&name, &config).unwrap_or_else(|| NewTopic {
            name,
            partitions: config.num_partitions,
            overrides: BTreeMap::new(),
        })
    };
    let new = missing.into_iter().map(new).collect();
    // What was refused (created by another client meanwhile, a collision, the limit) shows in the catalog afterwards.
    for refused in cx
        .broker
        .engine
        .create_topics(new, false)
        .await
        .map_err(|_| Close::Ending)?
        .iter()
        .filter_map(|created| created.as_ref().err())
    {
        tracing::debug!(error = %refused, "topic is not created on first use");
    }
    Ok(())
}

fn described(topic: &Arc<Topic>, node_id: i32) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().zip(0..).map(|(partition, index)| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(node_id.into())
            .with_leader_epoch(partition.leader_epoch().0)
            .with_replica_nodes(vec![node_id.into()])
            .with_isr_nodes(vec![node_id.into()])
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
        .with_topic_id(topic.id)
        .with_is_internal(topic_name::is_internal(&topic.name))
        .with_partitions(partitions.collect())
}

fn refused(header: &RequestHeader, error: ErrorCode, name: Option<TopicName>, id: Uuid) -> MetadataResponseTopic {
    count_error(header, error);
    // Only versions from 12 on may leave the name out.
    let name = name.or_else(|| (header.api_version < 12).then(TopicName::default));
    // Also of one that is not there, as in Kafka.
    let is_internal = error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        && name.as_ref().is_some_and(|name| topic_name::is_internal(name.as_str()));
    MetadataResponseTopic::default()
        .with_error_code(error.0)
        .with_name(name)
        .with_topic_id(id)
        .with_is_internal(is_internal)
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
