//! OffsetDelete: offsets of topics that no member of the group subscribes to.

use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::apis::count_error;
use super::group_id::is_valid;
use super::{Context, partition_of};
use crate::coordinator::TopicOffsets;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Deletes in one write; each partition has its own error code. Topics of which no partition is named are left out of the answer.
/// Offsets of the group with an empty id, which old tools commit with, go with their group or their topic alone.
pub async fn offset_delete(
    cx: Context,
    header: RequestHeader,
    request: OffsetDeleteRequest,
) -> Result<OffsetDeleteResponse, Close> {
    if !is_valid(&request.group_id) {
        count_error(&header, ErrorCode::INVALID_GROUP_ID);
        return Ok(OffsetDeleteResponse::default().with_error_code(ErrorCode::INVALID_GROUP_ID.0));
    }
    let catalog = cx.broker.catalog.topics();
    let known = |topic: &OffsetDeleteRequestTopic| {
        let found = catalog.by_name.get(topic.name.as_str());
        let partitions = topic.partitions.iter();
        let partitions = partitions.filter_map(|asked| Some(partition_of(found?, asked.partition_index)?.id));
        TopicOffsets { name: topic.name.to_string(), partitions: partitions.collect() }
    };
    let topics: Vec<TopicOffsets> = request.topics.iter().map(known).collect();
    let deleted = cx.broker.coordinator.delete_offsets(&request.group_id, &topics).await;
    let errors = match deleted.map_err(|_| Close::Ending)? {
        Ok(errors) => errors,
        Err(error) => {
            count_error(&header, error);
            return Ok(OffsetDeleteResponse::default().with_error_code(error.0));
        }
    };
    let named = request.topics.into_iter().zip(errors).filter(|(topic, _)| !topic.partitions.is_empty());
    let answered = named.map(|(topic, error)| {
        let found = catalog.by_name.get(topic.name.as_str());
        let partitions = topic.partitions.iter().map(|asked| {
            let is_known = found.is_some_and(|topic| partition_of(topic, asked.partition_index).is_some());
            let error = if is_known { error } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
            count_error(&header, error);
            OffsetDeleteResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(error.0)
        });
        OffsetDeleteResponseTopic::default().with_partitions(partitions.collect()).with_name(topic.name.clone())
    });
    Ok(OffsetDeleteResponse::default().with_topics(answered.collect()))
}
