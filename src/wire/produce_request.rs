//! Produce requests, decoded by hand so that each batch comes out of the frame as bytes that may be patched in place.
//!
//! Versions 3 to 13 as the crate codes them; versions 0 to 2 (message formats before 0.11) are decoded for their shape and
//! answered with [`encode_unsupported_format`]. Kafka's `ProduceRequest`.
//!
//! Invariant: record bytes are split out of the frame's own allocation, never copied.

use bytes::{BufMut, BytesMut};

use super::primitive::{Malformed, Reader, put_string};
use super::{Close, Request, RequestHeader, Segments, message};
use crate::types::{ErrorCode, PartitionIndex, Uuid};

#[cfg(test)]
mod tests;

/// Versions that [`decode`] reads.
pub const VERSIONS: (i16, i16) = (0, 13);

/// First version whose records are batches of format v2.
pub const RECORD_BATCH_FROM: i16 = 3;

/// First version with compact lengths and tag sections.
const FLEXIBLE_FROM: i16 = 9;

/// First version that names topics by id.
const TOPIC_ID_FROM: i16 = 13;

/// A Produce request.
#[derive(Debug, PartialEq)]
pub struct ProduceRequest {
    /// From version 3; none without a transaction.
    pub transactional_id: Option<String>,
    /// As received: -1, 0 and 1 are valid.
    pub acks: i16,
    /// Time the client waits for the answer, ms.
    pub timeout_ms: i32,
    /// In the order of the request.
    pub topics: Vec<ProduceTopic>,
}

/// One topic of a Produce request.
#[derive(Debug, PartialEq)]
pub struct ProduceTopic {
    /// By name or by id.
    pub topic: TopicRef,
    /// In the order of the request.
    pub partitions: Vec<ProducePartition>,
}

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    /// Up to version 12.
    Name(String),
    /// From version 13.
    Id(Uuid),
}

/// One partition of a Produce request.
#[derive(Debug, PartialEq)]
pub struct ProducePartition {
    /// Index of the partition, as received.
    pub index: PartitionIndex,
    /// The records, not looked at; the bytes of several partitions lie in one allocation.
    pub records: Option<BytesMut>,
}

/// Decodes the request at its version. Trailing bytes are dropped. More than `partitions_max` topics or partitions are refused:
/// they take a few bytes of the frame each, and many times that in memory and in the answer.
pub fn decode(request: Request, partitions_max: usize) -> Result<(RequestHeader, ProduceRequest), Close> {
    let Request { header, body, .. } = request;
    let version = header.api_version;
    if !(VERSIONS.0..=VERSIONS.1).contains(&version) {
        return Err(Close::UnsupportedVersion { api_key: header.api_key, api_version: version });
    }
    let mut reader = Reader::new(body, version >= FLEXIBLE_FROM);
    match produce_request(&mut reader, version, partitions_max) {
        Ok(produce) => Ok((header, produce)),
        Err(malformed) => {
            Err(Close::Decode { api_key: header.api_key, api_version: version, detail: malformed.to_string() })
        }
    }
}

fn produce_request(reader: &mut Reader, version: i16, partitions_max: usize) -> Result<ProduceRequest, Malformed> {
    let transactional_id = if version >= RECORD_BATCH_FROM { reader.nullable_string()? } else { None };
    let acks = reader.i16()?;
    let timeout_ms = reader.i32()?;
    let mut partitions_left = partitions_max;
    let topics = reader.array(topic_bytes_min(version), partitions_max, |reader| {
        let topic = topic(reader, version, partitions_left)?;
        partitions_left -= topic.partitions.len();
        Ok(topic)
    })?;
    reader.tag_section()?;
    Ok(ProduceRequest { transactional_id, acks, timeout_ms, topics })
}

/// Bytes of a topic with an empty name and no partitions.
fn topic_bytes_min(version: i16) -> usize {
    match version {
        ..FLEXIBLE_FROM => 2 + 4,
        FLEXIBLE_FROM..TOPIC_ID_FROM => 1 + 1 + 1,
        _ => 16 + 1 + 1,
    }
}

fn topic(reader: &mut Reader, version: i16, partitions_max: usize) -> Result<ProduceTopic, Malformed> {
    let topic = if version >= TOPIC_ID_FROM { TopicRef::Id(reader.uuid()?) } else { TopicRef::Name(reader.string()?) };
    let partition_bytes_min = if reader.is_flexible() { 4 + 1 + 1 } else { 4 + 4 };
    let partitions = reader.array(partition_bytes_min, partitions_max, partition)?;
    reader.tag_section()?;
    Ok(ProduceTopic { topic, partitions })
}

fn partition(reader: &mut Reader) -> Result<ProducePartition, Malformed> {
    let index = reader.i32()?;
    let records = reader.nullable_bytes()?;
    reader.tag_section()?;
    Ok(ProducePartition { index, records })
}

/// Answers a request of version 0 to 2: every partition is refused with UNSUPPORTED_FOR_MESSAGE_FORMAT. With acks=0 there is
/// no answer; the caller closes the connection.
///
/// These versions are advertised because librdkafka before 2.11.1 sends uncompressed if the range of Produce does not
/// overlap them, and answered because a client with a fixed old version tells a refusal better than a lost connection.
pub fn encode_unsupported_format(header: &RequestHeader, request: &ProduceRequest) -> Result<Segments, Close> {
    let version = header.api_version;
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    frame.put_i32(header.correlation_id);
    frame.put_u32(request.topics.len() as u32);
    for topic in &request.topics {
        put_string(
            &mut frame,
            match &topic.topic {
                TopicRef::Name(name) => name,
                TopicRef::Id(_) => "",
            },
        );
        frame.put_u32(topic.partitions.len() as u32);
        for partition in &topic.partitions {
            frame.put_i32(partition.index);
            frame.put_i16(ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT.0);
            frame.put_i64(-1);
            if version >= 2 {
                frame.put_i64(-1);
            }
        }
    }
    if version >= 1 {
        frame.put_i32(0);
    }
    message::finish(frame).map(|frame| vec![frame]).ok_or_else(|| Close::Encode {
        api_key: header.api_key,
        api_version: version,
        detail: "longer than a frame can be".to_owned(),
    })
}
