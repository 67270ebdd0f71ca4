//! CreatePartitions: raises partition counts, each topic for itself.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::apis::count_error;
use super::create_topics::check_replicas;
use super::told::told;
use super::{COMMANDS_MAX, Context};
use crate::engine::command::Refused;
use crate::types::{ErrorCode, TopicNo};
use crate::wire::{Close, RequestHeader};

/// Raises the counts. A topic that is named twice is answered once, and refused.
pub async fn create_partitions(
    cx: Context,
    header: RequestHeader,
    request: CreatePartitionsRequest,
) -> Result<CreatePartitionsResponse, Close> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    request.topics.iter().for_each(|topic| *counts.entry(topic.name.as_str()).or_default() += 1);
    let mut asked = Vec::with_capacity(counts.len());
    for topic in &request.topics {
        match counts.remove(topic.name.as_str()) {
            Some(1) => asked.push((topic.name.clone(), check(&cx, topic))),
            Some(_) => {
                asked.push((topic.name.clone(), Err(Refused::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))))
            }
            None => {}
        }
    }
    let outcomes = asked.into_iter().map(|(name, checked)| {
        let engine = cx.broker.engine.clone();
        async move {
            match checked {
                Ok((topic, total)) => (name, engine.create_partitions(topic, total, request.validate_only).await),
                Err(refused) => (name, Ok(Err(refused))),
            }
        }
    });
    let mut outcomes = stream::iter(outcomes).buffered(COMMANDS_MAX);
    let mut results = Vec::new();
    while let Some((name, outcome)) = outcomes.next().await {
        let result = CreatePartitionsTopicResult::default().with_name(name);
        results.push(match outcome.map_err(|_| Close::Ending)? {
            Ok(()) => result,
            Err(refused) => {
                count_error(&header, refused.error);
                let message = Some(refused.message).filter(|message| !message.is_empty());
                result.with_error_code(refused.error.0).with_error_message(message.map(told))
            }
        });
    }
    Ok(CreatePartitionsResponse::default().with_results(results))
}

/// Which topic, and the new total. The engine refuses one that is not higher.
fn check(cx: &Context, topic: &CreatePartitionsTopic) -> Result<(TopicNo, u32), Refused> {
    let Some(found) = cx.broker.catalog.topic(&topic.name) else {
        // Kafka leaves the text to the client.
        return Err(Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ""));
    };
    let current = found.partitions.len();
    let Ok(total) = u32::try_from(topic.count) else {
        let message = format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            topic.name.as_str(),
            topic.count
        );
        return Err(Refused::new(ErrorCode::INVALID_PARTITIONS, message));
    };
    let added = usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(current);
    if added > 0 {
        check_assignments(cx, topic, added)
            .map_err(|message| Refused::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message))?;
    }
    Ok((found.no, total))
}

fn check_assignments(cx: &Context, topic: &CreatePartitionsTopic, added: usize) -> Result<(), String> {
    let Some(assignments) = &topic.assignments else { return Ok(()) };
    if assignments.len() != added {
        return Err(format!(
            "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        ));
    }
    let config = cx.broker.config.load();
    assignments.iter().try_for_each(|assignment| check_replicas(&config, &assignment.broker_ids))
}

#[cfg(test)]
#[path = "create_partitions_tests.rs"]
mod tests;
