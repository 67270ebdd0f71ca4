//! The one batch of a run, encoded before the run and copied into each request with a few bytes changed. Pure.
//!
//! A record's value is 8 bytes of send time, 4 bytes of CRC-32C over the rest, and capital letters, which compress to about
//! 60 % as those of Kafka's `ProducerPerformance` do. Only the first record of a batch carries a send time, and only in batches
//! that are not compressed; in all others it is 0. Values shorter than [`CHECKED_VALUE_BYTES`] are letters alone.

use std::cell::RefCell;

use super::checksum::Effects;
use super::random::Random;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::record::records::records;
use crate::record::{ATTRIBUTES_AT, CRC_AT, HEADER_BYTES, PRODUCER_ID_AT};
use crate::types::{ProducerEpoch, ProducerId, Timestamp, Uuid};

/// Bytes of the send time, ns of the monotonic clock, big-endian.
const STAMP_BYTES: usize = 8;

/// Bytes of send time and checksum: the shortest value that has them.
pub(super) const CHECKED_VALUE_BYTES: usize = STAMP_BYTES + 4;

/// Bytes of producer id, epoch and base sequence, which lie side by side.
const PRODUCER_BYTES: usize = 14;

/// Bytes of a UUID as text.
const UUID_TEXT_BYTES: usize = 36;

/// The codec's bits in the low byte of a batch's attributes; all zero without compression.
const CODEC_BITS: u8 = 0b111;

/// What the batch is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct PayloadSpec<'a> {
    pub(super) record_bytes: usize,
    pub(super) record_count: usize,
    pub(super) codec: Codec,
    /// Whether the records are of a transaction.
    pub(super) is_transactional: bool,
    pub(super) timestamp: Timestamp,
    pub(super) seed: u64,
    /// Name of a header with an id, and the seed of the ids: a run that has that of another repeats its ids. Not with a codec.
    pub(super) ids: Option<(&'a str, u64)>,
}

/// The encoded batch and how to change it.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    batch: Vec<u8>,
    crc: u32,
    producer_effects: Effects,
    /// Where the first record's send time lies, if it has one.
    stamp: Option<(usize, Effects)>,
    ids: Option<Ids>,
    /// Records in the batch.
    pub(super) record_count: usize,
    /// Bytes of the records' values, before compression.
    pub(super) value_bytes: usize,
}

/// Ids of records: where they lie in the batch, and what the next are made of.
#[derive(Debug, Clone)]
struct Ids {
    places: Vec<usize>,
    random: RefCell<Random>,
}

impl Ids {
    fn put(&self, batch: &mut [u8]) {
        let mut random = self.random.borrow_mut();
        for at in &self.places {
            let bits = u128::from(random.next()) << 64 | u128::from(random.next());
            Uuid::from_u128(bits).hyphenated().encode_lower(&mut batch[*at..*at + UUID_TEXT_BYTES]);
        }
    }
}

/// Who a batch is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) base_sequence: i32,
}

impl Producer {
    fn to_bytes(self) -> [u8; PRODUCER_BYTES] {
        let mut bytes = [0; PRODUCER_BYTES];
        bytes[..8].copy_from_slice(&self.id.0.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[10..].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes
    }
}

impl Payload {
    /// Encodes the batch.
    ///
    /// # Panics
    /// Without records, or with 2 GiB of them, or with ids that are to be compressed.
    pub(super) fn new(spec: &PayloadSpec<'_>) -> Self {
        assert!(spec.ids.is_none() || spec.codec == Codec::None, "ids are changed where they lie");
        let mut random = Random::new(spec.seed);
        let mut builder = BatchBuilder::new().codec(spec.codec);
        if spec.is_transactional {
            builder = builder.transactional();
        }
        for _ in 0..spec.record_count {
            let value = value(spec.record_bytes, &mut random);
            let id = spec.ids.map(|(name, _)| (name.as_bytes(), Some(&[0; UUID_TEXT_BYTES][..])));
            builder = builder.record_with_headers(spec.timestamp, None, Some(&value), id.as_slice());
        }
        let batch = builder.build().to_vec();
        let covered = &batch[ATTRIBUTES_AT..];
        let stamp = stamp_at(&batch, spec).map(|at| (at, Effects::of(covered, at - ATTRIBUTES_AT, STAMP_BYTES)));
        Self {
            crc: crc32c::crc32c(covered),
            producer_effects: Effects::of(covered, PRODUCER_ID_AT - ATTRIBUTES_AT, PRODUCER_BYTES),
            stamp,
            ids: spec.ids.map(|(_, seed)| Ids { places: id_places(&batch), random: RefCell::new(Random::new(seed)) }),
            record_count: spec.record_count,
            value_bytes: spec.record_count * spec.record_bytes,
            batch,
        }
    }

