//! Keys and values of every row: the one home of the on-disk layout.
//!
//! All integers are big-endian, so key order is logical order.

use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp};

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
