//! What of a partition may be compacted, and whether it is time (`LogCleanerManager` in Kafka).

use crate::config::TopicConfig;
use crate::engine::expiry_clock::ExpiryClock;
use crate::log::partition::Offsets;
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, Timestamp};

/// What has been compacted and what may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dirt {
    /// First offset that has not been compacted.
    pub first_dirty: Offset,
    /// End of what may be compacted.
    pub end: Offset,
    clean_bytes: u64,
    dirty_bytes: u64,
    /// Whether something has waited for `max.compaction.lag.ms`.
    is_overdue: bool,
}

impl Dirt {
    /// Looks from `first_dirty` on, below which `clean_bytes` are left. What counts is below the last stable offset, older than
    /// `min.compaction.lag.ms`, and not the newest batch: a log never ends in a hole, so a reader at its end knows that it is there.
    ///
    /// # Errors
    /// What the store says.
    pub fn of(
        store: &dyn Store,
        id: PartitionId,
        config: &TopicConfig,
        offsets: &Offsets,
        clock: &ExpiryClock,
        (first_dirty, clean_bytes): (Offset, u64),
    ) -> Result<Self, StoreError> {
        let age_of = |lag_ms: i64, timestamp: Timestamp| clock.now(lag_ms).saturating_sub(timestamp);
        let (min_lag_ms, max_lag_ms) = (config.min_compaction_lag_ms, config.max_compaction_lag_ms);
        let mut dirt = Self { first_dirty, end: first_dirty, clean_bytes, dirty_bytes: 0, is_overdue: false };
        store.scan_log(id, first_dirty, offsets.last_stable_offset, &mut |key| {
            let is_too_young = min_lag_ms > 0 && age_of(min_lag_ms, key.max_timestamp) < min_lag_ms;
            let end = key.last_offset() + 1;
            if end > offsets.last_stable_offset || end >= offsets.log_end || is_too_young {
                return false;
            }
            if dirt.dirty_bytes == 0 {
                dirt.is_overdue = max_lag_ms < i64::MAX && age_of(max_lag_ms, key.max_timestamp) > max_lag_ms;
            }
            dirt.dirty_bytes += u64::from(key.size_bytes);
            dirt.end = end;
            true
        })?;
        Ok(dirt)
    }

