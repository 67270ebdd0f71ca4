//! DeleteRecords: moves log starts, each partition for itself.

use futures_util::{StreamExt, stream};
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::apis::count_error;
use super::{COMMANDS_MAX, Context, partition_of, topic_name};
use crate::engine::command::Refused;
use crate::log::catalog::Topic;
use crate::types::{ErrorCode, Offset, PartitionId};
use crate::wire::{Close, RequestHeader};

/// Deletes below the offsets given; -1 means all that is readable. A topic that is compacted only keeps its records by key, so
/// they are not to be deleted by offset (POLICY_VIOLATION, as Kafka). A partition that is named again is answered again; Kafka takes the
/// last mention for all.
pub async fn delete_records(
    cx: Context,
    header: RequestHeader,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let mut results = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = topics.by_name.get(asked.name.as_str()).map(AsRef::as_ref);
        let judged: Vec<_> = asked.partitions.iter().map(|partition| judge(topic, partition)).collect();
        let outcomes = judged.into_iter().map(|judged| {
            let engine = cx.broker.engine.clone();
            async move {
                match judged {
                    Ok((partition, before)) => engine.delete_records(partition, before).await,
                    Err(refused) => Ok(Err(refused)),
                }
            }
        });
        let outcomes: Vec<_> = stream::iter(outcomes).buffered(COMMANDS_MAX).collect().await;
        let mut partitions = Vec::with_capacity(outcomes.len());
        for (partition, outcome) in asked.partitions.iter().zip(outcomes) {
            let result = DeleteRecordsPartitionResult::default().with_partition_index(partition.partition_index);
            partitions.push(match outcome.map_err(|_| Close::Ending)? {
                Ok(low_watermark) => result.with_low_watermark(low_watermark),
                Err(refused) => {
                    count_error(&header, refused.error);
                    result.with_low_watermark(-1).with_error_code(refused.error.0)
                }
            });
        }
        results.push(DeleteRecordsTopicResult::default().with_name(asked.name).with_partitions(partitions));
    }
    Ok(DeleteRecordsResponse::default().with_topics(results))
}

/// What the engine is to be asked for. Offsets are judged there.
fn judge(topic: Option<&Topic>, asked: &DeleteRecordsPartition) -> Result<(PartitionId, Offset), Refused> {
    let found = topic.and_then(|topic| Some((topic, partition_of(topic, asked.partition_index)?)));
    let (topic, partition) =
        found.ok_or_else(|| Refused::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition"))?;
    if topic_name::is_internal(&topic.name) {
        return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, "the topic is internal"));
    }
    if topic.config.compact && !topic.config.delete {
        return Err(Refused::new(ErrorCode::POLICY_VIOLATION, "the topic is compacted only"));
    }
    Ok((partition.id, asked.offset))
}

#[cfg(test)]
#[path = "delete_records_tests.rs"]
mod tests;
