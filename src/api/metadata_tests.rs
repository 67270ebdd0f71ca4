use super::*;
use crate::api::testing::{TestBroker, text, topic_name};

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(topic_name(name)))
}

fn by_id(id: Uuid) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(None).with_topic_id(id)
}

/// A request that creates nothing.
fn request(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false)
}

/// `name:error`, as answered.
fn show(answer: &MetadataResponse) -> Vec<String> {
    let name = |topic: &MetadataResponseTopic| topic.name.as_ref().map_or("null".to_owned(), |name| name.to_string());
    answer.topics.iter().map(|topic| format!("{}:{}", name(topic), topic.error_code)).collect()
}

async fn broker() -> TestBroker {
    let broker = TestBroker::start();
    broker.create_topic("b", 2).await;
    broker.create_topic("a", 1).await;
    broker
}

#[tokio::test]
async fn null_is_all_topics_and_empty_is_none_but_in_version_0() {
    let broker = broker().await;
    for version in 0..=13 {
        let mut all = request(if version == 0 { Some(Vec::new()) } else { None });
        all.allow_auto_topic_creation |= version < 4;
        assert_eq!(show(&broker.call(version, &all).await), ["a:0", "b:0"], "version {version}");
        if version > 0 {
            all.topics = Some(Vec::new());
            assert!(show(&broker.call(version, &all).await).is_empty(), "version {version}");
        }
    }
}

#[tokio::test]
async fn a_topic_is_described_with_its_one_replica() {
    let broker = broker().await;
    let id = broker.cx.broker.catalog.topic("b").unwrap().id;
    for version in 4..=13 {
        let answer = broker.call(version, &request(Some(vec![named("b")]))).await;
        assert_eq!((answer.controller_id.0, answer.error_code), (1, 0));
        assert_eq!(answer.cluster_id.map(|id| id.to_string()).as_deref(), Some(&*broker.cx.broker.cluster_id));
        let topic = &answer.topics[0];
        assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::nil() }, "version {version}");
        let indexes: Vec<_> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        assert_eq!(indexes, [0, 1]);
        for partition in &topic.partitions {
            assert_eq!(partition.leader_id.0, 1);
            assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![1.into()], &vec![1.into()]));
            assert!(partition.offline_replicas.is_empty());
            assert_eq!(partition.leader_epoch, if version >= 7 { 0 } else { -1 }, "version {version}");
        }
    }
}

#[tokio::test]
async fn clients_are_told_the_address_of_the_listener_they_came_through() {
    let mut broker = broker().await;
    for (listener, expected) in [("PLAINTEXT", "localhost:9092"), ("EXTERNAL", "kafka.example:19092")] {
        broker.cx.listener = listener.into();
        let answer = broker.call(12, &request(None)).await;
        let brokers: Vec<_> = answer.brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect();
        assert_eq!(brokers, [expected]);
        assert_eq!((answer.brokers[0].node_id.0, &answer.brokers[0].rack), (1, &None));
    }
}

#[tokio::test]
async fn bad_names_and_unknown_topics_have_their_codes() {
    let broker = broker().await;
    let asked = vec![named("a/b"), named(""), named("unknown"), named("a")];
    for version in 4..=13 {
        let answer = broker.call(version, &request(Some(asked.clone()))).await;
        assert_eq!(show(&answer), ["a/b:17", ":17", "unknown:3", "a:0"], "version {version}");
    }
}

#[tokio::test]
async fn ids_are_asked_by_from_version_12_on() {
    let broker = broker().await;
    let (a, unknown) = (broker.cx.broker.catalog.topic("a").unwrap().id, Uuid::from_u128(5));
    for version in [10, 11] {
        let answer = broker.call(version, &request(Some(vec![by_id(a), named("b")]))).await;
        assert_eq!(show(&answer), [":42", "b:42"], "version {version}");
    }
    for version in [12, 13] {
        let asked = vec![by_id(a), by_id(unknown), by_id(Uuid::nil()), named("b"), named("b").with_topic_id(unknown)];
        let answer = broker.call(version, &request(Some(asked))).await;
        assert_eq!(show(&answer), ["a:0", "null:100", "null:100", "b:0", "null:100"], "version {version}");
        assert_eq!(answer.topics[1].topic_id, unknown);
    }
}

#[tokio::test]
async fn a_topic_is_answered_once_however_often_it_is_named() {
    let broker = broker().await;
    let a = broker.cx.broker.catalog.topic("a").unwrap().id;
    let asked = vec![named("a"), named("x"), by_id(a), named("a"), named("x")];
    assert_eq!(show(&broker.call(12, &request(Some(asked))).await), ["a:0", "x:3"]);
}

#[tokio::test]
async fn a_topic_is_created_on_first_use_if_broker_and_client_allow_it() {
    for (setting, version, flag, created) in [
        ("true", 12, true, true),
        ("true", 12, false, false),
        ("true", 3, true, true),
        ("true", 0, true, true),
        ("false", 12, true, false),
        ("false", 3, true, false),
    ] {
        let settings = [("auto.create.topics.enable", setting), ("num.partitions", "3")];
        let broker = TestBroker::with_settings(&settings);
        let asked = request(Some(vec![named("new"), named("."), named("__cluster_metadata"), named("new")]));
        let answer = broker.call(version, &asked.with_allow_auto_topic_creation(flag)).await;
        let new = if created { "new:0" } else { "new:3" };
        assert_eq!(show(&answer), [new, ".:17", "__cluster_metadata:3"], "{setting} {version} {flag}");
        assert_eq!(answer.topics[0].partitions.len(), if created { 3 } else { 0 });
        assert_eq!(broker.cx.broker.catalog.topics().by_name.len(), usize::from(created));
    }
}

#[tokio::test]
async fn operations_are_answered_where_they_are_asked_for() {
    let broker = broker().await;
    for version in 8..=13 {
        let mut asked = request(Some(vec![named("a"), named("unknown")]));
        let not_asked = broker.call(version, &asked).await;
        assert_eq!(not_asked.topics[0].topic_authorized_operations, i32::MIN);
        assert_eq!(not_asked.cluster_authorized_operations, i32::MIN);
        asked.include_topic_authorized_operations = true;
        asked.include_cluster_authorized_operations = version <= 10;
        let answer = broker.call(version, &asked).await;
        // The masks of an Apache Kafka 4.3 without an authorizer.
        let of_topics: Vec<_> = answer.topics.iter().map(|topic| topic.topic_authorized_operations).collect();
        assert_eq!(of_topics, [3576, 3576], "version {version}");
        let of_cluster = if version <= 10 { 8096 } else { i32::MIN };
        assert_eq!(answer.cluster_authorized_operations, of_cluster, "version {version}");
    }
}

#[tokio::test]
async fn kafkas_own_topics_are_internal() {
    let broker = broker().await;
    broker.create_topic("__consumer_offsets", 1).await;
    let answer = broker.call(12, &request(None)).await;
    let internal = answer.topics.iter().filter(|topic| topic.is_internal).map(|topic| topic.name.clone());
    assert_eq!(internal.collect::<Vec<_>>(), [Some(TopicName(text("__consumer_offsets")))]);
    // As Kafka's, also where there are none; other names that do not exist are not.
    for (name, is_internal) in [("__share_group_state", true), ("__transaction_state", true), ("missing", false)] {
        let asked = request(Some(vec![named(name)]));
        let answer = broker.call(12, &asked).await;
        assert_eq!((answer.topics[0].error_code, answer.topics[0].is_internal), (3, is_internal), "{name}");
    }
}
