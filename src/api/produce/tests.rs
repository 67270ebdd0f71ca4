use bytes::{Buf, BytesMut};
use futures_util::FutureExt;
use kafka_protocol::protocol::Decodable;

use super::*;
use crate::api::testing::{self, TestBroker, produce_request};
use crate::engine::command::Repeated;
use crate::record::BatchHeader;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::types::{LeaderEpoch, PartitionId, ProducerEpoch, ProducerId, TopicNo, Uuid};

const TRANSACTIONAL: i16 = 1 << 4;
const V1: TransactionVersion = TransactionVersion::V1;

fn batch(index: u32, attributes: i16) -> AppendBatch {
    let header = BatchHeader {
        base_offset: 0,
        size_bytes: 61,
        leader_epoch: LeaderEpoch(-1),
        crc: 0,
        attributes,
        last_offset_delta: 0,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(0),
        base_sequence: 0,
        record_count: 1,
    };
    AppendBatch {
        partition: PartitionId { topic: TopicNo(1), index },
        header,
        bytes: BytesMut::new(),
        transaction: None,
        ids: None,
        refused: None,
    }
}

fn topic(partitions: Vec<(i32, Option<Refusal>)>) -> AppendingTopic {
    AppendingTopic { named: TopicRef::Name("t".into()), topic: None, partitions }
}

fn errors(topics: &[AppendingTopic]) -> Vec<Option<i16>> {
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|(_, refusal)| refusal.as_ref().map(|refusal| refusal.error.0)).collect()
}

fn appended(base_offset: i64) -> Appended {
    let (message, repeated) = (None, Repeated::default());
    let (error, record_errors) = (ErrorCode::NONE, Vec::new());
    Appended { error, base_offset, log_append_time: 7, log_start_offset: 2, message, record_errors, repeated }
}

fn appending(version: i16, acks: i16, timeout_ms: i32, receiver: oneshot::Receiver<Vec<Appended>>) -> Appending {
    let acks = acks_from_wire(acks);
    let refusal = Refusal {
        error: ErrorCode::INVALID_RECORD,
        message: Some("no".into()),
        records: vec![crate::record::validate::RecordError { batch_index: 3, message: "why".into() }],
        is_by_log: false,
    };
    let named = if version >= 13 { TopicRef::Id(Uuid::from_u128(9)) } else { TopicRef::Name("u".into()) };
    let other = AppendingTopic { named, topic: None, partitions: vec![(5, None)] };
    Appending {
        header: RequestHeader { api_key: 0, api_version: version, correlation_id: 11, client_id: None },
        acks,
        timeout: timeout(acks, timeout_ms),
        topics: vec![topic(vec![(1, None), (0, Some(refusal)), (1, None)]), other],
        appended: Some(receiver),
        memory: Vec::new(),
        senders: Arc::default(),
    }
}

fn decode(version: i16, segments: Segments) -> ProduceResponse {
    let mut frame = bytes::Bytes::from(segments.concat());
    assert_eq!(frame.get_i32() as usize, frame.len());
    assert_eq!(frame.get_i32(), 11);
    if version >= 9 {
        assert_eq!(frame.get_u8(), 0);
    }
    let answer = ProduceResponse::decode(&mut frame, version).unwrap();
    assert!(frame.is_empty());
    answer
}

#[tokio::test]
async fn answers_keep_the_requests_order_in_every_version() {
    for version in RECORD_BATCH_FROM..=13 {
        let (sender, receiver) = oneshot::channel();
        sender.send(vec![appended(10), appended(20), appended(30)]).unwrap();
        let answer = decode(version, appending(version, -1, 1000, receiver).answer().await.unwrap().unwrap());
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        let rows: Vec<_> =
            partitions.clone().map(|answer| (answer.index, answer.error_code, answer.base_offset)).collect();
        assert_eq!(rows, [(1, 0, 10), (0, 87, -1), (1, 0, 20), (5, 0, 30)], "version {version}");
        let (first, refused) =
            (&answer.responses[0].partition_responses[0], &answer.responses[0].partition_responses[1]);
        assert_eq!(first.log_append_time_ms, 7);
        assert_eq!(first.log_start_offset, if version >= 5 { 2 } else { -1 });
        assert_eq!(refused.error_message.is_some(), version >= 8);
        assert_eq!(refused.record_errors.len(), usize::from(version >= 8));
        let id = if version >= 13 { Uuid::from_u128(9) } else { Uuid::nil() };
        assert_eq!(answer.responses[1].topic_id, id);
    }
}

