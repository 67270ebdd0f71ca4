//! Holds what was told to anybody outside against what the broker shows.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::engine::tests::harness::{TestEngine, unstamped};
use crate::log::offsets::CommittedOffset;
use crate::types::{Offset, PartitionId, ProducerId, Uuid};

/// A partition of one life of a topic.
pub type Place = (Uuid, u32);

/// A batch as it was sent; each has bytes of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub number: u64,
    pub place: Place,
    pub producer: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Auditor {
    sent: HashMap<Vec<u8>, Sent>,
    /// Base offset and batch, as answered to acks=all in a synced topic.
    acked: HashMap<Place, BTreeMap<Offset, u64>>,
    /// Base offset and batch, as read.
    seen: HashMap<Place, BTreeMap<Offset, u64>>,
    log_starts: HashMap<Place, Offset>,
    high_watermarks: HashMap<Place, Offset>,
    producer_ids: HashSet<ProducerId>,
    deleted: HashSet<Uuid>,
    committed: HashMap<(String, PartitionId), i64>,
    /// Offered for storing, answer not known.
    offered: HashMap<(String, PartitionId), Vec<i64>>,
}

impl Auditor {
    pub fn sent(&mut self, bytes: Vec<u8>, sent: Sent) {
        assert!(self.sent.insert(bytes, sent).is_none(), "batches have bytes of their own");
    }

    pub fn acked(&mut self, sent: &Sent, base_offset: Offset) {
        let before = self.acked.entry(sent.place).or_default().insert(base_offset, sent.number);
        assert!(before.is_none_or(|before| before == sent.number), "two batches at offset {base_offset}");
    }

    pub fn given(&mut self, producer_id: ProducerId) {
        assert!(self.producer_ids.insert(producer_id), "{producer_id} was given twice");
    }

    pub fn deleted(&mut self, topic: Uuid) {
        self.deleted.insert(topic);
    }

    pub fn log_start_told(&mut self, place: Place, log_start: Offset) {
        let told = self.log_starts.entry(place).or_default();
        assert!(log_start >= *told, "the log start went from {told} to {log_start}");
        *told = log_start;
    }

    pub fn commit_offered(&mut self, group: &str, partition: PartitionId, offset: i64) {
        self.offered.entry((group.to_owned(), partition)).or_default().push(offset);
    }

    pub fn commit_told(&mut self, group: &str, partition: PartitionId, offset: i64) {
        let key = (group.to_owned(), partition);
        if let Some(offered) = self.offered.get_mut(&key) {
            let told = offered.iter().position(|offered| *offered == offset).expect("offered before");
            offered.drain(..=told);
        }
        self.committed.insert(key, offset);
    }

    /// Looks at everything there is. `relaxed_may_be_lost`: a power cut came since the last look.
    pub async fn look(&mut self, broker: &TestEngine, relaxed_may_be_lost: bool) {
        let topics = broker.started.catalog.topics();
        for topic in topics.by_name.values() {
            assert!(!self.deleted.contains(&topic.id), "deleted topic {} is back", topic.name);
            for partition in &topic.partitions {
                let place = (topic.id, partition.id.index);
                if topic.config.is_relaxed() && relaxed_may_be_lost {
                    self.seen.remove(&place);
                    self.high_watermarks.remove(&place);
                }
                let offsets = partition.offsets();
                let end = offsets.high_watermark;
                assert!(
                    offsets.log_start <= offsets.last_stable_offset
                        && offsets.last_stable_offset <= end
                        && end <= offsets.log_end
                );
                assert!(offsets.log_start >= *self.log_starts.entry(place).or_default(), "deleted records are back");
                let seen_end = self.high_watermarks.entry(place).or_default();
                assert!(end >= *seen_end, "high watermark of {place:?} went from {seen_end} to {end}");
                *seen_end = end;
                let read = broker.started.reader.read(partition, offsets.log_start, end, usize::MAX).await;
                let mut found = BTreeMap::new();
                let mut next = None;
                let read = read.expect("reads");
                let first = read.first();
                assert!(
                    first.is_none_or(|first| (first.base_offset..=first.last_offset).contains(&offsets.log_start)),
                    "a read from {} begins with {first:?}",
                    offsets.log_start
                );
                for batch in read {
                    let sent = self.sent.get(&unstamped(&batch.bytes)).expect("somebody sent it");
                    assert_eq!(sent.place, place, "batch {} is in the wrong partition", sent.number);
                    assert!(next.is_none_or(|next| next == batch.base_offset), "a gap before {}", batch.base_offset);
                    next = Some(batch.last_offset + 1);
                    found.insert(batch.base_offset, sent.number);
                }
                assert_eq!(next.unwrap_or(end), end, "the log of {place:?} is whole up to the high watermark");
                self.check_each_once_and_in_order(&found);
                // It may have moved since.
                let log_start = partition.offsets().log_start;
                if found.is_empty() && log_start > offsets.log_start {
                    continue;
                }
                self.check_against_told(place, log_start, &found);
                self.seen.insert(place, found);
            }
        }
    }

    fn check_each_once_and_in_order(&self, found: &BTreeMap<Offset, u64>) {
        let producer_of: HashMap<u64, Option<usize>> =
            self.sent.values().map(|sent| (sent.number, sent.producer)).collect();
        let mut newest: HashMap<Option<usize>, u64> = HashMap::new();
        for number in found.values() {
            // Numbers rise as batches are sent, so a repeated batch is out of order, too.
            if let Some(before) = newest.insert(producer_of[number], *number) {
                assert!(before < *number, "batch {number} of the same producer lies behind {before}");
            }
        }
    }

    fn check_against_told(&self, place: Place, log_start: Offset, found: &BTreeMap<Offset, u64>) {
        for (told, what) in [(self.acked.get(&place), "acknowledged"), (self.seen.get(&place), "read")] {
            for (offset, number) in told.into_iter().flatten().filter(|(offset, _)| **offset >= log_start) {
                assert_eq!(found.get(offset), Some(number), "batch {number} was {what} at {offset} of {place:?}");
            }
        }
    }

    /// Looks at committed offsets once no commit is under way.
    pub fn look_at_commits(&mut self, broker: &TestEngine) {
        let topics = broker.started.catalog.topics();
        let keys: HashSet<_> = self.committed.keys().chain(self.offered.keys()).cloned().collect();
        for key in keys {
            let (group, partition) = &key;
            let found = broker.started.offsets.get(group, *partition).map(|found: CommittedOffset| found.offset);
            let offered = self.offered.remove(&key).unwrap_or_default();
            if !topics.by_no.contains_key(&partition.topic) {
                assert_eq!(found, None, "{group} has an offset of a deleted topic");
                self.committed.remove(&key);
                continue;
            }
            let told = self.committed.get(&key).copied();
            assert!(
                found == told || found.is_some_and(|found| offered.contains(&found)),
                "{group} was told {told:?} of {partition} and finds {found:?}"
            );
            if let Some(found) = found {
                self.committed.insert(key, found);
            }
        }
    }
}
