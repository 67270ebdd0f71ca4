//! AddPartitionsToTxn: what a producer of V1 is about to write to.
//!
//! Versions 4 and 5, in which brokers ask each other for many producers at once, are not offered: clients take the highest version
//! that they find, and could not use these.

use std::collections::BTreeSet;

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};

use super::apis::count_error;
use super::txn_producer::{code, producer};
use super::{Context, partition_of, topic_name};
use crate::log::catalog::{Topic, Topics};
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, PartitionId, PartitionIndex};
use crate::wire::{Close, RequestHeader};

/// First version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// Adds all partitions or none: one that cannot be added has its own code, the others OPERATION_NOT_ATTEMPTED.
pub async fn add_partitions_to_txn(
    cx: Context,
    header: RequestHeader,
    request: AddPartitionsToTxnRequest,
) -> Result<AddPartitionsToTxnResponse, Close> {
    let topics = cx.broker.catalog.topics();
    let named = || request.v3_and_below_topics.iter().map(|named| (named, find(&topics, &named.name)));
    // Of those that are named again one is handed to the writer, so that it is asked for no more than there is.
    let partitions: Result<BTreeSet<PartitionId>, ErrorCode> =
        named().flat_map(|(named, topic)| named.partitions.iter().map(move |index| partition(topic, *index))).collect();
    let added = match partitions {
        Err(_) => Err(ErrorCode::OPERATION_NOT_ATTEMPTED),
        Ok(partitions) => add(&cx, &header, &request, partitions.into_iter().collect()).await?,
    };
    let results = named().map(|(named, topic)| {
        let partitions = named.partitions.iter().map(|index| {
            let error = match (partition(topic, *index), added) {
                (Err(error), Err(ErrorCode::OPERATION_NOT_ATTEMPTED)) | (_, Err(error)) => error,
                (_, Ok(())) => ErrorCode::NONE,
            };
            count_error(&header, error);
            AddPartitionsToTxnPartitionResult::default().with_partition_index(*index).with_partition_error_code(error.0)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(named.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    Ok(AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect()))
}

async fn add(
    cx: &Context,
    header: &RequestHeader,
    request: &AddPartitionsToTxnRequest,
    partitions: Vec<PartitionId>,
) -> Result<Result<(), ErrorCode>, Close> {
    let producer = producer(
        &request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
        TransactionVersion::V1,
        cx.arrival,
    );
    let producer = match producer {
        Ok(producer) => producer,
        Err(error) => return Ok(Err(error)),
    };
    let added = cx.broker.engine.add_partitions_to_txn(producer, partitions).await.map_err(|_| Close::Ending)?;
    match added {
        Ok(()) => Ok(Ok(())),
        Err(refused) => Ok(Err(code(refused, header.api_version >= FENCED_FROM)?)),
    }
}

/// A topic that clients may write to.
fn find<'a>(topics: &'a Topics, name: &str) -> Result<&'a Topic, ErrorCode> {
    if topic_name::is_internal(name) {
        return Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    }
    topics.by_name.get(name).map(AsRef::as_ref).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn partition(topic: Result<&Topic, ErrorCode>, index: PartitionIndex) -> Result<PartitionId, ErrorCode> {
    Ok(partition_of(topic?, index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?.id)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;

    use super::*;
    use crate::api::testing::{TestBroker, topic_name};

    fn request(id: &str, producer_id: i64, epoch: i16, partitions: &[i32]) -> AddPartitionsToTxnRequest {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(partitions.to_vec());
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(crate::api::testing::text(id).into())
            .with_v3_and_below_producer_id(producer_id.into())
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic])
    }

    fn errors(answer: &AddPartitionsToTxnResponse) -> Vec<i16> {
        let topics = answer.results_by_topic_v3_and_below.iter();
        topics.flat_map(|topic| &topic.results_by_partition).map(|partition| partition.partition_error_code).collect()
    }

    #[tokio::test]
    async fn all_partitions_are_added_or_none() {
        let broker = TestBroker::start();
        broker.create_topic("t", 2).await;
        let (id, epoch) = broker.init_transactions("payments").await;
        for version in 0..=3 {
            let answer = broker.call(version, &request("payments", id, epoch, &[0, 2, 1, -1])).await;
            assert_eq!(errors(&answer), [55, 3, 55, 3], "version {version}");
        }
        let listed = broker.describe("payments").await;
        assert_eq!(listed.transaction_state.as_str(), "Empty");
        for version in 0..=3 {
            let answer = broker.call(version, &request("payments", id, epoch, &[0, 1])).await;
            assert_eq!(errors(&answer), [0, 0], "version {version}");
        }
        let listed = broker.describe("payments").await;
        assert_eq!(
            (listed.transaction_state.as_str(), listed.topics[0].partitions.as_slice()),
            ("Ongoing", &[0, 1][..])
        );
    }

    #[tokio::test]
    async fn topics_of_the_broker_itself_are_not_to_be_written_to() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1).await;
        broker.create_topic("__consumer_offsets", 1).await;
        let (id, epoch) = broker.init_transactions("payments").await;
        let mut request = request("payments", id, epoch, &[0]);
        let internal = AddPartitionsToTxnTopic::default().with_name(topic_name("__consumer_offsets"));
        request.v3_and_below_topics.push(internal.with_partitions(vec![0]));
        for version in 0..=3 {
            assert_eq!(errors(&broker.call(version, &request).await), [55, 29], "version {version}");
        }
        assert_eq!(broker.describe("payments").await.transaction_state.as_str(), "Empty");
    }

    #[tokio::test]
    async fn unknown_foreign_and_fenced_producers_are_refused() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1).await;
        let (id, epoch) = broker.init_transactions("payments").await;
        for (named, id, epoch, errors_by_version) in [
            ("", id, epoch, [42; 4]),
            ("refunds", id, epoch, [49; 4]),
            ("payments", id + 1, epoch, [49; 4]),
            ("payments", id, epoch + 1, [47, 47, 90, 90]),
            ("payments", id, -1, [47, 47, 90, 90]),
        ] {
            for (version, error) in errors_by_version.into_iter().enumerate() {
                let answer = broker.call(version as i16, &request(named, id, epoch, &[0])).await;
                assert_eq!(errors(&answer), [error], "{named} {id} {epoch} version {version}");
            }
        }
    }
}