#[tokio::test]
async fn undurable_writes_time_out_and_refusals_stay_what_they_are() {
    let (_sender, receiver) = oneshot::channel();
    let answer = decode(9, appending(9, -1, 1, receiver).answer().await.unwrap().unwrap());
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    assert_eq!(partitions.map(|answer| answer.error_code).collect::<Vec<_>>(), [7, 87, 7, 7]);
}

#[tokio::test]
async fn unacknowledged_errors_close_the_connection() {
    let (sender, receiver) = oneshot::channel();
    sender.send(vec![appended(10), appended(20), appended(30)]).unwrap();
    let answer = appending(9, 0, 1000, receiver).answer().await;
    assert_eq!(answer, Err(Close::UnacknowledgedProduceFailed { error: ErrorCode::INVALID_RECORD }));

    let (sender, receiver) = oneshot::channel();
    sender.send(vec![appended(10)]).unwrap();
    let fine = Appending { topics: vec![topic(vec![(0, None)])], ..appending(9, 0, 1000, receiver) };
    assert_eq!(fine.answer().await, Ok(None));
}

#[tokio::test]
async fn engine_that_is_gone_ends_the_connection_without_an_answer() {
    let (sender, receiver) = oneshot::channel();
    drop(sender);
    assert_eq!(appending(9, -1, 1000, receiver).answer().await, Err(Close::Ending));
}

#[test]
fn transactional_batch_without_transactional_id_spoils_the_request() {
    let mut topics =
        [topic(vec![(0, None), (1, Some(Refusal::of(ErrorCode::CORRUPT_MESSAGE)))]), topic(vec![(2, None)])];
    let kept = name_transactions(&mut topics, vec![batch(0, 0), batch(2, TRANSACTIONAL)], None, V1);
    assert!(kept.is_empty());
    assert_eq!(errors(&topics), [Some(53), Some(53), Some(53)]);
}

#[test]
fn transactional_batches_are_named_after_their_producer_and_plain_ones_are_not() {
    let refusal = Some(Refusal::of(ErrorCode::CORRUPT_MESSAGE));
    let mut topics = [topic(vec![(0, None), (1, refusal)]), topic(vec![(2, None), (3, None)])];
    let batches = vec![batch(0, 0), batch(2, TRANSACTIONAL), batch(3, 0)];
    let kept = name_transactions(&mut topics, batches, Some("payments"), V1);
    let named = kept.iter().map(|batch| batch.transaction.as_ref().map(|producer| &*producer.transactional_id));
    assert_eq!(named.collect::<Vec<_>>(), [None, Some("payments"), None]);
    assert_eq!(errors(&topics), [None, Some(2), None, None]);
}

#[test]
fn two_producers_in_one_request_spoil_it() {
    let mut topics = [topic(vec![(0, None), (1, None), (2, None)])];
    let mut other = batch(1, TRANSACTIONAL);
    other.header.producer_epoch = ProducerEpoch(1);
    let batches = vec![batch(0, TRANSACTIONAL), other, batch(2, 0)];
    assert!(name_transactions(&mut topics, batches, Some("payments"), V1).is_empty());
    assert_eq!(errors(&topics), [Some(49); 3]);
}

#[test]
fn codes_of_transactions_are_told_in_the_words_of_the_version() {
    for (version, error, expected) in [
        (10, ErrorCode::TRANSACTION_ABORTABLE, 48),
        (11, ErrorCode::TRANSACTION_ABORTABLE, 120),
        (11, ErrorCode::CONCURRENT_TRANSACTIONS, 19),
        (12, ErrorCode::CONCURRENT_TRANSACTIONS, 51),
        (3, ErrorCode::INVALID_PRODUCER_EPOCH, 47),
        (3, ErrorCode::NONE, 0),
    ] {
        assert_eq!(in_version(version, error).0, expected, "{version} {error}");
    }
}

#[test]
fn only_acks_all_waits_and_only_for_a_time_that_is_given() {
    for (acks, timeout_ms, expected) in
        [(-1, 1500, Some(1500)), (-1, 0, None), (-1, -1, None), (1, 1500, None), (0, 1500, None), (2, 1500, None)]
    {
        let expected = expected.map(Duration::from_millis);
        assert_eq!(timeout(acks_from_wire(acks), timeout_ms), expected, "acks {acks} timeout {timeout_ms}");
    }
}

/// Code and base offset of each partition, in order.
fn rows(answer: &ProduceResponse) -> Vec<(i16, i64)> {
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    partitions.map(|answer| (answer.error_code, answer.base_offset)).collect()
}

fn idempotent(id: i64, sequence: i32) -> BytesMut {
    BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(0), sequence).record(1, None, Some(b"v")).build()
}

