//! What an administrative call has been answered is in force for every connection: metadata, settings, partitions, deletions, and
//! produce to a topic created a moment ago. Kafka's controller answers before its broker knows.

mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, DeleteTopicsRequest, DescribeConfigsRequest, FetchRequest,
    IncrementalAlterConfigsRequest, MetadataRequest,
};
use kafka_protocol::protocol::StrBytes;
use support::requests::{Producer, batch, create_topic, drain, fetch, produce, topic_name};
use support::{TestClient, TestServer};
use uuid::Uuid;

const NONE: i16 = 0;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNKNOWN_TOPIC_ID: i16 = 100;

const TOPIC: i8 = 2;
const SET: i8 = 0;
const RETENTION_MS: &str = "retention.ms";

/// Topics that are made and taken away at the same time, each by connections of its own.
const TOPICS: usize = 4;
/// Lives of each topic.
const LIVES: usize = 12;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn ask(client: &mut TestClient, topic: MetadataRequestTopic) -> MetadataResponseTopic {
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    client.call(&request, 12).topics.remove(0)
}

fn by_name(client: &mut TestClient, topic: &str) -> MetadataResponseTopic {
    ask(client, MetadataRequestTopic::default().with_name(Some(topic_name(topic))))
}

fn by_id(client: &mut TestClient, id: Uuid) -> MetadataResponseTopic {
    ask(client, MetadataRequestTopic::default().with_name(None).with_topic_id(id))
}

fn alter(client: &mut TestClient, topic: &str, retention_ms: i64) {
    let config = AlterableConfig::default()
        .with_name(text(RETENTION_MS))
        .with_config_operation(SET)
        .with_value(Some(text(&retention_ms.to_string())));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(vec![config]);
    let answer = client.call(&IncrementalAlterConfigsRequest::default().with_resources(vec![resource]), 1);
    assert_eq!(answer.responses[0].error_code, NONE, "{topic}: {:?}", answer.responses[0].error_message);
}

/// The topic's `retention.ms`, or the error code.
fn retention_ms(client: &mut TestClient, topic: &str) -> Result<i64, i16> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(RETENTION_MS)]));
    let answer = client.call(&DescribeConfigsRequest::default().with_resources(vec![resource]), 4);
    match &answer.results[0] {
        result if result.error_code != NONE => Err(result.error_code),
        result => Ok(result.configs[0].value.as_ref().and_then(|value| value.parse().ok()).expect("a number")),
    }
}

fn grow(client: &mut TestClient, topic: &str, count: i32) {
    let topics =
        vec![CreatePartitionsTopic::default().with_name(topic_name(topic)).with_count(count).with_assignments(None)];
    let answer = client.call(&CreatePartitionsRequest::default().with_topics(topics).with_timeout_ms(30_000), 3);
    assert_eq!(answer.results[0].error_code, NONE, "{topic}: {:?}", answer.results[0].error_message);
}

fn delete(client: &mut TestClient, topic: &str) {
    let topics = vec![DeleteTopicState::default().with_name(Some(topic_name(topic)))];
    let answer = client.call(&DeleteTopicsRequest::default().with_topics(topics).with_timeout_ms(30_000), 6);
    assert_eq!(answer.responses[0].error_code, NONE, "{topic}: {:?}", answer.responses[0].error_message);
}

fn fetch_error_by_id(client: &mut TestClient, id: Uuid) -> i16 {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic_id(id).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    client.call(&request, 13).responses[0].partitions[0].error_code
}

/// One life of a topic: what `writer` has done, `reader` sees, and nothing of an earlier life.
fn live(writer: &mut TestClient, reader: &mut TestClient, topic: &str, life: usize, earlier: &[Uuid]) -> Uuid {
    create_topic(writer, topic, 1);
    let found = by_name(reader, topic);
    assert_eq!((found.error_code, found.partitions.len()), (NONE, 1), "{topic} life {life}");
    assert!(!earlier.contains(&found.topic_id), "{topic} life {life}: the id of an earlier life");
    assert_eq!(by_id(reader, found.topic_id).error_code, NONE);
    assert_eq!(drain(reader, topic, 0), [], "{topic} life {life}: data of an earlier life");

    let value = format!("{topic} {life}");
    let produced = produce(reader, topic, 0, batch(Producer::NONE, -1, &[&value]));
    assert_eq!((produced.error_code, produced.base_offset), (NONE, 0), "{topic} life {life}");
    assert_eq!(drain(writer, topic, 0), [(0, value.clone())]);

    for retention_ms in [1_000_000_000, 2_000_000_000] {
        alter(writer, topic, retention_ms);
        assert_eq!(self::retention_ms(reader, topic), Ok(retention_ms), "{topic} life {life}");
    }

    grow(writer, topic, 3);
    assert_eq!(by_name(reader, topic).partitions.len(), 3);
    let produced = produce(reader, topic, 2, batch(Producer::NONE, -1, &[&value]));
    assert_eq!((produced.error_code, produced.base_offset), (NONE, 0), "{topic} life {life}");

    delete(writer, topic);
    assert_eq!(by_name(reader, topic).error_code, UNKNOWN_TOPIC_OR_PARTITION, "{topic} life {life}");
    assert_eq!(by_id(reader, found.topic_id).error_code, UNKNOWN_TOPIC_ID);
    assert_eq!(retention_ms(reader, topic), Err(UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(fetch(reader, topic, 0, 0).error_code, UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(fetch_error_by_id(reader, found.topic_id), UNKNOWN_TOPIC_ID);
    let refused = produce(reader, topic, 0, batch(Producer::NONE, -1, &["late"]));
    assert_eq!(refused.error_code, UNKNOWN_TOPIC_OR_PARTITION, "{topic} life {life}");
    found.topic_id
}

#[test]
fn topics_that_come_and_go_are_what_the_last_answer_made_them() {
    let server = TestServer::start_with(&["auto.create.topics.enable=false"]);
    thread::scope(|scope| {
        for number in 0..TOPICS {
            let (mut writer, mut reader) = (TestClient::connect(&server), TestClient::connect(&server));
            scope.spawn(move || {
                let topic = format!("topic-{number}");
                let mut ids = Vec::new();
                for life in 0..LIVES {
                    ids.push(live(&mut writer, &mut reader, &topic, life, &ids));
                }
            });
        }
    });
}

/// Answered changes of one setting, and the watchers that must see each.
const CHANGES: i64 = 150;
const WATCHERS: usize = 3;

#[test]
fn no_connection_sees_a_setting_older_than_the_last_answer() {
    let server = TestServer::start();
    let mut writer = TestClient::connect(&server);
    create_topic(&mut writer, "watched", 1);
    // The value that was answered last; begun far from what retention would act on.
    const FIRST: i64 = 1_000_000_000;
    alter(&mut writer, "watched", FIRST);
    let answered = AtomicI64::new(FIRST);
    thread::scope(|scope| {
        for _ in 0..WATCHERS {
            let mut watcher = TestClient::connect(&server);
            let answered = &answered;
            scope.spawn(move || {
                let mut newest = FIRST;
                while newest < FIRST + CHANGES {
                    let at_least = answered.load(Ordering::SeqCst).max(newest);
                    newest = retention_ms(&mut watcher, "watched").expect("described");
                    assert!(newest >= at_least, "{newest} after {at_least}");
                }
            });
        }
        for value in FIRST + 1..=FIRST + CHANGES {
            alter(&mut writer, "watched", value);
            answered.store(value, Ordering::SeqCst);
        }
    });
}
