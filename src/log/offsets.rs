//! Committed offsets of all groups, as of the last committed change, and which of them an open transaction may replace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::{LeaderEpoch, Offset, PartitionId, Timestamp};

/// Committed progress of one group in one partition, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Next offset to read.
    pub offset: Offset,
    /// Leader epoch of the record before it, -1 unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own text.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, -1 by the broker's retention (OffsetCommit 2-4 may set it).
    pub expire_timestamp: Timestamp,
}

/// Committed offsets of all groups. Read by any connection, written by the engine after its commit.
#[derive(Debug, Default)]
pub struct CommittedOffsets {
    groups: dashmap::DashMap<String, GroupOffsets>,
}

/// Offsets of one group. Behind one lock, so that nobody sees a transaction ended and its offsets not yet.
#[derive(Debug, Default)]
struct GroupOffsets {
    committed: BTreeMap<PartitionId, CommittedOffset>,
    /// How many open transactions have an offset for the partition.
    pending: BTreeMap<PartitionId, u32>,
    /// Offsets taken over since the start.
    commits: u64,
    /// Those that were refused.
    refused: u64,
}

impl GroupOffsets {
    fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    fn settle(&mut self, partition: PartitionId) {
        if let Some(count) = self.pending.get_mut(&partition) {
            *count -= 1;
            if *count == 0 {
                self.pending.remove(&partition);
            }
        }
    }
}

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The last committed offset.
    pub committed: Option<CommittedOffset>,
    /// An open transaction may replace it (UNSTABLE_OFFSET_COMMIT, KIP-447).
    pub is_pending: bool,
}

/// Where a group stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub group: String,
    /// Next offset to read, by partition.
    pub positions: Vec<(PartitionId, Offset)>,
    /// Offsets that it has committed since the start of the broker.
    pub commits: u64,
    /// Offsets that were refused, while it had no members since the start.
    pub refused: u64,
    /// When it last committed; none if it only will, with a transaction.
    pub newest: Option<Timestamp>,
}

impl CommittedOffsets {
    /// What `group` committed for `partition`.
    pub fn get(&self, group: &str, partition: PartitionId) -> Option<CommittedOffset> {
        self.groups.get(group)?.committed.get(&partition).cloned()
    }

    /// The same, and whether a transaction may replace it: both as of one moment.
    pub fn progress(&self, group: &str, partition: PartitionId) -> Progress {
        let of_group = self.groups.get(group);
        Progress {
            committed: of_group.as_ref().and_then(|offsets| offsets.committed.get(&partition).cloned()),
            is_pending: of_group.is_some_and(|offsets| offsets.pending.contains_key(&partition)),
        }
    }

    /// All that `group` committed, by partition; none if the group is unknown.
    pub fn all(&self, group: &str) -> Option<Vec<(PartitionId, CommittedOffset)>> {
        let offsets = self.groups.get(group)?;
        Some(offsets.committed.iter().map(|(partition, committed)| (*partition, committed.clone())).collect())
    }

    /// The same with what a transaction may replace.
    pub fn all_progress(&self, group: &str) -> Option<Vec<(PartitionId, Progress)>> {
        let offsets = self.groups.get(group)?;
        let of = |(partition, committed): (&PartitionId, &CommittedOffset)| {
            let is_pending = offsets.pending.contains_key(partition);
            (*partition, Progress { committed: Some(committed.clone()), is_pending })
        };
        Some(offsets.committed.iter().map(of).collect())
    }

    /// What `group` has committed, as `each_bytes` an offset and its text. Not counted further once it is above `limit_bytes`.
    pub fn bytes_up_to(&self, group: &str, each_bytes: usize, limit_bytes: usize) -> usize {
        let Some(offsets) = self.groups.get(group) else { return 0 };
        let mut bytes = 0;
        for committed in offsets.committed.values() {
            bytes += each_bytes + committed.metadata.len();
            if bytes > limit_bytes {
                break;
            }
        }
        bytes
    }

    /// What `of` makes of the lengths of the ids of all groups, which need not look at all of them.
    pub fn of_ids<T>(&self, of: impl FnOnce(&mut dyn Iterator<Item = usize>) -> T) -> T {
        of(&mut self.groups.iter().map(|group| group.key().len()))
    }

    /// Whether `group` has committed anything, or will with a transaction.
    pub fn is_known(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Ids of all groups that have committed anything, or will with a transaction.
    pub fn groups(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.key().clone()).collect()
    }

