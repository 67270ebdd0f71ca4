//! Batches and names that a broker must refuse: the right code, nothing written, and the connection goes on.

mod support;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use support::client::frame;
use support::requests::{
    FETCH_VERSION, PRODUCE_VERSION, Producer, batch, create_topic, fetch, fetch_request, produce, produce_request,
    topic_name,
};
use support::{Reply, TestClient, TestServer};
use uuid::Uuid;

const NONE: i16 = 0;
const CORRUPT_MESSAGE: i16 = 2;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TOPIC_EXCEPTION: i16 = 17;
const INVALID_REQUIRED_ACKS: i16 = 21;
const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const INVALID_TIMESTAMP: i16 = 32;
const INVALID_REQUEST: i16 = 42;
const INVALID_RECORD: i16 = 87;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// A good batch of two records with `bytes` at `at`, and the CRC right again.
fn patched(at: usize, bytes: &[u8]) -> Bytes {
    patch(batch(Producer { id: 4_000, epoch: 0 }, 0, &["one", "two"]), at, bytes)
}

fn patch(batch: Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut patched = BytesMut::from(&batch[..]);
    patched[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&patched[21..]);
    patched[17..21].copy_from_slice(&crc.to_be_bytes());
    patched.freeze()
}

#[test]
fn batches_that_break_the_format_are_refused_and_leave_no_trace() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "batches", 1);
    let good = batch(Producer::NONE, -1, &["one", "two"]);
    let wrong_crc = {
        let mut bytes = BytesMut::from(&good[..]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes.freeze()
    };
    let twice = Bytes::from([&good[..], &good[..]].concat());
    let short = good.slice(..good.len() - 1);
    let one_codec_bit_too_many = patch(good.clone(), 21, &7i16.to_be_bytes());

    let shorter = patch(good.slice(..good.len() - 1), 8, &(good.len() as i32 - 13).to_be_bytes());
    let fewer = patch(patch(good.clone(), 57, &1i32.to_be_bytes()), 23, &0i32.to_be_bytes());

    let cases: Vec<(&str, Bytes, Option<i16>)> = vec![
        ("wrong CRC", wrong_crc, Some(CORRUPT_MESSAGE)),
        ("length one too many", patch(good.clone(), 8, &(good.len() as i32 - 11).to_be_bytes()), Some(INVALID_RECORD)),
        ("length one too few", patch(good.clone(), 8, &(good.len() as i32 - 13).to_be_bytes()), None),
        ("negative length", patch(good.clone(), 8, &(-1i32).to_be_bytes()), None),
        ("cut short", short, Some(INVALID_RECORD)),
        ("shorter than a header", good.slice(..60), Some(INVALID_RECORD)),
        ("no bytes", Bytes::new(), Some(INVALID_RECORD)),
        ("two batches", twice, Some(INVALID_RECORD)),
        ("magic 0", patch(good.clone(), 16, &[0]), Some(INVALID_RECORD)),
        ("magic 1", patch(good.clone(), 16, &[1]), Some(INVALID_RECORD)),
        ("magic 3", patch(good.clone(), 16, &[3]), Some(INVALID_RECORD)),
        ("unknown codec", one_codec_bit_too_many, None),
        ("control batch", patched(21, &0x20i16.to_be_bytes()), Some(INVALID_RECORD)),
        ("last offset delta off", patched(23, &5i32.to_be_bytes()), Some(INVALID_RECORD)),
        ("negative last offset delta", patched(23, &(-1i32).to_be_bytes()), Some(INVALID_RECORD)),
        ("record count 0", patched(57, &0i32.to_be_bytes()), Some(INVALID_RECORD)),
        ("record count -1", patched(57, &(-1i32).to_be_bytes()), Some(INVALID_RECORD)),
        ("record count above the delta", patched(57, &i32::MAX.to_be_bytes()), Some(INVALID_RECORD)),
        ("producer id without sequence", patched(53, &(-1i32).to_be_bytes()), Some(INVALID_RECORD)),
        ("producer id -2", patched(43, &(-2i64).to_be_bytes()), Some(INVALID_RECORD)),
        ("first record's length one too many", patched(61, &[good[61] + 2]), Some(INVALID_RECORD)),
        ("first record's length 0", patched(61, &[0]), Some(INVALID_RECORD)),
        ("last byte of records missing", shorter, Some(INVALID_RECORD)),
        ("a record more than the header counts", fewer, Some(INVALID_RECORD)),
        ("records of noise", patched(61, &[0xff; 14]), Some(INVALID_RECORD)),
        ("times far ahead", patched(27, &[(i64::MAX / 2).to_be_bytes(); 2].concat()), Some(INVALID_TIMESTAMP)),
    ];
    for (name, records, expected) in cases {
        let answer = produce(&mut client, "batches", 0, records);
        match expected {
            Some(code) => assert_eq!(answer.error_code, code, "{name}: {:?}", answer.error_message),
            None => assert_ne!(answer.error_code, NONE, "{name}"),
        }
        assert_eq!(answer.base_offset, -1, "{name}");
        assert_eq!(fetch(&mut client, "batches", 0, 0).high_watermark, 0, "{name}: nothing was written");
    }
    let answer = produce(&mut client, "batches", 0, good);
    assert_eq!((answer.error_code, answer.base_offset), (NONE, 0), "the good batch is the first");
}

