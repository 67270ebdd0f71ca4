use kafka_protocol::messages::describe_quorum_request::PartitionData as AskedPartition;

use super::*;
use crate::api::testing::{TestBroker, topic_name as name};

fn request(topics: &[(&str, &[i32])]) -> DescribeQuorumRequest {
    let topics = topics.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|index| AskedPartition::default().with_partition_index(*index));
        Asked::default().with_topic_name(name(topic)).with_partitions(partitions.collect())
    });
    DescribeQuorumRequest::default().with_topics(topics.collect())
}

#[tokio::test]
async fn the_node_leads_a_quorum_of_itself_whose_log_grows() {
    let broker = TestBroker::start();
    let mut last = -1;
    for version in 0..=2 {
        broker.create_topic(&format!("t{version}"), 1).await;
        let answer = broker.call(version, &request(&[(topic_name::METADATA_TOPIC, &[0])])).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((answer.error_code, partition.error_code, partition.leader_id.0), (0, 0, 1));
        assert!(partition.high_watermark > last, "{} after {last}", partition.high_watermark);
        last = partition.high_watermark;
        let voters: Vec<_> =
            partition.current_voters.iter().map(|voter| (voter.replica_id.0, voter.log_end_offset)).collect();
        assert_eq!((voters, partition.observers.len()), (vec![(1, last)], 0));
        let fetched = partition.current_voters[0].last_fetch_timestamp;
        assert_eq!(fetched > 0, version >= 1, "{fetched}");
        let nodes: Vec<_> = answer.nodes.iter().map(|node| (node.node_id.0, node.listeners[0].port)).collect();
        assert_eq!(nodes, if version >= 2 { vec![(1, 9092)] } else { vec![] });
    }
}

#[tokio::test]
async fn no_other_partition_has_a_quorum() {
    let broker = TestBroker::start();
    let metadata = topic_name::METADATA_TOPIC;
    let cases: [&[(&str, &[i32])]; 4] =
        [&[("x", &[0])], &[(metadata, &[0, 1])], &[(metadata, &[1])], &[(metadata, &[0]), ("x", &[0])]];
    for case in cases {
        for version in 0..=2 {
            let answer = broker.call(version, &request(case)).await;
            let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|of| of.error_code);
            assert!(codes.clone().count() > 0 && codes.into_iter().all(|code| code == 3), "{case:?}");
            assert!(answer.nodes.is_empty());
        }
    }
    assert!(broker.call(2, &request(&[])).await.topics.is_empty());
}
