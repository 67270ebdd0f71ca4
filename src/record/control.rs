//! Control batches: the markers that end a transaction in a partition (`EndTransactionMarker`, `ControlRecordType` in Kafka).
//!
//! One record in a batch of its own: key int16 version, int16 type; value int16 version, int32 coordinator epoch. Both only grow
//! at their end, so what a later version adds is not read.

use bytes::BytesMut;

use super::build::BatchBuilder;
use crate::types::{ProducerEpoch, ProducerId, Timestamp, TransactionResult};

/// Version that is written of key and value.
const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// A marker as a batch with base offset 0, ready to be given its place in a log.
pub fn end_transaction_marker(
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    coordinator_epoch: i32,
    result: TransactionResult,
    now: Timestamp,
) -> BytesMut {
    let kind = match result {
        TransactionResult::Abort => ABORT,
        TransactionResult::Commit => COMMIT,
    };
    let key = [VERSION.to_be_bytes(), kind.to_be_bytes()].concat();
    let value = [&VERSION.to_be_bytes()[..], &coordinator_epoch.to_be_bytes()].concat();
    BatchBuilder::new()
        .producer(producer_id, producer_epoch, -1)
        .transactional()
        .control()
        .record(now, Some(&key), Some(&value))
        .build()
}

/// What the key of a control record says; none for a kind of control record that ends no transaction.
pub fn marker_of_key(key: &[u8]) -> Option<TransactionResult> {
    let (version, rest) = key.split_first_chunk()?;
    let (kind, _) = rest.split_first_chunk()?;
    match (i16::from_be_bytes(*version), i16::from_be_bytes(*kind)) {
        (0.., ABORT) => Some(TransactionResult::Abort),
        (0.., COMMIT) => Some(TransactionResult::Commit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchHeader, HEADER_BYTES, patch};

    #[test]
    fn marker_is_laid_out_as_kafka_does() {
        for (result, kind) in [(TransactionResult::Abort, 0), (TransactionResult::Commit, 1)] {
            let batch = end_transaction_marker(ProducerId(9), ProducerEpoch(3), 7, result, 1_000);
            let header = BatchHeader::parse(&batch).expect("a batch");
            assert!(header.is_control() && header.is_transactional() && !header.is_log_append_time());
            assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(9), ProducerEpoch(3)));
            assert_eq!((header.base_sequence, header.record_count, header.last_offset_delta), (-1, 1, 0));
            assert_eq!((header.base_timestamp, header.max_timestamp), (1_000, 1_000));
            assert_eq!(header.crc, patch::computed_crc(&batch));
            // Length, attributes, timestamp and offset delta; key and value, each behind its zigzag length; no headers.
            let record = [&[32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 7, 0][..]].concat();
            assert_eq!(batch[HEADER_BYTES..], record);
        }
    }

    #[test]
    fn keys_tell_the_outcome_and_nothing_else_does() {
        let cases: [(&[u8], Option<TransactionResult>); 7] = [
            (&[0, 0, 0, 0], Some(TransactionResult::Abort)),
            (&[0, 0, 0, 1], Some(TransactionResult::Commit)),
            (&[0, 1, 0, 1, 9], Some(TransactionResult::Commit)),
            (&[0, 0, 0, 2], None),
            (&[255, 255, 0, 1], None),
            (&[0, 0, 0], None),
            (&[], None),
        ];
        for (key, expected) in cases {
            assert_eq!(marker_of_key(key), expected, "{key:?}");
        }
    }
}