#[test]
fn a_time_type_that_only_brokers_set_is_taken_back() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "stamped", 1);
    let good = batch(Producer::NONE, -1, &["one", "two"]);
    assert_eq!(produce(&mut client, "stamped", 0, patch(good.clone(), 21, &0x08i16.to_be_bytes())).error_code, NONE);
    let stored = fetch(&mut client, "stamped", 0, 0).records.expect("records");
    assert_eq!(stored[17..], good[17..], "attributes of CreateTime, and the CRC for them");
}

#[test]
fn a_batch_above_the_topics_limit_is_refused() {
    let server = TestServer::start_with(&["message.max.bytes=1000"]);
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "small", 1);
    let large = "x".repeat(1001);
    assert_eq!(produce(&mut client, "small", 0, batch(Producer::NONE, -1, &[&large])).error_code, MESSAGE_TOO_LARGE);
    assert_eq!(produce(&mut client, "small", 0, batch(Producer::NONE, -1, &["fits"])).base_offset, 0);
}

#[test]
fn acks_outside_kafkas_three_are_refused() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "acks", 1);
    for acks in [-2, 2, i16::MAX, i16::MIN] {
        let request = produce_request("acks", 0, acks, batch(Producer::NONE, -1, &["x"]));
        let answer = client.call(&request, PRODUCE_VERSION);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, INVALID_REQUIRED_ACKS, "acks {acks}");
    }
}

#[test]
fn a_refused_produce_with_acks_0_closes_the_connection() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "silent", 1);
    let request = produce_request("silent", 0, 0, patched(57, &0i32.to_be_bytes()));
    client.send(&request, PRODUCE_VERSION);
    assert_eq!(client.reply(), Reply::Closed);
}

#[test]
fn nothing_behind_a_refused_produce_with_acks_0_is_appended() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "behind", 1);
    let mut other = TestClient::connect(&server);
    let good = |acks| produce_request("behind", 0, acks, batch(Producer::NONE, -1, &["x"]));
    let bad = produce_request("behind", 0, 0, patched(57, &0i32.to_be_bytes()));
    // All in one write; the first of them waits for its sync when the refusal is known.
    let frames = [frame(&good(-1), PRODUCE_VERSION, 1), frame(&bad, PRODUCE_VERSION, 2)];
    let behind = [frame(&good(0), PRODUCE_VERSION, 3), frame(&good(-1), PRODUCE_VERSION, 4)];
    let bytes = [&frames[0][..], &frames[1], &behind[0], &behind[1]].concat();
    client.send_bytes(&bytes).expect("open");
    assert_eq!(
        client.receive::<ProduceRequest>(1, PRODUCE_VERSION).responses[0].partition_responses[0].error_code,
        NONE
    );
    assert_eq!(client.reply(), Reply::Closed);
    let answer = other.call(&good(-1), PRODUCE_VERSION);
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 1, "only what came before was appended");
}

