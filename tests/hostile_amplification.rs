//! Small requests that ask for much: their answers, and what it takes to judge them, stay within what is there to tell.

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::BufMut;
use einmal::record::build::BatchBuilder;
use einmal::record::codec::Codec;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeTransactionsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use support::client::payload;
use support::requests::{create_topic, create_topic_with, keyed_batch, produce, topic_name};
use support::transactions::{Protocol, TransactionalProducer, transaction_state};
use support::{TestClient, TestServer};

/// More than the broker may grow by for any one request here.
const GROWTH_BYTES_MAX: usize = 256 << 20;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Runs `work` and holds the broker to [`GROWTH_BYTES_MAX`] meanwhile.
fn bounded<T>(server: &TestServer, work: impl FnOnce() -> T) -> T {
    bounded_by(GROWTH_BYTES_MAX, server, work)
}

fn bounded_by<T>(growth_bytes_max: usize, server: &TestServer, work: impl FnOnce() -> T) -> T {
    let before = server.resident_bytes();
    let answer = work();
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown < growth_bytes_max, "grew by {grown} bytes");
    answer
}

#[test]
fn a_topic_named_many_times_is_described_once() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 5_000);
    let named = MetadataRequestTopic::default().with_name(Some(topic_name("t")));
    let request = MetadataRequest::default().with_topics(Some(vec![named; 1_000]));
    let answer = bounded(&server, || client.call(&request, 8));
    assert_eq!(answer.topics.len(), 1);
    let asked = DescribableLogDirTopic::default().with_topic(topic_name("t")).with_partitions(vec![4_999, 7, 5_000]);
    let answer = client.call(&DescribeLogDirsRequest::default().with_topics(Some(vec![asked])), 1);
    let indexes: Vec<i32> = answer.results[0].topics[0].partitions.iter().map(|found| found.partition_index).collect();
    assert_eq!(indexes, [7, 4_999]);
}

#[test]
fn settings_asked_for_many_times_are_described_once() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(4)
        .with_resource_name(text("1"))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource; 20_000]);
    let answer = bounded(&server, || client.call(&request, 3));
    assert_eq!(answer.results.len(), 1);
}

#[test]
fn committed_offsets_asked_for_many_times_are_answered_once() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 500);
    let partitions = (0..500).map(|index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(1)
            .with_committed_metadata(Some(text(&"m".repeat(4_096))))
    });
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(partitions.collect());
    let commit = OffsetCommitRequest::default()
        .with_group_id(text("g").into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    client.call(&commit, 5);
    let group = OffsetFetchRequestGroup::default().with_group_id(text("g").into()).with_topics(None);
    let request = OffsetFetchRequest::default().with_groups(vec![group; 1_000]);
    let answer = bounded(&server, || client.call(&request, 8));
    let counts = answer.groups.iter().map(|group| group.topics.iter().map(|topic| topic.partitions.len()).sum());
    let counts: Vec<usize> = counts.collect();
    assert_eq!((counts.len(), counts[0], counts.iter().sum::<usize>()), (1_000, 500, 500));
}

#[test]
fn a_million_partitions_for_one_transaction_take_no_more_than_those_there_are() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 2);
    let producer = TransactionalProducer::init(&mut client, Protocol::V1, "payments");
    let errors = |client: &mut TestClient, partitions| {
        let request = producer.add_request("t", partitions);
        let answer = bounded(&server, || client.call(&request, 3));
        let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
        let codes: BTreeSet<i16> = results.iter().map(|partition| partition.partition_error_code).collect();
        (results.len(), codes)
    };
    let (answered, codes) = errors(&mut client, (0..1_000_000).collect());
    assert_eq!((answered, codes), (1_000_000, [55, 3].into()), "those that are there, and those that are not");
    assert_eq!(transaction_state(&mut client, "payments"), "Empty");
    let (_, codes) = errors(&mut client, vec![1; 1_000_000]);
    assert_eq!(codes, [0].into());
    assert!(server.metric("einmal_txn_bytes", &[]) < Some(1_000.0), "one partition is added");
}

#[test]
fn a_transaction_asked_for_many_times_is_described_once() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 5_000);
    let producer = TransactionalProducer::init(&mut client, Protocol::V1, "p");
    let added = client.call(&producer.add_request("t", (0..5_000).collect()), 3);
    assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition.len(), 5_000);
    let ids = ["p"; 5_000].into_iter().chain(["q", "p", "q"]).map(|id| TransactionalId(text(id)));
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids.collect());
    let answer = bounded(&server, || client.call(&request, 0));
    let described = answer.transaction_states.iter().map(|state| (state.transactional_id.as_str(), state.error_code));
    assert_eq!(described.collect::<Vec<_>>(), [("p", 0), ("q", 105)]);
    assert_eq!(answer.transaction_states[0].topics[0].partitions.len(), 5_000);
}