#[tokio::test]
async fn pipelined_requests_are_appended_in_the_order_of_the_calls() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let requests = (0..5).map(|sequence| produce_request(&topic, -1, &[(0, idempotent(9, sequence))]));
    let pending: Vec<_> = requests.map(|request| broker.send(9, &request)).collect();
    // Awaited from the last to the first: the order was settled by the calls.
    for (offset, pending) in pending.into_iter().enumerate().rev() {
        let answer = testing::decode::<kafka_protocol::messages::ProduceRequest>(9, pending.await.unwrap().unwrap());
        assert_eq!(rows(&answer), [(0, offset as i64)]);
    }
}

#[tokio::test]
async fn duplicates_and_gaps_are_answered_per_partition() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 2).await;
    let batches = [
        (0, idempotent(9, 0)),
        (0, idempotent(9, 0)),
        (0, idempotent(9, 2)),
        (1, idempotent(9, 0)),
        (2, idempotent(9, 0)),
    ];
    let answer = broker.call(9, &produce_request(&topic, -1, &batches)).await;
    assert_eq!(rows(&answer), [(0, 0), (0, 0), (45, -1), (0, 0), (3, -1)]);
}

#[tokio::test]
async fn acks_decide_who_is_answered() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    let send = |acks, index| produce_request(&topic, acks, &[(index, testing::batch(1, &["v"]))]);
    assert_eq!(rows(&broker.call(7, &send(1, 0)).await), [(0, 0)]);
    assert_eq!(rows(&broker.call(7, &send(2, 0)).await), [(21, -1)]);
    assert_eq!(broker.try_call(7, &send(0, 0)).await, Ok(None));
    let error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    assert_eq!(broker.try_call(7, &send(0, 1)).await, Err(Close::UnacknowledgedProduceFailed { error }));
    assert_eq!(
        rows(&broker.call(7, &send(-1, 0)).await),
        [(0, 2)],
        "the silent one was appended, the refused were not"
    );
}

#[tokio::test]
async fn topic_without_such_a_name_or_id_is_unknown() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    for (version, expected) in [(12, 3), (13, 100)] {
        let mut request = produce_request(&topic, -1, &[(0, testing::batch(1, &["v"]))]);
        request.topic_data[0].name = StrBytes::from_static_str("u").into();
        request.topic_data[0].topic_id = Uuid::from_u128(1);
        let answer = broker.call(version, &request).await;
        assert_eq!(rows(&answer), [(expected, -1)], "version {version}");
    }
}

