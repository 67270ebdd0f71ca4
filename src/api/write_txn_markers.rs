//! WriteTxnMarkers: what administrators end a transaction with that hangs in a partition.
//!
//! In Kafka brokers send it to each other for every end of a transaction. Here an end writes its markers itself, and tools are left.
//! Version 2, which tells the protocol of the transaction, is for brokers; our decoder does not know it.

use std::collections::BTreeSet;

use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::apis::count_error;
use super::{Context, internal_topics, partition_of, topic_name};
use crate::engine::command::{Marker, OffsetsPartitions};
use crate::log::catalog::Topics;
use crate::producer::MarkerWriter;
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, PartitionId, ProducerEpoch, ProducerId, TransactionResult};
use crate::wire::{Close, RequestHeader};

/// Writes each marker for itself; each partition has its own error code. The transaction's coordinator is not asked, nor told:
/// it may know nothing of the transaction, which is why an administrator does this. Where the producer has nothing open, nothing is
/// written and the answer is NONE; Kafka writes a marker there. In a partition of `__consumer_offsets` the offsets are committed or
/// dropped that are pending for its groups.
pub async fn write_txn_markers(
    cx: Context,
    header: RequestHeader,
    request: WriteTxnMarkersRequest,
) -> Result<WriteTxnMarkersResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let offsets_topic = topics.by_name.get(topic_name::CONSUMER_OFFSETS);
    let offsets_count = internal_topics::offsets_partitions(&topics, &cx.broker.config.load());
    let mut failed = 0_usize;
    let mut results = Vec::with_capacity(request.markers.len());
    for asked in request.markers {
        // A partition that is named again gets one marker.
        let partitions: BTreeSet<PartitionId> = named(&topics, &asked).flatten().collect();
        let is_of_offsets = |id: &PartitionId| offsets_topic.is_some_and(|topic| topic.no == id.topic);
        let (of_offsets, partitions): (Vec<_>, Vec<_>) = partitions.into_iter().partition(is_of_offsets);
        let offsets = OffsetsPartitions { partitions: of_offsets, count: offsets_count };
        let marker = Marker {
            producer_id: ProducerId(asked.producer_id.0),
            producer_epoch: ProducerEpoch(asked.producer_epoch),
            coordinator_epoch: asked.coordinator_epoch,
            result: TransactionResult::from_wire(asked.transaction_result),
            // The request does not say, and Kafka takes it for this.
            version: TransactionVersion::V1,
            by: MarkerWriter::Administrator,
        };
        let is_sound = marker.producer_id.0 >= 0 && marker.producer_epoch.0 >= 0;
        let refused = if is_sound {
            let refused = cx.broker.engine.write_markers_and_offsets(marker, partitions, offsets).await;
            Ok(refused.map_err(|_| Close::Ending)?)
        } else {
            Err(ErrorCode::INVALID_PRODUCER_EPOCH)
        };
        let mut found = named(&topics, &asked);
        let of_topics = asked.topics.iter().map(|topic| {
            let of_partitions = topic.partition_indexes.iter().map(|index| {
                let named = found.next().unwrap_or(Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                let error = match (named, &refused) {
                    (Err(error), _) => error,
                    (Ok(_), Err(error)) => *error,
                    (Ok(id), Ok(refused)) => refused.get(&id).copied().unwrap_or(ErrorCode::NONE),
                };
                count_error(&header, error);
                failed += usize::from(!error.is_none());
                WritableTxnMarkerPartitionResult::default().with_partition_index(*index).with_error_code(error.0)
            });
            WritableTxnMarkerTopicResult::default()
                .with_name(topic.name.clone())
                .with_partitions(of_partitions.collect())
        });
        let result = WritableTxnMarkerResult::default().with_producer_id(asked.producer_id);
        results.push(result.with_topics(of_topics.collect()));
    }
    if failed > 0 {
        tracing::warn!(partitions = failed, "markers that were asked for are not written");
    }
    Ok(WriteTxnMarkersResponse::default().with_markers(results))
}

