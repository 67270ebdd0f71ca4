//! CreateTopics: each topic for itself; an answered one is there for every connection.
//!
//! Mirrors `ReplicationControlManager.createTopics` on one node: assignments may name this node only, and one replica each.
//! A `timeout_ms` of 0 or less is answered with what was done: Kafka does it, too, and says REQUEST_TIMED_OUT. So in CreatePartitions,
//! ElectLeaders and AlterPartitionReassignments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::config_resource::setting_name;
use super::told::told;
use super::{Context, topic_name};
use crate::config::describe::Source;
use crate::config::table::is_own;
use crate::config::{Config, describe, topic as topic_settings};
use crate::engine::command::{NewTopic, Refused};
use crate::log::catalog::{Topic, Topics};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Partitions of all topics of one request (`MAX_PARTITIONS_PER_BATCH` in Kafka). It bounds the answer as well: a request that only
/// validates creates nothing that `einmal.partitions.max` could count.
const PARTITIONS_MAX: u64 = 10_000;

/// Creates the topics that can be created with one command. A topic that is named twice is answered once, and refused.
pub async fn create_topics(
    cx: Context,
    header: RequestHeader,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, Close> {
    let config = cx.broker.config.load_full();
    let topics = cx.broker.catalog.topics();
    let mut judged: Vec<(TopicName, Result<NewTopic, Refused>)> = Vec::new();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    request.topics.iter().for_each(|topic| *counts.entry(topic.name.as_str()).or_default() += 1);
    for topic in &request.topics {
        match counts.remove(topic.name.as_str()) {
            Some(1) => judged.push((topic.name.clone(), judge(&config, &topics, topic))),
            Some(_) => {
                let outcome = Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."));
                judged.push((topic.name.clone(), outcome));
            }
            None => {}
        }
    }
    refuse_excess(&mut judged);
    let new = judged.iter().filter_map(|(_, outcome)| outcome.as_ref().ok().cloned()).collect();
    let created = cx.broker.engine.create_topics(new, request.validate_only).await.map_err(|_| Close::Ending)?;
    let mut created = created.into_iter();
    let results = judged.into_iter().map(|(name, outcome)| {
        let outcome = outcome.and_then(|_| created.next().expect("one answer per new topic"));
        let result = CreatableTopicResult::default().with_name(name);
        match outcome {
            Ok(topic) => described(result.with_error_message(None), &topic, &config, header.api_version),
            Err(refused) => {
                count_error(&header, refused.error);
                result
                    .with_error_code(refused.error.0)
                    .with_error_message(Some(told(refused.message)))
                    .with_configs((header.api_version >= 5).then(Vec::new))
            }
        }
    });
    Ok(CreateTopicsResponse::default().with_topics(results.collect()))
}

fn refuse_excess(judged: &mut [(TopicName, Result<NewTopic, Refused>)]) {
    let partitions =
        judged.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).map(|topic| u64::from(topic.partitions));
    if partitions.sum::<u64>() > PARTITIONS_MAX {
        let message = "Excessively large number of partitions per request.";
        judged.iter_mut().for_each(|(_, outcome)| *outcome = Err(Refused::new(ErrorCode::POLICY_VIOLATION, message)));
    }
}

/// Kafka's order of checks: name, existence, settings, placement. The engine checks existence again, and collisions.
fn judge(config: &Config, topics: &Topics, topic: &CreatableTopic) -> Result<NewTopic, Refused> {
    let name = topic.name.as_str();
    if name == topic_name::METADATA_TOPIC {
        let message = format!("Creation of internal topic {name} is prohibited.");
        return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    }
    topic_name::check(name).map_err(|message| Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))?;
    if topics.by_name.contains_key(name) {
        return Err(Refused::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{name}' already exists.")));
    }
    let overrides = own_settings(topic)?;
    let partitions = if topic.assignments.is_empty() {
        check_replication_factor(config, topic.replication_factor)?;
        partition_count(config, topic.num_partitions)?
    } else {
        if topic.replication_factor != -1 {
            let message = "A manual partition assignment was specified, but replication factor was not set to -1.";
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
        }
        if topic.num_partitions != -1 {
            let message = "A manual partition assignment was specified, but numPartitions was not set to -1.";
            return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
        }
        assigned_count(config, &topic.assignments)?
    };
    Ok(NewTopic { name: name.to_owned(), partitions, overrides })
}

