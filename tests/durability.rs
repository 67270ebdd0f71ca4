//! What was acknowledged is there after SIGKILL.

mod support;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;
use support::requests::{
    PRODUCE_VERSION, Producer, batch, create_topic, drain, fetch, produce, produce_request, topic_name,
};
use support::{TestClient, TestServer};

const NONE: i16 = 0;

#[test]
fn records_acknowledged_with_acks_all_survive_sigkill() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "kept", 3);
    let mut expected = vec![Vec::new(); 3];
    for index in 0..60 {
        let (partition, value) = (index % 3, format!("value {index}"));
        let answer = produce(&mut client, "kept", partition, batch(Producer::NONE, -1, &[&value]));
        assert_eq!(answer.error_code, NONE);
        expected[partition as usize].push((answer.base_offset, value));
    }
    server.kill9();
    let server = server.restart();
    let mut client = TestClient::connect(&server);
    for partition in 0..3 {
        assert_eq!(drain(&mut client, "kept", partition), expected[partition as usize], "partition {partition}");
    }
}

#[test]
fn records_acknowledged_with_acks_1_survive_sigkill() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "kept", 1);
    let request = produce_request("kept", 0, 1, batch(Producer::NONE, -1, &["a", "b"]));
    let answer = client.call(&request, PRODUCE_VERSION);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, NONE);
    server.kill9();
    let server = server.restart();
    assert_eq!(drain(&mut TestClient::connect(&server), "kept", 0).len(), 2);
}

#[test]
fn each_of_many_kills_keeps_what_was_acknowledged_before_it() {
    let mut server = TestServer::start();
    create_topic(&mut TestClient::connect(&server), "kept", 1);
    for round in 0..8 {
        let mut client = TestClient::connect(&server);
        let answer = produce(&mut client, "kept", 0, batch(Producer::NONE, -1, &[&format!("round {round}")]));
        assert_eq!((answer.error_code, answer.base_offset), (NONE, round), "offsets go on without a gap");
        server.kill9();
        server = server.restart();
    }
    let values = drain(&mut TestClient::connect(&server), "kept", 0);
    assert_eq!(values, (0..8).map(|round| (round, format!("round {round}"))).collect::<Vec<_>>());
}

#[test]
fn stored_batches_come_back_byte_for_byte_but_for_offset_and_leader_epoch() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "bytes", 1);
    let sent = batch(Producer::NONE, -1, &["one", "two", "three"]);
    produce(&mut client, "bytes", 0, batch(Producer::NONE, -1, &["before"]));
    produce(&mut client, "bytes", 0, sent.clone());
    let stored = fetch(&mut client, "bytes", 0, 1).records.expect("records");
    assert_eq!(stored[..8], 1i64.to_be_bytes(), "base offset");
    assert_eq!(stored[8..12], sent[8..12], "length");
    assert!(i32::from_be_bytes(stored[12..16].try_into().expect("four bytes")) >= 0, "leader epoch");
    assert_eq!(stored[16..], sent[16..], "magic, CRC and everything that it covers");
}

#[test]
fn committed_offsets_survive_sigkill() {
    let mut server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "kept", 2);
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(1)
        .with_committed_offset(42)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(StrBytes::from_static_str("half way")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("kept")).with_partitions(vec![partition]);
    let group = GroupId(StrBytes::from_static_str("readers"));
    let commit = OffsetCommitRequest::default()
        .with_group_id(group.clone())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    assert_eq!(client.call(&commit, 7).topics[0].partitions[0].error_code, NONE);
    server.kill9();
    let server = server.restart();
    let asked = OffsetFetchRequestTopic::default().with_name(topic_name("kept")).with_partition_indexes(vec![0, 1]);
    let fetch = OffsetFetchRequest::default().with_group_id(group).with_topics(Some(vec![asked]));
    let answer = TestClient::connect(&server).call(&fetch, 5);
    let found = |index: usize| &answer.topics[0].partitions[index];
    assert_eq!((found(0).committed_offset, found(0).error_code), (-1, NONE), "never 0 by accident");
    assert_eq!(found(1).committed_offset, 42);
    assert_eq!(found(1).metadata.as_ref().map(|text| text.as_str()), Some("half way"));
}
