//! ListGroups: all groups, or those in some states (version 4) or of some types (version 5).

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use crate::wire::{Close, RequestHeader};

/// First version with states.
const STATES_FROM: i16 = 4;
/// First version with types.
const TYPES_FROM: i16 = 5;

/// Answers those that match both filters, of which an empty one matches all. Letters of either case are the same.
pub async fn list_groups(
    cx: Context,
    header: RequestHeader,
    request: ListGroupsRequest,
) -> Result<ListGroupsResponse, Close> {
    let matches =
        |filter: &[StrBytes], own: &str| filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(own));
    let mut groups = cx.broker.coordinator.list();
    groups.retain(|group| {
        matches(&request.states_filter, group.state) && matches(&request.types_filter, group.group_type)
    });
    let groups = groups.into_iter().map(|group| {
        let mut listed = ListedGroup::default()
            .with_group_id(GroupId(StrBytes::from_string(group.group_id)))
            .with_protocol_type(StrBytes::from_string(group.protocol_type));
        if header.api_version >= STATES_FROM {
            listed = listed.with_group_state(StrBytes::from_static_str(group.state));
        }
        if header.api_version >= TYPES_FROM {
            listed = listed.with_group_type(StrBytes::from_static_str(group.group_type));
        }
        listed
    });
    Ok(ListGroupsResponse::default().with_groups(groups.collect()))
}
