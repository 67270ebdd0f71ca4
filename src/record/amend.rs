//! Batches that are stored otherwise than they came, for some of their messages are there already: without them, or with a header more
//! on them.
//!
//! What is left keeps its offsets, so that the answer to the producer stays true for it: the holes are those that compaction leaves
//! behind in Kafka, where last offset delta and sequences of a batch stay, too.

use bytes::BytesMut;

use super::build::{put_nullable, put_varint};
use super::codec::{self, Compression, DecompressionLimits};
use super::records::{RecordView, RecordsInvalid, records};
use super::rewrite::assemble;
use super::{BatchHeader, HEADER_BYTES};
use crate::types::Timestamp;

/// Bytes of records from which on they are compressed at the quickest level: the one writer makes batches anew while all others wait, and
/// at gzip's own level 15 MB take it half a second. Such a batch may be somewhat larger than it came.
const QUICK_FROM_BYTES: usize = 256 << 10;

/// A batch as it was made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amended {
    /// The batch.
    pub bytes: BytesMut,
    /// Its header.
    pub header: BatchHeader,
    /// Offset delta of its last record, which may lie before the batch's last offset delta.
    pub last_present_delta: i32,
}

/// The batch in `bytes`, whose header is `header`, without the records that `is_dropped` names by their offset deltas.
///
/// # Errors
/// [`RecordsInvalid`] if the records cannot be read.
///
/// # Panics
/// If nothing is left.
pub fn without(
    bytes: &[u8],
    header: &BatchHeader,
    limits: DecompressionLimits,
    mut is_dropped: impl FnMut(i32) -> bool,
) -> Result<Amended, RecordsInvalid> {
    amend(bytes, header, limits, |record, out| {
        let stays = !is_dropped(record.offset_delta);
        if stays {
            out.extend_from_slice(record.raw);
        }
        stays
    })
}

/// The same batch with a header `name` on the records for which `value_of` has a value, by their offset deltas.
///
/// # Errors
/// [`RecordsInvalid`] if the records cannot be read.
pub fn with_header(
    bytes: &[u8],
    header: &BatchHeader,
    limits: DecompressionLimits,
    name: &str,
    mut value_of: impl FnMut(i32) -> Option<String>,
) -> Result<Amended, RecordsInvalid> {
    let mut body = Vec::new();
    amend(bytes, header, limits, |record, out| {
        let Some(value) = value_of(record.offset_delta) else {
            out.extend_from_slice(record.raw);
            return true;
        };
        body.clear();
        body.push(0); // a record's attributes: none are defined
        put_varint(&mut body, record.timestamp_delta);
        put_varint(&mut body, i64::from(record.offset_delta));
        put_nullable(&mut body, record.key);
        put_nullable(&mut body, record.value);
        put_varint(&mut body, i64::from(record.header_count) + 1);
        body.extend_from_slice(record.headers);
        put_nullable(&mut body, Some(name.as_bytes()));
        put_nullable(&mut body, Some(value.as_bytes()));
        put_varint(out, body.len() as i64);
        out.extend_from_slice(&body);
        true
    })
}

