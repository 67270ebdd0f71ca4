//! What a batch from a client must be before it may be appended (`LogValidator`, `ProduceRequest.validateRecords` in Kafka).
//!
//! The size limit of the topic and the rules that depend on the request (transactional id, zstd before Produce 7) are the
//! handler's; sequences are judged by [`crate::producer`].

use std::fmt;

use super::codec::{Codec, DecompressionLimits, UnknownCodec};
use super::records::{RECORD_BODY_BYTES_MIN, RecordsInvalid, check_lengths, heads};
use super::{BatchHeader, BatchInvalid, HEADER_BYTES, patch};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Timestamp};

/// A record that made its batch invalid; an entry of the response's `record_errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Index of the record in the batch.
    pub batch_index: i32,
    /// What is wrong with it, for people.
    pub message: String,
}

impl fmt::Display for RecordError {
    /// As Kafka writes it into the text of a refusal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordError(batchIndex={}, message='{}')", self.batch_index, self.message)
    }
}

fn first_three(records: &[RecordError]) -> String {
    records.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Records that are named in a refusal at most, so that an answer stays small whatever was sent.
pub const RECORD_ERRORS_MAX: usize = 100;

/// Bytes of the smallest record, its length included.
const RECORD_BYTES_MIN: i64 = RECORD_BODY_BYTES_MIN as i64 + 1;

/// Time of a record that has none; Kafka's `RecordBatch.NO_TIMESTAMP`.
const NO_TIMESTAMP: Timestamp = -1;

/// Why a batch is not appended. `Display` is the sentence that the client gets as error message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchRejected {
    /// There is no batch.
    #[error("Produce requests must have exactly one record batch per partition, but there is none")]
    NoBatch,
    /// There is more than one batch.
    #[error("Produce requests must have exactly one record batch per partition, but there are several")]
    SeveralBatches,
    /// The batch has another format than v2.
    #[error("Produce requests may only contain record batches with magic version 2, but this one has {magic}")]
    Magic {
        /// As found.
        magic: i8,
    },
    /// There are fewer bytes than the batch declares, or than a batch has.
    #[error(
        "Produce requests must have exactly one record batch per partition, but of {declared} bytes {present} are present"
    )]
    Truncated {
        /// Bytes of the whole batch as its length field tells; at least those of a header.
        declared: i64,
        /// Bytes present.
        present: usize,
    },
    /// Bytes are left over, or the length is none of a batch. Kafka drops what is left over and stores the rest: what a client meant by
    /// it is lost without a word.
    #[error("Record batch is corrupt: it declares {declared} bytes, but {present} are present")]
    Length {
        /// Bytes of the whole batch as its length field tells.
        declared: i64,
        /// Bytes present.
        present: usize,
    },
    /// The checksum is wrong.
    #[error("Record batch is corrupt: stored crc is {stored}, computed crc is {computed}")]
    Crc {
        /// As found.
        stored: u32,
        /// CRC-32C of the bytes.
        computed: u32,
    },
    /// Offsets do not start at 0.
    #[error("The base offset of a record batch to append should be 0, but it is {base_offset}")]
    BaseOffset {
        /// As found.
        base_offset: i64,
    },
    /// No records, or a count that does not fit the offsets or the bytes.
    #[error("Record batch has an invalid count of {record_count} records, with last offset delta {last_offset_delta}")]
    RecordCount {
        /// As found.
        record_count: i32,
        /// As found.
        last_offset_delta: i32,
    },
    /// Control batches are the broker's own.
    #[error("Clients are not allowed to write control records")]
    ControlBatch,
    /// The delete horizon is the broker's own, set by compaction.
    #[error("Clients are not allowed to set a delete horizon")]
    DeleteHorizon,
    /// The batch has a producer, but no valid id, epoch or sequence.
    #[error(
        "Invalid sequence number {base_sequence} or epoch {producer_epoch} in record batch with producer id {producer_id}"
    )]
    Producer {
        /// As found.
        producer_id: ProducerId,
        /// As found.
        producer_epoch: ProducerEpoch,
        /// As found.
        base_sequence: i32,
    },
    /// A transaction needs a producer. Kafka calls it unauthorised (TRANSACTIONAL_ID_AUTHORIZATION_FAILED), as it looks for a
    /// transactional id first; no client sends it.
    #[error("Transactional record batch has no producer id")]
    TransactionalWithoutProducer,
    /// The codec does not exist.
    #[error("Record batch has the unknown compression type {codec}")]
    UnknownCodec {
        /// As found.
        codec: i16,
    },
    /// Records are outside of the topic's `message.timestamp.before.max.ms` or `message.timestamp.after.max.ms`, or claim a time
    /// of the broker's; others may have no key.
    #[error("One or more records have been rejected due to invalid timestamp")]
    Timestamps {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
    },
    /// Records have no key, but the topic is compacted.
    #[error(
        "One or more records have been rejected due to {count} record errors in total, and only showing the first three errors \
         at most: [{}]",
        first_three(records)
    )]
    KeysMissing {
        /// The first [`RECORD_ERRORS_MAX`] of them.
        records: Vec<RecordError>,
        /// How many there are.
        count: usize,
    },
    /// The records were looked at and do not decode.
    #[error("Record batch does not decode: {detail}")]
    Undecodable {
        /// What did not fit.
        detail: String,
    },
}

