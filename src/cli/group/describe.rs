//! `einmal group describe`.

use std::time::Duration;

use bytes::{Buf, Bytes};
use clap::Args;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerProtocolAssignment, DescribeGroupsRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, Message};

use super::ask;
use crate::cli::output::{Cell, Listing};
use crate::cli::target::Target;
use crate::cli::{CliError, text};
use crate::client::{ClientError, Cluster};
use crate::types::ErrorCode;

/// Which ones.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Groups; none for all of them
    #[arg(value_name = "GROUP")]
    groups: Vec<String>,
    #[command(flatten)]
    target: Target,
}

/// Shows those that are there, and fails if one is not.
pub(super) fn run(options: &Options) -> Result<(), CliError> {
    let mut cluster = options.target.connect()?;
    let mut listing = Listing::new(&["group", "state", "member_id", "instance_id", "client_id", "host", "partitions"]);
    let mut missing = Vec::new();
    for group in &ask::named_or_all(&mut cluster, &options.groups)? {
        let timeout = options.target.timeout();
        let is_there = new_protocol(&mut cluster, group, timeout, &mut listing)?
            || classic(&mut cluster, group, timeout, &mut listing)?;
        if !is_there && !options.groups.is_empty() {
            missing.push(group.clone());
        }
    }
    listing.print_before(CliError::missing("there is no group", &missing), options.target.output)
}

/// Adds the group's members, if it has the protocol of KIP-848. A broker that does not know that protocol has no such group.
fn new_protocol(
    cluster: &mut Cluster,
    group: &str,
    timeout: Duration,
    listing: &mut Listing,
) -> Result<bool, CliError> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![text(group).into()]);
    let asked = ("ConsumerGroupDescribe", &request, (0, 1));
    let answer =
        match ask::coordinator(cluster, group, asked, timeout, |answer| Some(answer.groups.first()?.error_code)) {
            Err(ClientError::Unsupported { .. }) => return Ok(false),
            answer => answer?,
        };
    for described in answer.groups {
        match ErrorCode(described.error_code) {
            ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION => return Ok(false),
            error => ClientError::check("ConsumerGroupDescribe", error.0, described.error_message.as_deref())?,
        }
        if described.members.is_empty() {
            listing.row(empty(group, &described.group_state));
        }
        for member in described.members {
            let partitions = member.assignment.topic_partitions.into_iter();
            let partitions = partitions.map(|topic| (topic.topic_name, topic.partitions));
            listing.row(vec![
                group.into(),
                described.group_state.as_str().into(),
                member.member_id.as_str().into(),
                member.instance_id.as_ref().map_or(Cell::Absent, |id| id.as_str().into()),
                member.client_id.as_str().into(),
                member.client_host.as_str().into(),
                sorted(partitions),
            ]);
        }
    }
    Ok(true)
}

fn classic(cluster: &mut Cluster, group: &str, timeout: Duration, listing: &mut Listing) -> Result<bool, CliError> {
    let request = DescribeGroupsRequest::default().with_groups(vec![text(group).into()]);
    let asked = ("DescribeGroups", &request, (0, 6));
    let answer = ask::coordinator(cluster, group, asked, timeout, |answer| Some(answer.groups.first()?.error_code))?;
    for described in answer.groups {
        // Before version 6 a group that is not there is dead.
        if described.error_code == ErrorCode::GROUP_ID_NOT_FOUND.0 || described.group_state.as_str() == "Dead" {
            return Ok(false);
        }
        ClientError::check("DescribeGroups", described.error_code, described.error_message.as_deref())?;
        if described.members.is_empty() {
            listing.row(empty(group, &described.group_state));
        }
        for member in described.members {
            listing.row(vec![
                group.into(),
                described.group_state.as_str().into(),
                member.member_id.as_str().into(),
                member.group_instance_id.as_ref().map_or(Cell::Absent, |id| id.as_str().into()),
                member.client_id.as_str().into(),
                member.client_host.as_str().into(),
                sorted(assigned(member.member_assignment).into_iter()),
            ]);
        }
    }
    Ok(true)
}

fn empty(group: &str, state: &str) -> Vec<Cell> {
    let absent = || Cell::Absent;
    vec![group.into(), state.into(), absent(), absent(), absent(), absent(), Cell::Partitions(Vec::new())]
}

/// What a member has been told to read; nothing where that is not in the form of consumers, as for Kafka Connect.
fn assigned(mut assignment: Bytes) -> Vec<(TopicName, Vec<i32>)> {
    let Ok(version) = assignment.try_get_i16() else { return Vec::new() };
    let version = version.min(ConsumerProtocolAssignment::VERSIONS.max);
    let decoded = ConsumerProtocolAssignment::decode(&mut assignment, version).unwrap_or_default();
    decoded.assigned_partitions.into_iter().map(|topic| (topic.topic, topic.partitions)).collect()
}

fn sorted(topics: impl Iterator<Item = (TopicName, Vec<i32>)>) -> Cell {
    let mut topics: Vec<(String, Vec<i32>)> =
        topics.map(|(topic, partitions)| (topic.to_string(), partitions)).collect();
    topics.iter_mut().for_each(|(_, partitions)| partitions.sort_unstable());
    topics.sort_unstable();
    Cell::Partitions(topics)
}
