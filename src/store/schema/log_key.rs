//! Keys of record batches.

use super::value::FieldReader;
use super::{RowError, key, next_prefix, prefix};
use crate::record::{BatchHeader, CONTROL_BIT};
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TopicNo};

/// Bytes of every log key.
pub const LOG_KEY_BYTES: usize = 48;

/// Key of a stored batch: where it lies, and its facts, so that index scans never touch the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogKey {
    /// Partition it belongs to.
    pub partition: PartitionId,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Last offset minus base offset.
    pub last_offset_delta: u32,
    /// Bytes of the batch.
    pub size_bytes: u32,
    /// Largest record timestamp, ms; -1 none.
    pub max_timestamp: Timestamp,
    /// Low byte of the batch's attributes.
    pub flags: u8,
    /// Producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Epoch of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record, -1 none.
    pub base_sequence: i32,
}

impl LogKey {
    /// Offset of its last record.
    pub fn last_offset(&self) -> Offset {
        self.base_offset + Offset::from(self.last_offset_delta)
    }

    /// Whether it ends a transaction, and holds no records of a producer.
    pub fn is_control(&self) -> bool {
        i16::from(self.flags) & CONTROL_BIT != 0
    }

    /// The key of a batch of `partition` that is as its `header` says.
    ///
    /// # Panics
    /// If the header's last offset delta is negative: no stored batch's is.
    pub fn of(partition: PartitionId, header: &BatchHeader) -> Self {
        Self {
            partition,
            base_offset: header.base_offset,
            last_offset_delta: u32::try_from(header.last_offset_delta).expect("checked to be >= 0 on arrival"),
            size_bytes: header.size_bytes,
            max_timestamp: header.max_timestamp,
            flags: header.attributes.to_be_bytes()[1],
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
        }
    }

    /// The key to store, [`LOG_KEY_BYTES`] long.
    ///
    /// # Panics
    /// If the base offset is negative or the last offset beyond the last possible one: such a key would not sort.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.base_offset >= 0, "batch at negative offset {}", self.base_offset);
        assert!(
            self.base_offset.checked_add(Offset::from(self.last_offset_delta)).is_some(),
            "batch at offset {} ends beyond the last offset",
            self.base_offset
        );
        let mut key = key::of_partition(prefix::LOG, self.partition, LOG_KEY_BYTES - key::PARTITION_PREFIX_BYTES);
        key.extend_from_slice(&self.base_offset.to_be_bytes());
        key.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        key.extend_from_slice(&self.size_bytes.to_be_bytes());
        key.extend_from_slice(&self.max_timestamp.to_be_bytes());
        key.push(self.flags);
        key.extend_from_slice(&self.producer_id.0.to_be_bytes());
        key.extend_from_slice(&self.producer_epoch.0.to_be_bytes());
        key.extend_from_slice(&self.base_sequence.to_be_bytes());
        key
    }

    /// The facts in `key`.
    ///
    /// # Errors
    /// [`RowError::Corrupt`] for bytes that [`LogKey::encode`] cannot have written.
    pub fn decode(key: &[u8]) -> Result<Self, RowError> {
        let mut reader = FieldReader::of_key("log", prefix::LOG, key)?;
        let facts = Self {
            partition: key::read_partition(&mut reader)?,
            base_offset: reader.non_negative()?,
            last_offset_delta: reader.u32()?,
            size_bytes: reader.u32()?,
            max_timestamp: reader.i64()?,
            flags: reader.u8()?,
            producer_id: ProducerId(reader.i64()?),
            producer_epoch: ProducerEpoch(reader.i16()?),
            base_sequence: reader.i32()?,
        };
        reader.end()?;
        if facts.base_offset.checked_add(Offset::from(facts.last_offset_delta)).is_none() {
            return Err(reader.corrupt("batch ends beyond the last offset"));
        }
        Ok(facts)
    }

    /// Checks that `batch` is the one that this key was made for, by the fields that the batch's own checksum leaves out.
    ///
    /// # Errors
    /// What does not match.
    pub fn check_batch(&self, batch: &[u8]) -> Result<(), String> {
        let size_bytes = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        if size_bytes != self.size_bytes {
            return Err(format!("batch has {} bytes, its key says {}", batch.len(), self.size_bytes));
        }
        let mut header = FieldReader::of_value("batch", batch);
        let (Ok(base_offset), Ok(length)) = (header.i64(), header.u32()) else {
            return Err(format!("batch of {} bytes has no header", batch.len()));
        };
        if base_offset != self.base_offset {
            return Err(format!("batch says base offset {base_offset}, its key says {}", self.base_offset));
        }
        // The length field counts what follows base offset and itself.
        if length != size_bytes - 12 {
            return Err(format!("batch says length {length}, its key says {}", size_bytes - 12));
        }
        Ok(())
    }
}

/// Prefix of the batches of one partition.
pub fn log_prefix(partition: PartitionId) -> Vec<u8> {
    key::of_partition(prefix::LOG, partition, 0)
}

/// The smallest key of a batch of `partition` whose base offset is `offset` or more. A negative `offset` counts as 0.
pub fn log_seek_key(partition: PartitionId, offset: Offset) -> Vec<u8> {
    let mut key = key::of_partition(prefix::LOG, partition, LOG_KEY_BYTES - key::PARTITION_PREFIX_BYTES);
    key.extend_from_slice(&offset.max(0).to_be_bytes());
    key
}

/// Keys `[from, to)` of the batches of `partition` with base offsets in `[from, to)`, for
/// [`crate::store::Rows::delete_log_range`].
pub fn log_range(partition: PartitionId, from: Offset, to: Offset) -> (Vec<u8>, Vec<u8>) {
    (log_seek_key(partition, from), log_seek_key(partition, to))
}

/// Keys `[from, to)` of all batches of a topic, for [`crate::store::Rows::delete_log_range`].
pub fn topic_log_range(topic: TopicNo) -> (Vec<u8>, Vec<u8>) {
    let from = key::of_topic(prefix::LOG, Some(topic));
    let to = next_prefix(&from).expect("the prefix of log rows is not 0xff");
    (from, to)
}