#[test]
fn names_that_kafka_refuses_are_refused() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let long = "n".repeat(250);
    for name in ["", ".", "..", &long, "a/b", "a\0b", "grün", "a b", "a:b"] {
        let topic = CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(1);
        let topics = vec![topic.with_replication_factor(1)];
        let answer = client.call(&CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(1000), 5);
        assert_eq!(answer.topics[0].error_code, INVALID_TOPIC_EXCEPTION, "create {name:?}");

        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
        let answer = client.call(&request, 4);
        assert_eq!(answer.topics[0].error_code, INVALID_TOPIC_EXCEPTION, "metadata {name:?}");
    }
    create_topic(&mut client, &"n".repeat(249), 1);
}

#[test]
fn the_same_topic_twice_in_one_request_is_created_by_neither() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let topic =
        CreatableTopic::default().with_name(topic_name("twin")).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic.clone(), topic]).with_timeout_ms(1000);
    let answer = client.call(&request, 5);
    assert!(!answer.topics.is_empty());
    assert!(answer.topics.iter().all(|topic| topic.error_code == INVALID_REQUEST), "{:?}", answer.topics);
}

#[test]
fn unknown_and_zero_topic_ids_are_answered_per_topic() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let unknown = MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(7));
    let answer = client.call(&MetadataRequest::default().with_topics(Some(vec![unknown])), 12);
    assert_eq!(answer.topics[0].error_code, UNKNOWN_TOPIC_ID);
}

#[test]
fn a_fetch_that_poses_as_a_follower_gets_no_data() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "follow", 1);
    produce(&mut client, "follow", 0, batch(Producer::NONE, -1, &["secret"]));
    let request = fetch_request("follow", 0, 0).with_replica_id(BrokerId(5));
    let answer = client.call(&request, FETCH_VERSION);
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, TOPIC_AUTHORIZATION_FAILED);
    assert!(partition.records.as_ref().is_none_or(|records| records.is_empty()));
}

#[test]
fn requests_for_very_many_partitions_are_answered_or_closed() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "many", 1);
    let partitions = (0..50_000)
        .map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1))
        .collect();
    let topic = ListOffsetsTopic::default().with_name(topic_name("many")).with_partitions(partitions);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let answer = client.call(&request, 5);
    let errors = answer.topics[0].partitions.iter().filter(|partition| partition.error_code != NONE).count();
    assert_eq!((answer.topics[0].partitions.len(), errors), (50_000, 49_999));

    // One more byte than the largest frame that anything but records may have.
    let mut oversized = frame(&FetchRequest::default(), FETCH_VERSION, 1);
    oversized[..4].copy_from_slice(&((16 << 20) + 1i32).to_be_bytes());
    client.send_bytes(&oversized).expect("open");
    assert_eq!(client.reply(), Reply::Closed);
    assert!(server.is_alive());
}

#[test]
fn a_produce_that_names_a_partition_twice_stores_what_it_acknowledges() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "double", 1);
    let mut request = produce_request("double", 0, -1, batch(Producer::NONE, -1, &["a"]));
    let partition = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data.push(partition);
    client.send_bytes(&frame(&request, PRODUCE_VERSION, 77)).expect("open");
    let acknowledged = match client.reply() {
        Reply::Frame(answer) => {
            let answer = support::client::decode::<ProduceRequest>(answer, 77, PRODUCE_VERSION).expect("it decodes");
            let partitions = &answer.responses[0].partition_responses;
            partitions.iter().filter(|partition| partition.error_code == NONE).count()
        }
        Reply::Closed => 0,
    };
    let mut client = TestClient::connect(&server);
    assert_eq!(fetch(&mut client, "double", 0, 0).high_watermark, acknowledged as i64);
}
