//! DeleteGroups: groups without members, with their offsets.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse, GroupId};

use super::apis::count_error;
use super::{COMMANDS_MAX, Context};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Deletes each group for itself, once.
pub async fn delete_groups(
    cx: Context,
    header: RequestHeader,
    request: DeleteGroupsRequest,
) -> Result<DeleteGroupsResponse, Close> {
    let mut named = HashSet::new();
    let mut groups = request.groups_names;
    groups.retain(|group| named.insert(group.clone()));
    let delete = |group: GroupId| {
        let coordinator = &cx.broker.coordinator;
        async move {
            let deleted = coordinator.delete(&group).await.map_err(|_| Close::Ending);
            deleted.map(|error| (group, error))
        }
    };
    let deleted: Vec<Result<(GroupId, ErrorCode), Close>> =
        stream::iter(groups.into_iter().map(delete)).buffered(COMMANDS_MAX).collect().await;
    let mut results = Vec::with_capacity(deleted.len());
    for deleted in deleted {
        let (group_id, error) = deleted?;
        count_error(&header, error);
        results.push(DeletableGroupResult::default().with_group_id(group_id).with_error_code(error.0));
    }
    Ok(DeleteGroupsResponse::default().with_results(results))
}