    /// Where all groups stand, by id. Each group is locked for as long as its positions are copied.
    pub fn standings(&self) -> Vec<Standing> {
        let mut standings = Vec::new();
        for group in self.groups() {
            if let Some(offsets) = self.groups.get(&group) {
                let positions = offsets.committed.iter().map(|(partition, committed)| (*partition, committed.offset));
                let newest = offsets.committed.values().map(|committed| committed.commit_timestamp).max();
                let (positions, commits, refused) = (positions.collect(), offsets.commits, offsets.refused);
                drop(offsets);
                standings.push(Standing { group, positions, commits, refused, newest });
            }
        }
        standings.sort_by(|one, other| one.group.cmp(&other.group));
        standings
    }

    /// Takes over what `group` committed.
    pub(crate) fn publish(&self, group: &str, committed: impl IntoIterator<Item = (PartitionId, CommittedOffset)>) {
        let mut offsets = self.groups.entry(group.to_owned()).or_default();
        let offsets = &mut *offsets;
        let (commits, committed_before) = (&mut offsets.commits, &mut offsets.committed);
        committed_before.extend(committed.into_iter().inspect(|_| *commits += 1));
    }

    /// Counts offsets that `group` would have committed, if it has any.
    pub(crate) fn count_refused(&self, group: &str, refused: u64) {
        if let Some(mut offsets) = self.groups.get_mut(group) {
            offsets.refused += refused;
        }
    }

    /// Takes note of what a transaction may commit.
    pub(crate) fn publish_pending(&self, group: &str, partitions: &[PartitionId]) {
        let mut offsets = self.groups.entry(group.to_owned()).or_default();
        for partition in partitions {
            *offsets.pending.entry(*partition).or_default() += 1;
        }
    }

    /// Takes over what of it was committed; nothing of `settled` is pending any more in that transaction.
    pub(crate) fn publish_settled(
        &self,
        group: &str,
        committed: Vec<(PartitionId, CommittedOffset)>,
        settled: &[PartitionId],
    ) {
        if let Some(mut offsets) = self.groups.get_mut(group) {
            offsets.commits += committed.len() as u64;
            offsets.committed.extend(committed);
            settled.iter().for_each(|partition| offsets.settle(*partition));
        }
        self.groups.remove_if(group, |_, offsets| offsets.is_empty());
    }

    /// Forgets these offsets; groups that had nothing else are gone.
    pub(crate) fn publish_forgotten(&self, offsets: &[(Arc<str>, PartitionId)]) {
        for (group, partition) in offsets {
            if let Some(mut offsets) = self.groups.get_mut(&**group) {
                offsets.committed.remove(partition);
            }
            self.groups.remove_if(&**group, |_, offsets| offsets.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicNo;

    fn committed(offset: Offset) -> CommittedOffset {
        CommittedOffset {
            offset,
            leader_epoch: LeaderEpoch(-1),
            metadata: String::new(),
            commit_timestamp: 0,
            expire_timestamp: -1,
        }
    }

    #[test]
    fn forgotten_offsets_go_and_no_others() {
        let offsets = CommittedOffsets::default();
        let at = |topic, index| PartitionId { topic: TopicNo(topic), index };
        offsets.publish("both", [(at(1, 0), committed(10)), (at(2, 0), committed(20))]);
        offsets.publish("one", [(at(1, 1), committed(11))]);
        offsets.publish_forgotten(&[("both".into(), at(1, 0)), ("one".into(), at(1, 1)), ("none".into(), at(1, 0))]);
        assert_eq!(offsets.all("one"), None);
        assert_eq!(offsets.get("both", at(1, 0)), None);
        assert_eq!(offsets.get("both", at(2, 0)), Some(committed(20)));
    }

    #[test]
    fn an_offset_is_pending_until_all_its_transactions_have_ended() {
        let offsets = CommittedOffsets::default();
        let at = |index| PartitionId { topic: TopicNo(1), index };
        offsets.publish_pending("group", &[at(0), at(1)]);
        offsets.publish_pending("group", &[at(0)]);
        assert!(offsets.is_known("group"));
        assert_eq!(offsets.progress("group", at(0)), Progress { committed: None, is_pending: true });
        assert_eq!(offsets.all_progress("group"), Some(Vec::new()));
        offsets.publish_settled("group", vec![(at(0), committed(5))], &[at(0)]);
        assert_eq!(offsets.progress("group", at(0)), Progress { committed: Some(committed(5)), is_pending: true });
        offsets.publish_settled("group", Vec::new(), &[at(0), at(1)]);
        assert_eq!(offsets.progress("group", at(0)), Progress { committed: Some(committed(5)), is_pending: false });
        assert!(!offsets.progress("group", at(1)).is_pending);
        offsets.publish_forgotten(&[("group".into(), at(0))]);
        assert!(!offsets.is_known("group"));
        offsets.publish_pending("other", &[at(0)]);
        offsets.publish_settled("other", Vec::new(), &[at(0)]);
        assert!(!offsets.is_known("other"));
    }
}
