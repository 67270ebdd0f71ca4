//! A client of frames: typed requests by the crate, or any bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::{PATIENCE, TestServer};

/// What came back on a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// A whole frame, without its length.
    Frame(Bytes),
    /// The broker closed the connection.
    Closed,
}

/// One blocking connection.
pub struct TestClient {
    stream: TcpStream,
    next_correlation_id: i32,
}

impl TestClient {
    /// Connects to the Kafka listener.
    pub fn connect(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.address).expect("the listener accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, next_correlation_id: 1 }
    }

    /// The correlation id of the request that is sent next.
    pub fn next_correlation_id(&self) -> i32 {
        self.next_correlation_id
    }

    /// Counts requests from `correlation_id` on, as of clients that have one counter for several connections.
    pub fn count_from(&mut self, correlation_id: i32) {
        self.next_correlation_id = correlation_id;
    }

    /// A second handle to the same connection, to send from another thread.
    pub fn second_handle(&self) -> Self {
        let stream = self.stream.try_clone().expect("a descriptor is free");
        Self { stream, next_correlation_id: 1 }
    }

    /// Sends `request` at `version` and returns the decoded answer.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let correlation_id = self.send(request, version);
        self.receive::<R>(correlation_id, version)
    }

    /// Sends without waiting; returns the correlation id to receive with.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        self.send_bytes(&frame(request, version, correlation_id)).expect("the connection is open");
        correlation_id
    }

    /// The next frame, which must answer `correlation_id`.
    pub fn receive<R: Request>(&mut self, correlation_id: i32, version: i16) -> R::Response {
        match self.reply() {
            Reply::Frame(frame) => decode::<R>(frame, correlation_id, version)
                .unwrap_or_else(|error| panic!("answer to api key {} version {version}: {error}", R::KEY)),
            Reply::Closed => panic!("closed instead of an answer to api key {} version {version}", R::KEY),
        }
    }

    /// Any bytes; an error means that the broker has closed already.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A frame around `payload`.
    pub fn send_frame(&mut self, payload: &[u8]) -> std::io::Result<()> {
        let mut bytes = BytesMut::with_capacity(payload.len() + 4);
        bytes.put_i32(payload.len() as i32);
        bytes.put_slice(payload);
        self.send_bytes(&bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame or the end of the connection; neither within the patience of tests is a hang.
    pub fn reply(&mut self) -> Reply {
        let Some(length) = self.read(4) else { return Reply::Closed };
        let length = length.clone().get_i32();
        assert!((0..=128 << 20).contains(&length), "the broker sent a frame length of {length}");
        self.read(length as usize).map_or(Reply::Closed, Reply::Frame)
    }

    fn read(&mut self, bytes: usize) -> Option<Bytes> {
        let mut buffer = vec![0; bytes];
        match self.stream.read_exact(&mut buffer) {
            Ok(()) => Some(Bytes::from(buffer)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither an answer nor the end of the connection within {PATIENCE:?}")
            }
            Err(_) => None,
        }
    }
}

/// Payload of a frame with a version 1 header and `body`.
pub fn payload(api_key: i16, api_version: i16, correlation_id: i32, client_id: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + client_id.len() + 10);
    bytes.put_i16(api_key);
    bytes.put_i16(api_version);
    bytes.put_i32(correlation_id);
    bytes.put_i16(client_id.len() as i16);
    bytes.put_slice(client_id.as_bytes());
    bytes.put_slice(body);
    bytes
}

/// The same with a version 2 header, for flexible versions: no tags.
pub fn flexible_payload(api_key: i16, api_version: i16, correlation_id: i32, client_id: &str, body: &[u8]) -> Vec<u8> {
    let tagged = [&[0u8][..], body].concat();
    payload(api_key, api_version, correlation_id, client_id, &tagged)
}

/// A whole request frame, as the crate encodes it.
pub fn frame<R: Request>(request: &R, version: i16, correlation_id: i32) -> BytesMut {
    let mut payload = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("socket-test")));
    header.encode(&mut payload, R::header_version(version)).expect("a header encodes");
    request.encode(&mut payload, version).expect("the request encodes at this version");
    let mut frame = BytesMut::new();
    frame.put_i32(payload.len() as i32);
    frame.put(payload);
    frame
}

/// Decodes an answer with the crate; trailing bytes and a foreign correlation id are errors.
pub fn decode<R: Request>(mut frame: Bytes, correlation_id: i32, version: i16) -> Result<R::Response, String> {
    let header_version =
        if R::KEY == ApiKey::ApiVersions as i16 { 0 } else { <R::Response as HeaderVersion>::header_version(version) };
    let header = ResponseHeader::decode(&mut frame, header_version).map_err(|error| format!("header: {error:#}"))?;
    if header.correlation_id != correlation_id {
        return Err(format!("correlation id {} instead of {correlation_id}", header.correlation_id));
    }
    let answer = R::Response::decode(&mut frame, version).map_err(|error| format!("body: {error:#}"))?;
    if frame.has_remaining() { Err(format!("{} bytes after the answer", frame.remaining())) } else { Ok(answer) }
}
