//! Finds records by time: the sparse index first, then the facts in the keys, then one batch's records.
//!
//! The sparse index tells the largest time before a batch, and that never falls along the log, so everything before the last
//! entry below the wanted time can be passed over. That entry is found by halving the offsets.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reader::{IsWanted, TimestampHit};
use crate::record::BatchHeader;
use crate::record::codec::{DecompressError, DecompressionLimits};
use crate::record::records::{self, RecordsInvalid};
use crate::store::schema::{LogKey, RowValue, SparseRow, sparse_key, sparse_of_key, sparse_prefix};
use crate::store::{Store, StoreError, StoredBatch};
use crate::types::{Offset, PartitionId, Timestamp};

/// What the searches of one request read and expand at most. Of honest batches a search looks into one or two; but a header may tell
/// a larger time than any of its records has, each such batch would cost its expansion, and a request names many partitions.
pub const SEARCH_BYTES_MAX: u64 = 256 << 20;

/// What looking into a batch costs beside its bytes.
const LOOK_BYTES: u64 = 4096;

/// What passing a key costs behind a batch that held nothing: before it the sparse index bounds how many there are.
const KEY_BYTES: u64 = 64;

/// What is left of [`SEARCH_BYTES_MAX`] for the searches of one request.
#[derive(Debug)]
pub struct SearchBudget(AtomicU64);

impl Default for SearchBudget {
    fn default() -> Self {
        Self(AtomicU64::new(SEARCH_BYTES_MAX))
    }
}

impl SearchBudget {
    fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, or all that is left if that is less; answers whether something remains.
    fn take(&self, bytes: u64) -> bool {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
        taken.is_ok_and(|before| before > bytes)
    }
}

/// What ends a search before it has found something.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub budget: &'a SearchBudget,
    pub is_wanted: IsWanted<'a>,
}

/// The first record with a time ≥ `timestamp` and an offset in `[from, to)`; without budget the start of a batch whose header tells
/// such a time, not behind that record. Nothing once nobody waits for it.
pub(super) fn first_at_or_after(
    store: &dyn Store,
    partition: PartitionId,
    timestamp: Timestamp,
    Range { start: from, end: to }: Range<Offset>,
    Bounds { budget, is_wanted }: Bounds<'_>,
) -> Result<Option<TimestampHit>, StoreError> {
    let mut start = start_of_search(store, partition, timestamp, from..to)?;
    // The last batch that held nothing, as its header tells.
    let mut believed = None;
    loop {
        let mut is_affordable = true;
        let key = first_key(store, partition, start, to, |key| {
            is_affordable = believed.is_none() || budget.take(KEY_BYTES);
            if is_affordable && is_wanted() { Some(key.max_timestamp >= timestamp) } else { None }
        })?;
        if !is_affordable {
            return Ok(believed);
        }
        let Some(key) = key else { return Ok(None) };
        start = key.last_offset() + 1;
        let Some(batch) = Batch::read(store, &key)? else { continue };
        budget.take(LOOK_BYTES + batch.stored.bytes.len() as u64);
        let mut found = None;
        // The log start may lie within the batch, behind the record that made it a candidate.
        let end = batch.visit(budget, |hit| {
            found = (hit.timestamp >= timestamp && hit.offset >= from).then_some(hit);
            found.is_none() && is_wanted()
        })?;
        believed = Some(batch.as_its_header_tells(from));
        match (found, end) {
            (Some(_), _) => return Ok(found),
            (None, Visited::TooLarge) => return Ok(believed),
            (None, Visited::Whole) if !is_wanted() => return Ok(None),
            (None, Visited::Whole) => {}
        }
    }
}

