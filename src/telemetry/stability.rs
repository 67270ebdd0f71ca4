//! How far behind the high watermark committed records end, and for how long: what a transaction that nobody ends does to readers.
//!
//! Nobody is asked but the offsets that readers see, so that a transaction counts whoever forgot it. How long the last stable
//! offset of a partition has stood still is known from looking again and again, to about [`LOOK_INTERVAL`]; time before a
//! restart of the broker is not counted. Kafka's `hasLateTransaction` takes the time of the producer's last batch instead.

use std::collections::HashMap;
use std::time::Duration;

use crate::log::partition::Offsets;
use crate::types::{Offset, PartitionId};

/// Between two looks, beside those of scrapes.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What Kafka gives a transaction beyond its longest timeout before it is late.
const LATE_BUFFER: Duration = Duration::from_secs(300);

/// What a look found, over all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Most offsets between a last stable offset and its high watermark.
    pub lag_records_max: Offset,
    /// Longest time that a last stable offset below its high watermark has not moved.
    pub stalled_max: Duration,
    /// Partitions in which that is longer than any transaction may take.
    pub late_partitions: usize,
}

/// What the last looks have seen.
#[derive(Debug)]
pub struct Stability {
    late_after: Duration,
    /// Partitions whose last stable offset is below the high watermark: where it stands, and when it was first seen there.
    behind: HashMap<PartitionId, (Offset, Duration)>,
}

impl Stability {
    /// `timeout_max`: the longest a transaction may ask for (`transaction.max.timeout.ms`).
    pub fn new(timeout_max: Duration) -> Self {
        Self { late_after: timeout_max.saturating_add(LATE_BUFFER), behind: HashMap::new() }
    }

    /// Looks at all partitions. `now`: since some moment, on the monotonic clock.
    pub fn look(&mut self, now: Duration, partitions: impl Iterator<Item = (PartitionId, Offsets)>) -> Found {
        let mut found = Found::default();
        let mut behind = HashMap::new();
        for (partition, offsets) in partitions {
            let stable = offsets.last_stable_offset;
            let lag = offsets.high_watermark.saturating_sub(stable);
            if lag <= 0 {
                continue;
            }
            let before = self.behind.get(&partition).filter(|(seen, _)| *seen == stable);
            let since = before.map_or(now, |(_, since)| *since);
            behind.insert(partition, (stable, since));
            let stalled = now.saturating_sub(since);
            found.lag_records_max = found.lag_records_max.max(lag);
            found.stalled_max = found.stalled_max.max(stalled);
            found.late_partitions += usize::from(stalled > self.late_after);
        }
        self.behind = behind;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicNo;

    fn partition(index: u32, stable: Offset, end: Offset) -> (PartitionId, Offsets) {
        let offsets = Offsets { log_start: 0, last_stable_offset: stable, high_watermark: end, log_end: end };
        (PartitionId { topic: TopicNo(1), index }, offsets)
    }

    #[test]
    fn a_stall_lasts_while_the_last_stable_offset_stands_below_the_high_watermark() {
        let mut stability = Stability::new(Duration::from_secs(60));
        for (second, partitions, (lag, stalled, late)) in [
            (0, vec![partition(0, 5, 5), partition(1, 0, 0)], (0, 0, 0)),
            (10, vec![partition(0, 5, 9), partition(1, 0, 2)], (4, 0, 0)),
            (20, vec![partition(0, 5, 12), partition(1, 1, 2)], (7, 10, 0)),
            // One has moved on, the other one stands.
            (30, vec![partition(0, 12, 13), partition(1, 1, 9)], (8, 10, 0)),
            (379, vec![partition(0, 13, 13), partition(1, 1, 9)], (8, 359, 0)),
            (381, vec![partition(0, 13, 14), partition(1, 1, 9)], (8, 361, 1)),
            (742, vec![partition(0, 13, 15), partition(1, 1, 9)], (8, 722, 2)),
            // Its topic is deleted.
            (743, vec![partition(0, 15, 15)], (0, 0, 0)),
            (744, vec![partition(1, 1, 9)], (8, 0, 0)),
        ] {
            let found = stability.look(Duration::from_secs(second), partitions.into_iter());
            let expected =
                Found { lag_records_max: lag, stalled_max: Duration::from_secs(stalled), late_partitions: late };
            assert_eq!(found, expected, "second {second}");
        }
    }
}
