use kafka_protocol::messages::delete_topics_request::DeleteTopicState;

use super::*;
use crate::api::testing::{TestBroker, topic_name};

fn by_names(names: &[&str]) -> DeleteTopicsRequest {
    DeleteTopicsRequest::default().with_topic_names(names.iter().copied().map(topic_name).collect())
}

fn state(name: Option<&str>, id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id)
}

fn request(topics: Vec<DeleteTopicState>) -> DeleteTopicsRequest {
    DeleteTopicsRequest::default().with_topics(topics)
}

/// `name error message`.
fn show(answer: &DeleteTopicsResponse) -> Vec<String> {
    let shown = answer.responses.iter().map(|of| {
        let name = of.name.as_ref().map_or("null", |name| name.as_str());
        format!("{name} {} {}", of.error_code, of.error_message.as_ref().map_or("-", StrBytes::as_str))
    });
    shown.collect()
}

fn names(broker: &TestBroker) -> Vec<String> {
    broker.cx.broker.catalog.topics().by_name.keys().map(|name| name.to_string()).collect()
}

#[tokio::test]
async fn topics_are_gone_before_the_answer_in_every_version() {
    let broker = TestBroker::start();
    for version in 1..=6 {
        let (a, _) = (broker.create_topic("a", 1).await, broker.create_topic("b", 1).await);
        let request = if version >= 6 {
            request(vec![state(Some("unknown"), Uuid::nil()), state(None, a.id)])
        } else {
            by_names(&["unknown", "a"])
        };
        let answer = broker.call(version, &request).await;
        let unknown = if version >= 5 { "This server does not host this topic-partition." } else { "-" };
        assert_eq!(show(&answer), [format!("unknown 3 {unknown}"), "a 0 -".to_owned()], "version {version}");
        assert_eq!(answer.responses[1].topic_id, if version >= 6 { a.id } else { Uuid::nil() });
        assert_eq!(names(&broker), ["b"]);
        broker.call(1, &by_names(&["b"])).await;
    }
}

#[tokio::test]
async fn a_topic_named_again_is_refused_once_and_stays() {
    let broker = TestBroker::start();
    let (a, b) = (broker.create_topic("a", 1).await, broker.create_topic("b", 1).await);
    let unknown = Uuid::from_u128(7);
    for (topics, expected) in [
        (vec![state(Some("a"), Uuid::nil()); 2], vec!["a 42 Duplicate topic name."]),
        (vec![state(None, a.id); 3], vec!["null 42 Duplicate topic id."]),
        (
            vec![state(None, b.id), state(Some("b"), Uuid::nil())],
            vec!["b 42 The provided topic name maps to an ID that was already supplied."],
        ),
        (vec![state(None, Uuid::nil())], vec!["null 42 Neither topic name nor id were specified."]),
        (vec![state(None, Uuid::nil()); 2], vec!["null 42 Neither topic name nor id were specified."; 2]),
        (vec![state(Some("a"), a.id)], vec!["a 42 You may not specify both topic name and topic id."]),
        (
            vec![state(None, unknown), state(Some(""), Uuid::nil())],
            vec![
                "null 100 This server does not host this topic ID.",
                " 3 This server does not host this topic-partition.",
            ],
        ),
    ] {
        assert_eq!(show(&broker.call(6, &request(topics)).await), expected);
    }
    assert_eq!(names(&broker), ["a", "b"]);
    assert_eq!(show(&broker.call(3, &by_names(&["a", "b", "a"])).await), ["a 42 -", "b 0 -"]);
    assert_eq!(names(&broker), ["a"]);
}

#[tokio::test]
async fn nothing_is_deleted_where_deletion_is_disabled() {
    let broker = TestBroker::with_settings(&[("delete.topic.enable", "false")]);
    broker.create_topic("a", 1).await;
    for version in 1..=5 {
        let code = if version < 3 { 42 } else { 73 };
        let answer = broker.call(version, &by_names(&["a"])).await;
        assert_eq!(answer.responses[0].error_code, code, "version {version}");
    }
    assert_eq!(names(&broker), ["a"]);
}