/// `write` puts a record down, changed or not, or answers false for one that is left out.
fn amend(
    bytes: &[u8],
    header: &BatchHeader,
    limits: DecompressionLimits,
    mut write: impl FnMut(&RecordView<'_>, &mut Vec<u8>) -> bool,
) -> Result<Amended, RecordsInvalid> {
    let codec = header.codec()?;
    let compressed = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let plain = codec::decompress(codec, compressed, limits)?;
    let mut out = Vec::with_capacity(plain.len());
    let (mut record_count, mut last_present_delta, mut max_timestamp) = (0, -1, Timestamp::MIN);
    for record in records(&plain, header.record_count) {
        let record = record?;
        if write(&record, &mut out) {
            record_count += 1;
            last_present_delta = record.offset_delta;
            max_timestamp = max_timestamp.max(header.base_timestamp.wrapping_add(record.timestamp_delta));
        }
    }
    assert!(record_count > 0, "a batch of which nothing is left is not stored");
    if header.is_log_append_time() {
        max_timestamp = header.max_timestamp;
    }
    let is_large = out.len() >= QUICK_FROM_BYTES;
    let compression = if is_large { Compression::quick(codec) } else { Compression::of(codec) };
    let compressed = codec::compress_as(compression, &out);
    let bytes = assemble(BatchHeader { max_timestamp, ..*header }, record_count, &compressed);
    let header = BatchHeader::parse(&bytes)?;
    Ok(Amended { bytes, header, last_present_delta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::BatchBuilder;
    use crate::record::codec::Codec;
    use crate::record::patch;
    use crate::record::records::times;
    use crate::types::{ProducerEpoch, ProducerId};

    #[test]
    fn large_batches_are_compressed_quickly() {
        for (value_bytes, is_quick) in [(QUICK_FROM_BYTES / 4, false), (QUICK_FROM_BYTES, true)] {
            let value = vec![b'x'; value_bytes];
            let batch =
                BatchBuilder::new().codec(Codec::Gzip).record(1, None, Some(&value)).record(1, None, Some(b"y"));
            let bytes = batch.build();
            let header = BatchHeader::parse(&bytes).unwrap();
            let amended = without(&bytes, &header, limits(), |delta| delta == 1).unwrap();
            // XFL of RFC 1952: 4 says that the compressor used its fastest algorithm.
            assert_eq!(amended.bytes[HEADER_BYTES + 8] == 4, is_quick, "{value_bytes}");
        }
    }

    fn batch(codec: Codec) -> BytesMut {
        let keys = [b"0", b"1", b"2", b"3"];
        let batch = BatchBuilder::new().codec(codec).producer(ProducerId(9), ProducerEpoch(1), 40);
        let times = [500, 900, 100, 300];
        let records = keys.iter().zip(times);
        records
            .fold(batch, |batch, (key, time)| {
                batch.record_with_headers(time, Some(*key), Some(b"value"), &[(b"h", Some(b"x"))])
            })
            .build()
    }

    fn limits() -> DecompressionLimits {
        DecompressionLimits::default()
    }

    #[test]
    fn what_is_left_keeps_offsets_times_and_sequences() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bytes = batch(codec);
            let header = BatchHeader::parse(&bytes).expect("a batch");
            for (dropped, left, max_timestamp) in [
                (&[0][..], &[(1, 900), (2, 100), (3, 300)][..], 900),
                (&[1], &[(0, 500), (2, 100), (3, 300)], 500),
                (&[3], &[(0, 500), (1, 900), (2, 100)], 900),
                (&[0, 1, 3], &[(2, 100)], 100),
            ] {
                let amended =
                    without(&bytes, &header, limits(), |delta| dropped.contains(&delta)).expect("can be read");
                let found = BatchHeader::parse(&amended.bytes).expect("still a batch");
                assert_eq!(found, amended.header);
                assert_eq!(found.crc, patch::computed_crc(&amended.bytes));
                let unchanged = BatchHeader {
                    size_bytes: found.size_bytes,
                    crc: found.crc,
                    max_timestamp,
                    record_count: left.len() as i32,
                    ..header
                };
                assert_eq!(found, unchanged, "{codec} without {dropped:?}");
                assert_eq!(amended.last_present_delta, left.last().expect("not empty").0);
                let times: Result<Vec<_>, _> = times(&amended.bytes, limits()).expect("a batch").collect();
                let times: Vec<_> =
                    times.expect("well-formed").iter().map(|time| (time.offset_delta, time.timestamp)).collect();
                assert_eq!(times, left, "{codec} without {dropped:?}");
            }
        }
    }

    #[test]
    fn header_is_added_behind_those_that_are_there() {
        for codec in [Codec::None, Codec::Zstd] {
            let bytes = batch(codec);
            let header = BatchHeader::parse(&bytes).expect("a batch");
            let value_of = |delta| (delta == 2).then(|| "0:17".to_owned());
            let marked = with_header(&bytes, &header, limits(), "of", value_of).expect("can be read");
            assert_eq!((marked.header.record_count, marked.last_present_delta), (4, 3));
            let plain = codec::decompress(codec, &marked.bytes[HEADER_BYTES..], limits()).expect("decompresses");
            let found: Vec<_> = records(&plain, 4)
                .map(|record| record.expect("well-formed"))
                .map(|record| (record.timestamp_delta, record.key, record.header_pairs().collect::<Vec<_>>()))
                .collect();
            let (own, added) = ((&b"h"[..], Some(&b"x"[..])), (&b"of"[..], Some(&b"0:17"[..])));
            assert_eq!(found[1], (400, Some(&b"1"[..]), vec![own]));
            assert_eq!(found[2], (-400, Some(&b"2"[..]), vec![own, added]));
        }
    }
}
