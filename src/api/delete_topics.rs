//! DeleteTopics by name and by id, each for itself.

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use super::told::told;
use crate::engine::command::{Refused, TopicRef};
use crate::log::catalog::{Topic, Topics};
use crate::types::{ErrorCode, TopicNo, Uuid};
use crate::wire::{Close, RequestHeader};

/// A topic as the request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Named {
    name: Option<TopicName>,
    id: Uuid,
}

/// Deletes what is there; an answered deletion is one for every connection. A topic that is named again is answered once, and
/// refused, as in Kafka.
pub async fn delete_topics(
    cx: Context,
    header: RequestHeader,
    request: DeleteTopicsRequest,
) -> Result<DeleteTopicsResponse, Close> {
    let named: Vec<Named> = if header.api_version >= 6 {
        request.topics.into_iter().map(|topic| Named { name: topic.name, id: topic.topic_id }).collect()
    } else {
        request.topic_names.into_iter().map(|name| Named { name: Some(name), id: Uuid::nil() }).collect()
    };
    let judged = if cx.broker.config.load().delete_topic_enable {
        judge(&cx.broker.catalog.topics(), named)
    } else {
        // Older versions have no code for it.
        let error =
            if header.api_version < 3 { ErrorCode::INVALID_REQUEST } else { ErrorCode::TOPIC_DELETION_DISABLED };
        named.into_iter().map(|named| (named, Err(Refused::new(error, "Topic deletion is disabled.")))).collect()
    };
    let topics = judged.iter().filter_map(|(_, topic)| topic.as_ref().ok().cloned()).collect();
    let deleted = cx.broker.engine.delete_topics(topics).await.map_err(|_| Close::Ending)?;
    let mut deleted = deleted.into_iter();
    let responses = judged.into_iter().map(|(named, judged)| {
        let outcome = judged.and_then(|_| deleted.next().expect("one answer per topic asked for"));
        let result = DeletableTopicResult::default().with_name(named.name.clone()).with_topic_id(named.id);
        match outcome {
            Ok(topic) => {
                let name = TopicName(StrBytes::from_string(topic.name.to_string()));
                let id = if header.api_version >= 6 { topic.id } else { Uuid::nil() };
                result.with_name(Some(name)).with_topic_id(id)
            }
            Err(refused) => {
                count_error(&header, refused.error);
                let message = (header.api_version >= 5).then(|| told(refused.message));
                result.with_error_code(refused.error.0).with_error_message(message)
            }
        }
    });
    Ok(DeleteTopicsResponse::default().with_responses(responses.collect()))
}

/// What to delete, in the order of first mention. A name and an id of the same topic count as a second mention.
fn judge(topics: &Topics, named: Vec<Named>) -> Vec<(Named, Result<TopicRef, Refused>)> {
    let mut mentions: HashMap<&Named, usize> = HashMap::new();
    named.iter().for_each(|named| *mentions.entry(named).or_default() += 1);
    let mut by_topic: HashMap<TopicNo, usize> = HashMap::new();
    for topic in mentions.keys().filter_map(|named| found(topics, &reference(named).ok()?)) {
        *by_topic.entry(topic.no).or_default() += 1;
    }
    let mut judged = Vec::with_capacity(mentions.len());
    for topic in &named {
        let Some(count) = mentions.remove(topic) else { continue };
        let reference = reference(topic);
        let known = reference.as_ref().ok().and_then(|reference| found(topics, reference));
        match reference {
            Ok(_) if count > 1 => {
                let what = if topic.name.is_some() { "Duplicate topic name." } else { "Duplicate topic id." };
                judged.push((topic.clone(), Err(Refused::new(ErrorCode::INVALID_REQUEST, what))));
            }
            Ok(reference) => match known.map(|known| (known, by_topic.remove(&known.no))) {
                None | Some((_, Some(1))) => judged.push((topic.clone(), Ok(reference))),
                Some((known, Some(_))) => {
                    let message = "The provided topic name maps to an ID that was already supplied.";
                    let name = Some(TopicName(StrBytes::from_string(known.name.to_string())));
                    let both = Named { name, id: known.id };
                    judged.push((both, Err(Refused::new(ErrorCode::INVALID_REQUEST, message))));
                }
                Some((_, None)) => {}
            },
            // What names no topic is no mention of the same: Kafka refuses each.
            Err(refused) => judged.extend(std::iter::repeat_n((topic.clone(), Err(refused)), count)),
        }
    }
    judged
}

fn reference(named: &Named) -> Result<TopicRef, Refused> {
    let invalid = |message| Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    match (&named.name, named.id) {
        (Some(name), id) if id.is_nil() => Ok(TopicRef::Name(name.to_string())),
        (None, id) if !id.is_nil() => Ok(TopicRef::Id(id)),
        (None, _) => invalid("Neither topic name nor id were specified."),
        (Some(_), _) => invalid("You may not specify both topic name and topic id."),
    }
}

fn found<'a>(topics: &'a Topics, reference: &TopicRef) -> Option<&'a Arc<Topic>> {
    match reference {
        TopicRef::Name(name) => topics.by_name.get(name.as_str()),
        TopicRef::Id(id) => topics.by_id.get(id),
    }
}

#[cfg(test)]
#[path = "delete_topics_tests.rs"]
mod tests;
