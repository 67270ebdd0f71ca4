//! Heartbeat and LeaveGroup: members stay, and go.

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse};

use super::Context;
use super::apis::count_error;
use super::group_id::is_valid;
use crate::group::classic::Leaving;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// First version of LeaveGroup that names several members.
const BATCHED_FROM: i16 = 3;

/// Keeps a member alive, and tells it of a rebalance.
pub async fn heartbeat(
    cx: Context,
    header: RequestHeader,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, Close> {
    let error = if is_valid(&request.group_id) {
        let instance_id = request.group_instance_id.as_deref();
        let coordinator = &cx.broker.coordinator;
        let beat = coordinator.heartbeat(&request.group_id, &request.member_id, instance_id, request.generation_id);
        beat.await.map_err(|_| Close::Ending)?
    } else {
        ErrorCode::INVALID_GROUP_ID
    };
    count_error(&header, error);
    Ok(HeartbeatResponse::default().with_error_code(error.0))
}

/// Removes members. An older version names one and is answered its error for the whole request.
pub async fn leave_group(
    cx: Context,
    header: RequestHeader,
    request: LeaveGroupRequest,
) -> Result<LeaveGroupResponse, Close> {
    let is_batched = header.api_version >= BATCHED_FROM;
    if !is_valid(&request.group_id) {
        count_error(&header, ErrorCode::INVALID_GROUP_ID);
        return Ok(LeaveGroupResponse::default().with_error_code(ErrorCode::INVALID_GROUP_ID.0));
    }
    let leaving: Vec<Leaving> = if is_batched {
        let members = request.members.iter().map(|member| Leaving {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        });
        members.collect()
    } else {
        vec![Leaving { member_id: request.member_id.to_string(), instance_id: None }]
    };
    let errors = cx.broker.coordinator.leave(&request.group_id, &leaving).await.map_err(|_| Close::Ending)?;
    errors.iter().for_each(|error| count_error(&header, *error));
    if !is_batched {
        let only = errors.first().copied().unwrap_or(ErrorCode::UNKNOWN_MEMBER_ID);
        return Ok(LeaveGroupResponse::default().with_error_code(only.0));
    }
    let members = request.members.iter().zip(&errors).map(|(member, error)| {
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(error.0)
    });
    Ok(LeaveGroupResponse::default().with_members(members.collect()))
}
