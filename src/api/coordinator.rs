//! FindCoordinator: this node coordinates every group and transaction, from the first moment.
//!
//! Kafka looks the partition of an internal topic up, and a fresh one answers COORDINATOR_NOT_AVAILABLE until that topic exists.
//! Here the topic is created for those who look at it ([`internal_topics`]), and nobody is sent away meanwhile.

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::apis::count_error;
use super::topic_name::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use super::{Context, internal_topics};
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Message of a coordinator that was found, in the versions that look for one.
const FOUND: StrBytes = StrBytes::from_static_str("NONE");

/// Answers with the address of the listener that the request came through. Coordinators of share groups (KIP-932), which only
/// brokers look for, are refused at every version: Kafka has them from version 6 on, and there are none here.
pub async fn find_coordinator(
    cx: Context,
    header: RequestHeader,
    request: FindCoordinatorRequest,
) -> Result<FindCoordinatorResponse, Close> {
    let asks = header.api_version < 4 || !request.coordinator_keys.is_empty();
    match request.key_type {
        GROUP if asks => internal_topics::ensure(&cx, CONSUMER_OFFSETS).await?,
        TRANSACTION if asks => internal_topics::ensure(&cx, TRANSACTION_STATE).await?,
        _ => {}
    }
    let node_id = cx.broker.config.load().node_id;
    let endpoint = cx.endpoint();
    let host = StrBytes::from_string(endpoint.host.clone());
    let port = i32::from(endpoint.port);
    let one = |key: StrBytes| match request.key_type {
        GROUP | TRANSACTION => {
            Coordinator::default().with_key(key).with_node_id(node_id.into()).with_host(host.clone()).with_port(port)
        }
        _ => {
            count_error(&header, ErrorCode::INVALID_REQUEST);
            Coordinator::default()
                .with_key(key)
                .with_error_code(ErrorCode::INVALID_REQUEST.0)
                .with_error_message(Some(StrBytes::from_static_str("coordinators of this type are not served")))
                .with_node_id((-1).into())
                .with_port(-1)
        }
    };
    if header.api_version >= 4 {
        let coordinators = request.coordinator_keys.iter().cloned().map(one).collect();
        return Ok(FindCoordinatorResponse::default().with_coordinators(coordinators));
    }
    let only = one(request.key.clone());
    let message = if only.error_code == 0 { Some(FOUND) } else { only.error_message };
    Ok(FindCoordinatorResponse::default()
        .with_error_code(only.error_code)
        .with_error_message(message)
        .with_node_id(only.node_id)
        .with_host(only.host)
        .with_port(only.port))
}

#[cfg(test)]
#[path = "coordinator_tests.rs"]
mod tests;
