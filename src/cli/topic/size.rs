//! What partitions take of the disk, asked of their leaders.

use std::collections::BTreeMap;

use kafka_protocol::messages::DescribeLogDirsRequest;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;

use crate::cli::text;
use crate::client::{ClientError, Cluster, NodeId, PartitionLeader};
use crate::types::PartitionIndex;

/// Bytes of each of `partitions` at its leader. Those whose leader does not tell are left out.
pub(super) fn list(
    cluster: &mut Cluster,
    partitions: &[PartitionLeader],
) -> Result<BTreeMap<(String, PartitionIndex), i64>, ClientError> {
    let mut by_leader: BTreeMap<NodeId, BTreeMap<&str, Vec<PartitionIndex>>> = BTreeMap::new();
    for partition in partitions {
        if let Some(leader) = partition.leader {
            by_leader.entry(leader).or_default().entry(&partition.topic).or_default().push(partition.partition);
        }
    }
    let mut sizes = BTreeMap::new();
    for (leader, topics) in by_leader {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            DescribableLogDirTopic::default().with_topic(text(topic).into()).with_partitions(partitions)
        });
        let request = DescribeLogDirsRequest::default().with_topics(Some(topics.collect()));
        let answer = match cluster.broker(leader)?.call("DescribeLogDirs", &request, (1, 4)) {
            // An older broker: the rest of what is described is worth showing without sizes.
            Err(ClientError::Unsupported { .. }) => continue,
            answer => answer?,
        };
        for topic in answer.results.into_iter().flat_map(|directory| directory.topics) {
            for partition in topic.partitions.iter().filter(|partition| !partition.is_future_key) {
                sizes.insert((topic.name.to_string(), partition.partition_index), partition.partition_size);
            }
        }
    }
    Ok(sizes)
}
