//! Produce as the generator sends it and reads its answer, at versions 9 to 12: flexible, and with topics by name. Pure.

use super::cursor::{Cursor, put_length, put_text};
use super::payload::{Payload, Producer};
use crate::types::{ErrorCode, Offset, PartitionIndex};

/// Versions with this layout; later ones name topics by id, which not every Kafka has.
pub(super) const VERSIONS: (i16, i16) = (9, 12);

/// What the requests of a run have in common.
#[derive(Debug, Clone)]
pub(super) struct ProduceFrame {
    pub(super) version: i16,
    /// Of the transaction that the records are of; from version 12 on they join it by being sent (KIP-890).
    pub(super) transactional_id: Option<String>,
    pub(super) topic: String,
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
}

impl ProduceFrame {
    /// Appends a whole frame: `payload` for each of `partitions`.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        correlation_id: i32,
        partitions: impl ExactSizeIterator<Item = PartitionIndex>,
        payload: &Payload,
        producer: Option<Producer>,
        intended_ns: u64,
    ) {
        let from = out.len();
        out.extend_from_slice(&[0; 4]);
        put_header(out, 0, self.version, correlation_id);
        match &self.transactional_id {
            Some(id) => put_text(out, id),
            None => out.push(0),
        }
        out.extend_from_slice(&self.acks.to_be_bytes());
        out.extend_from_slice(&self.timeout_ms.to_be_bytes());
        put_length(out, 1);
        put_text(out, &self.topic);
        put_length(out, partitions.len());
        for partition in partitions {
            out.extend_from_slice(&partition.to_be_bytes());
            put_length(out, payload.batch_bytes());
            payload.put(out, producer, intended_ns);
            out.push(0);
        }
        out.extend_from_slice(&[0, 0]); // no tags of the topic and of the request
        put_frame_length(out, from);
    }
}

/// Header version 2 of a request.
pub(super) fn put_header(out: &mut Vec<u8>, api_key: i16, version: i16, correlation_id: i32) {
    const CLIENT_ID: &[u8] = b"einmal-bench";
    out.extend_from_slice(&api_key.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&correlation_id.to_be_bytes());
    out.extend_from_slice(&(CLIENT_ID.len() as i16).to_be_bytes());
    out.extend_from_slice(CLIENT_ID);
    out.push(0);
}

/// Writes the length of the frame that begins at `from` and ends the buffer.
pub(super) fn put_frame_length(out: &mut [u8], from: usize) {
    let length = (out.len() - from - 4) as u32;
    out[from..from + 4].copy_from_slice(&length.to_be_bytes());
}

/// Calls `each` with every partition's outcome in the answer `body`, what follows the response header; none if it does not
/// decode.
pub(super) fn read_response(body: &[u8], mut each: impl FnMut(PartitionIndex, ErrorCode, Offset)) -> Option<()> {
    let mut cursor = Cursor(body);
    for _ in 0..cursor.length()? {
        cursor.bytes()?;
        for _ in 0..cursor.length()? {
            let (index, error, base_offset) = (cursor.i32()?, cursor.i16()?, cursor.i64()?);
            cursor.take(16)?; // log append time, log start offset
            for _ in 0..cursor.length()? {
                cursor.i32()?;
                cursor.bytes()?;
                cursor.tags()?;
            }
            cursor.bytes()?; // error message
            cursor.tags()?;
            each(index, ErrorCode(error), base_offset);
        }
        cursor.tags()?;
    }
    cursor.i32()?; // throttle time
    cursor.tags()
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes, BytesMut};
    use kafka_protocol::messages::produce_response::{
        BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
    };
    use kafka_protocol::messages::{ProduceRequest, ProduceResponse, RequestHeader};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    use super::*;
    use crate::bench::payload::PayloadSpec;
    use crate::record::codec::Codec;

    #[test]
    fn requests_are_what_the_codec_crate_reads() {
        let spec = PayloadSpec {
            record_bytes: 50,
            record_count: 3,
            codec: Codec::None,
            is_transactional: false,
            timestamp: 1,
            seed: 1,
            ids: None,
        };
        let payload = Payload::new(&spec);
        for version in VERSIONS.0..=VERSIONS.1 {
            let frame = ProduceFrame {
                version,
                transactional_id: Some("payments".to_owned()),
                topic: "orders".to_owned(),
                acks: -1,
                timeout_ms: 30_000,
            };
            let mut out = vec![7; 3];
            frame.put(&mut out, 42, [5, 900].into_iter(), &payload, None, 9);
            let mut bytes = Bytes::from(out.split_off(3));
            assert_eq!(bytes.get_i32() as usize, bytes.len());
            let header = RequestHeader::decode(&mut bytes, 2).expect("a header");
            assert_eq!((header.request_api_key, header.request_api_version, header.correlation_id), (0, version, 42));
            let request = ProduceRequest::decode(&mut bytes, version).expect("a request");
            assert!(bytes.is_empty());
            assert_eq!(request.transactional_id.expect("an id").as_str(), "payments");
            assert_eq!((request.acks, request.timeout_ms), (-1, 30_000));
            let topic = &request.topic_data[0];
            assert_eq!(topic.name.0.as_str(), "orders");
            let indexes: Vec<i32> = topic.partition_data.iter().map(|partition| partition.index).collect();
            assert_eq!(indexes, [5, 900]);
            let mut batch = Vec::new();
            payload.put(&mut batch, None, 9);
            assert_eq!(topic.partition_data[1].records.as_deref(), Some(&batch[..]));
        }
    }

    #[test]
    fn answers_are_what_the_codec_crate_writes() {
        let record_error = BatchIndexAndErrorMessage::default()
            .with_batch_index(3)
            .with_batch_index_error_message(Some(StrBytes::from_static_str("bad")));
        let partitions = vec![
            PartitionProduceResponse::default().with_index(4).with_base_offset(1 << 40),
            PartitionProduceResponse::default()
                .with_index(9)
                .with_error_code(87)
                .with_base_offset(-1)
                .with_record_errors(vec![record_error])
                .with_error_message(Some(StrBytes::from_static_str("worse"))),
        ];
        let topic = TopicProduceResponse::default().with_partition_responses(partitions);
        let response = ProduceResponse::default().with_responses(vec![topic]);
        for version in VERSIONS.0..=VERSIONS.1 {
            let mut body = BytesMut::new();
            response.encode(&mut body, version).expect("a response");
            let mut seen = Vec::new();
            read_response(&body, |index, error, offset| seen.push((index, error.0, offset))).expect("it decodes");
            assert_eq!(seen, [(4, 0, 1 << 40), (9, 87, -1)], "version {version}");
            for short in 0..body.len() {
                assert_eq!(read_response(&body[..short], |_, _, _| ()), None);
            }
        }
    }
}
