//! Batches with some of their records left out, as compaction leaves them (`MemoryRecords.filterTo` in Kafka).
//!
//! What is kept is copied as it is encoded, with its place, headers and all; base offset, last offset, producer and sequence of the
//! batch stay, so that it covers the same offsets and sequences with holes in them. The delete horizon (KIP-534) lies in the place of
//! the base timestamp from which the times of records are counted, so setting it writes these anew, and nothing else of a record.

use std::io::{self, Read};

use bytes::{BufMut, BytesMut};

use super::build::put_varint;
use super::codec::{self, Compression};
use super::header::{CODEC_MASK, DELETE_HORIZON_BIT};
use super::records::{Look, Opened, RecordView, RecordsInvalid};
use super::{BatchHeader, HEADER_BYTES, patch};
use crate::types::Timestamp;

/// Which records of a batch are kept: a bit for each.
#[derive(Debug)]
pub struct Kept {
    bits: Vec<u64>,
    /// How many.
    pub count: usize,
    /// The newest time of one of them, ms.
    max_timestamp: Option<Timestamp>,
    plain_bytes: u64,
    horizon: Timestamp,
    /// The same once `horizon` is set.
    plain_bytes_at_horizon: u64,
}

impl Kept {
    /// Asks `keeps` of each record, in order. `horizon` is the delete horizon that may be set.
    ///
    /// # Errors
    /// [`RecordsInvalid`] if they are not exactly the records that the header counts.
    pub fn of(
        opened: &Opened<'_>,
        horizon: Timestamp,
        mut keeps: impl FnMut(&RecordView<'_>) -> bool,
    ) -> Result<Self, RecordsInvalid> {
        let header = opened.header();
        let (bits, count) = (Vec::new(), 0);
        let mut kept = Self { bits, count, max_timestamp: None, plain_bytes: 0, horizon, plain_bytes_at_horizon: 0 };
        let mut index = 0;
        let mut moved = Vec::new();
        opened.each(|record| {
            if index % 64 == 0 {
                kept.bits.push(0);
            }
            if keeps(record) {
                kept.bits[index / 64] |= 1 << (index % 64);
                kept.count += 1;
                kept.max_timestamp = kept.max_timestamp.max(Some(time_of(header, record)));
                kept.plain_bytes += record.raw.len() as u64;
                moved.clear();
                put_head_at(&mut moved, record, time_of(header, record).wrapping_sub(horizon));
                kept.plain_bytes_at_horizon += (moved.len() + record.after_time.len()) as u64;
            }
            index += 1;
            true
        })?;
        Ok(kept)
    }

    fn has(&self, index: usize) -> bool {
        self.bits.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }
}

/// The batch that was `opened` with no records but `kept` ones, and with their delete horizon if it `sets_horizon`; else the one that
/// is there, if any, stays.
///
/// # Errors
/// [`RecordsInvalid`] if its records cannot be read.
///
/// # Panics
/// With more bytes of records than a batch can hold (2 GiB).
pub fn with_records(opened: &Opened<'_>, kept: &Kept, sets_horizon: bool) -> Result<BytesMut, RecordsInvalid> {
    let header = opened.header();
    let codec = header.codec()?;
    let horizon = sets_horizon.then_some(kept.horizon);
    let plain_bytes = if sets_horizon { kept.plain_bytes_at_horizon } else { kept.plain_bytes };
    let look = opened.look()?;
    let mut plain = Plain { header, look, kept, horizon, index: 0, bytes: Vec::new(), given: 0, failure: None };
    let mut records = Vec::new();
    let written = codec::write(Compression::of(codec), &mut plain, plain_bytes, &mut records);
    if let Some(failure) = plain.failure {
        return Err(failure);
    }
    written.map_err(|error| codec::from_io(codec, error))?;
    let max_timestamp = match kept.max_timestamp {
        Some(max_timestamp) if !header.is_log_append_time() => max_timestamp,
        _ => header.max_timestamp,
    };
    let header = match horizon {
        Some(horizon) => BatchHeader {
            attributes: header.attributes | DELETE_HORIZON_BIT,
            base_timestamp: horizon,
            max_timestamp,
            ..*header
        },
        None => BatchHeader { max_timestamp, ..*header },
    };
    Ok(assemble(header, kept.count, &records))
}

/// The kept records as they will be, one after the other.
struct Plain<'a> {
    header: &'a BatchHeader,
    look: Look<'a>,
    kept: &'a Kept,
    horizon: Option<Timestamp>,
    index: usize,
    /// Of one record, and how much of it has been given.
    bytes: Vec<u8>,
    given: usize,
    failure: Option<RecordsInvalid>,
}

