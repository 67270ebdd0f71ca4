//! `einmal bench null-server`: answers at once and does nothing, so that what a run against it takes is the client's own.
//!
//! It reads whole requests, as a broker must, and says that all went well. Every topic exists, with the same number of partitions. A fetch gets one batch of each
//! partition, at whatever offset it asks for, up to the request's limit of bytes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind, Write as _};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProducerId,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use mio::net::TcpListener;
use mio::{Interest, Token};

use super::BenchError;
use super::arguments::NullServer;
use super::connection::{Connection, Reading};
use super::cursor::{Cursor, put_length};
use super::payload::{Payload, PayloadSpec};
use super::produce_codec::put_frame_length;
use super::reactor::{Reactor, Ready};
use super::{Codec, fetch_codec, produce_codec};
use crate::client::ClientError;

const LISTENER: usize = usize::MAX - 1;

/// Largest answer to a fetch, whatever it asks for.
const FETCH_BYTES_MAX: usize = 64 << 20;

/// Key, versions, and first flexible version of what is answered.
const APIS: &[(i16, i16, i16, i16)] = &[
    (PRODUCE, produce_codec::VERSIONS.0, produce_codec::VERSIONS.1, 9),
    (FETCH, fetch_codec::VERSION, fetch_codec::VERSION, 12),
    (LIST_OFFSETS, 2, 7, 6),
    (METADATA, 4, 9, 9),
    (API_VERSIONS, 0, 3, 3),
    (INIT_PRODUCER_ID, 2, 4, 2),
];

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const INIT_PRODUCER_ID: i16 = 22;

/// Serves until the process is killed. Prints `listening HOST:PORT` first.
pub(super) fn serve(arguments: &NullServer) -> Result<Infallible, BenchError> {
    let refused = |error| BenchError::from(ClientError::Connect { address: arguments.listen.clone(), error });
    let mut listener = arguments
        .listen
        .parse()
        .map_err(|_| BenchError::Usage(format!("{} is no address and port", arguments.listen)))
        .and_then(|address| TcpListener::bind(address).map_err(refused))?;
    let address = listener.local_addr().map_err(refused)?;
    let mut reactor = Reactor::new()?;
    reactor
        .registry()
        .register(&mut listener, Token(LISTENER), Interest::READABLE)
        .map_err(BenchError::system("a listener"))?;
    let _ = writeln!(io::stdout(), "listening {address}").and_then(|()| io::stdout().flush());
    let broker = NullBroker {
        port: address.port().into(),
        host: StrBytes::from_string(address.ip().to_string()),
        partitions: arguments.partitions,
        batch: batch(arguments),
    };
    let mut connections: HashMap<usize, Connection> = HashMap::new();
    let mut next_token = 0;
    let mut ready = Vec::new();
    loop {
        reactor.wait(u64::MAX, &mut ready)?;
        for event in &ready {
            if event.token == LISTENER {
                accept(&listener, &reactor, &mut connections, &mut next_token)?;
            } else if let Some(connection) = connections.get_mut(&event.token)
                && !matches!(broker.advance(connection, *event), Ok(Reading::Drained))
            {
                connections.remove(&event.token);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    reactor: &Reactor,
    connections: &mut HashMap<usize, Connection>,
    next_token: &mut usize,
) -> Result<(), BenchError> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let mut connection = Connection::new(stream);
                let registered = connection.register(reactor.registry(), Token(*next_token));
                registered.map_err(BenchError::system("a connection"))?;
                connections.insert(*next_token, connection);
                *next_token += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => return Err(BenchError::System { what: "a connection", error }),
        }
    }
}

fn batch(arguments: &NullServer) -> Vec<u8> {
    let payload = Payload::new(&PayloadSpec {
        record_bytes: arguments.record_size as usize,
        record_count: arguments.records_per_batch as usize,
        codec: Codec::None,
        is_transactional: false,
        timestamp: 0,
        seed: 1,
        ids: None,
    });
    let mut batch = Vec::new();
    payload.put(&mut batch, None, 0);
    batch
}

struct NullBroker {
    host: StrBytes,
    port: i32,
    partitions: i32,
    batch: Vec<u8>,
}

impl NullBroker {
    fn advance(&self, connection: &mut Connection, ready: Ready) -> io::Result<Reading> {
        let mut reading = Reading::Drained;
        if ready.is_readable {
            reading = connection.receive(|frame, out| {
                self.answer(frame, out).unwrap_or_else(|| Err(io::Error::from(ErrorKind::InvalidData)))
            })?;
        }
        connection.flush()?;
        Ok(reading)
    }

