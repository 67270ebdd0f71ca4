//! Committed offsets of all groups, as of the last committed change.

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
    groups: dashmap::DashMap<String, BTreeMap<PartitionId, CommittedOffset>>,
}

impl CommittedOffsets {
    /// What `group` committed for `partition`.
    pub fn get(&self, group: &str, partition: PartitionId) -> Option<CommittedOffset> {
        self.groups.get(group)?.get(&partition).cloned()
    }

    /// All that `group` committed, by partition; none if the group is unknown.
    pub fn all(&self, group: &str) -> Option<Vec<(PartitionId, CommittedOffset)>> {
        let committed = self.groups.get(group)?;
        Some(committed.iter().map(|(partition, committed)| (*partition, committed.clone())).collect())
    }

    /// Whether `group` has committed anything.
    pub fn is_known(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// Ids of all groups that have committed anything.
    pub fn groups(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.key().clone()).collect()
    }

    /// Takes over what `group` committed.
    pub(crate) fn publish(&self, group: &str, committed: impl IntoIterator<Item = (PartitionId, CommittedOffset)>) {
        self.groups.entry(group.to_owned()).or_default().extend(committed);
    }

    /// Forgets these offsets; groups that had nothing else are gone.
    pub(crate) fn publish_forgotten(&self, offsets: &[(Arc<str>, PartitionId)]) {
        for (group, partition) in offsets {
            if let Some(mut committed) = self.groups.get_mut(&**group) {
                committed.remove(partition);
            }
            self.groups.remove_if(&**group, |_, committed| committed.is_empty());
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
}