    /// Share of what may be compacted that has not been.
    pub fn ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            bytes => self.dirty_bytes as f64 / bytes as f64,
        }
    }

    /// Whether it is time: the share is above `min.cleanable.dirty.ratio`, or something has waited for too long.
    pub fn is_due(&self, config: &TopicConfig) -> bool {
        self.dirty_bytes > 0 && (self.is_overdue || self.ratio() > config.min_cleanable_dirty_ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Rows;
    use crate::store::memory::MemoryStore;
    use crate::store::schema::LogKey;
    use crate::types::{ProducerEpoch, ProducerId, TopicNo};

    const ID: PartitionId = PartitionId { topic: TopicNo(1), index: 0 };
    const NOW: Timestamp = 1_000_000_000;
    const BATCH_BYTES: u32 = 100;

    /// A log of batches of one record each, of these ages, oldest offset first.
    fn log(ages_ms: &[Timestamp]) -> MemoryStore {
        let (store, mut rows) = (MemoryStore::new(), Rows::default());
        for (base_offset, age_ms) in (0..).zip(ages_ms) {
            let key = LogKey {
                partition: ID,
                base_offset,
                last_offset_delta: 0,
                size_bytes: BATCH_BYTES,
                max_timestamp: NOW - age_ms,
                flags: 0,
                producer_id: ProducerId::NONE,
                producer_epoch: ProducerEpoch(-1),
                base_sequence: -1,
            };
            rows.put(key.encode(), vec![0; BATCH_BYTES as usize]);
        }
        store.write(&rows, 0).expect("writes");
        store
    }

    fn offsets(last_stable_offset: Offset, log_end: Offset) -> Offsets {
        Offsets { log_start: 0, last_stable_offset, high_watermark: log_end, log_end }
    }

    /// Ages of batches; the last stable offset; how many batches are clean; min.compaction.lag.ms, max.compaction.lag.ms,
    /// min.cleanable.dirty.ratio; end of what may be compacted; whether it is due.
    type Case = (&'static [Timestamp], Offset, i64, (i64, i64, f64), Offset, bool);

    #[test]
    fn what_may_be_compacted_and_whether_it_is_time() {
        const NO_MAX: i64 = i64::MAX;
        let cases: &[Case] = &[
            // All but the newest batch.
            (&[9, 5, 1], 3, 0, (0, NO_MAX, 0.5), 2, true),
            (&[9], 1, 0, (0, 1, 0.0), 0, false),
            (&[], 0, 0, (0, 1, 0.0), 0, false),
            // Nothing that is not stable.
            (&[9, 5, 1], 1, 0, (0, NO_MAX, 0.5), 1, true),
            (&[9, 5, 1], 0, 0, (0, 1, 0.0), 0, false),
            // Nothing that is too young, nor what is behind that.
            (&[9, 5, 4, 9, 0], 5, 0, (5, NO_MAX, 0.5), 2, true),
            (&[9, 5, 4, 9, 0], 5, 0, (10, NO_MAX, 0.5), 0, false),
            (&[9, 9, -7, 9, 0], 5, 0, (1, NO_MAX, 0.5), 2, true),
            // More than the share.
            (&[9, 9, 9, 9, 9], 5, 2, (0, NO_MAX, 0.5), 4, false),
            (&[9, 9, 9, 9, 9], 5, 2, (0, NO_MAX, 0.49), 4, true),
            (&[9, 9, 9, 9, 9], 5, 0, (0, NO_MAX, 1.0), 4, false),
            // The young do not count for it.
            (&[9, 9, 9, 1, 0], 5, 2, (2, NO_MAX, 0.4), 3, false),
            // Overdue, whatever the share: the first that is dirty has waited for longer.
            (&[9, 9, 9, 9, 9], 5, 2, (0, 8, 1.0), 4, true),
            (&[9, 9, 9, 9, 9], 5, 2, (0, 9, 1.0), 4, false),
            (&[9, 9, 1, 9, 9], 5, 2, (0, 8, 1.0), 4, false),
            (&[9, 9, 9, 9, 9], 5, 4, (0, 8, 0.0), 4, false),
        ];
        for case @ (ages_ms, last_stable_offset, clean, (min_lag_ms, max_lag_ms, ratio), end, is_due) in cases {
            let config = TopicConfig {
                min_compaction_lag_ms: *min_lag_ms,
                max_compaction_lag_ms: *max_lag_ms,
                min_cleanable_dirty_ratio: *ratio,
                ..TopicConfig::default()
            };
            let offsets = offsets(*last_stable_offset, ages_ms.len() as Offset);
            let clean = (*clean, *clean as u64 * u64::from(BATCH_BYTES));
            let clock = ExpiryClock::start(None, NOW, 0);
            let dirt = Dirt::of(&log(ages_ms), ID, &config, &offsets, &clock, clean).expect("reads");
            assert_eq!((dirt.first_dirty, dirt.end, dirt.is_due(&config)), (clean.0, *end, *is_due), "{case:?}");
        }
    }

    #[test]
    fn a_jump_of_the_clock_makes_nothing_old() {
        let store = log(&[0, 0, 0]);
        let mut clock = ExpiryClock::start(None, NOW, 0);
        clock.look(NOW + 1_000_000, 0);
        for (min_lag_ms, max_lag_ms, end, is_due) in
            [(10_000, i64::MAX, 0, false), (0, 10_000, 2, false), (0, i64::MAX, 2, false)]
        {
            let config = TopicConfig {
                min_compaction_lag_ms: min_lag_ms,
                max_compaction_lag_ms: max_lag_ms,
                min_cleanable_dirty_ratio: 1.0,
                ..TopicConfig::default()
            };
            let dirt = Dirt::of(&store, ID, &config, &offsets(3, 3), &clock, (0, 0)).expect("reads");
            assert_eq!((dirt.end, dirt.is_due(&config)), (end, is_due), "{min_lag_ms} {max_lag_ms}");
        }
    }
}
