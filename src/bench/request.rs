//! A request as bytes, for what is asked too rarely to be encoded by hand.

use kafka_protocol::protocol::Request;

use super::BenchError;
use crate::client;

/// Who asks.
pub(super) const CLIENT_ID: &str = "einmal-bench";

/// Appends the frame of `request` to `out`.
///
/// # Errors
/// [`ClientError::Decode`](crate::client::ClientError::Decode), naming `api`: the version lacks a field that is set.
pub(super) fn put_request<R: Request>(
    out: &mut Vec<u8>,
    api: &'static str,
    request: &R,
    version: i16,
    correlation_id: i32,
) -> Result<(), BenchError> {
    Ok(client::put_request(out, api, request, version, correlation_id, CLIENT_ID)?)
}
