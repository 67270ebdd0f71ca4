//! Request headers, parsed by hand: the crate's parser panics on short frames and refuses client ids that are not UTF-8.
//!
//! The range check of key and version is the caller's, between [`peek`] and [`parse`]. Response headers are written by
//! [`super::message::encode`].
//!
//! Invariant: no bytes make these functions panic.

use bytes::{Buf, BytesMut};

use super::primitive::{Malformed, Reader};
use super::{Close, Request, RequestHeader};

/// Bytes of the shortest header: key, version, correlation id.
pub const HEADER_BYTES_MIN: usize = 8;

/// Which form a request's header has; the API's flexibility decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderVersion {
    /// Key, version, correlation id (only ControlledShutdown 0 in Kafka).
    V0,
    /// With a client id.
    V1,
    /// With a client id and a tag section: of all flexible requests.
    V2,
}

/// Key and version of a frame without its length; none if it is shorter than [`HEADER_BYTES_MIN`].
pub fn peek(frame: &[u8]) -> Option<(i16, i16)> {
    match frame {
        [k0, k1, v0, v1, _, _, _, _, ..] => Some((i16::from_be_bytes([*k0, *k1]), i16::from_be_bytes([*v0, *v1]))),
        _ => None,
    }
}

/// Parses the header of a frame without its length. The body keeps the frame's allocation.
pub fn parse(mut frame: BytesMut, version: HeaderVersion) -> Result<Request, Close> {
    let frame_bytes = frame.len() + 4;
    if frame.len() < HEADER_BYTES_MIN {
        return Err(Close::BadLength { length: i32::try_from(frame.len()).unwrap_or(i32::MAX) });
    }
    let (api_key, api_version, correlation_id) = (frame.get_i16(), frame.get_i16(), frame.get_i32());
    let mut reader = Reader::new(frame, version == HeaderVersion::V2);
    let client_id = rest(&mut reader, version).map_err(|malformed| Close::Decode {
        api_key,
        api_version,
        detail: format!("header: {malformed}"),
    })?;
    let header = RequestHeader { api_key, api_version, correlation_id, client_id };
    Ok(Request { header, body: reader.into_rest(), frame_bytes })
}

/// What follows the correlation id. The client id's length is an int16 at every version, also in flexible headers.
fn rest(reader: &mut Reader, version: HeaderVersion) -> Result<Option<String>, Malformed> {
    if version == HeaderVersion::V0 {
        return Ok(None);
    }
    let client_id = reader.lossy_string()?;
    reader.tag_section()?;
    Ok(client_id)
}

/// Parses the header of a request whose version is unknown: what follows the correlation id may have any form, so that a
/// client id is taken if it looks like one. The body is left out.
pub fn parse_unknown(frame: BytesMut) -> Result<Request, Close> {
    let frame_bytes = frame.len() + 4;
    let prefix = BytesMut::from(frame.get(..HEADER_BYTES_MIN).unwrap_or(&frame));
    let mut request = match parse(frame, HeaderVersion::V1) {
        Ok(request) => request,
        Err(_) => parse(prefix, HeaderVersion::V0)?,
    };
    request.body = BytesMut::new();
    request.frame_bytes = frame_bytes;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    const PREFIX: [u8; 8] = [0, 3, 0, 12, 0x80, 0, 0, 7];

    fn frame(rest: &[u8]) -> BytesMut {
        let mut frame = BytesMut::from(&PREFIX[..]);
        frame.extend_from_slice(rest);
        frame
    }

    fn check(rest: &[u8], version: HeaderVersion, expected: Option<(Option<&str>, &[u8])>) {
        let parsed = parse(frame(rest), version);
        match (parsed, expected) {
            (Ok(request), Some((client_id, body))) => {
                assert_eq!(request.header.api_key, 3);
                assert_eq!(request.header.api_version, 12);
                assert_eq!(request.header.correlation_id, -0x7fff_fff9);
                assert_eq!(request.header.client_id.as_deref(), client_id);
                assert_eq!(request.body.as_ref(), body);
                assert_eq!(request.frame_bytes, 12 + rest.len());
            }
            (Err(Close::Decode { api_key: 3, api_version: 12, .. }), None) => {}
            (parsed, expected) => panic!("{rest:?} {version:?}: {parsed:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn each_version_takes_its_own_fields() {
        use HeaderVersion::{V0, V1, V2};
        check(&[9], V0, Some((None, &[9])));
        check(&[0, 2, b'm', b'e', 9], V1, Some((Some("me"), &[9])));
        check(&[0xff, 0xff, 9], V1, Some((None, &[9])));
        check(&[0, 2, b'm', b'e', 0, 9], V2, Some((Some("me"), &[9])));
        check(&[0xff, 0xff, 1, 0, 2, 1, 2, 9], V2, Some((None, &[9])));
        check(&[0, 1, 0xff], V1, Some((Some("\u{fffd}"), &[])));
        check(&[], V1, None);
        check(&[0xff, 0xfe], V1, None);
        check(&[0x7f, 0xff, 0], V1, None);
        check(&[0xff, 0xff], V2, None);
        check(&[0xff, 0xff, 65], V2, None);
    }

    #[test]
    fn frames_shorter_than_a_header_are_refused() {
        for length in 0..8 {
            let parsed = parse(BytesMut::from(&PREFIX[..length]), HeaderVersion::V1);
            assert_eq!(parsed.unwrap_err(), Close::BadLength { length: length as i32 });
            assert_eq!(peek(&PREFIX[..length]), None);
        }
        assert_eq!(peek(&PREFIX), Some((3, 12)));
    }

    #[test]
    fn an_unknown_version_still_gives_correlation_and_client_id() {
        let request = parse_unknown(frame(&[0, 2, b'm', b'e', 1, 2])).unwrap();
        assert_eq!(request.header.client_id.as_deref(), Some("me"));
        let request = parse_unknown(frame(&[0x7f, 0xff, 1])).unwrap();
        assert_eq!((request.header.client_id, request.header.correlation_id), (None, -0x7fff_fff9));
        assert_eq!(request.frame_bytes, 15);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for version in [HeaderVersion::V0, HeaderVersion::V1, HeaderVersion::V2] {
                let _ = parse(BytesMut::from(&bytes[..]), version);
            }
            let _ = parse_unknown(BytesMut::from(&bytes[..]));
        }
    }
}