/// The partitions of a marker in the order in which they are named, or why there can be none: nothing is ever written to internal
/// topics, and tools ask again and again for a partition that they are told of and that is then unknown.
fn named<'a>(
    topics: &'a Topics,
    marker: &'a WritableTxnMarker,
) -> impl Iterator<Item = Result<PartitionId, ErrorCode>> + 'a {
    marker.topics.iter().flat_map(|topic| {
        let name = topic.name.as_str();
        let found = topics.by_name.get(name);
        let is_closed = topic_name::is_internal(name) && name != topic_name::CONSUMER_OFFSETS;
        topic.partition_indexes.iter().map(move |index| {
            let partition = found.and_then(|topic| partition_of(topic, *index));
            let id = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.id;
            if is_closed { Err(ErrorCode::INVALID_TOPIC_EXCEPTION) } else { Ok(id) }
        })
    })
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_producers_request::TopicRequest;
    use kafka_protocol::messages::describe_producers_response::ProducerState;
    use kafka_protocol::messages::txn_offset_commit_request::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarkerTopic;
    use kafka_protocol::messages::{DescribeProducersRequest, EndTxnRequest, TxnOffsetCommitRequest};

    use super::*;
    use crate::api::testing::{TestBroker, produce_request, text, topic_name};
    use crate::record::build::BatchBuilder;

    async fn end(broker: &TestBroker, topic: &str, producer: (i64, i16), index: i32, coordinator_epoch: i32) -> i16 {
        end_as(broker, topic, producer, index, coordinator_epoch, false).await
    }

    async fn end_as(
        broker: &TestBroker,
        topic: &str,
        producer: (i64, i16),
        index: i32,
        coordinator_epoch: i32,
        result: bool,
    ) -> i16 {
        let topic = WritableTxnMarkerTopic::default().with_name(topic_name(topic)).with_partition_indexes(vec![index]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(producer.0.into())
            .with_producer_epoch(producer.1)
            .with_coordinator_epoch(coordinator_epoch)
            .with_transaction_result(result)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer = broker.call(1, &request).await;
        answer.markers[0].topics[0].partitions[0].error_code
    }

    #[tokio::test]
    async fn hanging_transaction_is_ended_in_its_partition() {
        let broker = TestBroker::start();
        let topic = broker.create_topic("t", 1).await;
        broker.create_topic("__transaction_state", 1).await;
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
            ("__transaction_state", producer, 0, ErrorCode::INVALID_TOPIC_EXCEPTION),
        ] {
            assert_eq!(end(&broker, name, producer, index, 0).await, error.0, "{name} {producer:?} {index}");
        }
        assert_eq!(offsets().last_stable_offset, 0);
        // Numbers that nobody has: a newer coordinator's, a newer epoch's.
        let newer = (producer.0, producer.1 + 1);
        assert_eq!(end(&broker, "t", producer, 0, 5).await, ErrorCode::TRANSACTION_COORDINATOR_FENCED.0);
        assert_eq!(end(&broker, "t", newer, 0, 0).await, ErrorCode::INVALID_PRODUCER_EPOCH.0);
        assert_eq!((offsets().last_stable_offset, offsets().high_watermark), (0, 2));
        assert_eq!(end(&broker, "t", producer, 0, 0).await, 0);
        assert_eq!((offsets().last_stable_offset, offsets().high_watermark), (3, 3));
        // Nothing is open: nothing is to be done, and a producer that was never here is not remembered.
        for producer in [producer, newer, (1_000_000, 0)] {
            assert_eq!(end(&broker, "t", producer, 0, 0).await, 0);
        }
        assert_eq!(end(&broker, "t", producer, 0, -1).await, ErrorCode::TRANSACTION_COORDINATOR_FENCED.0);
        assert_eq!((offsets().last_stable_offset, offsets().log_end), (3, 3));
        let known = broker.cx.broker.engine.describe_producers(topic.partitions[0].id).await;
        assert_eq!(known.expect("answered").expect("described").len(), 1);
    }

    /// Pending offset of partition 0 of `t`, by the producer, for `group`.
    async fn stage_offset(broker: &TestBroker, id: &str, producer: (i64, i16), group: &str, offset: i64) {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(text(id).into())
            .with_group_id(text(group).into())
            .with_producer_id(producer.0.into())
            .with_producer_epoch(producer.1)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        assert_eq!(broker.call(5, &request).await.topics[0].partitions[0].error_code, 0);
    }

    /// Committed offset of partition 0 of `t`, and whether it may change.
    fn committed(broker: &TestBroker, group: &str) -> (Option<i64>, bool) {
        let id = broker.cx.broker.catalog.topics().by_name["t"].partitions[0].id;
        let progress = broker.cx.broker.offsets.progress(group, id);
        (progress.committed.map(|committed| committed.offset), progress.is_pending)
    }

    /// Id, epoch and begin of the transactions in a partition of `__consumer_offsets`.
    async fn open_in(broker: &TestBroker, index: i32) -> Vec<(i64, i32, i64)> {
        let topic =
            TopicRequest::default().with_name(topic_name("__consumer_offsets")).with_partition_indexes(vec![index]);
        let answer = broker.call(0, &DescribeProducersRequest::default().with_topics(vec![topic])).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        assert!(partition.active_producers.iter().all(|producer| producer.last_timestamp > 1_600_000_000_000));
        let of = |producer: &ProducerState| {
            (producer.producer_id.0, producer.producer_epoch, producer.current_txn_start_offset)
        };
        partition.active_producers.iter().map(of).collect()
    }

    #[tokio::test]
    async fn pending_offsets_are_shown_and_ended_where_kafka_keeps_them() {
        for (result, offset) in [(false, None), (true, Some(7))] {
            let broker = TestBroker::start();
            broker.create_topic("t", 1).await;
            broker.create_topic("__consumer_offsets", 50).await;
            let one = broker.init_transactions("one").await;
            let two = broker.init_transactions("two").await;
            // "a" and "group" are in partition 47, "" and "polygenelubricants" in 0.
            stage_offset(&broker, "one", one, "group", 7).await;
            stage_offset(&broker, "one", one, "polygenelubricants", 8).await;
            stage_offset(&broker, "two", two, "a", 9).await;
            let open = open_in(&broker, 47).await;
            let ids: Vec<_> = open.iter().map(|of| (of.0, of.1)).collect();
            assert_eq!(ids, [(one.0, i32::from(one.1)), (two.0, i32::from(two.1))]);
            assert!(open[0].2 >= 0 && open[0].2 != open[1].2, "tools choose by where it begins: {open:?}");
            let ids: Vec<_> = open_in(&broker, 0).await.iter().map(|of| of.0).collect();
            assert_eq!((ids, open_in(&broker, 1).await), (vec![one.0], vec![]));

            assert_eq!(end_as(&broker, "__consumer_offsets", (one.0, one.1), 1, 0, result).await, 0, "nothing there");
            assert_eq!(committed(&broker, "group"), (None, true));
            assert_eq!(end_as(&broker, "__consumer_offsets", (one.0, one.1), 47, 0, result).await, 0);
            assert_eq!(committed(&broker, "group"), (offset, false));
            assert_eq!(
                (committed(&broker, "polygenelubricants"), committed(&broker, "a")),
                ((None, true), (None, true))
            );
            assert_eq!(open_in(&broker, 47).await, [open[1]]);
            // What is left ends with the transaction.
            let request = EndTxnRequest::default()
                .with_transactional_id(text("one").into())
                .with_producer_id(one.0.into())
                .with_producer_epoch(one.1)
                .with_committed(true);
            assert_eq!(broker.call(5, &request).await.error_code, 0);
            assert_eq!(
                (committed(&broker, "polygenelubricants"), committed(&broker, "group")),
                ((Some(8), false), (offset, false))
            );
        }
    }

    #[tokio::test]
    async fn pending_offsets_are_ended_by_no_other_epoch() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1).await;
        broker.create_topic("__consumer_offsets", 50).await;
        let old = broker.init_transactions("one").await;
        let new = broker.init_transactions("one").await;
        assert!(old.1 < new.1);
        stage_offset(&broker, "one", new, "group", 7).await;
        let fenced = ErrorCode::INVALID_PRODUCER_EPOCH.0;
        // As in any other partition where the transaction is open.
        for other in [old, (new.0, new.1 + 1)] {
            assert_eq!(end(&broker, "__consumer_offsets", other, 47, 0).await, fenced, "{other:?}");
        }
        assert_eq!(committed(&broker, "group"), (None, true));
        assert_eq!(end(&broker, "__consumer_offsets", old, 0, 0).await, 0, "nothing there");
    }
}
