//! What the writer knows of committed offsets, as of its newest decision: which there are, by topic, and when each expires.
//! Their values are with the readers, in [`crate::log::offsets`].
//!
//! Mirrors the part of `OffsetMetadataManager` that expires offsets. Each counts with its size, so that neither long group ids nor
//! long metadata go around the limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::log::offsets::CommittedOffset;
use crate::types::{PartitionId, Timestamp, TopicNo};

/// What an offset takes in memory beside its texts: entries of both maps, and allocations.
const OFFSET_BYTES: usize = 256;
/// Offsets that one slice of a pass looks at, so that appends do not wait for the whole of it.
const SLICE_OFFSETS: usize = 20_000;

/// A group and a partition in which it committed.
pub(super) type Committed = (Arc<str>, PartitionId);

#[derive(Debug, Clone, Copy)]
struct Entry {
    commit_timestamp: Timestamp,
    /// -1: the broker's retention counts.
    expire_timestamp: Timestamp,
    commit_number: u64,
    bytes: usize,
}

/// Memory of one offset, bytes.
pub(super) fn offset_bytes(group: &str, committed: &CommittedOffset) -> usize {
    OFFSET_BYTES + group.len() + committed.metadata.len()
}

impl Entry {
    fn of(group: &str, committed: &CommittedOffset, commit_number: u64) -> Self {
        Self {
            commit_timestamp: committed.commit_timestamp,
            expire_timestamp: committed.expire_timestamp,
            commit_number,
            bytes: offset_bytes(group, committed),
        }
    }

    /// As `OffsetExpirationConditionImpl`. `base_timestamp` is from when the broker's retention counts.
    fn is_expired(&self, base_timestamp: Timestamp, now: Timestamp, retention_ms: Timestamp) -> bool {
        match self.expire_timestamp {
            -1 => now.saturating_sub(base_timestamp) >= retention_ms,
            expire_timestamp => now >= expire_timestamp,
        }
    }
}

/// All committed offsets.
#[derive(Debug, Default)]
pub(super) struct OffsetIndex {
    by_topic: BTreeMap<TopicNo, HashMap<Arc<str>, BTreeMap<u32, Entry>>>,
    count: usize,
    bytes: usize,
    /// Where a pass that has begun goes on.
    pass: Option<TopicNo>,
}

impl OffsetIndex {
    /// Number of offsets.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Memory taken, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the commit that counts for `partition`.
    pub fn commit_number(&self, group: &str, partition: PartitionId) -> Option<u64> {
        Some(self.by_topic.get(&partition.topic)?.get(group)?.get(&partition.index)?.commit_number)
    }

    /// Takes an offset in, unless all would take more than `bytes_max` then; one that takes no more than its predecessor is
    /// always taken. Answers whether it was.
    pub fn insert(
        &mut self,
        group: &str,
        partition: PartitionId,
        committed: &CommittedOffset,
        commit_number: u64,
        bytes_max: usize,
    ) -> bool {
        let entry = Entry::of(group, committed, commit_number);
        let of_group = self.by_topic.get(&partition.topic).and_then(|groups| groups.get(group));
        let before = of_group.and_then(|of_group| of_group.get(&partition.index)).map_or(0, |before| before.bytes);
        if entry.bytes > before && (self.bytes - before).saturating_add(entry.bytes) > bytes_max {
            return false;
        }
        let groups = self.by_topic.entry(partition.topic).or_default();
        if !groups.contains_key(group) {
            groups.insert(Arc::from(group), BTreeMap::new());
        }
        let of_group = groups.get_mut(group).expect("inserted above");
        if of_group.insert(partition.index, entry).is_none() {
            self.count += 1;
        }
        self.bytes = self.bytes - before + entry.bytes;
        true
    }

    /// Takes out all that was committed for `topic`.
    pub fn remove_topic(&mut self, topic: TopicNo) -> Vec<Committed> {
        let groups = self.by_topic.remove(&topic).unwrap_or_default();
        let mut removed = Vec::new();
        for (group, of_group) in groups {
            for (index, entry) in of_group {
                self.count -= 1;
                self.bytes -= entry.bytes;
                removed.push((Arc::clone(&group), PartitionId { topic, index }));
            }
        }
        removed
    }

    /// Takes out all that `group` committed.
    pub fn remove_group(&mut self, group: &str) -> Vec<Committed> {
        let name: Arc<str> = Arc::from(group);
        let of_topic = |(topic, groups): (&TopicNo, &HashMap<Arc<str>, BTreeMap<u32, Entry>>)| {
            let indexes: Vec<u32> =
                groups.get(group).into_iter().flat_map(|of_group| of_group.keys().copied()).collect();
            let topic = *topic;
            indexes.into_iter().map(move |index| PartitionId { topic, index })
        };
        let partitions: Vec<PartitionId> = self.by_topic.iter().flat_map(of_topic).collect();
        partitions.into_iter().filter(|partition| self.remove(&name, *partition)).map(|at| (name.clone(), at)).collect()
    }

