//! Finds records by time: the sparse index first, then the facts in the keys, then one batch's records.
//!
//! The sparse index tells the largest time before a batch, and that never falls along the log, so everything before the last
//! entry below the wanted time can be passed over.

use super::reader::TimestampHit;
use crate::record::BatchHeader;
use crate::record::codec::DecompressionLimits;
use crate::record::records::{self, RecordTime};
use crate::store::schema::{LogKey, RowValue, SparseRow, sparse_of_key, sparse_prefix};
use crate::store::{Store, StoreError, StoredBatch};
use crate::types::{Offset, PartitionId, Timestamp};

/// The first record with a time ≥ `timestamp` and an offset in `[from, to)`.
pub(super) fn first_at_or_after(
    store: &dyn Store,
    partition: PartitionId,
    timestamp: Timestamp,
    from: Offset,
    to: Offset,
) -> Result<Option<TimestampHit>, StoreError> {
    let mut start = from;
    for_each_sparse(store, partition, |base_offset, row| {
        if row.max_timestamp < timestamp && base_offset < to {
            start = start.max(base_offset);
        }
    })?;
    loop {
        let key = first_key(store, partition, start, to, |key| key.max_timestamp >= timestamp)?;
        let Some(key) = key else { return Ok(None) };
        // The log start may lie within the batch, behind the record that made it a candidate.
        let hit = records_in(store, &key)?.into_iter().find(|hit| hit.timestamp >= timestamp && hit.offset >= from);
        if hit.is_some() {
            return Ok(hit);
        }
        start = key.last_offset() + 1;
    }
}

/// The first record with the largest time among the offsets in `[from, to)`.
pub(super) fn max_timestamp(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
) -> Result<Option<TimestampHit>, StoreError> {
    // What the newest entry says of the batches before it holds as long as the one it names is still there.
    let mut start = from;
    let mut named = None;
    for_each_sparse(store, partition, |base_offset, row| {
        if base_offset < to && row.max_timestamp_offset >= from {
            (start, named) = (base_offset.max(from), Some(row.max_timestamp_offset));
        }
    })?;
    let mut best: Option<LogKey> = None;
    if let Some(offset) = named {
        best = first_key(store, partition, offset, to, |_| true)?;
    }
    store.scan_log(partition, start, to, &mut |key| {
        if key.last_offset() < to && best.is_none_or(|best| key.max_timestamp > best.max_timestamp) {
            best = Some(key);
        }
        true
    })?;
    let Some(key) = best else { return Ok(None) };
    let mut latest: Option<TimestampHit> = None;
    for hit in records_in(store, &key)?.into_iter().filter(|hit| hit.offset >= from) {
        if latest.is_none_or(|latest| hit.timestamp > latest.timestamp) {
            latest = Some(hit);
        }
    }
    Ok(latest)
}

fn for_each_sparse(
    store: &dyn Store,
    partition: PartitionId,
    mut visit: impl FnMut(Offset, SparseRow),
) -> Result<(), StoreError> {
    let mut damage = None;
    store.scan(&sparse_prefix(Some(partition)), &mut |key, value| match sparse_of_key(key)
        .and_then(|(_, offset)| Ok((offset, SparseRow::decode(value)?)))
    {
        Ok((offset, row)) => visit(offset, row),
        Err(error) => damage = Some(error),
    })?;
    damage.map_or(Ok(()), |error| Err(error.into()))
}

fn first_key(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
    mut wanted: impl FnMut(&LogKey) -> bool,
) -> Result<Option<LogKey>, StoreError> {
    let mut found = None;
    store.scan_log(partition, from, to, &mut |key| {
        if key.last_offset() < to && wanted(&key) {
            found = Some(key);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Offsets and times of the records of one batch.
fn records_in(store: &dyn Store, key: &LogKey) -> Result<Vec<TimestampHit>, StoreError> {
    let corrupt = |detail: String| StoreError::Corrupt {
        place: format!("partition {} offset {}", key.partition, key.base_offset),
        detail,
    };
    let batches = store.read_log(key.partition, key.base_offset, key.last_offset() + 1, 0)?;
    // Deleted since its key was seen: there is nothing to find in it any more.
    let Some(StoredBatch { bytes, base_offset, .. }) = batches.into_iter().next() else { return Ok(Vec::new()) };
    let header = BatchHeader::parse(&bytes).map_err(|error| corrupt(error.to_string()))?;
    let times = records::times(&bytes, DecompressionLimits::default());
    let times = times.map_err(|error| corrupt(error.to_string()))?;
    let hit = |record: RecordTime| TimestampHit {
        offset: base_offset + Offset::from(record.offset_delta),
        timestamp: record.timestamp,
        leader_epoch: header.leader_epoch,
    };
    times.map(|time| time.map(hit).map_err(|error| corrupt(error.to_string()))).collect()
}
