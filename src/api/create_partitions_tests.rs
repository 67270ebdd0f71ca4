use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;

use super::*;
use crate::api::testing::{TestBroker, topic_name};

fn topic(name: &str, count: i32) -> CreatePartitionsTopic {
    CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None)
}

/// Brokers of each added partition.
fn assigned(count: i32, assignments: &[&[i32]]) -> CreatePartitionsTopic {
    let assignments = assignments.iter().map(|brokers| {
        CreatePartitionsAssignment::default().with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
    });
    topic("t", count).with_assignments(Some(assignments.collect()))
}

fn request(topics: Vec<CreatePartitionsTopic>) -> CreatePartitionsRequest {
    CreatePartitionsRequest::default().with_topics(topics)
}

/// `name error message`.
fn show(answer: &CreatePartitionsResponse) -> Vec<String> {
    let message =
        |of: &CreatePartitionsTopicResult| of.error_message.as_ref().map_or("-".into(), |text| text.to_string());
    answer.results.iter().map(|of| format!("{} {} {}", of.name.as_str(), of.error_code, message(of))).collect()
}

#[tokio::test]
async fn refusals_speak_kafkas_words() {
    let broker = TestBroker::with_settings(&[("einmal.partitions.max", "100")]);
    broker.create_topic("t", 2).await;
    for (topic, expected) in [
        (topic("t", 2), "37 Topic already has 2 partition(s)."),
        (topic("t", 1), "37 The topic t currently has 2 partition(s); 1 would not be an increase."),
        (topic("t", 0), "37 The topic t currently has 2 partition(s); 0 would not be an increase."),
        (topic("t", -3), "37 The topic t currently has 2 partition(s); -3 would not be an increase."),
        (topic("unknown", 3), "3 -"),
        (topic("unknown", -3), "3 -"),
        (topic("t", 101), "44 99 more partitions would exceed einmal.partitions.max=100; there are 2"),
        (
            assigned(3, &[&[1], &[1]]),
            "39 Attempted to add 1 additional partition(s), but only 2 assignment(s) were specified.",
        ),
        (assigned(3, &[]), "39 Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified."),
        (
            assigned(3, &[&[9]]),
            "39 The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (assigned(3, &[&[1, 1]]), "39 The manual partition assignment includes the broker 1 more than once."),
        (assigned(3, &[&[]]), "39 The manual partition assignment includes an empty replica list."),
        (assigned(2, &[&[9]]), "37 Topic already has 2 partition(s)."),
    ] {
        let name = topic.name.to_string();
        for validate_only in [true, false] {
            let request = request(vec![topic.clone()]).with_validate_only(validate_only);
            assert_eq!(show(&broker.call(3, &request).await), [format!("{name} {expected}")]);
        }
    }
    assert_eq!(broker.cx.broker.catalog.topic("t").unwrap().partitions.len(), 2);
}

#[tokio::test]
async fn partitions_are_added_in_every_version_and_the_old_ones_kept() {
    let broker = TestBroker::start();
    let before = broker.create_topic("t", 1).await;
    for version in 0..=3 {
        let total = 2 + i32::from(version);
        let validated = broker.call(version, &request(vec![topic("t", total)]).with_validate_only(true)).await;
        assert_eq!(show(&validated), ["t 0 -"]);
        assert_eq!(show(&broker.call(version, &request(vec![assigned(total, &[&[1]])])).await), ["t 0 -"]);
        let after = broker.cx.broker.catalog.topic("t").unwrap();
        assert_eq!((after.partitions.len(), after.id), (2 + version as usize, before.id));
        assert!(std::sync::Arc::ptr_eq(&after.partitions[0], &before.partitions[0]));
    }
}

#[tokio::test]
async fn one_bad_topic_does_not_touch_the_good_ones() {
    let broker = TestBroker::start();
    for name in ["twice", "good"] {
        broker.create_topic(name, 1).await;
    }
    let topics = vec![topic("twice", 2), topic("good", 2), topic("unknown", 2), topic("twice", 3)];
    let expected = ["twice 42 Duplicate topic name.", "good 0 -", "unknown 3 -"];
    assert_eq!(show(&broker.call(3, &request(topics)).await), expected);
    let count = |name| broker.cx.broker.catalog.topic(name).unwrap().partitions.len();
    assert_eq!((count("twice"), count("good")), (1, 2));
}