/// The first record with the largest time among the offsets in `[from, to)`; without budget the start of the batch whose header tells
/// the largest.
pub(super) fn max_timestamp(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
    Bounds { budget, is_wanted }: Bounds<'_>,
) -> Result<Option<TimestampHit>, StoreError> {
    // What the newest entry says of the batches before it holds as long as the one it names is still there.
    let mut start = from;
    let mut named = None;
    let mut told = -1;
    if let Some((base_offset, row)) = sparse_before(store, partition, to)?
        && row.max_timestamp_offset >= from
    {
        (start, named) = (base_offset.max(from), Some(row.max_timestamp_offset));
        told = row.max_timestamp;
    }
    let mut best: Option<LogKey> = None;
    if let Some(offset) = named {
        best = first_key(store, partition, offset, to, |_| is_wanted().then_some(true))?;
        // Compaction may have taken its latest record out of it, or all of it.
        if best.is_none_or(|best| best.base_offset != offset || best.max_timestamp != told) {
            (start, best) = (from, None);
        }
    }
    store.scan_log(partition, start, to, &mut |key| {
        if key.last_offset() < to && best.is_none_or(|best| key.max_timestamp > best.max_timestamp) {
            best = Some(key);
        }
        is_wanted()
    })?;
    let Some(key) = best else { return Ok(None) };
    let Some(batch) = Batch::read(store, &key)? else { return Ok(None) };
    budget.take(LOOK_BYTES + batch.stored.bytes.len() as u64);
    let mut latest: Option<TimestampHit> = None;
    let end = batch.visit(budget, |hit| {
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
    let last = last_entry(store, partition, from..to, |row| row.max_timestamp < timestamp)?;
    Ok(last.map_or(from, |(base_offset, _)| base_offset))
}

/// The last entry of the sparse index with an offset in `range` of which `passes` says so, which must hold for all before one for
/// which it holds. It costs a search per halving, however many entries there are.
pub(crate) fn last_entry(
    store: &dyn Store,
    partition: PartitionId,
    Range { start: from, end: to }: Range<Offset>,
    passes: impl Fn(&SparseRow) -> bool,
) -> Result<Option<(Offset, SparseRow)>, StoreError> {
    let mut last = None;
    // Entries that begin below `low` are passed, those from `high` on are too far.
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle = low + (high - low) / 2;
        match sparse_before(store, partition, middle + 1)? {
            Some((base_offset, row)) if base_offset >= from && !passes(&row) => high = base_offset,
            passed => {
                last = passed.filter(|(base_offset, _)| *base_offset >= from).or(last);
                low = middle + 1;
            }
        }
    }
    Ok(last)
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

/// The first batch that ends below `to` and of which `is_it` says so; none once that answers none.
fn first_key(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
    mut is_it: impl FnMut(&LogKey) -> Option<bool>,
) -> Result<Option<LogKey>, StoreError> {
    let mut found = None;
    store.scan_log(partition, from, to, &mut |key| {
        let Some(is_it) = is_it(&key) else { return false };
        found = (is_it && key.last_offset() < to).then_some(key);
        found.is_none()
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
    /// At more bytes than the budget had left.
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

    /// Streams offset and time of each record until `visit` answers false.
    fn visit(&self, budget: &SearchBudget, mut visit: impl FnMut(TimestampHit) -> bool) -> Result<Visited, StoreError> {
        let limits = DecompressionLimits::default();
        let limits = DecompressionLimits { bytes_max: limits.bytes_max.min(budget.left()), ..limits };
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
            if !visit(hit) {
                break;
            }
            // Others of the request take from it as well.
            if !budget.take(record.bytes) {
                return Ok(Visited::TooLarge);
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
    use std::cell::Cell;

    use super::*;
    use crate::record::build::BatchBuilder;
    use crate::record::patch;
    use crate::store::Rows;
    use crate::store::memory::MemoryStore;
    use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId, TopicNo};

    const PARTITION: PartitionId = PartitionId { topic: TopicNo(1), index: 0 };

    /// A batch of one record per entry of `timestamps` whose header tells that its latest is of `told`.
    fn put(rows: &mut Rows, base_offset: Offset, timestamps: &[Timestamp], told: Timestamp) {
        let batch = timestamps.iter().fold(BatchBuilder::new(), |batch, at| batch.record(*at, None, Some(b"value")));
        let mut bytes = batch.build();
        patch::set_base_offset_and_leader_epoch(&mut bytes, base_offset, LeaderEpoch(0));
        let key = LogKey {
            partition: PARTITION,
            base_offset,
            last_offset_delta: timestamps.len() as u32 - 1,
            size_bytes: bytes.len() as u32,
            max_timestamp: told,
            flags: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
        };
        rows.put(key.encode(), bytes.freeze());
    }

    #[test]
    fn what_a_lying_header_costs_is_bounded_also_where_only_keys_are_passed() {
        let store = MemoryStore::new();
        let mut rows = Rows::default();
        (0..100).for_each(|offset| put(&mut rows, offset, &[10], 10));
        put(&mut rows, 100, &[10], 900);
        (101..200).for_each(|offset| put(&mut rows, offset, &[10], 10));
        put(&mut rows, 200, &[500], 500);
        store.write(&rows, 0).unwrap();
        let hit = |offset, timestamp| Some(TimestampHit { offset, timestamp, leader_epoch: LeaderEpoch(0) });
        for (budget_bytes, expected) in [
            (2 * LOOK_BYTES + 200 * KEY_BYTES, hit(200, 500)),
            (LOOK_BYTES + 90 * KEY_BYTES, hit(100, 900)),
            (LOOK_BYTES, hit(100, 900)),
            (0, hit(100, 900)),
        ] {
            let budget = SearchBudget(AtomicU64::new(budget_bytes));
            let bounds = Bounds { budget: &budget, is_wanted: &|| true };
            let found = first_at_or_after(&store, PARTITION, 200, 0..201, bounds).unwrap();
            assert_eq!(found, expected, "{budget_bytes}");
        }
    }

    #[test]
    fn search_ends_once_nobody_waits_for_it() {
        let store = MemoryStore::new();
        let mut rows = Rows::default();
        (0..100).for_each(|offset| put(&mut rows, offset, &[10], 10 + offset % 2));
        store.write(&rows, 0).unwrap();
        for (timestamp, looks_max) in [(11, 7), (100, 7), (0, 0)] {
            let asked = Cell::new(0);
            let is_wanted = || {
                asked.set(asked.get() + 1);
                asked.get() <= looks_max
            };
            let budget = SearchBudget::default();
            let bounds = Bounds { budget: &budget, is_wanted: &is_wanted };
            assert_eq!(first_at_or_after(&store, PARTITION, timestamp, 0..100, bounds).unwrap(), None);
            assert!(asked.take() <= looks_max + 3, "{timestamp}");
            max_timestamp(&store, PARTITION, 0, 100, bounds).unwrap();
            assert!(asked.get() <= looks_max + 3, "{timestamp}");
        }
    }

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