    /// Bytes of the batch as it is sent.
    pub(super) fn batch_bytes(&self) -> usize {
        self.batch.len()
    }

    /// Whether batches tell when they were to be sent.
    pub(super) fn is_stamped(&self) -> bool {
        self.stamp.is_some()
    }

    /// Appends the batch to `frame`, as from `producer` and stamped with `intended_ns`.
    pub(super) fn put(&self, frame: &mut Vec<u8>, producer: Option<Producer>, intended_ns: u64) {
        let from = frame.len();
        frame.extend_from_slice(&self.batch);
        let batch = &mut frame[from..];
        let mut crc = self.crc;
        if let Some(producer) = producer {
            let field = &mut batch[PRODUCER_ID_AT..PRODUCER_ID_AT + PRODUCER_BYTES];
            let bytes = producer.to_bytes();
            crc ^= self.producer_effects.of_change(field, &bytes);
            field.copy_from_slice(&bytes);
        }
        if let Some((at, effects)) = &self.stamp {
            let field = &mut batch[*at..*at + STAMP_BYTES];
            let bytes = intended_ns.to_be_bytes();
            crc ^= effects.of_change(field, &bytes);
            field.copy_from_slice(&bytes);
        }
        if let Some(ids) = &self.ids {
            ids.put(batch);
            // So many bytes change that reading all of them is cheaper.
            crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
        }
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }
}

fn value(bytes: usize, random: &mut Random) -> Vec<u8> {
    let mut value: Vec<u8> = (0..bytes).map(|_| b'A' + (random.next() % 26) as u8).collect();
    if bytes >= CHECKED_VALUE_BYTES {
        value[..STAMP_BYTES].fill(0);
        let crc = crc32c::crc32c(&value[CHECKED_VALUE_BYTES..]);
        value[STAMP_BYTES..CHECKED_VALUE_BYTES].copy_from_slice(&crc.to_be_bytes());
    }
    value
}

/// Where the ids lie in an uncompressed batch of records that have one each and nothing behind it.
fn id_places(batch: &[u8]) -> Vec<usize> {
    let record_bytes = batch.get(HEADER_BYTES..).unwrap_or_default();
    let mut end = HEADER_BYTES;
    let mut places = Vec::new();
    for record in records(record_bytes, i32::MAX).map_while(Result::ok) {
        end += record.raw.len();
        places.push(end - UUID_TEXT_BYTES);
    }
    places
}

fn stamp_at(batch: &[u8], spec: &PayloadSpec<'_>) -> Option<usize> {
    if spec.codec != Codec::None || spec.record_bytes < CHECKED_VALUE_BYTES {
        return None;
    }
    stamp_range(batch).map(|range| range.start)
}

/// Where the first record's send time lies in an uncompressed batch.
fn stamp_range(batch: &[u8]) -> Option<std::ops::Range<usize>> {
    let record_bytes = batch.get(HEADER_BYTES..)?;
    // Only the first record is read: a count that is too high is found out behind it.
    let first = records(record_bytes, i32::MAX).next()?.ok()?;
    let value = first.value?;
    let at = value.as_ptr().addr().checked_sub(batch.as_ptr().addr())?;
    (value.len() >= CHECKED_VALUE_BYTES).then_some(at..at + STAMP_BYTES)
}

/// The send time in a batch, ns of the monotonic clock; none where there is none.
pub(super) fn stamp_of(batch: &[u8]) -> Option<u64> {
    let is_compressed = batch.get(ATTRIBUTES_AT + 1)? & CODEC_BITS != 0;
    if is_compressed {
        return None;
    }
    let stamp = batch.get(stamp_range(batch)?)?;
    stamp.try_into().map(u64::from_be_bytes).ok().filter(|stamp| *stamp > 0)
}

/// Whether a record's value is one of ours and whole. Values too short for a checksum are taken as they are.
pub(super) fn is_intact(value: &[u8]) -> bool {
    match value.split_at_checked(CHECKED_VALUE_BYTES) {
        Some((head, rest)) => head[STAMP_BYTES..] == crc32c::crc32c(rest).to_be_bytes(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::validate::check_client_batch;

    fn spec(codec: Codec) -> PayloadSpec<'static> {
        PayloadSpec {
            record_bytes: 100,
            record_count: 5,
            codec,
            is_transactional: false,
            timestamp: 1_700_000_000_000,
            seed: 3,
            ids: None,
        }
    }

    const PRODUCER: Producer =
        Producer { id: ProducerId(0x1234_5678_9abc), epoch: ProducerEpoch(2), base_sequence: 77 };

    #[test]
    fn every_patched_batch_is_one_that_a_broker_takes() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let payload = Payload::new(&spec(codec));
            for (producer, intended_ns) in [(None, 1), (Some(PRODUCER), u64::MAX / 3), (Some(PRODUCER), 5)] {
                let mut frame = b"before".to_vec();
                payload.put(&mut frame, producer, intended_ns);
                let header = check_client_batch(&frame[6..]).expect("a valid batch");
                assert_eq!(header.record_count, 5);
                let expected = producer.map_or((ProducerId::NONE, -1), |from| (from.id, from.base_sequence));
                assert_eq!((header.producer_id, header.base_sequence), expected);
                let expected = (codec == Codec::None).then_some(intended_ns);
                assert_eq!(stamp_of(&frame[6..]), expected, "{codec}");
            }
        }
    }

