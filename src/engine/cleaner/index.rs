//! The index of times and sizes of what a round has passed, made anew as it goes. Pure.
//!
//! An entry counts what was ever appended before it, and what compaction takes counts as below the log start. So what goes behind an
//! entry changes it, and what goes before it does not: with each replacement all entries before it would have to be written again. They
//! are few while the round goes on, and whoever looks for a place among them walks over one in `FEW / 2` of what has been compacted, at
//! the most, about. All come at its end.

use crate::store::schema::{LogKey, SparseRow};
use crate::types::{Offset, Timestamp};

/// Entries that are there while a round goes on, beside the one at its end: this many at the most and, if there are as many, half of it
/// at least.
const FEW: usize = 32;

/// See the module.
pub(super) struct Index {
    /// Bytes between two entries.
    distance_bytes: u64,
    /// Bytes ever appended before what has been passed.
    appended_bytes: u64,
    /// End of what has been passed.
    reached: Offset,
    /// What is left of it.
    left_bytes: u64,
    newest: Option<(Timestamp, Offset)>,
    /// Bytes count what is left before each.
    entries: Vec<(Offset, SparseRow)>,
}

impl Index {
    /// Of a round that begins at `log_start`, below which `start_bytes` were ever appended.
    pub fn new(log_start: Offset, start_bytes: u64, distance_bytes: u64) -> Self {
        Self {
            distance_bytes,
            appended_bytes: start_bytes,
            reached: log_start,
            left_bytes: 0,
            newest: None,
            entries: Vec::new(),
        }
    }

    /// Takes note of a batch, and of what is left of it.
    pub fn pass(&mut self, old: &LogKey, left: Option<&LogKey>) {
        if let Some(key) = left {
            let last_bytes = self.entries.last().map_or(0, |(_, entry)| entry.cumulative_bytes);
            if self.left_bytes - last_bytes >= self.distance_bytes {
                self.entries.push((key.base_offset, self.here()));
            }
            if self.newest.is_none_or(|(timestamp, _)| key.max_timestamp > timestamp) {
                self.newest = Some((key.max_timestamp, key.base_offset));
            }
            self.left_bytes += u64::from(key.size_bytes);
        }
        self.appended_bytes += u64::from(old.size_bytes);
        self.reached = old.last_offset() + 1;
    }

    /// First offset that has not been passed.
    pub fn reached(&self) -> Offset {
        self.reached
    }

    /// Bytes that are left of what has been passed.
    pub fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// Some entries, and one at the end of what has been passed.
    pub fn few(&self) -> Vec<(Offset, SparseRow)> {
        let step = self.entries.len().div_ceil(FEW).next_power_of_two();
        let some = self.entries.iter().skip(step - 1).step_by(step);
        some.map(|entry| self.as_stored(entry)).chain([self.last(self.reached)]).collect()
    }

    /// All entries, and one at `next`, the first batch behind: the writer of the next run reads from the newest on.
    pub fn all(&self, next: Option<Offset>) -> Vec<(Offset, SparseRow)> {
        self.entries.iter().map(|entry| self.as_stored(entry)).chain(next.map(|next| self.last(next))).collect()
    }

    fn here(&self) -> SparseRow {
        let (max_timestamp, max_timestamp_offset) = self.newest.unwrap_or((-1, -1));
        SparseRow { max_timestamp, max_timestamp_offset, cumulative_bytes: self.left_bytes }
    }

    fn last(&self, offset: Offset) -> (Offset, SparseRow) {
        (offset, SparseRow { cumulative_bytes: self.appended_bytes, ..self.here() })
    }

    fn as_stored(&self, (offset, entry): &(Offset, SparseRow)) -> (Offset, SparseRow) {
        let behind_bytes = self.left_bytes - entry.cumulative_bytes;
        // A batch may have grown by a few bytes.
        (*offset, SparseRow { cumulative_bytes: self.appended_bytes.saturating_sub(behind_bytes), ..*entry })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PartitionId, ProducerEpoch, ProducerId, TopicNo};

    fn key(base_offset: Offset, size_bytes: u32) -> LogKey {
        LogKey {
            partition: PartitionId { topic: TopicNo(1), index: 0 },
            base_offset,
            last_offset_delta: 0,
            size_bytes,
            max_timestamp: 1000 + base_offset,
            flags: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
        }
    }

    #[test]
    fn entries_count_what_was_appended_before_and_few_of_them_are_there_meanwhile() {
        // Of each batch of 100 bytes 40 are left, of each third nothing.
        let left = |offset: Offset| (offset % 3 != 0).then(|| key(offset, 40));
        let mut index = Index::new(10, 5000, 80);
        let mut left_bytes = 0;
        for offset in 10..2000 {
            index.pass(&key(offset, 100), left(offset).as_ref());
            left_bytes += left(offset).map_or(0, |left| u64::from(left.size_bytes));
            let gone_bytes = (offset as u64 - 9) * 100 - left_bytes;
            for (entries, is_few) in [(index.few(), true), (index.all(Some(offset + 1)), false)] {
                for (at, entry) in &entries {
                    let before: u64 = (10..*at).filter_map(left).map(|left| u64::from(left.size_bytes)).sum();
                    assert_eq!(entry.cumulative_bytes, 5000 + gone_bytes + before, "{at} of {offset}");
                    assert!(*at == 11 || entry.max_timestamp < 1000 + at);
                }
                let dense = left_bytes as usize / 80;
                assert!(if is_few { entries.len() <= FEW + 1 } else { entries.len() >= dense / 2 });
                assert!(!is_few || dense < FEW || entries.len() > FEW / 4, "{} of {dense}", entries.len());
                assert_eq!(entries.last().map(|(at, _)| *at), Some(offset + 1));
            }
        }
        assert_eq!((index.reached(), index.left_bytes()), (2000, left_bytes));
    }
}
