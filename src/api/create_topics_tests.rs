use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;

use super::*;
use crate::api::testing::{TestBroker, text, topic_name};
use crate::types::Uuid;

fn topic(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replication_factor)
}

fn with_config(name: &str, value: Option<&str>) -> CreatableTopic {
    let config = CreatableTopicConfig::default().with_name(text(name)).with_value(value.map(text));
    topic("t", 1, 1).with_configs(vec![config])
}

/// Brokers by partition index.
fn assigned(assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(index, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    });
    topic("t", -1, -1).with_assignments(assignments.collect())
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(1000)
}

/// `name error message`.
fn show(answer: &CreateTopicsResponse) -> Vec<String> {
    let message =
        |topic: &CreatableTopicResult| topic.error_message.as_ref().map_or("-".into(), |text| text.to_string());
    answer.topics.iter().map(|of| format!("{} {} {}", of.name.as_str(), of.error_code, message(of))).collect()
}

#[tokio::test]
async fn refusals_speak_kafkas_words() {
    let broker = TestBroker::start();
    broker.create_topic("old", 1).await;
    broker.create_topic("with.dots", 1).await;
    let long = "x".repeat(250);
    for (topic, expected) in [
        (topic("old", 1, 1), "36 Topic 'old' already exists."),
        (topic("old", 0, 0), "36 Topic 'old' already exists."),
        (topic("with_dots", 1, 1), "17 Topic 'with_dots' collides with existing topic: with.dots"),
        (topic("", 1, 1), "17 Topic name is invalid: the empty string is not allowed"),
        (topic("..", 1, 1), "17 Topic name is invalid: '..' is not allowed"),
        (
            topic("a b", 1, 1),
            "17 Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        (
            topic(&long, 1, 1),
            &format!("17 Topic name is invalid: the length of '{long}' is longer than the max allowed length 249"),
        ),
        (topic("__cluster_metadata", 1, 1), "42 Creation of internal topic __cluster_metadata is prohibited."),
        (topic("t", 0, 1), "37 Number of partitions was set to an invalid non-positive value."),
        (topic("t", -2, 1), "37 Number of partitions was set to an invalid non-positive value."),
        (topic("t", 1, 0), "38 Replication factor must be larger than 0, or -1 to use the default value."),
        (topic("t", 0, -2), "38 Replication factor must be larger than 0, or -1 to use the default value."),
        (
            topic("t", 1, 3),
            "38 Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only \
             1 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (topic("t", 10_001, 1), "44 Excessively large number of partitions per request."),
        (with_config("no.such", Some("1")), "40 Unknown topic config name: no.such"),
        (with_config("retention.ms", None), "40 Null value not supported for topic configs: retention.ms"),
        (
            with_config("retention.ms", Some("x")).with_num_partitions(0),
            "40 Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
    ] {
        let name = topic.name.to_string();
        for (version, validate_only) in [(2, false), (7, false), (7, true)] {
            let request = request(vec![topic.clone()]).with_validate_only(validate_only);
            assert_eq!(show(&broker.call(version, &request).await), [format!("{name} {expected}")]);
        }
    }
    assert_eq!(broker.cx.broker.catalog.topics().by_name.len(), 2);
}

#[tokio::test]
async fn a_topic_with_too_many_settings_together_is_not_created() {
    let broker = TestBroker::start();
    let long = "0:1,".repeat(8_000);
    let of = |name, value: &str| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
    let mut configs = vec![
        of("leader.replication.throttled.replicas", &long),
        of("follower.replication.throttled.replicas", &long),
        of("message.dedup.id.headers", &"h".repeat(2_000)),
    ];
    let create =
        |name, configs: &[CreatableTopicConfig]| request(vec![topic(name, 1, 1).with_configs(configs.to_vec())]);
    assert_eq!(broker.call(7, &create("t", &configs)).await.topics[0].error_code, 40, "INVALID_CONFIG");
    configs.pop();
    assert_eq!(broker.call(7, &create("t", &configs)).await.topics[0].error_code, 0);
}

#[tokio::test]
async fn assignments_may_name_this_node_only() {
    let broker = TestBroker::start();
    for (topic, expected) in [
        (assigned(&[(0, &[1, 1])]), "39 The manual partition assignment includes the broker 1 more than once."),
        (
            assigned(&[(0, &[9])]),
            "39 The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (
            assigned(&[(0, &[1, 9])]),
            "39 The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (assigned(&[(0, &[])]), "39 The manual partition assignment includes an empty replica list."),
        (assigned(&[(1, &[1])]), "39 partitions should be a consecutive 0-based integer sequence"),
        (assigned(&[(0, &[1]), (2, &[1])]), "39 partitions should be a consecutive 0-based integer sequence"),
        (assigned(&[(-1, &[1]), (0, &[1])]), "39 partitions should be a consecutive 0-based integer sequence"),
        (assigned(&[(0, &[1]), (0, &[1])]), "39 Found multiple manual partition assignments for partition 0"),
        (
            assigned(&[(0, &[1])]).with_num_partitions(1),
            "42 A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            assigned(&[(0, &[1])]).with_replication_factor(1),
            "42 A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
    ] {
        assert_eq!(show(&broker.call(7, &request(vec![topic])).await), [format!("t {expected}")]);
    }
    let answer = broker.call(7, &request(vec![assigned(&[(1, &[1]), (0, &[1])])])).await;
    assert_eq!(show(&answer), ["t 0 -"]);
    assert_eq!(answer.topics[0].num_partitions, 2);
}

#[tokio::test]
async fn one_bad_topic_does_not_touch_the_good_ones() {
    let broker = TestBroker::start();
    let topics = vec![topic("twice", 1, 1), topic("good", 1, 1), topic("twice", 2, 1), topic("bad", 0, 1)];
    let expected = [
        "twice 42 Duplicate topic name.",
        "good 0 -",
        "bad 37 Number of partitions was set to an invalid non-positive value.",
    ];
    assert_eq!(show(&broker.call(7, &request(topics)).await), expected);
    let names: Vec<_> = broker.cx.broker.catalog.topics().by_name.keys().map(|name| name.to_string()).collect();
    assert_eq!(names, ["good"]);
}

#[tokio::test]
async fn partitions_of_all_topics_of_a_request_count_together() {
    let broker = TestBroker::start();
    let topics = (0..3).map(|n| topic(&format!("t{n}"), 4000, 1)).collect();
    let answer = broker.call(7, &request(topics).with_validate_only(true)).await;
    assert!(answer.topics.iter().all(|topic| topic.error_code == 44), "{:?}", show(&answer));
}

#[tokio::test]
async fn a_created_topic_is_described_as_far_as_the_version_can() {
    let broker = TestBroker::with_settings(&[("num.partitions", "6"), ("log.retention.ms", "77")]);
    for version in 2..=7 {
        let name = format!("t{version}");
        let answer = broker.call(version, &request(vec![topic(&name, -1, -1)])).await;
        let created = &answer.topics[0];
        assert_eq!((created.error_code, &created.error_message), (0, &None));
        let there = broker.cx.broker.catalog.topic(&name).expect("there before the answer");
        assert_eq!(there.partitions.len(), 6);
        assert_eq!(created.topic_id, if version >= 7 { there.id } else { Uuid::nil() });
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (6, 1));
            let configs = created.configs.as_ref().expect("described");
            let retention = configs.iter().find(|config| config.name.as_str() == "retention.ms").expect("all settings");
            assert_eq!((retention.value.as_ref().unwrap().as_str(), retention.config_source), ("77", 4));
            assert!(configs.iter().all(|config| !config.name.as_str().starts_with("message.dedup.")), "Kafka has none");
        } else {
            assert_eq!((created.num_partitions, created.replication_factor), (-1, -1));
        }
    }
}

#[tokio::test]
async fn validation_alone_creates_nothing() {
    let broker = TestBroker::start();
    let request = request(vec![topic("t", 3, 1)]).with_validate_only(true);
    let answer = broker.call(7, &request).await;
    assert_eq!((answer.topics[0].error_code, answer.topics[0].num_partitions), (0, 3));
    assert!(broker.cx.broker.catalog.topics().by_name.is_empty());
}

#[tokio::test]
async fn a_replication_factor_is_clamped_where_the_setting_says_so() {
    let broker = TestBroker::with_settings(&[("einmal.replication.factor.clamp", "true")]);
    let answer = broker.call(7, &request(vec![topic("t", 1, 3)])).await;
    assert_eq!((answer.topics[0].error_code, answer.topics[0].replication_factor), (0, 1));
}
