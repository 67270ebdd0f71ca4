//! Bytes that no client should send, against the built binary: it answers or closes, lives on, and keeps its memory.

mod support;

use bytes::BufMut;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use support::client::{flexible_payload, frame, payload};
use support::{Reply, TestClient, TestServer};

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const OFFSET_FETCH: i16 = 9;
const API_VERSIONS: i16 = 18;
const CREATE_TOPICS: i16 = 19;

/// More than the broker may grow by for any of the small inputs here.
const GROWTH_BYTES_MAX: usize = 64 << 20;

/// What the broker has to do with an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Closed,
    Answered,
    Either,
}
use Expect::{Answered, Closed, Either};

fn framed(payload: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 4);
    bytes.put_i32(payload.len() as i32);
    bytes.extend_from_slice(&payload);
    bytes
}

/// Sends each input on a connection of its own; after each the process lives, is no bigger, and serves the next connection.
fn check(server: &mut TestServer, cases: &[(&str, Vec<u8>, Expect)]) {
    let resident_bytes = server.resident_bytes();
    for (name, bytes, expected) in cases {
        let mut client = TestClient::connect(server);
        // A broker that has closed already may reset while we still send: that is a close.
        let _ = client.send_bytes(bytes);
        client.finish_sending();
        let reply = client.reply();
        match expected {
            Closed => assert_eq!(reply, Reply::Closed, "{name}"),
            Answered => assert!(matches!(reply, Reply::Frame(_)), "{name}: closed instead of answered"),
            Either => {}
        }
        assert!(server.is_alive(), "{name}: the broker died:\n{}", server.log());
        let answer = TestClient::connect(server).call(&MetadataRequest::default().with_topics(Some(vec![])), 1);
        assert_eq!(answer.brokers.len(), 1, "{name}: the next connection is served");
        let grown = server.resident_bytes().saturating_sub(resident_bytes);
        assert!(grown < GROWTH_BYTES_MAX, "{name}: grew by {grown} bytes");
    }
}

