//! WriteTxnMarkers: what administrators end a transaction with that hangs in a partition.
//!
//! In Kafka brokers send it to each other for every end of a transaction. Here an end writes its markers itself, and tools are left.
//! Version 2, which tells the protocol of the transaction, is for brokers; our decoder does not know it.

use std::collections::HashSet;

use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::apis::count_error;
use super::{Context, partition_of, topic_name};
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

/// The partitions of a marker in the order in which they are named, none where there is none: nothing is ever written to internal
/// topics.
fn named<'a>(topics: &'a Topics, marker: &'a WritableTxnMarker) -> impl Iterator<Item = Option<PartitionId>> + 'a {
    marker.topics.iter().flat_map(|topic| {
        let found = topics.by_name.get(topic.name.as_str()).filter(|topic| !topic_name::is_internal(&topic.name));
        topic.partition_indexes.iter().map(move |index| Some(partition_of(found?, *index)?.id))
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarkerTopic;

    use super::*;
    use crate::api::testing::{TestBroker, produce_request, text, topic_name};
    use crate::record::build::BatchBuilder;

    async fn end(broker: &TestBroker, topic: &str, producer: (i64, i16), index: i32, coordinator_epoch: i32) -> i16 {
        let topic = WritableTxnMarkerTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![index]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(producer.0.into())
            .with_producer_epoch(producer.1)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer = broker.call(1, &request).await;
        answer.markers[0].topics[0].partitions[0].error_code
    }

    #[tokio::test]
    async fn hanging_transaction_is_ended_in_its_partition() {
        let broker = TestBroker::start();
        let topic = broker.create_topic("t", 1).await;
        broker.create_topic("__consumer_offsets", 1).await;
        let producer = broker.init_transactions("payments").await;
        let batch = BatchBuilder::new()
            .producer(ProducerId(producer.0), ProducerEpoch(producer.1), 0)
            .transactional()
            .record(1_000, None, Some(b"a"))
            .record(1_000, None, Some(b"b"))
            .build();
        let request = produce_request(&topic, -1, &[(0, batch)]);
        let request = request.with_transactional_id(Some(text("payments").into()));
        assert_eq!(broker.call(12, &request).await.responses[0].partition_responses[0].error_code, 0);
        let offsets = || topic.partitions[0].offsets();
        assert_eq!((offsets().last_stable_offset, offsets().high_watermark), (0, 2));
        for (name, producer, index, error) in [
            ("t", (producer.0, -1), 0, ErrorCode::INVALID_PRODUCER_EPOCH),
            ("t", (-1, 0), 0, ErrorCode::INVALID_PRODUCER_EPOCH),
            ("t", producer, 1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("t", producer, -1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("__consumer_offsets", producer, 0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        ] {
            assert_eq!(end(&broker, name, producer, index, 0).await, error.0, "{name} {producer:?} {index}");
        }
        assert_eq!(offsets().last_stable_offset, 0);
        assert_eq!(end(&broker, "t", producer, 0, 5).await, 0);
        assert_eq!((offsets().last_stable_offset, offsets().high_watermark), (3, 3));
        assert_eq!(end(&broker, "t", producer, 0, 4).await, ErrorCode::TRANSACTION_COORDINATOR_FENCED.0);
    }
}
