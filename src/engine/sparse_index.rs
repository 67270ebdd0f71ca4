//! The sparse index of a partition: from place to place, the bytes and the newest time of all before. What looks for a size or a time
//! begins there, and looks at few batches.

use super::group::Group;
use super::state::{PartitionLog, SparseProgress};
use crate::record::BatchHeader;
use crate::store::schema::{RowValue, SparseRow, sparse_key, sparse_of_key, sparse_prefix};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, Timestamp};

/// Bytes between two entries of a partition's sparse index.
pub(super) const SPARSE_ENTRY_BYTES: u64 = 1 << 20;
/// Time between two entries of a partition that is written to slowly.
const SPARSE_ENTRY_MS: Timestamp = 60_000;

/// An entry tells what holds for the batches before it, so it is staged before the batch counts.
pub(super) fn stage(log: &mut PartitionLog, group: &mut Group, header: &BatchHeader, now: Timestamp) {
    let sparse = &mut log.sparse;
    let due = log.row.size_bytes - sparse.entry_bytes >= SPARSE_ENTRY_BYTES
        || now.saturating_sub(sparse.entry_time) >= SPARSE_ENTRY_MS;
    if due && log.row.log_end > log.row.log_start {
        let row = SparseRow {
            max_timestamp: sparse.max_timestamp,
            max_timestamp_offset: sparse.max_timestamp_offset,
            cumulative_bytes: log.row.size_bytes,
        };
        group.rows.put(sparse_key(log.view.id, header.base_offset), row.encode());
        (sparse.entry_bytes, sparse.entry_time) = (log.row.size_bytes, now);
    }
    if header.max_timestamp > sparse.max_timestamp {
        (sparse.max_timestamp, sparse.max_timestamp_offset) = (header.max_timestamp, header.base_offset);
    }
}

/// Brings back what the sparse index had reached: its newest entry, and the batches after it.
pub(super) fn load(log: &mut PartitionLog, store: &dyn Store) -> Result<(), StoreError> {
    if log.sparse.loaded {
        return Ok(());
    }
    let mut progress = SparseProgress { loaded: true, ..SparseProgress::UNLOADED };
    let mut from = log.row.log_start;
    let id = log.view.id;
    if log.row.log_end > from {
        if let Some((offset, row)) = last_entry_up_to(store, id, log.row.log_end - 1)? {
            progress.max_timestamp = row.max_timestamp;
            progress.max_timestamp_offset = row.max_timestamp_offset;
            progress.entry_bytes = row.cumulative_bytes;
            from = offset.max(log.row.log_start);
        }
        store.scan_log(id, from, log.row.log_end, &mut |key| {
            if key.max_timestamp > progress.max_timestamp {
                (progress.max_timestamp, progress.max_timestamp_offset) = (key.max_timestamp, key.base_offset);
            }
            true
        })?;
    }
    log.sparse = progress;
    Ok(())
}

/// The newest entry that begins at `offset` or before. It costs one search, however long the log is.
pub(super) fn last_entry_up_to(
    store: &dyn Store,
    partition: PartitionId,
    offset: Offset,
) -> Result<Option<(Offset, SparseRow)>, StoreError> {
    let mut before = sparse_key(partition, offset.saturating_add(1));
    while let Some((key, value)) = store.last_before(&sparse_prefix(Some(partition)), &before)? {
        if let (Ok((_, base_offset)), Ok(row)) = (sparse_of_key(&key), SparseRow::decode(&value)) {
            return Ok(Some((base_offset, row)));
        }
        // A damaged entry is passed over: the index is an aid, and the batches tell the same.
        before = key;
    }
    Ok(None)
}
