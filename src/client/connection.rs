//! A connection for one request at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::waiting::wait_for;
use super::{ClientError, Peer, Until, admin};

/// Largest answer that is read; metadata of a million partitions are 40 MB.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// What a connection begins with.
const FIRST_API: &str = "ApiVersions";

/// Largest that is read to it, by whoever listens there; Kafka's is not 1 KiB.
const FIRST_ANSWER_BYTES_MAX: usize = 64 << 10;

/// One broker.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Key, lowest and highest version of each API.
    versions: Vec<(i16, i16, i16)>,
    correlation_id: i32,
    client_id: &'static str,
    address: SocketAddr,
    patience: Duration,
}

impl Connection {
    /// Connects to `address` (host:port) and asks for the broker's versions. `patience` is what connecting may take, and each exchange of
    /// a request for its whole answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(address: &str, client_id: &'static str, patience: Duration) -> Result<Self, ClientError> {
        let waiting = wait_for(|| format!("a connection to {address}"));
        let (stream, resolved) =
            connect(address, patience).map_err(|error| ClientError::Connect { address: address.to_owned(), error })?;
        drop(waiting);
        let (versions, correlation_id) = (Vec::new(), 0);
        let mut connection = Self { stream, versions, correlation_id, client_id, address: resolved, patience };
        let answer = connection.call_at(FIRST_API, &ApiVersionsRequest::default(), 0)?;
        ClientError::check(FIRST_API, answer.error_code, None)?;
        let served = answer.api_keys.iter();
        connection.versions = served.map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        Ok(connection)
    }

    /// Where the broker is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The highest version of an API that both sides know.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`].
    pub fn version(&self, api: &'static str, key: i16, (min, max): (i16, i16)) -> Result<i16, ClientError> {
        let served = self.versions.iter().find(|(served, ..)| *served == key);
        let common = served.map(|(_, low, high)| (min.max(*low), max.min(*high)));
        common.filter(|(low, high)| low <= high).map(|(_, high)| high).ok_or(ClientError::Unsupported { api, min, max })
    }

    /// Asks, in the highest of `versions` that the broker knows, and waits for the answer. `api` is the name in errors.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call<R: Request>(
        &mut self,
        api: &'static str,
        request: &R,
        versions: (i16, i16),
    ) -> Result<R::Response, ClientError> {
        let version = self.version(api, R::KEY, versions)?;
        self.call_at(api, request, version)
    }

    fn call_at<R: Request>(
        &mut self,
        api: &'static str,
        request: &R,
        version: i16,
    ) -> Result<R::Response, ClientError> {
        let undecodable = |detail: String| ClientError::Decode { api, detail };
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let mut frame = Vec::new();
        put_request(&mut frame, api, request, version, self.correlation_id, self.client_id)?;
        let waiting = wait_for(|| format!("{} to answer {api}", self.address));
        let mut answer = self.exchange(api, &frame)?;
        drop(waiting);
        let header_version = match R::KEY == ApiKey::ApiVersions as i16 {
            true => 0,
            false => R::Response::header_version(version),
        };
        let header = ResponseHeader::decode(&mut answer, header_version).map_err(|e| undecodable(format!("{e:#}")))?;
        if header.correlation_id != self.correlation_id {
            return Err(undecodable(format!("its correlation id is {}", header.correlation_id)));
        }
        R::Response::decode(&mut answer, version).map_err(|error| undecodable(format!("{error:#}")))
    }

    fn exchange(&mut self, api: &'static str, frame: &[u8]) -> Result<Bytes, ClientError> {
        let (address, patience) = (self.address, self.patience);
        let broken = |error: io::Error| {
            let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
            match error.kind() {
                io::ErrorKind::TimedOut => ClientError::Silent { address, api, patience },
                _ if is_end => {
                    ClientError::Broken { api, error: io::Error::new(error.kind(), "the connection was closed") }
                }
                _ => ClientError::Broken { api, error },
            }
        };
        let bytes_max = if api == FIRST_API { FIRST_ANSWER_BYTES_MAX } else { ANSWER_BYTES_MAX };
        let mut stream = Until::after(self.patience, &self.stream);
        stream.write_all(frame).map_err(broken)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(broken)?;
        if let Some(peer) = Peer::of_length(length, bytes_max) {
            return Err(ClientError::NotKafka { address: self.address, peer });
        }
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).map_err(broken)?;
        Ok(answer.into())
    }
}

/// Appends the frame of `request` to `out`.
///
/// # Errors
/// [`ClientError::Decode`], naming `api`: the version lacks a field that is set.
pub fn put_request<R: Request>(
    out: &mut Vec<u8>,
    api: &'static str,
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &'static str,
) -> Result<(), ClientError> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str(client_id)));
    let mut payload = BytesMut::new();
    header
        .encode(&mut payload, R::header_version(version))
        .and_then(|()| request.encode(&mut payload, version))
        .map_err(|error| ClientError::Decode { api, detail: format!("{error:#}") })?;
    out.put_u32(payload.len() as u32);
    out.extend_from_slice(&payload);
    Ok(())
}

/// The first of the host's addresses that answers.
fn connect(address: &str, patience: Duration) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = admin::connect(address, patience)?;
    stream.set_nodelay(true)?;
    let address = stream.peer_addr()?;
    Ok((stream, address))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::MetadataRequest;

    use super::*;
    use crate::client::deadline::tests::dripped_on;

    const PATIENCE: Duration = Duration::from_millis(100);

    #[test]
    fn a_broker_that_drips_its_answer_is_given_up() {
        // An answer to ApiVersions with Metadata in versions 0 and 1, then the length of one that is still allowed.
        const BEGINS: &[u8] =
            &[0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 1, (ANSWER_BYTES_MAX >> 24) as u8, 0, 0, 0];
        let told = dripped_on(BEGINS, |address| {
            let mut connection = Connection::open(&address.to_string(), "test", PATIENCE)?;
            connection.call("Metadata", &MetadataRequest::default(), (0, 1))
        });
        assert!(matches!(told, Err(ClientError::Silent { api: "Metadata", patience: PATIENCE, .. })), "{told:?}");
    }

    #[test]
    fn a_first_answer_that_is_large_is_none_of_kafka() {
        const BEGINS: &[u8] = &(FIRST_ANSWER_BYTES_MAX as u32 + 1).to_be_bytes();
        let told = dripped_on(BEGINS, |address| Connection::open(&address.to_string(), "test", PATIENCE));
        assert!(matches!(told, Err(ClientError::NotKafka { peer: Peer::Unknown, .. })), "{told:?}");
    }
}
