//! DescribeProducers: which producers a partition knows, and which of them have a transaction open there (KIP-664). It is how
//! `kafka-transactions` finds transactions that hang.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::topic_name::CONSUMER_OFFSETS;
use super::{COMMANDS_MAX, Context, partition_of};
use crate::engine::command::{DescribedProducer, UNKNOWN_PARTITION};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Answers each partition once, and INVALID_REQUEST where it is named again: what a few bytes ask for can be large.
pub async fn describe_producers(
    cx: Context,
    header: RequestHeader,
    request: DescribeProducersRequest,
) -> Result<DescribeProducersResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let mut named = HashSet::new();
    let mut answers = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let topic = topics.by_name.get(asked.name.as_str());
        let judged: Vec<_> = asked
            .partition_indexes
            .iter()
            .map(|index| {
                let partition = topic.and_then(|topic| partition_of(topic, *index));
                let partition = partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.id;
                if named.insert(partition) { Ok(partition) } else { Err(ErrorCode::INVALID_REQUEST) }
            })
            .collect();
        // Their offsets are kept elsewhere, and nothing is ever written there.
        let offsets_count = topic.filter(|topic| *topic.name == *CONSUMER_OFFSETS).map(|topic| topic.partitions.len());
        let offsets_count = offsets_count.and_then(|count| u32::try_from(count).ok());
        let described = judged.into_iter().map(|judged| {
            let engine = cx.broker.engine.clone();
            async move {
                match (judged, offsets_count) {
                    (Ok(partition), Some(count)) => {
                        engine.describe_offsets_producers(partition.index, count).await.map(Ok)
                    }
                    (Ok(partition), None) => engine.describe_producers(partition).await,
                    (Err(error), _) => Ok(Err(error)),
                }
            }
        });
        let described: Vec<_> = stream::iter(described).buffered(COMMANDS_MAX).collect().await;
        let mut partitions = Vec::with_capacity(described.len());
        for (index, described) in asked.partition_indexes.iter().zip(described) {
            let answer = PartitionResponse::default().with_partition_index(*index);
            partitions.push(match described.map_err(|_| Close::Ending)? {
                Ok(producers) => answer.with_active_producers(producers.into_iter().map(shown).collect()),
                Err(error) => {
                    count_error(&header, error);
                    answer.with_error_code(error.0).with_error_message(Some(StrBytes::from_static_str(message(error))))
                }
            });
        }
        answers.push(TopicResponse::default().with_name(asked.name).with_partitions(partitions));
    }
    Ok(DescribeProducersResponse::default().with_topics(answers))
}

fn message(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => UNKNOWN_PARTITION,
        ErrorCode::INVALID_REQUEST => "the partition is named more than once",
        _ => "the state of the partition cannot be read",
    }
}

fn shown(producer: DescribedProducer) -> ProducerState {
    let state = producer.state;
    ProducerState::default()
        .with_producer_id(producer.producer_id.0.into())
        .with_producer_epoch(i32::from(state.epoch.0))
        .with_last_sequence(state.window.last().map_or(-1, |batch| batch.last_sequence()))
        .with_last_timestamp(state.last_timestamp)
        .with_coordinator_epoch(state.coordinator_epoch)
        .with_current_txn_start_offset(state.open_transaction.unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_producers_request::TopicRequest;

    use super::*;
    use crate::api::testing::{TestBroker, topic_name};
    use crate::engine::command::{Acks, AppendBatch, Marker};
    use crate::producer::MarkerWriter;
    use crate::record::BatchHeader;
    use crate::record::build::BatchBuilder;
    use crate::transaction::TransactionVersion;
    use crate::types::{ProducerEpoch, ProducerId, TransactionResult};

    fn request(topics: &[(&str, &[i32])]) -> DescribeProducersRequest {
        let topics = topics.iter().map(|(name, indexes)| {
            TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(indexes.to_vec())
        });
        DescribeProducersRequest::default().with_topics(topics.collect())
    }

    #[tokio::test]
    async fn open_transactions_are_shown_with_where_they_began() {
        let broker = TestBroker::start();
        let id = broker.create_topic("t", 1).await.partitions[0].id;
        let engine = &broker.cx.broker.engine;
        for (producer_id, epoch, sequence) in [(9, 3, 0), (7, 0, 0), (9, 3, 2)] {
            let batch = BatchBuilder::new().record(1, None, None).record(1, None, None);
            let batch = batch.producer(ProducerId(producer_id), ProducerEpoch(epoch), sequence).transactional();
            let bytes = batch.build();
            let header = BatchHeader::parse(&bytes).expect("a batch");
            let batch = AppendBatch { partition: id, header, bytes, transaction: None, ids: None, refused: None };
            assert!(engine.append(Acks::All, vec![batch]).await.expect("answered")[0].error.is_none());
        }
        let marker = Marker {
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(1),
            coordinator_epoch: 5,
            result: TransactionResult::Commit,
            version: TransactionVersion::V2,
            by: MarkerWriter::Coordinator,
        };
        assert!(engine.write_markers(marker, vec![id]).await.expect("answered").is_empty());
        let answer = broker.call(0, &request(&[("t", &[0])])).await;
        let of = |producer: &ProducerState| {
            let sequence = (producer.producer_epoch, producer.last_sequence);
            (producer.producer_id.0, sequence, producer.coordinator_epoch, producer.current_txn_start_offset)
        };
        let partition = &answer.topics[0].partitions[0];
        let shown: Vec<_> = partition.active_producers.iter().map(of).collect();
        assert_eq!(shown, [(7, (1, -1), 5, -1), (9, (3, 3), -1, 0)]);
        assert!(partition.active_producers.iter().all(|producer| producer.last_timestamp > 1_600_000_000_000));
    }

    #[tokio::test]
    async fn partitions_that_are_not_there_or_named_twice_are_told() {
        let broker = TestBroker::start();
        broker.create_topic("t", 2).await;
        let answer = broker.call(0, &request(&[("t", &[0, 1, 2, -1, 0]), ("u", &[0]), ("t", &[1])])).await;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let errors: Vec<_> = partitions.map(|of| (of.partition_index, of.error_code)).collect();
        assert_eq!(errors, [(0, 0), (1, 0), (2, 3), (-1, 3), (0, 42), (0, 3), (1, 42)]);
    }
}
