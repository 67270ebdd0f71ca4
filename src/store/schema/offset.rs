//! Committed offsets, and those that a transaction will commit.

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, key, prefix};
use crate::types::{LeaderEpoch, Offset, PartitionId, ProducerId, Timestamp};

/// What a group committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRow {
    /// Next offset to read.
    pub offset: Offset,
    /// Leader epoch of the record before it, -1 unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own text.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, -1 by the broker's retention.
    pub expire_timestamp: Timestamp,
    /// Its place among all offsets that were ever accepted, those of transactions included: where two meet, the larger wins. 0 for
    /// those that were stored before there was one.
    pub commit_number: u64,
}

impl RowValue for OffsetRow {
    const NAME: &'static str = "offset";
    /// 2: with the commit number.
    const VERSION: u8 = 2;

    fn write(&self, fields: &mut Fields) {
        fields.i64(self.offset);
        fields.i32(self.leader_epoch.0);
        fields.i64(self.commit_timestamp);
        fields.i64(self.expire_timestamp);
        fields.u64(self.commit_number);
        fields.text(&self.metadata);
    }

    fn read(version: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Self {
            offset: fields.i64()?,
            leader_epoch: LeaderEpoch(fields.i32()?),
            commit_timestamp: fields.i64()?,
            expire_timestamp: fields.i64()?,
            commit_number: if version >= 2 { fields.u64()? } else { 0 },
            metadata: fields.text()?,
        })
    }
}

/// Prefix of all committed offsets.
pub fn offsets_prefix() -> Vec<u8> {
    vec![prefix::OFFSET]
}

/// Prefix of the offsets of one group. The length before the name keeps `a` from being a prefix of `ab`.
///
/// # Panics
/// If `group` is longer than the protocol's strings, 32,767 bytes.
pub fn offsets_of_group_prefix(group: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(11 + group.len());
    key.push(prefix::OFFSET);
    push_group(&mut key, group);
    key
}

fn push_group(key: &mut Vec<u8>, group: &str) {
    let length = i16::try_from(group.len()).expect("group ids are protocol strings");
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(group.as_bytes());
}

/// Key of the offset that `group` committed for `partition`.
///
/// # Panics
/// As [`offsets_of_group_prefix`].
pub fn offset_key(group: &str, partition: PartitionId) -> Vec<u8> {
    let mut key = offsets_of_group_prefix(group);
    push_partition(&mut key, partition);
    key
}

fn push_partition(key: &mut Vec<u8>, partition: PartitionId) {
    key.extend_from_slice(&partition.topic.0.to_be_bytes());
    key.extend_from_slice(&partition.index.to_be_bytes());
}

/// Group and partition that a key of [`offset_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn offset_of_key(key: &[u8]) -> Result<(String, PartitionId), RowError> {
    let mut reader = FieldReader::of_key("offset", prefix::OFFSET, key)?;
    let length = usize::from(reader.u16()?);
    let named = (reader.text_of(length)?, key::read_partition(&mut reader)?);
    reader.end()?;
    Ok(named)
}

/// Prefix of all offsets that belong to open transactions.
pub fn pending_offsets_prefix() -> Vec<u8> {
    vec![prefix::PENDING_OFFSET]
}

/// Key of the offset that the open transaction of `producer_id` will commit for `partition`.
///
/// # Panics
/// As [`offsets_of_group_prefix`].
pub fn pending_offset_key(producer_id: ProducerId, group: &str, partition: PartitionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(19 + group.len());
    key.push(prefix::PENDING_OFFSET);
    key.extend_from_slice(&producer_id.0.to_be_bytes());
    push_group(&mut key, group);
    push_partition(&mut key, partition);
    key
}

/// Producer, group and partition that a key of [`pending_offset_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn pending_offset_of_key(key: &[u8]) -> Result<(ProducerId, String, PartitionId), RowError> {
    let mut reader = FieldReader::of_key("pending offset", prefix::PENDING_OFFSET, key)?;
    let producer_id = ProducerId(reader.non_negative()?);
    let length = usize::from(reader.u16()?);
    let named = (producer_id, reader.text_of(length)?, key::read_partition(&mut reader)?);
    reader.end()?;
    Ok(named)
}
