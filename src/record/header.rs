//! The 61 bytes before a batch's records, parsed without touching the records.

use crate::record::codec::{Codec, UnknownCodec};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// Bytes of base offset and length field, which the length field does not count.
const LENGTH_OVERHEAD_BYTES: u32 = 12;

/// The only batch format that is stored; Kafka's `RecordBatch.MAGIC_VALUE_V2`.
const MAGIC_V2: i8 = 2;

// Where the fields lie. The CRC covers everything from the attributes on.
pub(super) const BASE_OFFSET_AT: usize = 0;
pub(crate) const LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

pub(super) const CODEC_MASK: i16 = 0b111;
pub(super) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(super) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(crate) const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// The `N` bytes of `head` at `at`; every caller names a field that ends within the header.
fn field<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

/// Writes `bytes` at `at`; every caller names a field that ends within the header.
pub(super) fn put<const N: usize>(head: &mut [u8], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

/// Bytes of the whole batch as its length field tells; may be anything from the wire.
fn declared_bytes(head: &[u8; HEADER_BYTES]) -> i64 {
    i64::from(i32::from_be_bytes(field(head, LENGTH_AT))) + i64::from(LENGTH_OVERHEAD_BYTES)
}

/// Header of a record batch v2, as it lies on the wire (`DefaultRecordBatch` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 from producers.
    pub base_offset: Offset,
    /// Bytes of the whole batch, header included (the wire's length field plus 12).
    pub size_bytes: u32,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    /// Last offset minus base offset, ≥ 0 in a valid batch.
    pub last_offset_delta: i32,
    /// Time that the records' deltas count from.
    pub base_timestamp: Timestamp,
    /// Largest time of a record.
    pub max_timestamp: Timestamp,
    /// Producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Epoch of the producer, -1 none.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, -1 none.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
}

/// Why bytes are not one record batch v2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchInvalid {
    /// Fewer bytes than a header has.
    #[error("{bytes} bytes are too few for a record batch")]
    TooShort {
        /// Bytes present.
        bytes: usize,
    },
    /// Another format than v2.
    #[error("record batch has magic {magic}")]
    Magic {
        /// As found.
        magic: i8,
    },
    /// The declared length is not the one of the bytes.
    #[error("record batch declares {declared} bytes, {present} are present")]
    Length {
        /// Bytes of the whole batch as its length field tells.
        declared: i64,
        /// Bytes present.
        present: usize,
    },
}

impl BatchHeader {
    /// Reads the header of the one batch that `bytes` hold, to the last byte. The CRC is not checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchInvalid> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(BatchInvalid::TooShort { bytes: bytes.len() });
        };
        let magic = i8::from_be_bytes(field(head, MAGIC_AT));
        if magic != MAGIC_V2 {
            return Err(BatchInvalid::Magic { magic });
        }
        let declared = declared_bytes(head);
        let size_bytes = match u32::try_from(declared) {
            Ok(size_bytes) if usize::try_from(size_bytes) == Ok(bytes.len()) => size_bytes,
            _ => return Err(BatchInvalid::Length { declared, present: bytes.len() }),
        };
        Ok(Self {
            base_offset: i64::from_be_bytes(field(head, BASE_OFFSET_AT)),
            size_bytes,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(head, LEADER_EPOCH_AT))),
            crc: u32::from_be_bytes(field(head, CRC_AT)),
            attributes: i16::from_be_bytes(field(head, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(head, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(head, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(head, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId(i64::from_be_bytes(field(head, PRODUCER_ID_AT))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(head, PRODUCER_EPOCH_AT))),
            base_sequence: i32::from_be_bytes(field(head, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(head, RECORD_COUNT_AT)),
        })
    }

    /// The header as it lies on the wire. [`BatchHeader::parse`] of it and its records gives `self`.
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut head = [0; HEADER_BYTES];
        put(&mut head, BASE_OFFSET_AT, self.base_offset.to_be_bytes());
        put(&mut head, LENGTH_AT, (self.size_bytes - LENGTH_OVERHEAD_BYTES).to_be_bytes());
        put(&mut head, LEADER_EPOCH_AT, self.leader_epoch.0.to_be_bytes());
        put(&mut head, MAGIC_AT, MAGIC_V2.to_be_bytes());
        put(&mut head, CRC_AT, self.crc.to_be_bytes());
        put(&mut head, ATTRIBUTES_AT, self.attributes.to_be_bytes());
        put(&mut head, LAST_OFFSET_DELTA_AT, self.last_offset_delta.to_be_bytes());
        put(&mut head, BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        put(&mut head, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put(&mut head, PRODUCER_ID_AT, self.producer_id.0.to_be_bytes());
        put(&mut head, PRODUCER_EPOCH_AT, self.producer_epoch.0.to_be_bytes());
        put(&mut head, BASE_SEQUENCE_AT, self.base_sequence.to_be_bytes());
        put(&mut head, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        head
    }

    /// Offset of the last record, counted from [`BatchHeader::base_offset`].
    pub fn last_offset(&self) -> Offset {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// Sequence of the last record; meaningless without a producer.
    pub fn last_sequence(&self) -> i32 {
        advance_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Result<Codec, UnknownCodec> {
        Codec::from_attributes(self.attributes & CODEC_MASK)
    }

    /// Whether the records' time is the broker's at the append, the max timestamp, instead of the producer's (timestamp type
    /// LogAppendTime instead of CreateTime).
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether it holds a transaction marker instead of a producer's records.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether it carries a producer id (`hasProducerId` in Kafka).
    pub fn is_idempotent(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// When compaction may remove the batch's tombstones or marker, once compaction has set it; it then lies in the place of
    /// the base timestamp (KIP-534).
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }
}

/// How many records of producers the stored `batch` holds, by its header: none if it is a marker, or no batch.
pub fn data_record_count(batch: &[u8]) -> u64 {
    let Some(head) = batch.first_chunk::<HEADER_BYTES>() else { return 0 };
    let is_control = i16::from_be_bytes(field(head, ATTRIBUTES_AT)) & CONTROL_BIT != 0;
    let count = i32::from_be_bytes(field(head, RECORD_COUNT_AT));
    if is_control { 0 } else { u64::try_from(count).unwrap_or(0) }
}

/// The sequence `increment` after `sequence`: 0 follows 2147483647 (`DefaultRecordBatch.incrementSequence`).
/// Both are ≥ 0.
pub fn advance_sequence(sequence: i32, increment: i32) -> i32 {
    // Sequences count modulo 2^31, so the sum without its sign bit is the answer.
    sequence.wrapping_add(increment) & i32::MAX
}

#[cfg(test)]
mod tests;
