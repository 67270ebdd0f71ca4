//! Batches with some of their records left out, as compaction leaves them (`MemoryRecords.filterTo` in Kafka).
//!
//! What is kept is copied as it is encoded, with its place, headers and all; base offset, last offset, producer and sequence of the
//! batch stay, so that it covers the same offsets and sequences with holes in them. The delete horizon (KIP-534) lies in the place of
//! the base timestamp from which the times of records are counted, so setting it writes these anew, and nothing else of a record.

use bytes::{BufMut, BytesMut};

use super::build::put_varint;
use super::codec;
use super::header::{CODEC_MASK, DELETE_HORIZON_BIT};
use super::records::{RecordView, RecordsInvalid};
use super::{BatchHeader, HEADER_BYTES, patch};
use crate::types::Timestamp;

/// The batch of `header` with no records but `kept`, which are of its decompressed ones, in order. `horizon` is the delete horizon to
/// set; none leaves the one that is there, if any.
///
/// # Errors
/// [`RecordsInvalid::Codec`] if the header names no known codec.
///
/// # Panics
/// With more bytes of records than a batch can hold (2 GiB).
pub fn with_records(
    header: &BatchHeader,
    kept: &[RecordView<'_>],
    horizon: Option<Timestamp>,
) -> Result<BytesMut, RecordsInvalid> {
    let time_of = |record: &RecordView<'_>| header.base_timestamp.wrapping_add(record.timestamp_delta);
    let mut plain = Vec::with_capacity(kept.iter().map(|record| record.raw.len() + 10).sum());
    for record in kept {
        match horizon {
            None => plain.extend_from_slice(record.raw),
            Some(horizon) => put_record_at(&mut plain, record, time_of(record).wrapping_sub(horizon)),
        }
    }
    let max_timestamp = match kept.iter().map(time_of).max() {
        Some(max_timestamp) if !header.is_log_append_time() => max_timestamp,
        _ => header.max_timestamp,
    };
    let compressed = codec::compress(header.codec()?, &plain);
    let header = match horizon {
        Some(horizon) => BatchHeader {
            attributes: header.attributes | DELETE_HORIZON_BIT,
            base_timestamp: horizon,
            max_timestamp,
            ..*header
        },
        None => BatchHeader { max_timestamp, ..*header },
    };
    Ok(assemble(header, kept.len(), &compressed))
}

/// The batch of `header` without a record, and so without a codec (`DefaultRecordBatch.writeEmptyHeader`).
pub fn without_records(header: &BatchHeader) -> BytesMut {
    assemble(BatchHeader { attributes: header.attributes & !CODEC_MASK, ..*header }, 0, &[])
}

fn put_record_at(plain: &mut Vec<u8>, record: &RecordView<'_>, timestamp_delta: i64) {
    let mut head = vec![0]; // attributes: none are defined
    put_varint(&mut head, timestamp_delta);
    put_varint(plain, (head.len() + record.after_time.len()) as i64);
    plain.extend_from_slice(&head);
    plain.extend_from_slice(record.after_time);
}

/// The batch of `header` with `record_count` records, which are encoded and compressed already.
pub(super) fn assemble(header: BatchHeader, record_count: usize, records: &[u8]) -> BytesMut {
    let size_bytes = i32::try_from(HEADER_BYTES + records.len()).expect("a batch is smaller than 2 GiB");
    let record_count = i32::try_from(record_count).expect("no more records than were there");
    let header = BatchHeader { size_bytes: size_bytes.unsigned_abs(), record_count, ..header };
    let mut batch = BytesMut::with_capacity(HEADER_BYTES + records.len());
    batch.put_slice(&header.to_bytes());
    batch.put_slice(records);
    patch::set_crc(&mut batch);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::BatchBuilder;
    use crate::record::codec::{Codec, DecompressionLimits};
    use crate::record::records::{records, times};
    use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

    const LIMITS: DecompressionLimits = DecompressionLimits { bytes_max: 1 << 20, ratio_max: 100 };

    /// Three records of different times; the second has headers that a map would lose: one key twice, and one that is no text.
    fn batch(codec: Codec) -> BytesMut {
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"h", None), (b"\xff", Some(b"2"))];
        let mut batch = BatchBuilder::new()
            .codec(codec)
            .producer(ProducerId(7), ProducerEpoch(2), 40)
            .transactional()
            .record(1000, Some(b"a"), Some(b"va"))
            .record_with_headers(3000, Some(b"b"), None, headers)
            .record(2000, Some(b"c"), Some(b"vc"))
            .build();
        patch::set_base_offset_and_leader_epoch(&mut batch, 100, LeaderEpoch(5));
        batch
    }

    fn plain(batch: &[u8]) -> Vec<u8> {
        let codec = BatchHeader::parse(batch).unwrap().codec().unwrap();
        codec::decompress(codec, &batch[HEADER_BYTES..], LIMITS).unwrap().into_owned()
    }

    fn views(plain: &[u8], count: i32) -> Vec<RecordView<'_>> {
        records(plain, count).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn kept_records_are_byte_for_byte_the_same_in_a_batch_that_covers_the_same_offsets() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let before = batch(codec);
            let header = BatchHeader::parse(&before).unwrap();
            let before_plain = plain(&before);
            let before = views(&before_plain, 3);
            let after = with_records(&header, &before[1..2], None).unwrap();
            let found = BatchHeader::parse(&after).unwrap();
            let expected = BatchHeader {
                size_bytes: after.len() as u32,
                record_count: 1,
                crc: found.crc,
                max_timestamp: 3000,
                ..header
            };
            assert_eq!(found, expected, "{codec}");
            assert_eq!(found.crc, patch::computed_crc(&after));
            assert_eq!(plain(&after), before[1].raw);
            let first = with_records(&header, &before[..1], None).unwrap();
            assert_eq!(BatchHeader::parse(&first).unwrap().max_timestamp, 1000);
        }
    }

    #[test]
    fn a_delete_horizon_moves_no_time_and_touches_nothing_else() {
        let before = batch(Codec::Lz4);
        let header = BatchHeader::parse(&before).unwrap();
        let before_plain = plain(&before);
        let kept = views(&before_plain, 3);
        let after = with_records(&header, &kept, Some(900_000)).unwrap();
        let found = BatchHeader::parse(&after).unwrap();
        assert_eq!((header.delete_horizon(), found.delete_horizon()), (None, Some(900_000)));
        assert_eq!((found.last_offset(), found.max_timestamp), (102, 3000));
        let times: Vec<_> = times(&after, LIMITS).unwrap().map(|time| time.unwrap().timestamp).collect();
        assert_eq!(times, [1000, 3000, 2000]);
        let after_plain = plain(&after);
        for (before, after) in kept.iter().zip(views(&after_plain, 3)) {
            assert_eq!(after.after_time, before.after_time);
        }
        // It stays through the next time.
        let again = with_records(&found, &views(&after_plain, 3)[1..2], None).unwrap();
        assert_eq!(BatchHeader::parse(&again).unwrap().delete_horizon(), Some(900_000));
    }

    #[test]
    fn an_empty_batch_still_tells_whose_it_is_and_where_it_ends() {
        for codec in [Codec::None, Codec::Zstd] {
            let header = BatchHeader::parse(&batch(codec)).unwrap();
            let after = without_records(&header);
            let found = BatchHeader::parse(&after).unwrap();
            assert_eq!((found.base_offset, found.last_offset(), found.record_count), (100, 102, 0));
            assert_eq!((found.producer_id, found.base_sequence, found.codec()), (ProducerId(7), 40, Ok(Codec::None)));
            assert!(found.is_transactional());
            assert_eq!(times(&after, LIMITS).unwrap().count(), 0);
        }
    }
}
