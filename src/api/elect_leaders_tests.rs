use super::*;
use crate::api::testing::{TestBroker, topic_name};

fn named(topic: &str, partitions: &[i32]) -> TopicPartitions {
    TopicPartitions::default().with_topic(topic_name(topic)).with_partitions(partitions.to_vec())
}

/// `topic-partition=error`.
fn show(answer: &ElectLeadersResponse) -> Vec<String> {
    let results = answer.replica_election_results.iter().flat_map(|topic| {
        let partitions = topic.partition_result.iter();
        partitions.map(|of| format!("{}-{}={}", topic.topic.as_str(), of.partition_id, of.error_code))
    });
    results.collect()
}

#[tokio::test]
async fn every_partition_has_its_leader_already() {
    let broker = TestBroker::start();
    broker.create_topic("a", 2).await;
    for (version, election_type) in [(0, 0), (1, 0), (1, 1), (2, 1)] {
        let request = ElectLeadersRequest::default()
            .with_election_type(election_type)
            .with_topic_partitions(Some(vec![named("a", &[1, 7, -1, 1]), named("no", &[0])]));
        let answer = broker.call(version, &request).await;
        assert_eq!(answer.error_code, 0);
        assert_eq!(show(&answer), ["a-1=84", "a-7=3", "a--1=3", "a-1=84", "no-0=3"]);
    }
    let all = broker.call(2, &ElectLeadersRequest::default().with_topic_partitions(None)).await;
    assert_eq!((all.error_code, all.replica_election_results.len(), show(&all).len()), (0, 1, 0));
}

#[tokio::test]
async fn an_unknown_kind_of_election_is_refused_everywhere() {
    let broker = TestBroker::start();
    broker.create_topic("a", 1).await;
    let request = ElectLeadersRequest::default()
        .with_election_type(9)
        .with_topic_partitions(Some(vec![named("a", &[0]), named("no", &[0])]));
    let answer = broker.call(2, &request).await;
    assert_eq!((answer.error_code, show(&answer)), (42, vec!["a-0=42".to_owned(), "no-0=42".to_owned()]));
    let answer = broker.call(2, &request.with_topic_partitions(None)).await;
    assert_eq!((answer.error_code, answer.replica_election_results.len()), (42, 0));
}

#[tokio::test]
async fn a_long_name_is_not_repeated_whole_in_every_message() {
    let broker = TestBroker::start();
    let name = "x".repeat(10_000);
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![named(&name, &[0, 1])]));
    let answer = broker.call(2, &request).await;
    for partition in &answer.replica_election_results[0].partition_result {
        assert!(partition.error_message.as_ref().is_some_and(|message| message.len() < 300));
    }
}
