//! Keys of the rows that belong to a partition, the log's excepted.

use super::value::{FieldReader, Fields};
use super::{RowError, prefix};
use crate::types::{Offset, PartitionId, ProducerId, TopicNo};

/// Bytes of a prefix with topic and partition.
pub const PARTITION_PREFIX_BYTES: usize = 9;

/// Of one topic, of all if none is given.
pub(super) fn of_topic(prefix: u8, topic: Option<TopicNo>) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend(topic.into_iter().flat_map(|topic| topic.0.to_be_bytes()));
    key
}

/// Inlined, so that its callers know the capacity: what they add to a key is not checked against it field by field then. The writer
/// makes several keys for each batch.
#[inline(always)]
pub(super) fn of_partition(prefix: u8, partition: PartitionId, capacity: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(PARTITION_PREFIX_BYTES + capacity);
    key.push(prefix);
    key.extend_from_slice(&partition.topic.0.to_be_bytes());
    key.extend_from_slice(&partition.index.to_be_bytes());
    key
}

#[inline(always)]
pub(super) fn of_partition_and_number(prefix: u8, partition: PartitionId, number: i64) -> Vec<u8> {
    assert!(number >= 0, "key order holds for numbers >= 0 only, not {number}");
    let mut key = of_partition(prefix, partition, 8);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn read_partition(key: &mut FieldReader<'_>) -> Result<PartitionId, RowError> {
    Ok(PartitionId { topic: TopicNo(key.u32()?), index: key.u32()? })
}

pub(super) fn write_partition(fields: &mut Fields, partition: PartitionId) {
    fields.u32(partition.topic.0);
    fields.u32(partition.index);
}

/// The first key after all those that begin with `prefix`; none if there cannot be one.
pub fn next_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// Key of a partition's state.
pub fn partition_key(partition: PartitionId) -> Vec<u8> {
    of_partition(prefix::PARTITION, partition, 0)
}

/// Prefix of the state of all partitions.
pub fn partitions_prefix() -> Vec<u8> {
    vec![prefix::PARTITION]
}

/// The partition that a key of [`partition_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn partition_of_key(key: &[u8]) -> Result<PartitionId, RowError> {
    let mut reader = FieldReader::of_key("partition", prefix::PARTITION, key)?;
    let partition = read_partition(&mut reader)?;
    reader.end()?;
    Ok(partition)
}

/// Key of a producer's state in a partition.
///
/// # Panics
/// If `producer_id` is [`ProducerId::NONE`]: there is no state to store for it.
pub fn producer_key(partition: PartitionId, producer_id: ProducerId) -> Vec<u8> {
    of_partition_and_number(prefix::PRODUCER, partition, producer_id.0)
}

/// Prefix of the producers of one partition, of all if none is given.
pub fn producers_prefix(partition: Option<PartitionId>) -> Vec<u8> {
    partition.map_or_else(|| vec![prefix::PRODUCER], |partition| of_partition(prefix::PRODUCER, partition, 0))
}

/// Partition and producer that a key of [`producer_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn producer_of_key(key: &[u8]) -> Result<(PartitionId, ProducerId), RowError> {
    let mut reader = FieldReader::of_key("producer", prefix::PRODUCER, key)?;
    let named = (read_partition(&mut reader)?, ProducerId(reader.non_negative()?));
    reader.end()?;
    Ok(named)
}

/// Prefix of the aborted transactions of one partition.
pub fn aborted_prefix(partition: PartitionId) -> Vec<u8> {
    of_partition(prefix::ABORTED, partition, 0)
}

/// Key of the aborted transaction whose marker is at `last_offset`; there is one marker at an offset.
///
/// # Panics
/// If `last_offset` is negative.
pub fn aborted_key(partition: PartitionId, last_offset: Offset) -> Vec<u8> {
    of_partition_and_number(prefix::ABORTED, partition, last_offset)
}

/// Partition and offset of the marker that a key of [`aborted_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn aborted_of_key(key: &[u8]) -> Result<(PartitionId, Offset), RowError> {
    let mut reader = FieldReader::of_key("aborted", prefix::ABORTED, key)?;
    let named = (read_partition(&mut reader)?, reader.non_negative()?);
    reader.end()?;
    Ok(named)
}

/// Key of the entry of the sparse index at the batch of `base_offset`.
///
/// # Panics
/// If `base_offset` is negative.
pub fn sparse_key(partition: PartitionId, base_offset: Offset) -> Vec<u8> {
    of_partition_and_number(prefix::SPARSE, partition, base_offset)
}

/// Prefix of the sparse index of one partition, of all if none is given.
pub fn sparse_prefix(partition: Option<PartitionId>) -> Vec<u8> {
    partition.map_or_else(|| vec![prefix::SPARSE], |partition| of_partition(prefix::SPARSE, partition, 0))
}

/// Partition and base offset that a key of [`sparse_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn sparse_of_key(key: &[u8]) -> Result<(PartitionId, Offset), RowError> {
    let mut reader = FieldReader::of_key("sparse", prefix::SPARSE, key)?;
    let named = (read_partition(&mut reader)?, reader.non_negative()?);
    reader.end()?;
    Ok(named)
}

/// Key of how far a partition has been compacted.
pub fn compacted_key(partition: PartitionId) -> Vec<u8> {
    of_partition(prefix::COMPACTED, partition, 0)
}

/// The partition that a key of [`compacted_key`] names.
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn compacted_of_key(key: &[u8]) -> Result<PartitionId, RowError> {
    let mut reader = FieldReader::of_key("compacted", prefix::COMPACTED, key)?;
    let partition = read_partition(&mut reader)?;
    reader.end()?;
    Ok(partition)
}

/// Prefixes of all rows of a topic's partitions that go by single deletes when the topic goes; its log rows go by
/// [`super::topic_log_range`].
pub fn topic_prefixes(topic: TopicNo) -> [Vec<u8>; 8] {
    use prefix::{ABORTED, COMPACTED, ID_BLOCK, KEY_VERSION, PARTITION, PRODUCER, SEQUENCE, SPARSE};
    [PARTITION, PRODUCER, ABORTED, SPARSE, ID_BLOCK, COMPACTED, SEQUENCE, KEY_VERSION]
        .map(|prefix| of_topic(prefix, Some(topic)))
}
