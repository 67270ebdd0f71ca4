//! The fixed inputs: whole frames as they come from the socket.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use einmal::log::catalog::Topic;
use einmal::record::build::BatchBuilder;
use einmal::types::{ProducerEpoch, ProducerId};
use einmal::wire::Segments;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProduceRequest, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};

const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;
/// Time of all records, ms since 1970.
const TIMESTAMP: i64 = 1_700_000_000_000;
/// Records of an idempotent batch.
pub const RECORDS: i32 = 16;

/// One batch of `records` records to each of the first `partitions`.
pub fn produce(topic: &Arc<Topic>, partitions: i32, records: usize, record_bytes: usize) -> Bytes {
    let batch = batch(records, record_bytes).build().freeze();
    produce_frame(topic, (0..partitions).map(|partition| (partition, batch.clone())))
}

/// One batch of an idempotent producer.
pub fn produce_idempotent(topic: &Arc<Topic>, sequence: i32) -> Bytes {
    let batch = batch(RECORDS as usize, 1024).producer(ProducerId(1000), ProducerEpoch(0), sequence);
    produce_frame(topic, std::iter::once((0, batch.build().freeze())))
}

/// One batch of a hundred records of 200 bytes, each with an id of 36 characters in a header. No two batches with other numbers share one.
pub fn produce_ids(topic: &Arc<Topic>, number: u64) -> Bytes {
    let value = vec![b'x'; 200];
    let batch = (0..100).fold(BatchBuilder::new(), |batch, record| {
        let id = format!("{number:08x}-0000-7000-8000-{record:012x}");
        batch.record_with_headers(TIMESTAMP, None, Some(&value), &[(b"message-id", Some(id.as_bytes()))])
    });
    produce_frame(topic, std::iter::once((0, batch.build().freeze())))
}

fn batch(records: usize, record_bytes: usize) -> BatchBuilder {
    let value = vec![b'x'; record_bytes];
    (0..records).fold(BatchBuilder::new(), |batch, _| batch.record(TIMESTAMP, None, Some(&value)))
}

fn produce_frame(topic: &Arc<Topic>, batches: impl Iterator<Item = (i32, Bytes)>) -> Bytes {
    let partitions = batches
        .map(|(partition, batch)| PartitionProduceData::default().with_index(partition).with_records(Some(batch)));
    let data = TopicProduceData::default().with_topic_id(topic.id).with_partition_data(partitions.collect());
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    frame(PRODUCE_VERSION, &request)
}

/// Asks for the first `partitions` from their start, `bytes_max` of each.
pub fn fetch(topic: &Arc<Topic>, partitions: i32, session_id: i32, epoch: i32, bytes_max: i32) -> Bytes {
    let asked = (0..partitions).map(|partition| (partition, 0));
    frame(FETCH_VERSION, &fetch_request(topic, asked, session_id, epoch, bytes_max))
}

/// Asks for the first partition from its start, as far as it is committed (`isolation.level=read_committed`).
pub fn fetch_committed(topic: &Arc<Topic>, bytes_max: i32) -> Bytes {
    let request = fetch_request(topic, std::iter::once((0, 0)), 0, -1, bytes_max);
    frame(FETCH_VERSION, &request.with_isolation_level(1))
}

/// Begins a session over `partitions`; all but the first `behind` of them are read to their end.
pub fn fetch_session_begin(topic: &Arc<Topic>, partitions: i32, behind: i32) -> Bytes {
    let end = |partition: i32| topic.partitions[partition as usize].offsets().high_watermark;
    let asked = (0..partitions).map(|partition| (partition, if partition < behind { 0 } else { end(partition) }));
    frame(FETCH_VERSION, &fetch_request(topic, asked, 0, 0, 4096))
}

fn fetch_request(
    topic: &Arc<Topic>,
    asked: impl Iterator<Item = (i32, i64)>,
    session_id: i32,
    epoch: i32,
    bytes_max: i32,
) -> FetchRequest {
    let partitions = asked.map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(0)
            .with_fetch_offset(offset)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(bytes_max)
    });
    let topic = FetchTopic::default().with_topic_id(topic.id).with_partitions(partitions.collect());
    FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_id(session_id)
        .with_session_epoch(epoch)
        .with_topics(vec![topic])
}

/// The session that a Fetch was answered with.
pub fn session_id(answer: &Segments) -> i32 {
    let mut frame = Bytes::from(answer.concat());
    // Length, correlation id and an empty tag section.
    let mut body = frame.split_off(4 + 4 + 1);
    let answer = FetchResponse::decode(&mut body, FETCH_VERSION).expect("answers decode");
    assert_eq!(answer.error_code, 0, "a fetch was refused");
    let read: usize = answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| partition.records.as_ref().map_or(0, Bytes::len))
        .sum();
    assert!(read > 0, "a fetch brought nothing");
    answer.session_id
}

fn frame<R: Request>(version: i16, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("instructions")));
    let mut frame = BytesMut::from(&[0; 4][..]);
    header.encode(&mut frame, R::header_version(version)).expect("the header encodes");
    request.encode(&mut frame, version).expect("the request encodes");
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.freeze()
}
