//! Bodies in and out, by the crate's codecs; the one place where its errors become ours.
//!
//! Produce requests and Fetch answers, which carry records, have codecs of their own: [`super::produce_request`],
//! [`super::fetch_response`].

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::{Close, RequestHeader, Segments};

/// Versions beyond the crate's: API key, version, and the crate's version that has its form. Whoever serves one adds what its answer
/// has more.
///
/// ListOffsets 11 differs from 10 in the sentinels alone (KIP-1023); DescribeLogDirs 5 has one more field in its answer (KIP-1066).
pub const NEWER: [(i16, i16, i16); 2] = [(2, 11, 10), (35, 5, 4)];

/// The version in which the crate writes and reads messages of this version.
fn codec_version(api_key: i16, api_version: i16) -> i16 {
    let newer = NEWER.iter().find(|(key, version, _)| (*key, *version) == (api_key, api_version));
    newer.map_or(api_version, |(_, _, codec)| *codec)
}

/// Decodes a request's body. `body` is consumed up to its end; trailing bytes are left in it.
///
/// The crate reserves room for as many elements as an array's count says: callers rely on the process's allocator to keep
/// such reservations virtual, and on the API's frame cap for the memory of real elements.
pub fn decode<M: Decodable>(header: &RequestHeader, body: &mut Bytes) -> Result<M, Close> {
    M::decode(body, codec_version(header.api_key, header.api_version)).map_err(|error| Close::Decode {
        api_key: header.api_key,
        api_version: header.api_version,
        detail: format!("{error:#}"),
    })
}

/// Encodes an answer as a whole frame: length, correlation id, tag section if `flexible`, body at the request's version.
/// `flexible` is the response header's flexibility: false for ApiVersions at every version, because a client that does not
/// know the broker yet reads that header first.
pub fn encode<M: Encodable>(header: &RequestHeader, flexible: bool, answer: &M) -> Result<Segments, Close> {
    encode_as(header, codec_version(header.api_key, header.api_version), flexible, answer)
}

/// Bytes of the body that [`encode`] makes of an answer.
pub fn body_bytes<M: Encodable>(header: &RequestHeader, answer: &M) -> Result<usize, Close> {
    let version = codec_version(header.api_key, header.api_version);
    answer.compute_size(version).map_err(|error| refused(header, version, format!("{error:#}")))
}

/// As [`encode`], of an answer whose body takes `body_bytes`.
pub fn encode_sized<M: Encodable>(
    header: &RequestHeader,
    flexible: bool,
    answer: &M,
    body_bytes: usize,
) -> Result<Segments, Close> {
    encode_with(header, codec_version(header.api_key, header.api_version), flexible, answer, body_bytes)
}

/// Like [`encode`], but the body at `version`: ApiVersions answers a version it does not know in the form of version 0
/// (KIP-511).
pub fn encode_as<M: Encodable>(
    header: &RequestHeader,
    version: i16,
    flexible: bool,
    answer: &M,
) -> Result<Segments, Close> {
    let body_bytes = answer.compute_size(version).map_err(|error| refused(header, version, format!("{error:#}")))?;
    encode_with(header, version, flexible, answer, body_bytes)
}

fn refused(header: &RequestHeader, version: i16, detail: String) -> Close {
    Close::Encode { api_key: header.api_key, api_version: version, detail }
}

fn encode_with<M: Encodable>(
    header: &RequestHeader,
    version: i16,
    flexible: bool,
    answer: &M,
    body_bytes: usize,
) -> Result<Segments, Close> {
    let refuse = |detail: String| refused(header, version, detail);
    let mut frame = BytesMut::with_capacity(4 + 4 + usize::from(flexible) + body_bytes);
    frame.put_i32(0);
    frame.put_i32(header.correlation_id);
    if flexible {
        frame.put_u8(0);
    }
    answer.encode(&mut frame, version).map_err(|error| refuse(format!("{error:#}")))?;
    finish(frame).map(|frame| vec![frame]).ok_or_else(|| refuse("longer than a frame can be".to_owned()))
}

/// Writes the length of a whole frame into its first four bytes; none if it does not fit there.
pub(super) fn finish(mut frame: BytesMut) -> Option<Bytes> {
    let length = i32::try_from(frame.len().checked_sub(4)?).ok()?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Some(frame.freeze())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, HeartbeatResponse};

    use super::*;

    fn header(api_key: i16, api_version: i16) -> RequestHeader {
        RequestHeader { api_key, api_version, correlation_id: 0x0102_0304, client_id: None }
    }

    #[test]
    fn the_frame_has_length_correlation_id_and_tags_only_if_flexible() {
        let answer = HeartbeatResponse::default();
        let plain = encode(&header(12, 0), false, &answer).unwrap().concat();
        assert_eq!(plain, [0, 0, 0, 6, 1, 2, 3, 4, 0, 0]);
        let flexible = encode(&header(12, 4), true, &answer).unwrap().concat();
        assert_eq!(flexible, [0, 0, 0, 12, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_unknown_version_is_answered_in_the_form_of_version_0() {
        let answer = ApiVersionsResponse::default().with_error_code(35);
        let frame = encode_as(&header(18, 99), 0, false, &answer).unwrap().concat();
        assert_eq!(frame, [0, 0, 0, 10, 1, 2, 3, 4, 0, 35, 0, 0, 0, 0]);
    }

    #[test]
    fn trailing_bytes_are_left_and_short_bodies_refused() {
        let mut body = Bytes::from_static(&[9, 9]);
        decode::<ApiVersionsRequest>(&header(18, 0), &mut body).unwrap();
        assert_eq!(body.as_ref(), [9, 9]);
        let refused = decode::<ApiVersionsRequest>(&header(18, 3), &mut body);
        assert!(matches!(refused, Err(Close::Decode { api_key: 18, api_version: 3, .. })), "{refused:?}");
    }

    #[test]
    fn fields_that_a_version_lacks_are_an_encode_error() {
        let answer = ApiVersionsResponse::default();
        assert!(matches!(encode(&header(18, 99), false, &answer), Err(Close::Encode { api_version: 99, .. })));
    }
}
