//! The index of aborted transactions: which of them a reader of committed records has to leave out.
//!
//! Mirrors `TransactionIndex.collectAbortedTxns`. Unlike there an answer is bounded: where more transactions overlap than an answer
//! may hold, the range that it speaks of gets shorter.

use std::collections::BinaryHeap;

use crate::store::schema::{AbortedRow, RowValue, aborted_key, aborted_prefix, next_prefix};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, ProducerId};

/// Transactions in one answer, unless more than that overlap its first batch.
pub const ABORTED_MAX: usize = 10_000;

/// An aborted transaction: of this producer nothing counts from this offset up to its next marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aborted {
    /// Offset of its first batch.
    pub first_offset: Offset,
    /// Whose.
    pub producer_id: ProducerId,
}

/// All aborted transactions that overlap a range.
#[derive(Debug, PartialEq, Eq)]
pub struct AbortedIn {
    /// By first offset. Some may have begun before the range.
    pub transactions: Vec<Aborted>,
    /// End of the range, exclusive: the one asked for, or less where there were too many.
    pub to: Offset,
    /// Whether the index holds none of the range or behind it.
    pub(super) is_last: bool,
}

impl AbortedIn {
    /// None up to `to`.
    pub(super) fn none(to: Offset) -> Self {
        Self { transactions: Vec::new(), to, is_last: true }
    }
}

/// All aborted transactions with records in `[from, to)`, by first offset.
pub(crate) fn all_aborted_in(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
) -> Result<Vec<Aborted>, StoreError> {
    Ok(aborted_in(store, partition, from, to, from, usize::MAX)?.transactions)
}

/// Aborted transactions with records in `[from, to)`, about `max` of them: the range ends early instead, but not before
/// `to_min`.
pub(super) fn aborted_in(
    store: &dyn Store,
    partition: PartitionId,
    from: Offset,
    to: Offset,
    to_min: Offset,
    max: usize,
) -> Result<AbortedIn, StoreError> {
    let mut to = to;
    let mut found = BinaryHeap::new();
    let mut damage = None;
    let mut is_last = true;
    let end = next_prefix(&aborted_prefix(partition)).expect("the prefix is not the last of all");
    store.scan_range(&aborted_key(partition, from), &end, &mut |_, value| {
        is_last = false;
        let row = match AbortedRow::decode(value) {
            Ok(row) => row,
            Err(error) => {
                damage = Some(error);
                return false;
            }
        };
        if row.first_offset < to {
            found.push(Aborted { first_offset: row.first_offset, producer_id: row.producer_id });
        }
        if found.len() > max
            && let Some(last) = found.peek().map(|last| last.first_offset).filter(|last| *last >= to_min)
        {
            found.pop();
            to = last;
        }
        // What ended later than this one began at its last stable offset or after it.
        row.last_stable_offset < to
    })?;
    match damage {
        Some(error) => Err(error.into()),
        None => Ok(AbortedIn { transactions: found.into_sorted_vec(), to, is_last }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Rows;
    use crate::store::memory::MemoryStore;
    use crate::types::TopicNo;

    const PARTITION: PartitionId = PartitionId { topic: TopicNo(1), index: 0 };

    /// Markers at these offsets; each with the first offset of its transaction and the last stable offset then.
    fn store(rows: &[(Offset, Offset, Offset)]) -> MemoryStore {
        let store = MemoryStore::new();
        let mut staged = Rows::default();
        for (last_offset, first_offset, last_stable_offset) in rows {
            let row = AbortedRow {
                producer_id: ProducerId(*first_offset),
                first_offset: *first_offset,
                last_stable_offset: *last_stable_offset,
            };
            staged.put(aborted_key(PARTITION, *last_offset), row.encode());
            // Neighbours are not to be taken for it.
            staged.put(aborted_key(PartitionId { index: 1, ..PARTITION }, *last_offset), row.encode());
        }
        store.write(&staged, 0).unwrap();
        store
    }

    fn first_offsets(
        store: &MemoryStore,
        from: Offset,
        to: Offset,
        to_min: Offset,
        max: usize,
    ) -> (Vec<Offset>, Offset) {
        let found = aborted_in(store, PARTITION, from, to, to_min, max).unwrap();
        // The rows of the tests reach up to here.
        assert_eq!(found.is_last, from > 80, "from {from}");
        assert!(found.transactions.iter().all(|aborted| aborted.producer_id.0 == aborted.first_offset));
        (found.transactions.iter().map(|aborted| aborted.first_offset).collect(), found.to)
    }

    #[test]
    fn all_that_overlap_are_found_and_no_others() {
        // 0..10 alone; 20..50 around 25..30 and 35..60; 70..80 alone.
        let store = store(&[(10, 0, 11), (30, 25, 20), (50, 20, 35), (60, 35, 61), (80, 70, 81)]);
        for (from, to, expected) in [
            (0, 1, vec![0]),
            (0, 0, vec![]),
            (10, 11, vec![0]),
            (11, 20, vec![]),
            (11, 21, vec![20]),
            (28, 29, vec![20, 25]),
            (30, 31, vec![20, 25]),
            (31, 35, vec![20]),
            (31, 36, vec![20, 35]),
            (51, 70, vec![35]),
            (0, 100, vec![0, 20, 25, 35, 70]),
            (81, 100, vec![]),
        ] {
            assert_eq!(first_offsets(&store, from, to, from, 10), (expected, to), "{from}..{to}");
        }
    }

    #[test]
    fn too_many_shorten_the_range_but_not_below_its_first_batch() {
        let store = store(&[(10, 0, 1), (11, 1, 2), (12, 2, 3), (13, 3, 4), (80, 4, 81)]);
        assert_eq!(first_offsets(&store, 0, 40, 1, 3), (vec![0, 1, 2], 3));
        assert_eq!(first_offsets(&store, 0, 40, 5, 3), (vec![0, 1, 2, 3, 4], 40));
        assert_eq!(first_offsets(&store, 0, 40, 3, 3), (vec![0, 1, 2], 3));
        assert_eq!(first_offsets(&store, 0, 40, 4, 3), (vec![0, 1, 2, 3], 4));
    }
}
