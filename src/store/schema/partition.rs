//! Values that a partition keeps beside its log.

use super::RowError;
use super::value::{FieldReader, Fields, RowValue};
use crate::types::{LeaderEpoch, Offset, ProducerId, Timestamp};

/// State of a partition as of its newest commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionRow {
    /// First readable offset.
    pub log_start: Offset,
    /// Next offset to be assigned.
    pub log_end: Offset,
    /// End for read_committed readers, exclusive.
    pub last_stable_offset: Offset,
    /// Bytes of all batches ever appended.
    pub size_bytes: u64,
    /// Bytes of the batches ever appended below the log start; what is readable is `size_bytes - start_bytes`.
    pub start_bytes: u64,
    /// Leader epochs and the offset at which each begins, oldest first.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
}

impl RowValue for PartitionRow {
    const NAME: &'static str = "partition";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.log_start);
        fields.i64(self.log_end);
        fields.i64(self.last_stable_offset);
        fields.u64(self.size_bytes);
        fields.u64(self.start_bytes);
        fields.count(self.epochs.len());
        for (epoch, start) in &self.epochs {
            fields.i32(epoch.0);
            fields.i64(*start);
        }
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let row = Self {
            log_start: fields.non_negative()?,
            log_end: fields.non_negative()?,
            last_stable_offset: fields.non_negative()?,
            size_bytes: fields.u64()?,
            start_bytes: fields.u64()?,
            epochs: (0..fields.count(12)?)
                .map(|_| Ok((LeaderEpoch(fields.i32()?), fields.i64()?)))
                .collect::<Result<_, RowError>>()?,
        };
        if row.log_start > row.last_stable_offset || row.last_stable_offset > row.log_end {
            return Err(fields.corrupt("log start, last stable offset and log end out of order"));
        }
        if row.start_bytes > row.size_bytes {
            return Err(fields.corrupt("more bytes below the log start than were appended"));
        }
        Ok(row)
    }
}

/// Entry of the sparse index: what holds for all batches before the one at its key's base offset, and that batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SparseRow {
    /// Largest timestamp so far, ms; it never falls along the index. -1 none.
    pub max_timestamp: Timestamp,
    /// Base offset of the first batch with that timestamp.
    pub max_timestamp_offset: Offset,
    /// Bytes appended before the batch at the key's base offset, counted as in [`PartitionRow::size_bytes`].
    pub cumulative_bytes: u64,
}

impl RowValue for SparseRow {
    const NAME: &'static str = "sparse";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.max_timestamp);
        fields.i64(self.max_timestamp_offset);
        fields.u64(self.cumulative_bytes);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self { max_timestamp: fields.i64()?, max_timestamp_offset: fields.i64()?, cumulative_bytes: fields.u64()? })
    }
}

/// An aborted transaction, by the offset of its marker (`AbortedTxn` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedRow {
    /// Whose.
    pub producer_id: ProducerId,
    /// Of its first batch.
    pub first_offset: Offset,
    /// End of what was stable once this one had ended, its marker included: what begins at or after it ended later. So a search for
    /// all that were open in a range ends at the first entry with one at the range's end or beyond.
    pub last_stable_offset: Offset,
}

impl RowValue for AbortedRow {
    const NAME: &'static str = "aborted";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.producer_id.0);
        fields.i64(self.first_offset);
        fields.i64(self.last_stable_offset);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self {
            producer_id: ProducerId(fields.non_negative()?),
            first_offset: fields.non_negative()?,
            last_stable_offset: fields.non_negative()?,
        })
    }
}

/// How far a partition has been compacted (`cleaner-offset-checkpoint` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactedRow {
    /// First offset that has not been.
    pub first_dirty: Offset,
}

impl RowValue for CompactedRow {
    const NAME: &'static str = "compacted";

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.first_dirty);
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self { first_dirty: fields.non_negative()? })
    }
}
