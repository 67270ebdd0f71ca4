//! WriteTxnMarkers: what administrators end a transaction with that hangs in a partition.
//!
//! In Kafka brokers send it to each other for every end of a transaction. Here an end writes its markers itself, and tools are left.

use std::collections::HashSet;

use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::apis::count_error;
use super::{Context, partition_of};
use crate::engine::command::Marker;
use crate::log::catalog::Topics;
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, PartitionId, ProducerEpoch, ProducerId, TransactionResult};
use crate::wire::{Close, RequestHeader};

/// Writes each marker for itself; each partition has its own error code. The transaction's coordinator is not asked, nor told:
/// it may know nothing of the transaction, which is why an administrator does this.
pub async fn write_txn_markers(
    cx: Context,
    header: RequestHeader,
    request: WriteTxnMarkersRequest,
) -> Result<WriteTxnMarkersResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let mut results = Vec::with_capacity(request.markers.len());
    for asked in request.markers {
        // A partition that is named again gets one marker.
        let partitions: HashSet<PartitionId> = named(&topics, &asked).flatten().collect();
        let mut partitions: Vec<PartitionId> = partitions.into_iter().collect();
        partitions.sort_unstable();
        let marker = Marker {
            producer_id: ProducerId(asked.producer_id.0),
            producer_epoch: ProducerEpoch(asked.producer_epoch),
            coordinator_epoch: asked.coordinator_epoch,
            result: TransactionResult::from_wire(asked.transaction_result),
            // The request does not say, and Kafka takes it for this.
            version: TransactionVersion::V1,
        };
        let is_sound = marker.producer_id.0 >= 0 && marker.producer_epoch.0 >= 0;
        let refused = if is_sound {
            let refused = cx.broker.engine.write_markers(marker, partitions).await.map_err(|_| Close::Ending)?;
            Ok(refused)
        } else {
            Err(ErrorCode::INVALID_PRODUCER_EPOCH)
        };
        let mut found = named(&topics, &asked);
        let of_topics = asked.topics.iter().map(|topic| {
            let of_partitions = topic.partition_indexes.iter().map(|index| {
                let error = match (found.next().flatten(), &refused) {
                    (None, _) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    (Some(_), Err(error)) => *error,
                    (Some(id), Ok(refused)) => refused.get(&id).copied().unwrap_or(ErrorCode::NONE),
                };
                count_error(&header, error);
                WritableTxnMarkerPartitionResult::default().with_partition_index(*index).with_error_code(error.0)
            });
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(of_partitions.collect())
        });
        let result = WritableTxnMarkerResult::default().with_producer_id(asked.producer_id);
        results.push(result.with_topics(of_topics.collect()));
    }
    Ok(WriteTxnMarkersResponse::default().with_markers(results))
}

/// The partitions of a marker in the order in which they are named, none where there is none.
fn named<'a>(topics: &'a Topics, marker: &'a WritableTxnMarker) -> impl Iterator<Item = Option<PartitionId>> + 'a {
    marker.topics.iter().flat_map(|topic| {
        let found = topics.by_name.get(topic.name.as_str());
        topic.partition_indexes.iter().map(move |index| Some(partition_of(found?, *index)?.id))
    })
}