impl Plain<'_> {
    /// Makes the next kept record; answers whether there was one.
    fn advance(&mut self) -> Result<bool, RecordsInvalid> {
        while let Some(record) = self.look.next()? {
            let is_kept = self.kept.has(self.index);
            self.index += 1;
            if is_kept {
                self.bytes.clear();
                self.given = 0;
                match self.horizon {
                    None => self.bytes.extend_from_slice(record.raw),
                    Some(horizon) => {
                        let delta = time_of(self.header, &record).wrapping_sub(horizon);
                        put_head_at(&mut self.bytes, &record, delta);
                        self.bytes.extend_from_slice(record.after_time);
                    }
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Read for Plain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < buffer.len() {
            if self.given == self.bytes.len() {
                match self.advance() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(failure) => {
                        self.failure = Some(failure);
                        return Err(io::Error::from(io::ErrorKind::InvalidData));
                    }
                }
            }
            let rest = &self.bytes[self.given..];
            let count = rest.len().min(buffer.len() - written);
            buffer[written..written + count].copy_from_slice(&rest[..count]);
            (written, self.given) = (written + count, self.given + count);
        }
        Ok(written)
    }
}

fn time_of(header: &BatchHeader, record: &RecordView<'_>) -> Timestamp {
    header.base_timestamp.wrapping_add(record.timestamp_delta)
}

/// The batch of `header` without a record, and so without a codec (`DefaultRecordBatch.writeEmptyHeader`).
pub fn without_records(header: &BatchHeader) -> BytesMut {
    assemble(BatchHeader { attributes: header.attributes & !CODEC_MASK, ..*header }, 0, &[])
}

/// What precedes the offset of a record, at another time.
fn put_head_at(plain: &mut Vec<u8>, record: &RecordView<'_>, timestamp_delta: i64) {
    let mut head = vec![0]; // attributes: none are defined
    put_varint(&mut head, timestamp_delta);
    put_varint(plain, (head.len() + record.after_time.len()) as i64);
    plain.extend_from_slice(&head);
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

    /// What is left of a batch with the records at `indexes`.
    fn left(batch: &[u8], indexes: std::ops::Range<usize>, horizon: Option<Timestamp>) -> BytesMut {
        let header = BatchHeader::parse(batch).unwrap();
        let opened = Opened::of(batch, &header, LIMITS).unwrap();
        let mut index = 0..;
        let keeps = |_: &RecordView<'_>| indexes.contains(&index.next().unwrap());
        let kept = Kept::of(&opened, horizon.unwrap_or(0), keeps).unwrap();
        with_records(&opened, &kept, horizon.is_some()).unwrap()
    }

    #[test]
    fn kept_records_are_byte_for_byte_the_same_in_a_batch_that_covers_the_same_offsets() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let before = batch(codec);
            let header = BatchHeader::parse(&before).unwrap();
            let before_plain = plain(&before);
            let before = views(&before_plain, 3);
            let after = left(&batch(codec), 1..2, None);
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
            let first = left(&batch(codec), 0..1, None);
            assert_eq!(BatchHeader::parse(&first).unwrap().max_timestamp, 1000);
        }
    }

    #[test]
    fn a_delete_horizon_moves_no_time_and_touches_nothing_else() {
        let before = batch(Codec::Lz4);
        let header = BatchHeader::parse(&before).unwrap();
        let before_plain = plain(&before);
        let kept = views(&before_plain, 3);
        let after = left(&before, 0..3, Some(900_000));
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
        let again = left(&after, 1..2, None);
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
