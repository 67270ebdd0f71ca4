//! The requests that subcommands share.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest};
use kafka_protocol::protocol::Request;

use crate::cli::text;
use crate::client::{COORDINATOR_MOVES, ClientError, Cluster, until_ready};
use crate::types::{ErrorCode, Offset, PartitionIndex};

/// Asks the group's coordinator, and again while there is none yet: the first one to ask for any makes Kafka create the topic of
/// coordinators. `code` is the one of the answer.
pub(super) fn coordinator<R: Request>(
    cluster: &mut Cluster,
    group: &str,
    (api, request, versions): (&'static str, &R, (i16, i16)),
    timeout: Duration,
    code: impl Fn(&R::Response) -> Option<i16>,
) -> Result<R::Response, ClientError> {
    let (_, answer) = until_ready(timeout, COORDINATOR_MOVES, || {
        let coordinator = cluster.group_coordinator(group)?;
        let answer = cluster.broker(coordinator)?.call(api, request, versions)?;
        Ok((code(&answer).map_or(ErrorCode::NONE, ErrorCode), answer))
    })?;
    Ok(answer)
}

/// Those that are named, or else all groups of consumers, in order: each broker knows those that it coordinates.
pub(super) fn named_or_all(cluster: &mut Cluster, named: &[String]) -> Result<Vec<String>, ClientError> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let mut groups = Vec::new();
    for broker in cluster.brokers() {
        let answer = cluster.broker(broker)?.call("ListGroups", &ListGroupsRequest::default(), (0, 5))?;
        ClientError::check("ListGroups", answer.error_code, None)?;
        // Groups of other types have other requests; older brokers know of no types.
        let consumers = answer.groups.iter().filter(|group| {
            let kind = group.group_type.as_str();
            kind.is_empty() || kind.eq_ignore_ascii_case("classic") || kind.eq_ignore_ascii_case("consumer")
        });
        groups.extend(consumers.map(|group| group.group_id.to_string()));
    }
    groups.sort();
    Ok(groups)
}

/// All offsets that the group has committed.
pub(in crate::cli) fn committed(
    cluster: &mut Cluster,
    group: &str,
    timeout: Duration,
) -> Result<BTreeMap<(String, PartitionIndex), Offset>, ClientError> {
    let request = OffsetFetchRequest::default().with_group_id(text(group).into()).with_topics(None);
    // From version 8 on requests name groups in another place.
    let asked = ("OffsetFetch", &request, (2, 7));
    let answer = coordinator(cluster, group, asked, timeout, |answer| Some(answer.error_code))?;
    ClientError::check("OffsetFetch", answer.error_code, None)?;
    let mut committed = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            ClientError::check("OffsetFetch", partition.error_code, Some(topic.name.as_str()))?;
            if partition.committed_offset >= 0 {
                committed.insert((topic.name.to_string(), partition.partition_index), partition.committed_offset);
            }
        }
    }
    Ok(committed)
}

/// Commits these offsets as nobody's member: a group that has members refuses it.
pub(in crate::cli) fn commit(
    cluster: &mut Cluster,
    group: &str,
    wanted: &[((String, PartitionIndex), Offset)],
    timeout: Duration,
) -> Result<(), ClientError> {
    let topics = wanted.iter().map(|((topic, partition), offset)| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(-1);
        OffsetCommitRequestTopic::default().with_name(text(topic).into()).with_partitions(vec![partition])
    });
    let request = OffsetCommitRequest::default()
        .with_group_id(text(group).into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect());
    let answer = coordinator(cluster, group, ("OffsetCommit", &request, (2, 8)), timeout, |answer| {
        Some(answer.topics.first()?.partitions.first()?.error_code)
    })?;
    for topic in answer.topics {
        for partition in topic.partitions {
            ClientError::check("OffsetCommit", partition.error_code, Some(topic.name.as_str()))?;
        }
    }
    Ok(())
}
