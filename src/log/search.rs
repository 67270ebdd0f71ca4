//! Finds records by time: the sparse index first, then the facts in the keys, then one batch's records.
//!
//! The sparse index tells the largest time before a batch, and that never falls along the log, so everything before the last
//! entry below the wanted time can be passed over. That entry is found by halving the offsets.

use std::ops::Range;

use super::reader::{IsWanted, TimestampHit};
use crate::record::BatchHeader;
use crate::record::codec::{DecompressError, DecompressionLimits};
use crate::record::records::{self, RecordsInvalid};
use crate::store::schema::{LogKey, RowValue, SparseRow, sparse_key, sparse_of_key, sparse_prefix};
use crate::store::{Store, StoreError, StoredBatch};
use crate::types::{Offset, PartitionId, Timestamp};

/// What one search reads and expands of batches in which it finds nothing. A header may tell a larger time than any of its
/// records has, and each such batch would cost its expansion; of honest batches only the one at the log start may hold nothing.
const FRUITLESS_BYTES_MAX: u64 = 128 << 20;

/// What looking into a batch costs beside its bytes.
const LOOK_BYTES: u64 = 4096;

/// The first record with a time ≥ `timestamp` and an offset in `[from, to)`; beyond [`FRUITLESS_BYTES_MAX`] the start of the next
/// batch whose header tells such a time. Nothing once nobody waits for it.
pub(super) fn first_at_or_after(
    store: &dyn Store,
    partition: PartitionId,
    timestamp: Timestamp,
    Range { start: from, end: to }: Range<Offset>,
    is_wanted: IsWanted<'_>,
) -> Result<Option<TimestampHit>, StoreError> {
    let mut start = start_of_search(store, partition, timestamp, from..to)?;
    let mut left_bytes = FRUITLESS_BYTES_MAX;
    loop {
        let key = first_key(store, partition, start, to, is_wanted, |key| key.max_timestamp >= timestamp)?;
        let Some(key) = key else { return Ok(None) };
        start = key.last_offset() + 1;
        let Some(batch) = Batch::read(store, &key)? else { continue };
        let mut seen_bytes = LOOK_BYTES + batch.stored.bytes.len() as u64;
        let mut found = None;
        // The log start may lie within the batch, behind the record that made it a candidate.
        let end = batch.visit(left_bytes.saturating_sub(seen_bytes), |hit, bytes| {
            seen_bytes += bytes;
            found = (hit.timestamp >= timestamp && hit.offset >= from).then_some(hit);
            found.is_none() && is_wanted()
        })?;
        match (found, end) {
            (Some(_), _) => return Ok(found),
            (None, Visited::TooLarge) => return Ok(Some(batch.as_its_header_tells(from))),
            (None, Visited::Whole) => left_bytes = left_bytes.saturating_sub(seen_bytes),
        }
        if !is_wanted() {
            return Ok(None);
        }
    }
}

/// The first record with the largest time among the offsets in `[from, to)`.
pub(super) fn max_timestamp(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
    is_wanted: IsWanted<'_>,
) -> Result<Option<TimestampHit>, StoreError> {
    // What the newest entry says of the batches before it holds as long as the one it names is still there.
    let mut start = from;
    let mut named = None;
    if let Some((base_offset, row)) = sparse_before(store, partition, to)?
        && row.max_timestamp_offset >= from
    {
        (start, named) = (base_offset.max(from), Some(row.max_timestamp_offset));
    }
    let mut best: Option<LogKey> = None;
    if let Some(offset) = named {
        best = first_key(store, partition, offset, to, is_wanted, |_| true)?;
    }
    store.scan_log(partition, start, to, &mut |key| {
        if key.last_offset() < to && best.is_none_or(|best| key.max_timestamp > best.max_timestamp) {
            best = Some(key);
        }
        is_wanted()
    })?;
    let Some(key) = best else { return Ok(None) };
    let Some(batch) = Batch::read(store, &key)? else { return Ok(None) };
    let mut latest: Option<TimestampHit> = None;
    let end = batch.visit(FRUITLESS_BYTES_MAX, |hit, _| {
        if hit.offset >= from && latest.is_none_or(|latest| hit.timestamp > latest.timestamp) {
            latest = Some(hit);
        }
        is_wanted()
    })?;
    match end {
        Visited::Whole => Ok(latest),
        Visited::TooLarge => Ok(Some(batch.as_its_header_tells(from))),
    }
}

/// Where a search for `timestamp` among the batches that begin in `[from, to)` may begin: at the last entry before which all is
/// older, as far as headers tell.
fn start_of_search(
    store: &dyn Store,
    partition: PartitionId,
    timestamp: Timestamp,
    Range { start: from, end: to }: Range<Offset>,
) -> Result<Offset, StoreError> {
    let mut start = from;
    // Entries that begin below `low` are passed, those from `high` on are too far.
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low + (high - low) / 2;
        match sparse_before(store, partition, middle + 1)? {
            Some((base_offset, row)) if row.max_timestamp >= timestamp => high = base_offset,
            passed => {
                start = start.max(passed.map_or(from, |(base_offset, _)| base_offset));
                low = middle + 1;
            }
        }
    }
    Ok(start)
}

