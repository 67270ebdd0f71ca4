//! A request as bytes, for what is asked too rarely to be encoded by hand.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Encodable, Request, StrBytes};

use super::BenchError;

/// Appends the frame of `request` to `out`.
///
/// # Errors
/// [`BenchError::Decode`], naming `api`: the version lacks a field that is set.
pub(super) fn put_request<R: Request>(
    out: &mut Vec<u8>,
    api: &'static str,
    request: &R,
    version: i16,
    correlation_id: i32,
) -> Result<(), BenchError> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("einmal-bench")));
    let mut payload = BytesMut::new();
    header
        .encode(&mut payload, R::header_version(version))
        .and_then(|()| request.encode(&mut payload, version))
        .map_err(|error| BenchError::Decode { api, detail: format!("{error:#}") })?;
    out.put_u32(payload.len() as u32);
    out.extend_from_slice(&payload);
    Ok(())
}