    /// Takes out what has expired, a slice of the pass over all offsets. Answers whether the pass is complete. `kept_since` says from
    /// when on retention counts at the earliest, which is the commit or later; none: the group still uses the topic's offsets.
    /// Offsets that are pending in a transaction stay.
    pub fn remove_expired(
        &mut self,
        now: Timestamp,
        retention_ms: Timestamp,
        kept_since: impl Fn(&str, TopicNo) -> Option<Timestamp>,
        is_pending: impl Fn(&str, PartitionId) -> bool,
    ) -> (Vec<Committed>, bool) {
        let mut expired = Vec::new();
        let mut seen = 0;
        let from = self.pass.take().unwrap_or(TopicNo(0));
        for (topic, groups) in self.by_topic.range(from..) {
            if seen >= SLICE_OFFSETS || expired.len() >= SLICE_OFFSETS {
                self.pass = Some(*topic);
                break;
            }
            for (group, of_group) in groups {
                seen += of_group.len();
                let Some(since) = kept_since(group, *topic) else { continue };
                let is_expired = |entry: &Entry| entry.is_expired(entry.commit_timestamp.max(since), now, retention_ms);
                let of_group = of_group.iter().filter(|(_, entry)| is_expired(entry));
                let of_group = of_group.map(|(index, _)| PartitionId { topic: *topic, index: *index });
                let of_group = of_group.filter(|partition| !is_pending(group, *partition));
                expired.extend(of_group.map(|partition| (Arc::clone(group), partition)));
            }
        }
        for (group, partition) in &expired {
            self.remove(group, *partition);
        }
        (expired, self.pass.is_none())
    }

    /// Takes one offset out. Answers whether it was there.
    pub fn remove(&mut self, group: &Arc<str>, partition: PartitionId) -> bool {
        let Some(groups) = self.by_topic.get_mut(&partition.topic) else { return false };
        let Some(of_group) = groups.get_mut(group) else { return false };
        let removed = of_group.remove(&partition.index);
        if let Some(entry) = &removed {
            self.count -= 1;
            self.bytes -= entry.bytes;
        }
        if of_group.is_empty() {
            groups.remove(group);
        }
        if groups.is_empty() {
            self.by_topic.remove(&partition.topic);
        }
        removed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderEpoch;

    const ROOM: usize = usize::MAX;

    fn at(topic: u32, index: u32) -> PartitionId {
        PartitionId { topic: TopicNo(topic), index }
    }

    fn committed(commit_timestamp: Timestamp, expire_timestamp: Timestamp, metadata: &str) -> CommittedOffset {
        let (metadata, leader_epoch) = (metadata.to_owned(), LeaderEpoch(-1));
        CommittedOffset { offset: 1, leader_epoch, metadata, commit_timestamp, expire_timestamp }
    }

    #[test]
    fn an_offset_expires_by_its_own_time_or_by_the_brokers() {
        for (commit, expire, now, expected) in [
            (100, -1, 149, false),
            (100, -1, 150, true),
            (100, 120, 119, false),
            (100, 120, 120, true),
            (100, 900, 899, false),
            (100, -1, 0, false),
        ] {
            let mut index = OffsetIndex::default();
            assert!(index.insert("g", at(1, 0), &committed(commit, expire, ""), 0, ROOM));
            let (expired, complete) = index.remove_expired(now, 50, |_, _| Some(0), |_, _| false);
            assert!(complete);
            assert_eq!(expired.len(), usize::from(expected), "{commit} {expire} {now}");
            assert_eq!((index.count, index.by_topic.len()), if expected { (0, 0) } else { (1, 1) });
        }
    }

    #[test]
    fn a_pass_over_many_offsets_comes_in_slices_and_misses_none() {
        let mut index = OffsetIndex::default();
        let topics = 5;
        for topic in 0..topics {
            for partition in 0..SLICE_OFFSETS as u32 / 2 {
                // The even ones are old.
                assert!(index.insert(
                    "g",
                    at(topic, partition),
                    &committed(i64::from(partition % 2) * 100, -1, ""),
                    0,
                    ROOM
                ));
            }
        }
        let (mut slices, mut expired) = (0, 0);
        loop {
            let (slice, complete) = index.remove_expired(100, 100, |_, _| Some(0), |_, _| false);
            (slices, expired) = (slices + 1, expired + slice.len());
            if complete {
                break;
            }
        }
        assert_eq!((slices, expired), (3, SLICE_OFFSETS * 5 / 4));
        assert_eq!(index.count, SLICE_OFFSETS * 5 / 4);
    }

    #[test]
    fn the_limit_is_of_bytes_and_what_is_gone_makes_room() {
        let one = OFFSET_BYTES + 2;
        let mut index = OffsetIndex::default();
        let plain = committed(0, -1, "");
        assert!(index.insert("aa", at(1, 0), &plain, 0, 2 * one));
        assert!(index.insert("bb", at(1, 0), &plain, 0, 2 * one));
        assert!(!index.insert("cc", at(2, 0), &plain, 0, 2 * one));
        assert!(!index.insert("aa", at(1, 0), &committed(0, -1, "m"), 0, 2 * one));
        assert!(
            index.insert("aa", at(1, 0), &committed(5, -1, ""), 0, one),
            "no larger than before, whatever the limit is now"
        );
        assert_eq!((index.count, index.bytes), (2, 2 * one));
        assert_eq!(index.remove_topic(TopicNo(1)).len(), 2);
        assert_eq!((index.count, index.bytes), (0, 0));
        assert!(index.insert("cc", at(2, 0), &committed(0, -1, "m"), 0, 2 * one));
        assert_eq!(index.remove_topic(TopicNo(3)), []);
    }
}
