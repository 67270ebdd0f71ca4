//! Clients that ask and do not read: what they do not take stays bounded, and others are served.

mod support;

use std::time::{Duration, Instant};

use einmal::api::turns::LONG_TURNS;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use support::requests::{FETCH_VERSION, Producer, batch, create_topic, drain, fetch_request, produce, topic_name};
use support::{TestClient, TestServer};

/// Answers that nobody takes, all together, may be as large as this.
const MEMORY_BYTES: usize = 16 << 20;
/// Beside it: threads, RocksDB, one batch per reader thread and what the allocator keeps.
const GROWTH_BYTES_MAX: usize = MEMORY_BYTES + (112 << 20);

#[test]
fn clients_that_never_read_take_no_more_than_the_fetch_memory_and_others_get_their_records() {
    let server = TestServer::start_with(&[
        &format!("einmal.fetch.memory.bytes={MEMORY_BYTES}"),
        "einmal.fetch.memory.stall.ms=100",
        "einmal.tail.cache.bytes=1048576",
    ]);
    let mut client = TestClient::connect(&server);
    create_topic(&mut client, "t", 1);
    let value = "v".repeat(900_000);
    for _ in 0..32 {
        assert_eq!(produce(&mut client, "t", 0, batch(Producer::NONE, 0, &[&value])).error_code, 0);
    }
    let before = server.peak_resident_bytes();
    let mut request = fetch_request("t", 0, 0);
    request.topics[0].partitions[0].partition_max_bytes = 64 << 20;
    // Each asks twice for all there is.
    let _silent: Vec<TestClient> = (0..20)
        .map(|_| {
            let mut silent = TestClient::connect(&server);
            silent.send(&request, FETCH_VERSION);
            silent.send(&request, FETCH_VERSION);
            silent
        })
        .collect();
    assert_eq!(drain(&mut client, "t", 0).len(), 32, "an honest consumer gets all of it");
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "grew by {grown} bytes");
}

/// Asks for all that is to be known of the settings of these topics.
fn describe_configs(topics: impl Iterator<Item = String>) -> DescribeConfigsRequest {
    let resource = |name| {
        let name = StrBytes::from_string(name);
        DescribeConfigsResource::default().with_resource_type(2).with_resource_name(name).with_configuration_keys(None)
    };
    DescribeConfigsRequest::default()
        .with_resources(topics.map(resource).collect())
        .with_include_synonyms(true)
        .with_include_documentation(true)
}

#[test]
fn answers_that_nobody_reads_are_made_in_turn_and_small_ones_beside_them() {
    const TOPICS: usize = 1_500;
    const SILENT: usize = 40;
    let server = TestServer::start_with(&[
        &format!("einmal.fetch.memory.bytes={MEMORY_BYTES}"),
        // Nobody is sent away: the worst that those who do not read can do.
        "einmal.fetch.memory.stall.ms=3600000",
    ]);
    let mut client = TestClient::connect(&server);
    let name = |index: usize| format!("topic-{index}");
    let topics = (0..TOPICS).map(|index| {
        CreatableTopic::default().with_name(topic_name(&name(index))).with_num_partitions(1).with_replication_factor(1)
    });
    let create = CreateTopicsRequest::default().with_topics(topics.collect()).with_timeout_ms(30_000);
    assert!(client.call(&create, 5).topics.iter().all(|topic| topic.error_code == 0));
    let large = describe_configs((0..TOPICS).map(name));
    let before = server.resident_bytes();
    assert_eq!(client.call(&large, 4).results.len(), TOPICS);
    let one_bytes = server.peak_resident_bytes().saturating_sub(before);
    let before = server.peak_resident_bytes();
    let silent: Vec<TestClient> = (0..SILENT)
        .map(|_| {
            let mut silent = TestClient::connect(&server);
            silent.send(&large, 4);
            silent
        })
        .collect();
    let in_flight = || server.metric("einmal_requests_in_flight", &["api=\"DescribeConfigs\""]).unwrap_or(0.0);
    let waiting = || server.metric("einmal_fetch_memory_waits_total", &[]).unwrap_or(0.0);
    let deadline = Instant::now() + Duration::from_secs(120);
    // A few are in the buffers of their sockets; as many as have turns wait for memory, and the others for turns.
    while in_flight() < (SILENT * 3 / 4) as f64 || waiting() < LONG_TURNS as f64 {
        assert!(Instant::now() < deadline, "{} in flight, {} have waited for memory", in_flight(), waiting());
    }
    for _ in 0..10 {
        TestClient::connect(&server).call(&ApiVersionsRequest::default(), 0);
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name("topic-7")));
        let metadata = client.call(&MetadataRequest::default().with_topics(Some(vec![asked])), 9);
        assert_eq!(metadata.topics[0].partitions.len(), 1);
        assert_eq!(client.call(&describe_configs([name(7)].into_iter()), 4).results[0].error_code, 0);
        assert_eq!(produce(&mut client, "topic-7", 0, batch(Producer::NONE, 0, &["v"])).error_code, 0);
    }
    let grown = server.peak_resident_bytes().saturating_sub(before);
    let bound = MEMORY_BYTES + LONG_TURNS * one_bytes + (32 << 20);
    assert!(grown < bound, "grew by {grown} bytes, and {bound} are allowed where one answer takes {one_bytes}");
    drop(silent);
    assert_eq!(client.call(&large, 4).results.len(), TOPICS, "the turns have come back");
}
