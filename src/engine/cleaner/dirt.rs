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