    /// Appends the answer to a request's frame; none if it does not decode.
    fn answer(&self, frame: &[u8], out: &mut Vec<u8>) -> Option<io::Result<()>> {
        let mut cursor = Cursor(frame);
        let (key, version, correlation_id) = (cursor.i16()?, cursor.i16()?, cursor.i32()?);
        let (_, min, max, flexible_from) = APIS.iter().find(|(api, ..)| *api == key)?;
        if !(*min..=*max).contains(&version) {
            return None;
        }
        let client_id_bytes = usize::try_from(cursor.i16()?).unwrap_or(0);
        cursor.take(client_id_bytes)?;
        let is_flexible = version >= *flexible_from;
        if is_flexible {
            cursor.tags()?;
        }
        let from = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&correlation_id.to_be_bytes());
        if is_flexible && key != API_VERSIONS {
            out.push(0);
        }
        let body = cursor.0;
        match key {
            PRODUCE => {
                if !put_produced(body, out)? {
                    out.truncate(from);
                    return Some(Ok(()));
                }
            }
            FETCH => self.put_fetched(body, out)?,
            LIST_OFFSETS => put(out, version, &offsets(&read(body, version)?))?,
            METADATA => put(out, version, &self.metadata(&read(body, version)?))?,
            API_VERSIONS => put(out, version, &api_versions())?,
            _ => put(out, version, &InitProducerIdResponse::default().with_producer_id(ProducerId(1)))?,
        }
        put_frame_length(out, from);
        Some(Ok(()))
    }

    fn put_fetched(&self, body: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut cursor = Cursor(body);
        cursor.take(12)?; // replica id, longest wait, fewest bytes
        let bytes_max = usize::try_from(cursor.i32()?).unwrap_or(0).min(FETCH_BYTES_MAX);
        cursor.take(9)?; // isolation level, session
        out.extend_from_slice(&[0; 10]); // throttle time, error, no session
        let topics = cursor.length()?;
        put_length(out, topics);
        let from = out.len();
        for _ in 0..topics {
            let name = cursor.bytes()?;
            put_length(out, name.len());
            out.extend_from_slice(name);
            let partitions = cursor.length()?;
            put_length(out, partitions);
            for _ in 0..partitions {
                let index = cursor.i32()?;
                cursor.i32()?;
                let offset = cursor.i64()?;
                cursor.take(16)?;
                cursor.tags()?;
                out.extend_from_slice(&index.to_be_bytes());
                out.extend_from_slice(&[0; 2]);
                for offset in [i64::MAX, i64::MAX, 0] {
                    out.extend_from_slice(&offset.to_be_bytes());
                }
                put_length(out, 0); // nothing aborted
                out.extend_from_slice(&(-1_i32).to_be_bytes()); // no preferred replica
                let fits = out.len() - from < bytes_max;
                put_length(out, if fits { self.batch.len() } else { 0 });
                if fits {
                    out.extend_from_slice(&offset.to_be_bytes());
                    out.extend_from_slice(&self.batch[8..]);
                }
                out.push(0);
            }
            cursor.tags()?;
            out.push(0);
        }
        out.push(0);
        Some(())
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(0))
            .with_host(self.host.clone())
            .with_port(self.port);
        let names = request.topics.iter().flatten().filter_map(|topic| topic.name.clone());
        let topics = names.map(|name| {
            let partitions = (0..self.partitions).map(|index| {
                MetadataResponsePartition::default().with_partition_index(index).with_leader_id(BrokerId(0))
            });
            MetadataResponseTopic::default().with_name(Some(name)).with_partitions(partitions.collect())
        });
        MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics.collect())
    }
}

/// Says that every batch was appended at offset 0; false where no answer is wanted.
fn put_produced(body: &[u8], out: &mut Vec<u8>) -> Option<bool> {
    let mut cursor = Cursor(body);
    cursor.bytes()?; // transactional id
    let acks = cursor.i16()?;
    cursor.i32()?; // timeout
    let topics = cursor.length()?;
    put_length(out, topics);
    for _ in 0..topics {
        let name = cursor.bytes()?;
        put_length(out, name.len());
        out.extend_from_slice(name);
        let partitions = cursor.length()?;
        put_length(out, partitions);
        for _ in 0..partitions {
            let index = cursor.i32()?;
            cursor.bytes()?;
            cursor.tags()?;
            out.extend_from_slice(&index.to_be_bytes());
            out.extend_from_slice(&[0; 10]); // no error, offset 0
            out.extend_from_slice(&(-1_i64).to_be_bytes()); // no append time
            out.extend_from_slice(&[0; 8]); // log start offset
            out.extend_from_slice(&[1, 0, 0]); // no record errors, no message, no tags
        }
        cursor.tags()?;
        out.push(0);
    }
    out.extend_from_slice(&[0; 5]); // throttle time, no tags
    Some(acks != 0)
}

fn api_versions() -> ApiVersionsResponse {
    let apis = APIS.iter().map(|(key, min, max, _)| {
        ApiVersion::default().with_api_key(*key).with_min_version(*min).with_max_version(*max)
    });
    ApiVersionsResponse::default().with_api_keys(apis.collect())
}

/// Every partition is empty.
fn offsets(request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            ListOffsetsPartitionResponse::default().with_partition_index(partition.partition_index).with_offset(0)
        });
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn read<M: Decodable>(body: &[u8], version: i16) -> Option<M> {
    M::decode(&mut Bytes::copy_from_slice(body), version).ok()
}

fn put<M: Encodable>(out: &mut Vec<u8>, version: i16, answer: &M) -> Option<()> {
    let mut body = BytesMut::new();
    answer.encode(&mut body, version).ok()?;
    out.extend_from_slice(&body);
    Some(())
}