fn own_settings(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, Refused> {
    let given = topic.configs.iter().map(|config| match &config.value {
        Some(value) => Ok((config.name.to_string(), value.to_string())),
        None => {
            let message = format!("Null value not supported for topic configs: {}", config.name.as_str());
            Err(Refused::new(ErrorCode::INVALID_CONFIG, message))
        }
    });
    let given = given.collect::<Result<_, _>>()?;
    topic_settings::judge(&BTreeMap::new(), &given)
        .map_err(|error| Refused::new(ErrorCode::INVALID_CONFIG, error.to_string()))
}

fn check_replication_factor(config: &Config, replication_factor: i16) -> Result<(), Refused> {
    match replication_factor {
        -1 | 1 => Ok(()),
        factor if factor > 1 && config.replication_factor_clamp => Ok(()),
        factor if factor > 1 => {
            let message = format!(
                "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."
            );
            Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message))
        }
        _ => {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            Err(Refused::new(ErrorCode::INVALID_REPLICATION_FACTOR, message))
        }
    }
}

fn partition_count(config: &Config, count: i32) -> Result<u32, Refused> {
    match count {
        -1 => Ok(config.num_partitions),
        count if count > 0 => Ok(count.unsigned_abs()),
        _ => {
            let message = "Number of partitions was set to an invalid non-positive value.";
            Err(Refused::new(ErrorCode::INVALID_PARTITIONS, message))
        }
    }
}

/// Partitions 0 to n − 1, each on this node.
fn assigned_count(config: &Config, assignments: &[CreatableReplicaAssignment]) -> Result<u32, Refused> {
    let invalid = |message: String| Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    let mut indexes = BTreeSet::new();
    for assignment in assignments {
        if !indexes.insert(assignment.partition_index) {
            let message =
                format!("Found multiple manual partition assignments for partition {}", assignment.partition_index);
            return Err(invalid(message));
        }
        check_replicas(config, &assignment.broker_ids).map_err(invalid)?;
    }
    let last = i32::try_from(assignments.len()).unwrap_or(i32::MAX) - 1;
    if indexes.first() != Some(&0) || indexes.last() != Some(&last) {
        return Err(invalid("partitions should be a consecutive 0-based integer sequence".to_owned()));
    }
    Ok(u32::try_from(assignments.len()).unwrap_or(u32::MAX))
}

/// Tells why `brokers` cannot hold a partition, in Kafka's words.
pub(super) fn check_replicas(config: &Config, brokers: &[kafka_protocol::messages::BrokerId]) -> Result<(), String> {
    if brokers.is_empty() {
        return Err("The manual partition assignment includes an empty replica list.".to_owned());
    }
    // Kafka goes through them sorted.
    let mut ids: Vec<i32> = brokers.iter().map(|broker| broker.0).collect();
    ids.sort_unstable();
    let mut previous = None;
    for id in ids {
        if id != config.node_id {
            return Err(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if previous == Some(id) {
            return Err(format!("The manual partition assignment includes the broker {id} more than once."));
        }
        previous = Some(id);
    }
    Ok(())
}

fn described(result: CreatableTopicResult, topic: &Topic, config: &Config, version: i16) -> CreatableTopicResult {
    if version < 5 {
        return result;
    }
    // Kafka's own test of what is answered here (StaticBrokerConfigTest) fails at a setting that its table does not have.
    let is_told = |entry: &describe::Entry| entry.source != Source::Default || !is_own(&entry.name);
    let configs = describe::topic(config, &topic.name, &topic.overrides).into_iter().filter(is_told).map(|entry| {
        CreatableTopicConfigs::default()
            .with_name(setting_name(entry.name))
            .with_value(entry.value.map(StrBytes::from_string))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source.code())
            .with_is_sensitive(entry.sensitive)
    });
    let result = if version >= 7 { result.with_topic_id(topic.id) } else { result };
    result
        .with_num_partitions(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()))
}

#[cfg(test)]
#[path = "create_topics_tests.rs"]
mod tests;
