//! DescribeGroups: state and members of groups. A group that nobody knows, or that is a consumer group, is Dead, from version 6
//! on with an error (KIP-1043).

use std::collections::HashSet;

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::told::told;
use super::{Context, authorized_operations};
use crate::coordinator::{Described, DescribedGroup as DescribedClassicGroup};
use crate::group::classic::DescribedMember;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// First version with an error for unknown groups.
const NOT_FOUND_FROM: i16 = 6;
/// First version with authorized operations, asked for.
const OPERATIONS_FROM: i16 = 3;
/// First version with instance ids.
const INSTANCE_ID_FROM: i16 = 4;
/// Not asked for.
const NO_OPERATIONS: i32 = i32::MIN;

/// Answers each group once, in the order in which they are named: what a few bytes ask for can be large.
pub async fn describe_groups(
    cx: Context,
    header: RequestHeader,
    request: DescribeGroupsRequest,
) -> Result<DescribeGroupsResponse, Close> {
    let has_operations = request.include_authorized_operations && header.api_version >= OPERATIONS_FROM;
    let operations = if has_operations { authorized_operations::GROUP } else { NO_OPERATIONS };
    let mut named = HashSet::new();
    let mut groups = Vec::new();
    for group_id in request.groups {
        if named.insert(group_id.clone()) {
            let described = cx.broker.coordinator.describe(&group_id).await.map_err(|_| Close::Ending)?;
            let answered = match described {
                Some(Described::Classic(group)) => known(&header, group_id, group),
                Some(Described::Consumer(_)) => unknown(&header, group_id, "is not a classic group."),
                None => unknown(&header, group_id, "not found."),
            };
            // What may be done with a group does not depend on whether there is one.
            let is_told = answered.error_code == 0;
            groups.push(answered.with_authorized_operations(if is_told { operations } else { NO_OPERATIONS }));
        }
    }
    Ok(DescribeGroupsResponse::default().with_groups(groups))
}

fn unknown(header: &RequestHeader, group_id: GroupId, why: &str) -> DescribedGroup {
    let dead = DescribedGroup::default().with_group_state(StrBytes::from_static_str("Dead"));
    if header.api_version < NOT_FOUND_FROM {
        return dead.with_group_id(group_id);
    }
    count_error(header, ErrorCode::GROUP_ID_NOT_FOUND);
    let message = format!("Group {} {why}", group_id.as_str());
    dead.with_error_code(ErrorCode::GROUP_ID_NOT_FOUND.0)
        .with_error_message(Some(told(message)))
        .with_group_id(group_id)
}

fn known(header: &RequestHeader, group_id: GroupId, described: DescribedClassicGroup) -> DescribedGroup {
    let member = |member: DescribedMember| {
        let instance_id = member.instance_id.filter(|_| header.api_version >= INSTANCE_ID_FROM);
        DescribedGroupMember::default()
            .with_member_id(StrBytes::from_string(member.member_id.to_string()))
            .with_group_instance_id(instance_id.map(StrBytes::from_string))
            .with_client_id(StrBytes::from_string(member.client_id))
            .with_client_host(StrBytes::from_string(member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    };
    DescribedGroup::default()
        .with_group_id(group_id)
        .with_group_state(StrBytes::from_static_str(described.state.name()))
        .with_protocol_type(StrBytes::from_string(described.protocol_type))
        .with_protocol_data(StrBytes::from_string(described.protocol_name))
        .with_members(described.members.into_iter().map(member).collect())
}
