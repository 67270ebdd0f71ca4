//! Hands out 64-bit ids that rise with time, each once, whatever the clock does and however often the broker is killed.
//!
//! An id has the milliseconds since 2020 in its upper bits and a number in the lower [`NUMBER_BITS`]; it is positive as an `i64` until
//! 2298. Ids only rise: where the clock goes back, they go on from the last one. What is handed out within a second is marked as taken,
//! synced, before its first id is given, so that a restart goes on behind it and most ranges cost no row.

use super::group::Group;
use crate::store::schema::{IssuedIdBlock, RowValue};
use crate::types::Timestamp;

/// 2020-01-01, ms since 1970.
const SINCE_MS: Timestamp = 1_577_836_800_000;
/// Ids of one millisecond, as a power of two.
const NUMBER_BITS: u32 = 20;
/// The last millisecond that ids can tell.
const MS_MAX: i64 = (1 << (63 - NUMBER_BITS)) - 1;
/// Ids that are marked as taken beyond those that are asked for: those of a second.
const AHEAD_IDS: i64 = 1000 << NUMBER_BITS;

/// Ids that one range may have.
pub const ISSUED_IDS_MAX: u32 = 1 << NUMBER_BITS;

/// How far they have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IssuedIds {
    /// Those below are taken.
    next: i64,
    /// Those below may be given without a write.
    taken_until: i64,
}

impl IssuedIds {
    /// As the last run left them.
    pub fn recovered(block: Option<IssuedIdBlock>) -> Self {
        let next = block.map_or(0, |block| block.taken_until);
        Self { next, taken_until: next }
    }

    /// The first of `count` ids in a row; none once there are no more. Its answer waits for the sync.
    pub fn take(&mut self, group: &mut Group, count: u32, now: Timestamp) -> Option<i64> {
        let by_clock = now.saturating_sub(SINCE_MS).clamp(0, MS_MAX) << NUMBER_BITS;
        let first = self.next.max(by_clock);
        let end = first.checked_add(i64::from(count))?;
        if end > self.taken_until {
            self.taken_until = end.saturating_add(AHEAD_IDS);
            let row = IssuedIdBlock { taken_until: self.taken_until };
            group.rows.put(IssuedIdBlock::KEY.to_vec(), row.encode());
        }
        self.next = end;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;

    fn stored(store: &MemoryStore) -> IssuedIds {
        let row = store.get(&IssuedIdBlock::KEY).expect("reads");
        IssuedIds::recovered(row.map(|row| IssuedIdBlock::decode(&row).expect("decodes")))
    }

    proptest! {
        /// Steps: how many are asked for, how the clock moved before, and whether the broker was killed after its write.
        #[test]
        fn no_id_comes_twice_and_they_only_rise(
            steps in prop::collection::vec((1..=ISSUED_IDS_MAX, -100_000_000_i64..100_000, prop::bool::weighted(0.2)), 1..60)
        ) {
            let store = MemoryStore::new();
            let (mut ids, mut now, mut end_before) = (stored(&store), SINCE_MS + 200_000_000_000, 0);
            for (count, jump_ms, is_killed) in steps {
                now += jump_ms;
                let mut group = Group::default();
                let first = ids.take(&mut group, count, now).expect("there are enough");
                store.write(&group.rows, 0).expect("writes");
                prop_assert!(first >= end_before, "{first} was given before {end_before}");
                end_before = first + i64::from(count);
                if is_killed {
                    ids = stored(&store);
                }
            }
        }
    }

    #[test]
    fn ids_tell_the_time_and_few_of_them_cost_a_row() {
        let (mut ids, now) = (IssuedIds::recovered(None), SINCE_MS + 1_000_000);
        let mut rows = 0;
        for ms in 0..500 {
            let mut group = Group::default();
            let first = ids.take(&mut group, 10, now + ms).expect("there are enough");
            assert_eq!(first >> NUMBER_BITS, 1_000_000 + ms);
            rows += usize::from(!group.rows.is_empty());
        }
        assert_eq!(rows, 1);
    }

    #[test]
    fn the_end_of_all_numbers_is_told_and_nothing_wraps() {
        let mut ids = IssuedIds::recovered(Some(IssuedIdBlock { taken_until: i64::MAX - 1 }));
        assert_eq!(ids.take(&mut Group::default(), 1, 0), Some(i64::MAX - 1));
        assert_eq!(ids.take(&mut Group::default(), 1, i64::MAX), None);
    }
}