impl BatchRejected {
    /// Code for the wire.
    pub fn error(&self) -> ErrorCode {
        match self {
            Self::Length { .. } | Self::Crc { .. } => ErrorCode::CORRUPT_MESSAGE,
            Self::Timestamps { .. } => ErrorCode::INVALID_TIMESTAMP,
            Self::UnknownCodec { .. } => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            Self::NoBatch
            | Self::SeveralBatches
            | Self::Truncated { .. }
            | Self::Magic { .. }
            | Self::BaseOffset { .. }
            | Self::RecordCount { .. }
            | Self::ControlBatch
            | Self::DeleteHorizon
            | Self::Producer { .. }
            | Self::TransactionalWithoutProducer
            | Self::KeysMissing { .. }
            | Self::Undecodable { .. } => ErrorCode::INVALID_RECORD,
        }
    }

    /// Whether the bytes are one intact batch, which the log then refuses for what it says or holds: Kafka finds that in
    /// `LogValidator` and tells the log's start with the refusal.
    pub fn is_intact(&self) -> bool {
        !matches!(
            self,
            Self::NoBatch
                | Self::SeveralBatches
                | Self::Truncated { .. }
                | Self::Magic { .. }
                | Self::Length { .. }
                | Self::Crc { .. }
        )
    }

    /// The single records at fault, where it is single ones (`record_errors` of the response).
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Self::Timestamps { records } | Self::KeysMissing { records, .. } => records,
            _ => &[],
        }
    }
}

/// How far record times may be from the broker's, ms (`message.timestamp.before.max.ms`, `message.timestamp.after.max.ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampBounds {
    /// Into the past, ≥ 0; `i64::MAX` for any.
    pub before_max_ms: i64,
    /// Into the future, ≥ 0; `i64::MAX` for any.
    pub after_max_ms: i64,
}

/// Checks that `bytes` are exactly one batch that a client may append. Uncompressed records have to be as many as the header
/// counts and to end where the batch ends, by their lengths; compressed ones are not expanded. Kafka decodes all of both
/// (INVALID_RECORD), which costs it the cheap path that this broker is for.
pub fn check_client_batch(bytes: &[u8]) -> Result<BatchHeader, BatchRejected> {
    let header = BatchHeader::parse(bytes).map_err(|invalid| not_one_batch(bytes, invalid))?;
    let computed = patch::computed_crc(bytes);
    if computed != header.crc {
        return Err(BatchRejected::Crc { stored: header.crc, computed });
    }
    if header.base_offset != 0 {
        return Err(BatchRejected::BaseOffset { base_offset: header.base_offset });
    }
    check_attributes(&header)?;
    check_counts(&header)?;
    check_producer(&header)?;
    if header.codec() == Ok(Codec::None) {
        check_lengths(&bytes[HEADER_BYTES..], header.record_count)?;
    }
    Ok(header)
}

/// Tells none, several and damaged batches apart.
fn not_one_batch(bytes: &[u8], invalid: BatchInvalid) -> BatchRejected {
    match invalid {
        BatchInvalid::TooShort { bytes: 0 } => BatchRejected::NoBatch,
        BatchInvalid::TooShort { bytes } => BatchRejected::Truncated { declared: HEADER_BYTES as i64, present: bytes },
        BatchInvalid::Magic { magic } => BatchRejected::Magic { magic },
        BatchInvalid::Length { declared, present } => {
            let first = usize::try_from(declared).ok().filter(|declared| *declared >= HEADER_BYTES);
            match first.map(|declared| bytes.get(declared..).map(BatchHeader::parse)) {
                // Whether the second is whole or has others behind it does not matter.
                Some(Some(Ok(_) | Err(BatchInvalid::Length { .. } | BatchInvalid::Magic { .. }))) => {
                    BatchRejected::SeveralBatches
                }
                Some(None) => BatchRejected::Truncated { declared, present },
                Some(Some(Err(BatchInvalid::TooShort { .. }))) | None => BatchRejected::Length { declared, present },
            }
        }
    }
}

fn check_attributes(header: &BatchHeader) -> Result<(), BatchRejected> {
    if let Err(UnknownCodec(codec)) = header.codec() {
        return Err(BatchRejected::UnknownCodec { codec });
    }
    if header.is_control() {
        return Err(BatchRejected::ControlBatch);
    }
    if header.delete_horizon().is_some() {
        return Err(BatchRejected::DeleteHorizon);
    }
    Ok(())
}

fn check_counts(header: &BatchHeader) -> Result<(), BatchRejected> {
    let BatchHeader { record_count, last_offset_delta, .. } = *header;
    let fits_offsets = record_count > 0 && last_offset_delta == record_count - 1;
    let records_bytes = i64::from(header.size_bytes) - HEADER_BYTES as i64;
    let fits_bytes = header.codec() != Ok(Codec::None) || i64::from(record_count) * RECORD_BYTES_MIN <= records_bytes;
    if fits_offsets && fits_bytes && records_bytes > 0 {
        return Ok(());
    }
    Err(BatchRejected::RecordCount { record_count, last_offset_delta })
}

