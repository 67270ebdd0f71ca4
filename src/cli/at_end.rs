//! Partitions that are read as far as they can be, and what keeps a reader from going on.

use std::collections::BTreeMap;

use super::held::Held;
use crate::client::PartitionLeader;
use crate::types::{Offset, PartitionIndex};

/// How far each partition is read.
#[derive(Debug, Default)]
pub(super) struct AtEnd {
    partitions: BTreeMap<(String, PartitionIndex), Reached>,
}

#[derive(Debug)]
struct Reached {
    /// None while there is more to read.
    held: Option<Held>,
    /// Since when it is held back there, ms.
    since: i64,
    is_told: bool,
}

impl AtEnd {
    /// Takes note of a fetch: the next offset to read, and the ends for readers of committed records and for all others.
    pub(super) fn note(
        &mut self,
        partition: PartitionLeader,
        next: Offset,
        (end, high_watermark): (Offset, Offset),
        now: i64,
    ) {
        let is_held = next >= end && end < high_watermark;
        let place = (partition.topic.clone(), partition.partition);
        let held = is_held.then_some(Held { partition, last_stable_offset: end, high_watermark });
        let reached = self.partitions.entry(place).or_insert(Reached { held: None, since: now, is_told: false });
        let stands_still =
            |before: &Held| held.as_ref().is_some_and(|held| held.last_stable_offset == before.last_stable_offset);
        if !reached.held.as_ref().is_some_and(stands_still) {
            (reached.since, reached.is_told) = (now, false);
        }
        reached.held = held;
    }

    /// Those in which the reader has been held back at one place for `span_ms`, each once for each place.
    pub(super) fn held(&mut self, now: i64, span_ms: i64) -> Vec<Held> {
        let old = self.partitions.values_mut().filter(|reached| !reached.is_told && now - reached.since >= span_ms);
        old.filter_map(|reached| {
            reached.is_told = reached.held.is_some();
            reached.held.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_back_for_long_is_told_once_for_each_place() {
        let mut at_end = AtEnd::default();
        // Next offset, last stable offset, high watermark, ms; the last stable offsets that are told.
        for (next, end, high_watermark, now, told) in [
            (5, 9, 12, 0, &[][..]),
            (9, 9, 12, 100, &[]),
            (9, 9, 14, 2_099, &[]),
            (9, 9, 14, 2_100, &[9]),
            (9, 9, 14, 9_000, &[]),
            (10, 10, 14, 9_100, &[]),
            (10, 10, 14, 11_100, &[10]),
            (14, 14, 14, 20_000, &[]),
            (14, 14, 14, 30_000, &[]),
            (14, 14, 15, 40_000, &[]),
            (14, 14, 15, 42_000, &[14]),
        ] {
            let partition = PartitionLeader { topic: "t".to_owned(), partition: 0, leader: Some(1) };
            at_end.note(partition, next, (end, high_watermark), now);
            let held: Vec<Offset> = at_end.held(now, 2_000).iter().map(|held| held.last_stable_offset).collect();
            assert_eq!(held, told, "at {now} ms");
        }
    }
}
