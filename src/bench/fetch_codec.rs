//! Fetch as the generator sends it and reads its answer, at version 12: flexible, and with topics by name. Pure.

use super::cursor::{Cursor, put_length, put_text};
use super::produce_codec::{put_frame_length, put_header};
use crate::types::{ErrorCode, Offset, PartitionIndex};

/// The one version with this layout.
pub(super) const VERSION: i16 = 12;

/// What the requests of a consumer have in common.
#[derive(Debug, Clone)]
pub(super) struct FetchFrame {
    pub(super) topic: String,
    pub(super) is_read_committed: bool,
    pub(super) max_wait_ms: i32,
    pub(super) min_bytes: i32,
    pub(super) max_bytes: i32,
    pub(super) partition_max_bytes: i32,
}

/// Place in a fetch session (KIP-227).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    /// 0 asks for a new one.
    pub(super) id: i32,
    /// Counts requests; 0 with all partitions at the session's begin.
    pub(super) epoch: i32,
}

impl Session {
    /// Asks for a session.
    pub(super) const NEW: Self = Self { id: 0, epoch: 0 };
}

impl FetchFrame {
    /// Appends a whole frame that asks for `partitions`, each from its offset on.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        correlation_id: i32,
        session: Session,
        partitions: impl ExactSizeIterator<Item = (PartitionIndex, Offset)>,
    ) {
        const ANY_EPOCH: [u8; 4] = (-1_i32).to_be_bytes();
        let from = out.len();
        out.extend_from_slice(&[0; 4]);
        put_header(out, 1, VERSION, correlation_id);
        out.extend_from_slice(&(-1_i32).to_be_bytes()); // no replica
        out.extend_from_slice(&self.max_wait_ms.to_be_bytes());
        out.extend_from_slice(&self.min_bytes.to_be_bytes());
        out.extend_from_slice(&self.max_bytes.to_be_bytes());
        out.push(u8::from(self.is_read_committed));
        out.extend_from_slice(&session.id.to_be_bytes());
        out.extend_from_slice(&session.epoch.to_be_bytes());
        if partitions.len() == 0 {
            put_length(out, 0);
        } else {
            put_length(out, 1);
            put_text(out, &self.topic);
            put_length(out, partitions.len());
            for (partition, offset) in partitions {
                out.extend_from_slice(&partition.to_be_bytes());
                out.extend_from_slice(&ANY_EPOCH);
                out.extend_from_slice(&offset.to_be_bytes());
                out.extend_from_slice(&ANY_EPOCH);
                out.extend_from_slice(&(-1_i64).to_be_bytes()); // log start offset is for followers
                out.extend_from_slice(&self.partition_max_bytes.to_be_bytes());
                out.push(0);
            }
            out.push(0);
        }
        put_length(out, 0); // nothing forgotten
        put_text(out, ""); // no rack
        out.push(0);
        put_frame_length(out, from);
    }
}

/// One partition of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched<'a> {
    pub(super) index: PartitionIndex,
    pub(super) error: ErrorCode,
    /// Batches; the last may be cut off.
    pub(super) records: &'a [u8],
}

/// Calls `each` with every partition of the answer `body`, what follows the response header. Answers the error and the session
/// id of the whole; none if it does not decode.
pub(super) fn read_response<'a>(body: &'a [u8], mut each: impl FnMut(Fetched<'a>)) -> Option<(ErrorCode, i32)> {
    let mut cursor = Cursor(body);
    cursor.i32()?; // throttle time
    let (error, session_id) = (cursor.i16()?, cursor.i32()?);
    for _ in 0..cursor.length()? {
        cursor.bytes()?;
        for _ in 0..cursor.length()? {
            let (index, error) = (cursor.i32()?, cursor.i16()?);
            cursor.take(24)?; // high watermark, last stable offset, log start offset
            for _ in 0..cursor.length()? {
                cursor.take(16)?; // an aborted transaction
                cursor.tags()?;
            }
            cursor.i32()?; // preferred read replica
            let records = cursor.bytes()?;
            cursor.tags()?;
            each(Fetched { index, error: ErrorCode(error), records });
        }
        cursor.tags()?;
    }
    cursor.tags()?;
    Some((ErrorCode(error), session_id))
}

/// Cuts the whole batches off the front of `records`.
pub(super) fn batches(mut records: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let at = crate::record::LENGTH_AT;
        let length = records.get(at..at + 4)?.try_into().map(i32::from_be_bytes).ok()?;
        let bytes = usize::try_from(length).ok()?.checked_add(at + 4)?;
        let (batch, rest) = records.split_at_checked(bytes)?;
        records = rest;
        Some(batch)
    })
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes, BytesMut};
    use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{FetchRequest, FetchResponse, RequestHeader};
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::*;

    #[test]
    fn requests_are_what_the_codec_crate_reads() {
        let frame = FetchFrame {
            topic: "orders".to_owned(),
            is_read_committed: true,
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 16,
        };
        for partitions in [vec![(3, 7), (200, 1 << 40)], vec![]] {
            let mut out = Vec::new();
            frame.put(&mut out, 42, Session { id: 8, epoch: 2 }, partitions.iter().copied());
            let mut bytes = Bytes::from(out);
            assert_eq!(bytes.get_i32() as usize, bytes.len());
            let header = RequestHeader::decode(&mut bytes, 2).expect("a header");
            assert_eq!((header.request_api_key, header.correlation_id), (1, 42));
            let request = FetchRequest::decode(&mut bytes, VERSION).expect("a request");
            assert!(bytes.is_empty());
            assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes), (500, 1, 1 << 20));
            assert_eq!((request.session_id, request.session_epoch), (8, 2));
            let asked: Vec<(i32, i64)> = request
                .topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|partition| (partition.partition, partition.fetch_offset))
                .collect();
            assert_eq!(asked, partitions);
        }
    }

    #[test]
    fn answers_are_what_the_codec_crate_writes() {
        let partitions = vec![
            PartitionData::default()
                .with_partition_index(2)
                .with_high_watermark(11)
                .with_aborted_transactions(Some(vec![AbortedTransaction::default()]))
                .with_records(Some(Bytes::from_static(b"records"))),
            PartitionData::default().with_partition_index(3).with_error_code(1).with_records(None),
        ];
        let topic = FetchableTopicResponse::default().with_partitions(partitions);
        let response = FetchResponse::default().with_session_id(5).with_responses(vec![topic]);
        let mut body = BytesMut::new();
        response.encode(&mut body, VERSION).expect("a response");
        let mut seen = Vec::new();
        let whole =
            read_response(&body, |partition| seen.push((partition.index, partition.error.0, partition.records)));
        assert_eq!(whole, Some((ErrorCode::NONE, 5)));
        assert_eq!(seen, [(2, 0, &b"records"[..]), (3, 1, &b""[..])]);
        for short in 0..body.len() {
            assert_eq!(read_response(&body[..short], |_| ()), None);
        }
    }

    #[test]
    fn a_batch_that_is_cut_off_is_left_out() {
        let mut whole = vec![0; 30];
        whole[11] = 18;
        let records = [&whole[..], &whole, &whole[..29]].concat();
        assert_eq!(batches(&records).map(<[u8]>::len).collect::<Vec<_>>(), [30, 30]);
        assert_eq!(batches(&[0xff; 40]).count(), 0);
    }
}