/// The last entry of the sparse index that begins below `before`.
fn sparse_before(
    store: &dyn Store,
    partition: PartitionId,
    before: Offset,
) -> Result<Option<(Offset, SparseRow)>, StoreError> {
    let last = store.last_before(&sparse_prefix(Some(partition)), &sparse_key(partition, before))?;
    let Some((key, value)) = last else { return Ok(None) };
    let (_, base_offset) = sparse_of_key(&key)?;
    Ok(Some((base_offset, SparseRow::decode(&value)?)))
}

fn first_key(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
    is_wanted: IsWanted<'_>,
    mut wanted: impl FnMut(&LogKey) -> bool,
) -> Result<Option<LogKey>, StoreError> {
    let mut found = None;
    store.scan_log(partition, from, to, &mut |key| {
        if key.last_offset() < to && wanted(&key) {
            found = Some(key);
        }
        found.is_none() && is_wanted()
    })?;
    Ok(found)
}

/// One batch to look into.
struct Batch {
    key: LogKey,
    stored: StoredBatch,
    header: BatchHeader,
}

/// How a visit ended.
enum Visited {
    /// At the last record, or where the visitor ended it.
    Whole,
    /// At more bytes than were allowed.
    TooLarge,
}

impl Batch {
    /// None if it has been deleted since its key was seen: there is nothing to find in it any more.
    fn read(store: &dyn Store, key: &LogKey) -> Result<Option<Self>, StoreError> {
        let batches = store.read_log(key.partition, key.base_offset, key.last_offset() + 1, 0)?;
        let Some(stored) = batches.into_iter().next() else { return Ok(None) };
        let header = BatchHeader::parse(&stored.bytes).map_err(|error| corrupt(key, &error))?;
        Ok(Some(Self { key: *key, stored, header }))
    }

    /// Streams offset, time and size of each record until `visit` answers false.
    fn visit(&self, bytes_max: u64, mut visit: impl FnMut(TimestampHit, u64) -> bool) -> Result<Visited, StoreError> {
        let limits = DecompressionLimits::default();
        let limits = DecompressionLimits { bytes_max: limits.bytes_max.min(bytes_max), ..limits };
        let failed = |error: RecordsInvalid| match error {
            RecordsInvalid::Decompress(DecompressError::TooLarge { .. }) => Ok(Visited::TooLarge),
            error => Err(corrupt(&self.key, &error)),
        };
        let times = match records::times(&self.stored.bytes, limits) {
            Ok(times) => times,
            Err(error) => return failed(error),
        };
        for time in times {
            let record = match time {
                Ok(record) => record,
                Err(error) => return failed(error),
            };
            let hit = TimestampHit {
                offset: self.stored.base_offset + Offset::from(record.offset_delta),
                timestamp: record.timestamp,
                leader_epoch: self.header.leader_epoch,
            };
            if !visit(hit, record.bytes) {
                break;
            }
        }
        Ok(Visited::Whole)
    }

    fn as_its_header_tells(&self, from: Offset) -> TimestampHit {
        TimestampHit {
            offset: self.key.base_offset.max(from),
            timestamp: self.key.max_timestamp,
            leader_epoch: self.header.leader_epoch,
        }
    }
}

fn corrupt(key: &LogKey, error: &dyn std::error::Error) -> StoreError {
    StoreError::Corrupt {
        place: format!("partition {} offset {}", key.partition, key.base_offset),
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Rows;
    use crate::store::memory::MemoryStore;
    use crate::types::TopicNo;

    const PARTITION: PartitionId = PartitionId { topic: TopicNo(1), index: 0 };

    #[test]
    fn search_begins_where_a_look_at_all_entries_would_let_it() {
        let entries = [(0, -1), (10, 5), (20, 5), (30, 9), (41, 12), (42, 12)];
        let store = MemoryStore::new();
        let mut rows = Rows::default();
        for (offset, max_timestamp) in entries {
            let row = SparseRow { max_timestamp, max_timestamp_offset: 0, cumulative_bytes: 0 };
            rows.put(sparse_key(PARTITION, offset), row.encode());
            // Neighbours are not to be taken for it.
            rows.put(sparse_key(PartitionId { index: 1, ..PARTITION }, offset + 1), row.encode());
        }
        store.write(&rows, 0).unwrap();
        for (from, to) in [(0, 50), (0, 0), (0, 31), (0, 30), (15, 50), (35, 40), (42, 43), (60, 90), (0, Offset::MAX)]
        {
            for timestamp in -1..15 {
                let passed = entries.iter().filter(|(offset, max)| *offset < to && *max < timestamp);
                let expected = passed.map(|(offset, _)| *offset).max().unwrap_or(from).max(from);
                let start = start_of_search(&store, PARTITION, timestamp, from..to).unwrap();
                assert_eq!(start, expected, "{timestamp} in {from}..{to}");
            }
        }
    }
}