#[test]
fn topics_that_are_only_validated_may_not_have_partitions_without_end() {
    let server = TestServer::start();
    let mut client = TestClient::connect(&server);
    let topics = (0..2_000).map(|index| {
        CreatableTopic::default()
            .with_name(topic_name(&format!("t{index}")))
            .with_num_partitions(4_000)
            .with_replication_factor(1)
    });
    let request =
        CreateTopicsRequest::default().with_topics(topics.collect()).with_validate_only(true).with_timeout_ms(30_000);
    let answer = bounded(&server, || client.call(&request, 4));
    let refused = answer.topics.iter().filter(|topic| topic.error_code == 44).count();
    assert_eq!((answer.topics.len(), refused), (2_000, 2_000), "POLICY_VIOLATION for all, as Kafka");
}

#[test]
fn a_setting_longer_than_any_is_refused() {
    let server = TestServer::start();
    let config = CreatableTopicConfig::default()
        .with_name(text("leader.replication.throttled.replicas"))
        .with_value(Some(text(&format!("1:{}", "1".repeat(500_000)))));
    let topic = CreatableTopic::default()
        .with_name(topic_name("t"))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = TestClient::connect(&server).call(&request, 5);
    assert_eq!(answer.topics[0].error_code, 40, "INVALID_CONFIG");
    let message = answer.topics[0].error_message.as_ref().expect("it says why");
    assert!(message.len() < 200, "it does not repeat what was sent: {} bytes", message.len());
}

#[test]
fn fetches_that_wait_leave_the_request_memory_to_others() {
    let server = TestServer::start_with(&["queued.max.request.bytes=1048576"]);
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    // Version 7: wait for ever for one byte of a partition that is named 10 000 times, and behind it a request as large.
    let mut body = Vec::new();
    body.put_i32(-1);
    body.put_i32(i32::MAX);
    body.put_i32(1);
    body.put_i32(1_000);
    body.put_u8(0);
    body.put_i32(0);
    body.put_i32(-1);
    body.put_i32(1);
    body.put_slice(&[0, 1, b't']);
    body.put_i32(10_000);
    for _ in 0..10_000 {
        body.put_i32(0);
        body.put_i64(0);
        body.put_i64(-1);
        body.put_i32(1_000);
    }
    body.put_i32(0);
    let fetch = payload(1, 7, 1, "x", &body);
    let parked: Vec<_> = (0..6)
        .map(|_| {
            let mut parked = TestClient::connect(&server);
            parked.call(&ApiVersionsRequest::default(), 0);
            parked.send_frame(&fetch).expect("the broker reads");
            let _ = parked.send_bytes(&[0, 3, 0, 0, 0, 3, 0, 1]);
            parked
        })
        .collect();
    // A request on each of these connections would wait behind its fetch; one on any other is served.
    for _ in 0..3 {
        client.call(&MetadataRequest::default().with_topics(Some(vec![])), 1);
        TestClient::connect(&server).call(&ApiVersionsRequest::default(), 0);
    }
    drop(parked);
}

#[test]
fn a_batch_of_many_small_records_is_compacted_in_little_memory() {
    let server = TestServer::start_with(&[
        "log.cleaner.backoff.ms=50",
        "log.cleaner.io.max.bytes.per.second=1e12",
        "log.cleaner.min.cleanable.ratio=0",
    ]);
    let mut client = TestClient::connect(&server);
    create_topic_with(&mut client, "t", 1, &[("cleanup.policy", "compact"), ("max.message.bytes", "50000000")]);
    // All of one key, and none with a value: a view of each would take ten times what it expands to.
    let records =
        (0..1_200_000).fold(BatchBuilder::new().codec(Codec::Gzip), |batch, _| batch.record(1, Some(b""), None));
    let batch = records.build().freeze();
    bounded_by(96 << 20, &server, || {
        assert_eq!(produce(&mut client, "t", 0, batch).error_code, 0);
        assert_eq!(produce(&mut client, "t", 0, keyed_batch("b", "v")).error_code, 0);
        let deadline = Instant::now() + Duration::from_secs(120);
        let labels = ["topic=\"t\"", "reason=\"compaction\""];
        while server.metric("einmal_retention_deleted_bytes_total", &labels).is_none_or(|bytes| bytes == 0.0) {
            assert!(Instant::now() < deadline, "it is not compacted");
        }
    });
}
