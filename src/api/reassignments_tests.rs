use super::*;
use crate::api::testing::{TestBroker, topic_name};

fn to(index: i32, replicas: Option<&[i32]>) -> ReassignablePartition {
    let replicas = replicas.map(|replicas| replicas.iter().map(|id| (*id).into()).collect());
    ReassignablePartition::default().with_partition_index(index).with_replicas(replicas)
}

/// Codes and texts are those of a real Kafka 4.3.1 with one node.
#[tokio::test]
async fn a_partition_can_move_to_where_it_is_only() {
    let broker = TestBroker::start();
    broker.create_topic("a", 2).await;
    let unregistered =
        |id: i32| format!("The manual partition assignment includes broker {id}, but no such broker is registered.");
    let cases: [(ReassignablePartition, i16, Option<String>); 8] = [
        (to(0, Some(&[1])), 0, None),
        (to(1, None), 85, None),
        (to(1, Some(&[])), 39, Some("The manual partition assignment includes an empty replica list.".to_owned())),
        (
            to(0, Some(&[1, 1])),
            39,
            Some("The manual partition assignment includes the broker 1 more than once.".to_owned()),
        ),
        (to(0, Some(&[1, 2])), 39, Some(unregistered(2))),
        (to(0, Some(&[5, 5])), 39, Some(unregistered(5))),
        (to(0, Some(&[1, -1, 1])), 39, Some(unregistered(-1))),
        (to(9, Some(&[1])), 3, Some("Unable to find partition a:9.".to_owned())),
    ];
    for version in [0, 1] {
        let known = ReassignableTopic::default()
            .with_name(topic_name("a"))
            .with_partitions(cases.iter().map(|(partition, ..)| partition.clone()).collect());
        let unknown = ReassignableTopic::default().with_name(topic_name("no")).with_partitions(vec![to(0, Some(&[1]))]);
        let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![known, unknown]);
        let answer = broker.call(version, &request).await;
        assert_eq!((answer.error_code, answer.error_message), (0, None));
        for ((asked, error, message), answered) in cases.iter().zip(&answer.responses[0].partitions) {
            let found = (answered.error_code, answered.error_message.as_ref().map(ToString::to_string));
            assert_eq!(found, (*error, message.clone()), "{asked:?}");
        }
        let unknown = &answer.responses[1].partitions[0];
        assert_eq!(unknown.error_code, 3);
        assert_eq!(unknown.error_message.as_deref(), Some("Unable to find a topic named no."));
    }
    let nothing = broker.call(1, &AlterPartitionReassignmentsRequest::default()).await;
    assert_eq!((nothing.error_code, nothing.error_message.as_deref()), (0, Some("")));
    let listed = broker.call(0, &ListPartitionReassignmentsRequest::default().with_topics(None)).await;
    assert_eq!((listed.error_code, listed.error_message, listed.topics.len()), (0, None, 0));
}