    #[test]
    fn values_are_intact_whatever_their_stamp_and_broken_by_any_other_change() {
        let payload = Payload::new(&spec(Codec::None));
        let mut batch = Vec::new();
        payload.put(&mut batch, None, 99);
        let values: Vec<_> =
            records(&batch[HEADER_BYTES..], 5).map(|record| record.unwrap().value.unwrap().to_vec()).collect();
        assert!(values.iter().all(|value| value.len() == 100 && is_intact(value)));
        for at in STAMP_BYTES..100 {
            let mut broken = values[0].clone();
            broken[at] ^= 1;
            assert!(!is_intact(&broken), "byte {at}");
        }
    }

    #[test]
    fn every_record_that_is_sent_has_an_id_of_its_own() {
        let payload = Payload::new(&PayloadSpec { ids: Some(("message-id", 9)), ..spec(Codec::None) });
        let mut seen = std::collections::HashSet::new();
        for intended_ns in 1..=20 {
            let mut batch = Vec::new();
            payload.put(&mut batch, Some(PRODUCER), intended_ns);
            check_client_batch(&batch).expect("a valid batch");
            assert_eq!(stamp_of(&batch), Some(intended_ns));
            for record in records(&batch[HEADER_BYTES..], 5) {
                let record = record.expect("a record");
                assert!(record.value.is_some_and(is_intact));
                let headers: Vec<_> = record.header_pairs().collect();
                let [(b"message-id", Some(id))] = headers[..] else { panic!("headers {headers:?}") };
                seen.insert(Uuid::try_parse_ascii(id).expect("a UUID"));
            }
        }
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn short_values_have_no_stamp_and_no_checksum() {
        let payload = Payload::new(&PayloadSpec { record_bytes: 11, ..spec(Codec::None) });
        let mut batch = Vec::new();
        payload.put(&mut batch, None, 99);
        assert_eq!((payload.is_stamped(), stamp_of(&batch)), (false, None));
        assert!(check_client_batch(&batch).is_ok());
        assert!(is_intact(b"short"));
    }
}