#[test]
fn frames_that_abort_a_naive_decoder_are_survived() {
    let metadata = payload(METADATA, 1, 1, "x", &[0x7f, 0xff, 0xff, 0xff, 0x00]);
    let metadata_v0 = payload(METADATA, 0, 1, "x", &[0x7f, 0xff, 0xff, 0xff, 0x00]);
    let produce_body = [0x00, 0xff, 0xff, 0x00, 0x00, 0x75, 0x30, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let produce = flexible_payload(PRODUCE, 9, 1, "x", &produce_body);
    check(
        &mut TestServer::start(),
        &[
            ("metadata v1 with 2147483647 topics", framed(metadata), Closed),
            ("metadata v0 with 2147483647 topics", framed(metadata_v0), Closed),
            ("produce v9 with 4294967294 topics", framed(produce), Closed),
        ],
    );
}

#[test]
fn frame_lengths_that_no_request_has_close_the_connection() {
    let length = |length: i32| length.to_be_bytes().to_vec();
    let truncated = {
        let whole = frame(&ApiVersionsRequest::default(), 0, 1);
        whole[..whole.len() - 1].to_vec()
    };
    check(
        &mut TestServer::start(),
        &[
            ("length -1", length(-1), Closed),
            ("length of the smallest integer", length(i32::MIN), Closed),
            ("length 0", length(0), Closed),
            ("length of the largest integer", length(i32::MAX), Closed),
            ("length above any limit, with bytes", [length(1 << 30), vec![0; 4096]].concat(), Closed),
            ("length 3, less than a header", [length(3), vec![0, 18, 0]].concat(), Closed),
            ("length 4, key and version only", [length(4), vec![0, 18, 0, 0]].concat(), Closed),
            ("half a length", vec![0, 0], Closed),
            ("a frame that ends early", truncated, Closed),
            ("nothing at all", vec![], Closed),
        ],
    );
}

#[test]
fn other_protocols_on_the_port_are_named_in_one_log_line() {
    let mut server = TestServer::start();
    let tls = [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[0x42; 64]].concat();
    check(
        &mut server,
        &[
            ("an HTTP GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Closed),
            ("an HTTP POST", b"POST /topics HTTP/1.1\r\n\r\n".to_vec(), Closed),
            ("a TLS ClientHello", tls, Closed),
            ("a PROXY header", b"PROXY TCP4 10.0.0.1 10.0.0.2 4000 9092\r\n".to_vec(), Closed),
        ],
    );
    let log = server.log_with(&["HTTP", "TLS"]);
    let named = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    assert_eq!((named("HTTP") > 0, named("TLS") > 0), (true, true), "{log}");
    assert!(server.metric("einmal_protocol_errors_total", &["reason=\"http_on_kafka_port\""]) >= Some(2.0));
    assert!(server.metric("einmal_protocol_errors_total", &["reason=\"tls_on_plaintext\""]) >= Some(1.0));
}

#[test]
fn a_request_is_answered_however_its_bytes_are_split() {
    let server = TestServer::start();
    let bytes = frame(&ApiVersionsRequest::default(), 0, 7);
    for cut in 1..bytes.len() {
        let mut client = TestClient::connect(&server);
        client.send_bytes(&bytes[..cut]).expect("open");
        client.send_bytes(&bytes[cut..]).expect("open");
        assert_eq!(client.receive::<ApiVersionsRequest>(7, 0).error_code, 0, "cut at {cut}");
    }
    let mut client = TestClient::connect(&server);
    for byte in &bytes {
        client.send_bytes(&[*byte]).expect("open");
    }
    assert_eq!(client.receive::<ApiVersionsRequest>(7, 0).error_code, 0, "byte by byte");
}

#[test]
fn headers_that_lie_close_the_connection() {
    let body = [0, 0, 0, 0];
    let null_client_id = [&[0, 18, 0, 0, 0, 0, 0, 9][..], &[0xff, 0xff]].concat();
    let client_id_beyond_frame = [&[0, 3, 0, 1, 0, 0, 0, 9][..], &[0x7f, 0xff], b"x"].concat();
    let client_id_negative = [&[0, 3, 0, 1, 0, 0, 0, 9][..], &[0xff, 0xfe], &body].concat();
    let client_id_not_utf8 = [&[0, 18, 0, 0, 0, 0, 0, 9][..], &[0, 2, 0xc3, 0x28]].concat();
    let no_client_id = vec![0, 3, 0, 1, 0, 0, 0, 9];
    let large_client_id = payload(API_VERSIONS, 0, 9, &"c".repeat(i16::MAX as usize), &[]);
    check(
        &mut TestServer::start(),
        &[
            ("unknown api key", framed(payload(12_345, 0, 1, "x", &[])), Closed),
            ("negative api key", framed(payload(-1, 0, 1, "x", &[])), Closed),
            ("api of brokers among themselves", framed(payload(4, 0, 1, "x", &[])), Closed),
            ("version above the range", framed(payload(METADATA, 99, 1, "x", &body)), Closed),
            ("negative version", framed(payload(METADATA, -1, 1, "x", &body)), Closed),
            ("version below the range", framed(payload(CREATE_TOPICS, 0, 1, "x", &body)), Closed),
            ("client id beyond the frame", framed(client_id_beyond_frame), Closed),
            ("client id of length -2", framed(client_id_negative), Closed),
            ("header without client id", framed(no_client_id), Closed),
            ("flexible version with a plain header", framed(payload(METADATA, 9, 1, "x", &[])), Closed),
            ("plain version with a flexible header", framed(flexible_payload(METADATA, 1, 1, "x", &[])), Closed),
            ("null client id", framed(null_client_id), Answered),
            ("client id that is not UTF-8", framed(client_id_not_utf8), Answered),
            ("client id of 32767 bytes", framed(large_client_id), Answered),
        ],
    );
}

#[test]
fn counts_and_lengths_that_lie_close_the_connection() {
    let plain = |body: &[u8]| framed(payload(METADATA, 1, 1, "x", body));
    let flexible = |body: &[u8]| framed(flexible_payload(METADATA, 9, 1, "x", body));
    let offset_fetch = |count: &[u8]| {
        framed(payload(OFFSET_FETCH, 1, 1, "x", &[&[0, 1, b'g'][..], &[0, 0, 0, 1, 0, 1, b't'], count].concat()))
    };
    let tags = |count: usize, tag: &[u8]| {
        let mut bytes = payload(METADATA, 9, 1, "x", &[]);
        bytes.extend([0x80 | (count & 0x7f) as u8, (count >> 7) as u8]);
        bytes.extend(tag.repeat(count));
        // After the header's tags: no topics, three flags, no tags.
        bytes.extend([1, 0, 0, 0, 0]);
        framed(bytes)
    };
    check(
        &mut TestServer::start(),
        &[
            ("count -2", plain(&[0xff, 0xff, 0xff, 0xfe]), Either),
            ("count of the smallest integer", plain(&[0x80, 0, 0, 0]), Either),
            ("count above the bytes present", plain(&[0, 0, 0, 2, 0, 1, b'a']), Closed),
            ("string length above the bytes present", plain(&[0, 0, 0, 1, 0x7f, 0xff, b'a']), Closed),
            ("string length -1 where null is not allowed", plain(&[0, 0, 0, 1, 0xff, 0xff]), Either),
            ("name that is not UTF-8", plain(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28]), Closed),
            ("nested count of 2147483647", offset_fetch(&[0x7f, 0xff, 0xff, 0xff]), Closed),
            ("nested count of -5", offset_fetch(&[0xff, 0xff, 0xff, 0xfb]), Either),
            ("compact count of 4294967294", flexible(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Closed),
            ("varint of ten bytes", flexible(&[0xff; 10]), Closed),
            ("varint that never ends", flexible(&[0x80; 64]), Either),
            ("overlong varint", flexible(&[0x81, 0x80, 0x00, 0, 0, 0, 0]), Either),
            ("compact name longer than the frame", flexible(&[2, 0xff, 0xff, 0x03, b'a']), Closed),
            ("tag longer than the frame", flexible(&[1, 0, 0, 0, 1, 5, 0xff, 0xff, 0x03]), Closed),
            ("10000 tags of one byte", tags(10_000, &[9, 1, 0]), Either),
            ("the same tag twice", tags(2, &[9, 1, 0]), Either),
            ("bytes after the body", plain(&[0, 0, 0, 0, 1, 2, 3, 4, 5]), Either),
        ],
    );
}

#[test]
fn a_connection_that_was_closed_for_its_bytes_is_counted_by_reason() {
    let server = TestServer::start();
    let cases = [
        ("bad_length", (-1i32).to_be_bytes().to_vec()),
        ("too_large", i32::MAX.to_be_bytes().to_vec()),
        ("unsupported_api", framed(payload(12_345, 0, 1, "x", &[]))),
        ("unsupported_version", framed(payload(METADATA, 99, 1, "x", &[]))),
        ("decode", framed(payload(METADATA, 1, 1, "x", &[0, 0, 0, 9]))),
    ];
    for (reason, bytes) in cases {
        let label = format!("reason=\"{reason}\"");
        let before = server.metric("einmal_protocol_errors_total", &[&label]);
        assert!(before.is_some(), "{reason} is there before its first event");
        let mut client = TestClient::connect(&server);
        let _ = client.send_bytes(&bytes);
        assert_eq!(client.reply(), Reply::Closed, "{reason}");
        assert_eq!(
            server.metric("einmal_protocol_errors_total", &[&label]),
            before.map(|count| count + 1.0),
            "{reason}"
        );
    }
}