#[tokio::test]
async fn old_message_formats_are_refused_and_unacknowledged_ones_closed() {
    let broker = TestBroker::start();
    for version in 0..RECORD_BATCH_FROM {
        for acks in [1i16, 0] {
            // acks, timeout, one topic "t", one partition 0, no records.
            let mut body = BytesMut::from(&acks.to_be_bytes()[..]);
            body.extend_from_slice(&[0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
            let answer = broker.send_body(0, version, body).await;
            let error = ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT;
            match acks {
                0 => assert_eq!(answer, Err(Close::UnacknowledgedProduceFailed { error })),
                _ => {
                    let frame = answer.unwrap().unwrap().concat();
                    assert_eq!(frame[23..25], error.0.to_be_bytes(), "version {version}: {frame:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn more_partitions_than_the_broker_may_have_close_the_connection() {
    let broker = TestBroker::with_settings(&[("einmal.partitions.max", "10")]);
    let topic = broker.create_topic("t", 1).await;
    let request = |count| produce_request(&topic, -1, &vec![(5, BytesMut::new()); count]);
    assert_eq!(rows(&broker.call(9, &request(10)).await), [(3, -1); 10]);
    let answer = broker.try_call(9, &request(11)).await;
    assert!(matches!(answer, Err(Close::Decode { .. })), "{answer:?}");
}

#[tokio::test]
async fn refused_batches_are_counted_for_their_topic() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    broker.call(9, &produce_request(&topic, -1, &[(0, BytesMut::new()), (0, testing::batch(1, &["v"]))])).await;
    assert_eq!(topic.traffic.produce_failed.load(Relaxed), 1);
    assert_eq!(topic.traffic.records_in.load(Relaxed), 1);
}

#[test]
fn clients_that_do_not_know_storage_errors_are_told_to_look_for_the_leader() {
    for (version, expected) in [(3, 6), (4, 56), (13, 56)] {
        let header = RequestHeader { api_key: 0, api_version: version, correlation_id: 0, client_id: None };
        let answer = count(&header, None, refused(0, Refusal::of(ErrorCode::KAFKA_STORAGE_ERROR), None));
        assert_eq!(answer.error_code, expected, "version {version}");
    }
}

#[tokio::test]
async fn names_of_kafkas_internal_topics_take_no_records() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("__consumer_offsets", 1).await;
    let answer = broker.call(9, &produce_request(&topic, -1, &[(0, testing::batch(1, &["v"]))])).await;
    assert_eq!(rows(&answer), [(17, -1)]);
}

#[tokio::test]
async fn start_of_the_log_is_told_with_what_the_log_itself_refuses() {
    let broker = TestBroker::start();
    let topic = broker.create_topic("t", 1).await;
    broker.append(&topic, 0, testing::batch(1, &["a", "b"])).await;
    broker.cx.broker.engine.delete_records(partition_of(&topic, 0).unwrap().id, 2).await.unwrap().unwrap();
    let far = testing::batch(i64::MAX / 2, &["v"]);
    let truncated = testing::batch(1, &["v"]).split_to(70);
    let too_large = testing::batch(1, &[&"v".repeat(1 << 21)]);
    let batches = [
        (0, far),
        (0, idempotent(9, 0)),
        (0, idempotent(9, 5)),
        (0, truncated),
        (0, too_large),
        (0, BytesMut::new()),
        (7, testing::batch(1, &["v"])),
    ];
    let answer = broker.call(9, &produce_request(&topic, -1, &batches)).await;
    let partitions = answer.responses[0].partition_responses.iter();
    let told: Vec<_> = partitions.map(|answer| (answer.error_code, answer.log_start_offset)).collect();
    assert_eq!(told, [(32, 2), (0, 2), (45, 2), (87, -1), (10, -1), (87, -1), (3, -1)]);
}

#[test]
fn batch_leaves_a_frame_of_which_it_is_a_small_part() {
    for (batch_bytes, frame_bytes, expected) in [(100, 800, false), (100, 801, true), (100, 160, false), (0, 1, true)] {
        assert_eq!(pins_too_much(batch_bytes, frame_bytes), expected, "{batch_bytes} of {frame_bytes}");
    }
}

#[tokio::test]
async fn requests_with_batches_to_compress_wait_for_a_slot_and_others_do_not() {
    let broker = TestBroker::start();
    let zstd = broker.create_topic_with("zstd", 1, &[("compression.type", "zstd")]).await;
    let plain = broker.create_topic("plain", 1).await;
    let memory = &broker.cx.broker.recompress_memory;
    let slots: Vec<_> = (0..10_000).map_while(|_| memory.slot().now_or_never()).collect();
    let batch = || BatchBuilder::new().record(1, None, Some(b"v"));
    let request = |topic, batch: BatchBuilder| produce_request(topic, -1, &[(0, batch.build())]);
    let mut waiting: Vec<_> = (0..3).map(|_| broker.send(9, &request(&zstd, batch()))).collect();
    for waiting in &mut waiting {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    let answer = broker.call(9, &request(&zstd, batch().codec(Codec::Zstd))).await;
    assert_eq!(rows(&answer), [(0, 0)], "it has the codec that is wanted");
    assert_eq!(rows(&broker.call(9, &request(&plain, batch())).await), [(0, 0)]);
    drop(slots);
    for (waiting, offset) in waiting.into_iter().zip(1..) {
        let answer = waiting.await.expect("answered").expect("an answer");
        assert_eq!(rows(&testing::decode::<kafka_protocol::messages::ProduceRequest>(9, answer)), [(0, offset)]);
    }
}

#[tokio::test]
async fn nothing_of_a_fresh_producer_is_stored_before_its_batch_that_found_no_memory() {
    let broker = TestBroker::start();
    let zstd = broker.create_topic_with("zstd", 1, &[("compression.type", "zstd")]).await;
    let memory = &broker.cx.broker.recompress_memory;
    let all = [1 << 20, 1 << 10, 1].map(|bytes| std::iter::from_fn(|| memory.take(bytes).ok()).collect::<Vec<_>>());
    let request = |sequence, value: &[u8]| {
        let batch = BatchBuilder::new().producer(ProducerId(9), ProducerEpoch(0), sequence);
        produce_request(&zstd, -1, &[(0, batch.record(1, None, Some(value)).build())])
    };
    assert_eq!(rows(&broker.call(9, &request(0, b"first")).await), [(19, -1)]);
    drop(all);
    assert_eq!(rows(&broker.call(9, &request(1, b"second")).await), [(45, -1)]);
    assert_eq!(rows(&broker.call(9, &request(0, b"first")).await), [(0, 0)]);
    assert_eq!(rows(&broker.call(9, &request(1, b"second")).await), [(0, 1)]);
}
