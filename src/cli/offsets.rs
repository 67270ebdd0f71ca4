//! Ends of partitions, asked of their leaders.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::text;
use crate::client::{ClientError, Cluster, NodeId, PartitionLeader};
use crate::types::{IsolationLevel, Offset, PartitionIndex};

/// Where a partition ends (`ListOffsetsRequest` in Kafka).
pub(super) const LATEST: i64 = -1;
/// Where it begins.
pub(super) const EARLIEST: i64 = -2;

/// By topic and partition.
pub(super) type Offsets = BTreeMap<(String, PartitionIndex), Offset>;

/// The offset of `timestamp` in each partition, -1 where no record is that new. Partitions that nobody leads are left out.
pub(super) fn list(
    cluster: &mut Cluster,
    partitions: &[PartitionLeader],
    timestamp: i64,
) -> Result<Offsets, ClientError> {
    ask(cluster, partitions, (timestamp, IsolationLevel::ReadUncommitted), (1, 6))
}

/// The last stable offset of each partition, up to which readers of committed records read. Partitions that nobody leads are left out.
pub(super) fn list_stable(cluster: &mut Cluster, partitions: &[PartitionLeader]) -> Result<Offsets, ClientError> {
    // Version 1 knows of no transactions.
    ask(cluster, partitions, (LATEST, IsolationLevel::ReadCommitted), (2, 6))
}

fn ask(
    cluster: &mut Cluster,
    partitions: &[PartitionLeader],
    (timestamp, isolation): (i64, IsolationLevel),
    versions: (i16, i16),
) -> Result<Offsets, ClientError> {
    let mut by_leader: BTreeMap<NodeId, BTreeMap<&str, Vec<ListOffsetsPartition>>> = BTreeMap::new();
    for partition in partitions {
        if let Some(leader) = partition.leader {
            let asked = ListOffsetsPartition::default()
                .with_partition_index(partition.partition)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp);
            by_leader.entry(leader).or_default().entry(&partition.topic).or_default().push(asked);
        }
    }
    let mut offsets = BTreeMap::new();
    for (leader, topics) in by_leader {
        let topics = topics
            .into_iter()
            .map(|(name, asked)| ListOffsetsTopic::default().with_name(text(name).into()).with_partitions(asked));
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(i8::from(isolation == IsolationLevel::ReadCommitted))
            .with_topics(topics.collect());
        let answer = cluster.broker(leader)?.call("ListOffsets", &request, versions)?;
        for topic in answer.topics {
            for partition in topic.partitions {
                ClientError::check("ListOffsets", partition.error_code, Some(topic.name.as_str()))?;
                offsets.insert((topic.name.to_string(), partition.partition_index), partition.offset);
            }
        }
    }
    Ok(offsets)
}
