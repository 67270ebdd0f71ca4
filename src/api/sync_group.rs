//! SyncGroup: the leader gives every member its part, the others ask for theirs. Parked until the leader's has come.

use bytes::Bytes;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::group_id::is_valid;
use super::{Context, ending};
use crate::group::classic::{SyncAnswer, SyncRequest};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// First version that names the protocol, in both directions. Its clients must name it.
const PROTOCOL_FROM: i16 = 5;

/// Hands the request to the coordinator, without a reference to its frame, and waits.
pub async fn sync_group(
    cx: Context,
    header: RequestHeader,
    request: SyncGroupRequest,
) -> Result<SyncGroupResponse, Close> {
    let group_id = request.group_id.to_string();
    let is_unnamed = request.protocol_type.is_none() || request.protocol_name.is_none();
    let assignments = request.assignments.iter();
    // Copies: what is kept must not keep the frame.
    let assignments = assignments.map(|own| (own.member_id.to_string(), Bytes::copy_from_slice(&own.assignment)));
    let sync = SyncRequest {
        ticket: 0,
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        generation_id: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(ToString::to_string),
        protocol_name: request.protocol_name.as_ref().map(ToString::to_string),
        assignments: assignments.collect(),
    };
    drop(request);
    let refused = if header.api_version >= PROTOCOL_FROM && is_unnamed {
        Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
    } else if !is_valid(&group_id) {
        Some(ErrorCode::INVALID_GROUP_ID)
    } else {
        None
    };
    if let Some(error) = refused {
        return Ok(answer(&header, SyncAnswer::refused(error)));
    }
    let synced = cx.broker.coordinator.sync(&group_id, sync);
    let synced = ending(&cx, synced).await?;
    Ok(answer(&header, synced))
}

fn answer(header: &RequestHeader, synced: SyncAnswer) -> SyncGroupResponse {
    count_error(header, synced.error);
    let from = |text: Option<String>| text.filter(|_| header.api_version >= PROTOCOL_FROM).map(StrBytes::from_string);
    SyncGroupResponse::default()
        .with_error_code(synced.error.0)
        .with_protocol_type(from(synced.protocol_type))
        .with_protocol_name(from(synced.protocol_name))
        .with_assignment(synced.assignment)
}
