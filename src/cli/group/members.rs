//! Members of groups of either protocol, and what they read.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DescribeGroupsRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, Message};

use super::ask;
use crate::cli::{CliError, text};
use crate::client::{ClientError, Cluster};
use crate::types::ErrorCode;

/// Kafka's word for groups whose members are consumers (`ConsumerProtocol.PROTOCOL_TYPE`); others, as those of Kafka Connect, assign
/// what is no partition.
const CONSUMERS: &str = "consumer";

/// A group.
pub(super) struct Described {
    /// As the broker names it.
    pub(super) state: String,
    pub(super) members: Vec<Member>,
}

/// One of its members.
pub(super) struct Member {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) host: String,
    /// What it reads, by topic, in order.
    pub(super) partitions: BTreeMap<String, Vec<i32>>,
}

/// The group; None if there is none of this name.
pub(super) fn describe(cluster: &mut Cluster, group: &str, timeout: Duration) -> Result<Option<Described>, CliError> {
    match new_protocol(cluster, group, timeout)? {
        None => classic(cluster, group, timeout),
        described => Ok(described),
    }
}

/// The group, if it has the protocol of KIP-848. A broker that does not know that protocol has no such group.
fn new_protocol(cluster: &mut Cluster, group: &str, timeout: Duration) -> Result<Option<Described>, CliError> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![text(group).into()]);
    let asked = ("ConsumerGroupDescribe", &request, (0, 1));
    let answer =
        match ask::coordinator(cluster, group, asked, timeout, |answer| Some(answer.groups.first()?.error_code)) {
            Err(ClientError::Unsupported { .. }) => return Ok(None),
            answer => answer?,
        };
    let Some(described) = answer.groups.into_iter().next() else { return Ok(None) };
    match ErrorCode(described.error_code) {
        ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => return Ok(None),
        error => ClientError::check("ConsumerGroupDescribe", error.0, described.error_message.as_deref())?,
    }
    let members = described.members.into_iter().map(|member| {
        let partitions = member.assignment.topic_partitions.into_iter();
        Member {
            member_id: member.member_id.to_string(),
            instance_id: member.instance_id.map(|id| id.to_string()),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            partitions: sorted(partitions.map(|topic| (topic.topic_name, topic.partitions))),
        }
    });
    Ok(Some(Described { state: described.group_state.to_string(), members: members.collect() }))
}

fn classic(cluster: &mut Cluster, group: &str, timeout: Duration) -> Result<Option<Described>, CliError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
    let asked = ("DescribeGroups", &request, (0, 6));
    let answer = ask::coordinator(cluster, group, asked, timeout, |answer| Some(answer.groups.first()?.error_code))?;
    let Some(described) = answer.groups.into_iter().next() else { return Ok(None) };
    // Before version 6 a group that is not there is dead.
    if described.error_code == ErrorCode::GROUP_ID_NOT_FOUND.0 || described.group_state.as_str() == "Dead" {
        return Ok(None);
    }
    ClientError::check("DescribeGroups", described.error_code, described.error_message.as_deref())?;
    let are_consumers = described.protocol_type.as_str() == CONSUMERS;
    let members = described.members.into_iter().map(|member| Member {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        partitions: if are_consumers { sorted(assigned(member.member_assignment)) } else { BTreeMap::new() },
    });
    Ok(Some(Described { state: described.group_state.to_string(), members: members.collect() }))
}

/// What a consumer has been told to read; nothing where that is not in the form of consumers.
fn assigned(mut assignment: Bytes) -> impl Iterator<Item = (TopicName, Vec<i32>)> {
    let version = assignment.try_get_i16().ok().map(|version| version.min(ConsumerProtocolAssignment::VERSIONS.max));
    let decoded = version.and_then(|version| ConsumerProtocolAssignment::decode(&mut assignment, version).ok());
    decoded.unwrap_or_default().assigned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions))
}

fn sorted(topics: impl Iterator<Item = (TopicName, Vec<i32>)>) -> BTreeMap<String, Vec<i32>> {
    let mut partitions: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, indexes) in topics {
        let of_topic = partitions.entry(topic.to_string()).or_default();
        of_topic.extend(indexes);
        of_topic.sort_unstable();
    }
    partitions
}
