use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;

use super::*;
use crate::api::testing::{TestBroker, batch, topic_name};

#[tokio::test]
async fn the_cluster_is_one_broker_at_the_clients_listener() {
    let mut broker = TestBroker::start();
    broker.cx.listener = "EXTERNAL".into();
    for version in 0..=2 {
        let mut request = DescribeClusterRequest::default();
        let answer = broker.call(version, &request).await;
        assert_eq!((answer.error_code, answer.controller_id.0, answer.endpoint_type), (0, 1, BROKERS));
        assert_eq!(answer.cluster_id.as_str(), &*broker.cx.broker.cluster_id);
        let brokers: Vec<_> =
            answer.brokers.iter().map(|of| format!("{} {}:{}", of.broker_id.0, of.host, of.port)).collect();
        assert_eq!(brokers, ["1 kafka.example:19092"]);
        assert!(answer.brokers.iter().all(|of| of.rack.is_none() && !of.is_fenced));
        assert_eq!(answer.cluster_authorized_operations, i32::MIN);
        request.include_cluster_authorized_operations = true;
        // The mask of an Apache Kafka 4.3 without an authorizer.
        assert_eq!(broker.call(version, &request).await.cluster_authorized_operations, 8096);
    }
}

#[tokio::test]
async fn other_endpoints_than_brokers_are_refused() {
    let broker = TestBroker::start();
    for (endpoint_type, error) in [(CONTROLLERS, 114), (0, 115), (9, 115)] {
        for version in [1, 2] {
            let answer =
                broker.call(version, &DescribeClusterRequest::default().with_endpoint_type(endpoint_type)).await;
            assert_eq!((answer.error_code, answer.brokers.len()), (error, 0), "endpoint type {endpoint_type}");
            assert!(answer.error_message.is_some_and(|message| !message.is_empty()));
        }
    }
}

fn asked(topic: &str, partitions: &[i32]) -> DescribableLogDirTopic {
    DescribableLogDirTopic::default().with_topic(topic_name(topic)).with_partitions(partitions.to_vec())
}

/// `topic-partition=size`.
fn show(answer: &DescribeLogDirsResponse) -> Vec<String> {
    let topics = answer.results.iter().flat_map(|result| &result.topics);
    let partitions = topics.flat_map(|topic| topic.partitions.iter().map(move |of| (&topic.name, of)));
    partitions.map(|(name, of)| format!("{}-{}={}", name.as_str(), of.partition_index, of.partition_size)).collect()
}

#[tokio::test]
async fn log_directories_show_the_bytes_of_what_is_asked_for() {
    let broker = TestBroker::with_settings(&[("log.dirs", "/")]);
    let topic = broker.create_topic("a", 2).await;
    broker.create_topic("b", 1).await;
    let stored = batch(1, &["value"]);
    broker.append(&topic, 1, stored.clone()).await;
    let size = stored.len();
    for version in 1..=4 {
        let all = broker.call(version, &DescribeLogDirsRequest::default().with_topics(None)).await;
        assert_eq!(show(&all), ["a-0=0".to_owned(), format!("a-1={size}"), "b-0=0".to_owned()]);
        let result = &all.results[0];
        assert_eq!((all.error_code, result.error_code, result.log_dir.as_str()), (0, 0, "/"));
        assert_eq!(result.total_bytes > 0 && result.total_bytes >= result.usable_bytes, version >= 4);

        let some = vec![asked("a", &[1, 1, 7, -1]), asked("unknown", &[0]), asked("b", &[]), asked("a", &[1])];
        let answer = broker.call(version, &DescribeLogDirsRequest::default().with_topics(Some(some))).await;
        assert_eq!(show(&answer), [format!("a-1={size}")]);
        assert_eq!(answer.results[0].topics.len(), 1);

        let none = broker.call(version, &DescribeLogDirsRequest::default().with_topics(Some(Vec::new()))).await;
        assert!(show(&none).is_empty());
    }
}
