//! What readers see no more and is still on the disk. Pure.
//!
//! Giving space back costs a compaction per partition, and so does removing rows: by one range deletion per partition, each of which
//! costs the store something for as long as it has not been compacted away. So both wait until they are worth it: until as many bytes
//! have come together in all partitions as one memtable holds, or have waited for [`RETIRED_MS_MAX`]. Retention waits so with both;
//! the rows that a client deletes go at once, and the [`reclaimer`](super::reclaimer) waits so with their space.

use std::collections::BTreeMap;

use crate::types::{Offset, PartitionId};

/// The longest time for which fewer wait.
const RETIRED_MS_MAX: u64 = 3_600_000;

/// By partition.
#[derive(Debug)]
pub(super) struct Retired {
    /// That are worth removing, all partitions together.
    bytes_max: u64,
    /// Where the rest of each begins.
    starts: BTreeMap<PartitionId, Offset>,
    total_bytes: u64,
    /// When the first of them was retired, on the monotonic clock.
    since_ms: u64,
}

impl Retired {
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, starts: BTreeMap::new(), total_bytes: 0, since_ms: 0 }
    }

    /// Takes note of bytes before `start` that readers see no more.
    pub fn add(&mut self, partition: PartitionId, start: Offset, bytes: u64, now_ms: u64) {
        if self.starts.is_empty() {
            self.since_ms = now_ms;
        }
        let known = self.starts.entry(partition).or_default();
        *known = start.max(*known);
        self.total_bytes = self.total_bytes.saturating_add(bytes);
    }

    /// Whether it is worth it now. While little of the disk is free, anything is.
    pub fn is_due(&self, now_ms: u64, is_disk_low: bool) -> bool {
        let has_waited = || now_ms.saturating_sub(self.since_ms) >= RETIRED_MS_MAX;
        !self.starts.is_empty() && (self.total_bytes >= self.bytes_max || is_disk_low || has_waited())
    }

    /// All, if it is worth it now: partitions, and where the rest of each begins.
    pub fn take_due(&mut self, now_ms: u64, is_disk_low: bool) -> Vec<(PartitionId, Offset)> {
        if !self.is_due(now_ms, is_disk_low) {
            return Vec::new();
        }
        self.total_bytes = 0;
        std::mem::take(&mut self.starts).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicNo;

    fn at(index: u32) -> PartitionId {
        PartitionId { topic: TopicNo(1), index }
    }

    #[test]
    fn little_waits_for_more_for_time_or_for_want() {
        const RETIRED_BYTES_MAX: u64 = 64 << 20;
        let mut retired = Retired::new(RETIRED_BYTES_MAX);
        retired.add(at(1), 10, RETIRED_BYTES_MAX / 2, 1_000);
        retired.add(at(2), 20, RETIRED_BYTES_MAX / 2 - 1, 2_000);
        assert_eq!(retired.take_due(999 + RETIRED_MS_MAX, false), []);
        retired.add(at(1), 11, 1, 3_000);
        assert_eq!(retired.take_due(3_000, false), [(at(1), 11), (at(2), 20)]);
        assert_eq!(retired.take_due(u64::MAX, true), [], "nothing is there");
        retired.add(at(3), 1, 1, 5_000);
        assert_eq!(retired.take_due(4_999 + RETIRED_MS_MAX, false), []);
        assert_eq!(retired.take_due(5_000 + RETIRED_MS_MAX, false), [(at(3), 1)]);
        retired.add(at(4), 1, 1, 6_000);
        assert_eq!(retired.take_due(6_000, true), [(at(4), 1)]);
    }
}
