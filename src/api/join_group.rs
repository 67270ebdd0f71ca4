//! JoinGroup: a member comes, or comes again. Parked until the group's next generation begins.

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::group_id::{CLIENT_ID_BYTES_MAX, TEXT_BYTES_MAX, is_valid, shortened};
use super::{Context, ending};
use crate::engine::environment::{Environment, SystemEnvironment};
use crate::group::classic::{JoinAnswer, JoinRequest, JoinedMember, PROTOCOLS_PER_MEMBER_MAX};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// First version whose new members have to come again with the id they are given (KIP-394).
const KNOWN_MEMBER_ID_FROM: i16 = 4;
/// First version whose answer may have no protocol name.
const NULL_PROTOCOL_FROM: i16 = 7;
/// First version that can tell a leader not to assign (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;
/// Bytes of a client's or instance's id that become part of a member's id.
const MEMBER_ID_PREFIX_BYTES_MAX: usize = 255;

/// Hands the request to the coordinator, without a reference to its frame, and waits.
pub async fn join_group(
    cx: Context,
    header: RequestHeader,
    request: JoinGroupRequest,
) -> Result<JoinGroupResponse, Close> {
    // Before they are copied. No member could agree on one of so many: what Kafka says where none is common, which ends a client.
    if request.protocols.len() > PROTOCOLS_PER_MEMBER_MAX {
        tracing::debug!(protocols = request.protocols.len(), "a member names too many protocols");
        let error = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
        return Ok(answer(&header, JoinAnswer::refused(error, &request.member_id)));
    }
    let group_id = request.group_id.to_string();
    let join = join_request(&cx, &header, &request);
    drop(request);
    let refused = if !is_valid(&group_id) {
        Some(ErrorCode::INVALID_GROUP_ID)
    } else if !has_texts_to_keep(&join) {
        Some(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
    } else {
        None
    };
    if let Some(error) = refused {
        return Ok(answer(&header, JoinAnswer::refused(error, &join.member_id)));
    }
    let joined = cx.broker.coordinator.join(&group_id, join);
    let joined = ending(&cx, joined).await?;
    Ok(answer(&header, joined))
}

fn join_request(cx: &Context, header: &RequestHeader, request: &JoinGroupRequest) -> JoinRequest {
    let instance_id = request.group_instance_id.as_ref().map(ToString::to_string);
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let prefix = shortened(instance_id.as_deref().unwrap_or(client_id), MEMBER_ID_PREFIX_BYTES_MAX);
    let protocols = request.protocols.iter();
    // Copies: what is kept must not keep the frame.
    let protocols = protocols.map(|own| (own.name.to_string(), Bytes::copy_from_slice(&own.metadata)));
    JoinRequest {
        ticket: 0,
        member_id: request.member_id.to_string(),
        new_member_id: format!("{prefix}-{}", SystemEnvironment.random_uuid()),
        client_id: shortened(client_id, CLIENT_ID_BYTES_MAX).to_owned(),
        client_host: format!("/{}", cx.peer.ip().to_canonical()),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match header.api_version {
            0 => request.session_timeout_ms,
            _ => request.rebalance_timeout_ms,
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        requires_known_member_id: header.api_version >= KNOWN_MEMBER_ID_FROM,
        supports_skip_assignment: header.api_version >= SKIP_ASSIGNMENT_FROM,
        instance_id,
    }
}

fn has_texts_to_keep(join: &JoinRequest) -> bool {
    let names = join.protocols.iter().map(|(name, _)| name);
    let mut texts = names.chain([&join.member_id, &join.protocol_type]).chain(&join.instance_id);
    texts.all(|text| text.len() <= TEXT_BYTES_MAX)
}

fn answer(header: &RequestHeader, joined: JoinAnswer) -> JoinGroupResponse {
    count_error(header, joined.error);
    let protocol_name = match joined.protocol_name {
        None if header.api_version < NULL_PROTOCOL_FROM => Some(String::new()),
        name => name,
    };
    let protocol_type = joined.protocol_type.filter(|_| header.api_version >= NULL_PROTOCOL_FROM);
    let member = |member: JoinedMember| {
        let answered = JoinGroupResponseMember::default()
            .with_member_id(StrBytes::from_string(member.member_id.to_string()))
            .with_metadata(member.metadata);
        match member.instance_id {
            Some(instance_id) if header.api_version >= 5 => {
                answered.with_group_instance_id(Some(StrBytes::from_string(instance_id)))
            }
            _ => answered,
        }
    };
    JoinGroupResponse::default()
        .with_error_code(joined.error.0)
        .with_generation_id(joined.generation_id)
        .with_protocol_type(protocol_type.map(StrBytes::from_string))
        .with_protocol_name(protocol_name.map(StrBytes::from_string))
        .with_leader(StrBytes::from_string(joined.leader))
        .with_skip_assignment(joined.skip_assignment && header.api_version >= SKIP_ASSIGNMENT_FROM)
        .with_member_id(StrBytes::from_string(joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect())
}