fn check_producer(header: &BatchHeader) -> Result<(), BatchRejected> {
    let BatchHeader { producer_id, producer_epoch, base_sequence, .. } = *header;
    if producer_id == ProducerId::NONE {
        return if header.is_transactional() { Err(BatchRejected::TransactionalWithoutProducer) } else { Ok(()) };
    }
    if producer_id.0 < 0 || producer_epoch.0 < 0 || base_sequence < 0 {
        return Err(BatchRejected::Producer { producer_id, producer_epoch, base_sequence });
    }
    Ok(())
}

/// What a topic asks of single records.
#[derive(Clone, Copy)]
pub struct RecordRules<'a> {
    /// How far their times may be off; none: the broker stamps them, and no producer may claim to have done so.
    pub times: Option<TimestampBounds>,
    /// Whether each needs a key, and the partition that a refusal tells then.
    pub keyed: Option<&'a dyn fmt::Display>,
}

/// Checks the records' times and keys. Where the header settles the times, and with default bounds it does, and no keys are asked
/// for, records are not looked at; else they are decompressed as a stream. Records without a time (-1) pass, as in Kafka.
///
/// Of a CreateTime topic a batch whose type is LogAppendTime is taken by its max timestamp, as in Kafka.
pub fn check_records(
    bytes: &[u8],
    header: &BatchHeader,
    rules: RecordRules<'_>,
    now: Timestamp,
    limits: DecompressionLimits,
) -> Result<(), BatchRejected> {
    let is_stamped = header.is_log_append_time() && (rules.times.is_none() || header.max_timestamp == NO_TIMESTAMP);
    let bounds = rules.times.filter(|bounds| !bounds.settled_by(header, now));
    if !is_stamped && bounds.is_none() && rules.keyed.is_none() {
        return Ok(());
    }
    let (mut records, mut count, mut is_keys_alone) = (Vec::new(), 0, true);
    for (batch_index, head) in (0..).zip(heads(bytes, header, limits)?) {
        let head = head?;
        let timestamp = head.timestamp(header);
        let keyed = rules.keyed.filter(|_| !head.has_key);
        let outside = bounds.filter(|bounds| !bounds.hold(timestamp, now));
        if keyed.is_none() && outside.is_none() && !is_stamped {
            continue;
        }
        count += 1;
        is_keys_alone &= keyed.is_some();
        if records.len() < RECORD_ERRORS_MAX {
            let message = match (keyed, outside) {
                (Some(partition), _) => {
                    format!("Compacted topic cannot accept message without key in topic partition {partition}")
                }
                (None, Some(bounds)) => bounds.refuse(timestamp, batch_index, now),
                (None, None) => format!(
                    "Invalid timestamp type in message with offset {batch_index}. Producer should not set timestamp type to \
                     LogAppendTime."
                ),
            };
            records.push(RecordError { batch_index, message });
        }
    }
    match count {
        0 => Ok(()),
        _ if is_keys_alone => Err(BatchRejected::KeysMissing { records, count }),
        _ => Err(BatchRejected::Timestamps { records }),
    }
}

impl TimestampBounds {
    fn earliest(&self, now: Timestamp) -> Timestamp {
        if self.before_max_ms == i64::MAX { Timestamp::MIN } else { now.saturating_sub(self.before_max_ms) }
    }

    fn latest(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.after_max_ms)
    }

    /// Of the record at `offset` of its batch. Kafka shows the bounds as they overflow where there is none.
    fn refuse(&self, timestamp: Timestamp, offset: i32, now: Timestamp) -> String {
        let (earliest, latest) = (now.wrapping_sub(self.before_max_ms), now.wrapping_add(self.after_max_ms));
        format!(
            "Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be within [{earliest}, \
             {latest}]"
        )
    }

    fn hold(&self, timestamp: Timestamp, now: Timestamp) -> bool {
        timestamp == NO_TIMESTAMP || self.earliest(now) <= timestamp && timestamp <= self.latest(now)
    }

    /// Whether all records hold for sure. The max timestamp is taken at its word, as retention and lookups by time take it;
    /// the base timestamp is the first record's and bounds only a batch of one, for deltas may be negative.
    fn settled_by(&self, header: &BatchHeader, now: Timestamp) -> bool {
        let BatchHeader { base_timestamp, max_timestamp, .. } = *header;
        let any_past = self.earliest(now) == Timestamp::MIN;
        let single = header.record_count == 1 && base_timestamp == max_timestamp;
        base_timestamp <= max_timestamp
            && self.hold(max_timestamp, now)
            && (any_past || single && self.hold(base_timestamp, now))
    }
}

impl From<RecordsInvalid> for BatchRejected {
    fn from(invalid: RecordsInvalid) -> Self {
        Self::Undecodable { detail: invalid.to_string() }
    }
}

#[cfg(test)]
mod tests;
