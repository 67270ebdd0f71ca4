use kafka_protocol::messages::fetch_response::{
    AbortedTransaction as CrateAborted, EpochEndOffset, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchResponse as CrateResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::*;
use crate::wire::message;

/// The same values in the crate's type, as far as `version` has them.
fn as_crate(response: &FetchResponse, version: i16) -> CrateResponse {
    let topic = |topic: &FetchTopic| {
        FetchableTopicResponse::default()
            .with_topic(TopicName(StrBytes::from_string(topic.name.clone())))
            .with_topic_id(topic.id)
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    let response_of = CrateResponse::default()
        .with_throttle_time_ms(response.throttle_time_ms)
        .with_error_code(response.error.0)
        .with_responses(response.topics.iter().map(topic).collect());
    if version >= 7 { response_of.with_session_id(response.session_id) } else { response_of }
}

fn partition(partition: &FetchPartition) -> PartitionData {
    let aborted = |transaction: &AbortedTransaction| {
        CrateAborted::default()
            .with_producer_id(transaction.producer_id.0.into())
            .with_first_offset(transaction.first_offset)
    };
    let diverging = |end: EpochEnd| EpochEndOffset::default().with_epoch(end.epoch).with_end_offset(end.end_offset);
    PartitionData::default()
        .with_partition_index(partition.index)
        .with_error_code(partition.error.0)
        .with_high_watermark(partition.high_watermark)
        .with_last_stable_offset(partition.last_stable_offset)
        .with_log_start_offset(partition.log_start_offset)
        .with_aborted_transactions(partition.aborted.as_ref().map(|list| list.iter().map(aborted).collect()))
        .with_diverging_epoch(partition.diverging_epoch.map(diverging).unwrap_or_default())
        .with_records(Some(Bytes::from(partition.batches.concat())))
}

fn any_partition() -> impl Strategy<Value = FetchPartition> {
    let aborted = (any::<i64>(), any::<i64>())
        .prop_map(|(id, first_offset)| AbortedTransaction { producer_id: ProducerId(id), first_offset });
    let batch = prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    (
        (any::<i32>(), any::<i16>(), any::<i64>(), any::<i64>(), any::<i64>()),
        prop::option::of(prop::collection::vec(aborted, 0..4)),
        prop::option::of((0..i32::MAX, any::<i64>())),
        prop::collection::vec(batch, 0..4),
    )
        .prop_map(
            |((index, error, high_watermark, last_stable_offset, log_start_offset), aborted, end, batches)| {
                FetchPartition {
                    index,
                    error: ErrorCode(error),
                    high_watermark,
                    last_stable_offset,
                    log_start_offset,
                    aborted,
                    diverging_epoch: end.map(|(epoch, end_offset)| EpochEnd { epoch, end_offset }),
                    batches,
                }
            },
        )
}

fn any_response() -> impl Strategy<Value = FetchResponse> {
    let topic = ("[a-z.]{0,20}", any::<u128>(), prop::collection::vec(any_partition(), 0..5))
        .prop_map(|(name, id, partitions)| FetchTopic { name, id: Uuid::from_u128(id), partitions });
    (any::<i32>(), any::<i16>(), any::<i32>(), prop::collection::vec(topic, 0..4)).prop_map(
        |(throttle_time_ms, error, session_id, topics)| FetchResponse {
            throttle_time_ms,
            error: ErrorCode(error),
            session_id,
            topics,
        },
    )
}

fn header(api_version: i16) -> RequestHeader {
    RequestHeader { api_key: 1, api_version, correlation_id: 0x7fee_ddcc, client_id: None }
}

proptest! {
    #[test]
    fn equals_the_crates_encoder_at_every_version(response in any_response()) {
        for version in VERSIONS.0..=VERSIONS.1 {
            let ours = response.clone().encode(&header(version)).unwrap().concat();
            let theirs = message::encode(&header(version), version >= 12, &as_crate(&response, version)).unwrap().concat();
            prop_assert_eq!(ours, theirs, "version {}", version);
        }
    }
}

#[test]
fn batches_are_the_very_bytes_of_the_log() {
    let batch = Bytes::from(vec![7; 100_000]);
    let other = Bytes::from(vec![8; 61]);
    let partition = FetchPartition { batches: vec![batch.clone(), other.clone()], ..FetchPartition::empty(0) };
    let topic = FetchTopic { name: "t".to_owned(), id: Uuid::nil(), partitions: vec![partition] };
    let response = FetchResponse { throttle_time_ms: 0, error: ErrorCode::NONE, session_id: 0, topics: vec![topic] };
    let segments = response.encode(&header(12)).unwrap();
    let addresses: Vec<_> = segments.iter().map(|segment| segment.as_ptr()).collect();
    assert_eq!(segments.len(), 4, "head, two batches, tail");
    assert_eq!(addresses[1..3], [batch.as_ptr(), other.as_ptr()]);
}

#[test]
fn versions_that_do_not_exist_are_refused() {
    for version in [-1, 3, 19] {
        let response = FetchResponse { throttle_time_ms: 0, error: ErrorCode::NONE, session_id: 0, topics: Vec::new() };
        assert!(matches!(response.encode(&header(version)), Err(Close::Encode { .. })), "version {version}");
    }
}
