//! Offsets that open transactions will commit: staged, then moved to the committed ones or dropped with the transaction's end.
//!
//! Mirrors the pending half of `OffsetMetadataManager`. A row of its own says what is pending, so that a restart keeps it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::engine::command::{OffsetToCommit, TransactionProducer};
use crate::engine::commit_offsets::row_of;
use crate::engine::group::{Effect, Group};
use crate::engine::mutant::Mutant;
use crate::engine::offset_index::{Committed, offset_bytes};
use crate::engine::state::State;
use crate::log::offsets::CommittedOffset;
use crate::store::schema::{RowValue, offset_key, pending_offset_key};
use crate::transaction::TransactionRefused;
use crate::types::{ErrorCode, PartitionId, ProducerId, Timestamp, TopicNo, TransactionResult};

use super::producer::admit_group;

/// A pending offset.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    committed: CommittedOffset,
    commit_number: u64,
}

impl Pending {
    fn bytes(&self, group: &str) -> usize {
        // What finds it by producer, by group and by partition is within twice that of a committed one.
        2 * offset_bytes(group, &self.committed)
    }
}

/// Of one group: what a transaction has committed, and what is pending no more.
#[derive(Default)]
struct SettledOffsets {
    committed: Vec<(PartitionId, CommittedOffset)>,
    settled: Vec<PartitionId>,
}

/// Offsets of all open transactions, found by producer, by group and by topic: whatever of these ends, looks at its own only.
#[derive(Debug, Default)]
pub struct PendingOffsets {
    by_producer: HashMap<ProducerId, BTreeMap<Committed, Pending>>,
    /// Whose transactions have one pending.
    by_group: HashMap<Arc<str>, BTreeMap<PartitionId, BTreeSet<ProducerId>>>,
    /// Of which groups one is pending.
    by_partition: BTreeSet<(PartitionId, Arc<str>)>,
    bytes: usize,
    /// Pending offsets that were looked at in order to find those that are to be forgotten.
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

impl PendingOffsets {
    /// Memory taken, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an open transaction has committed `partition` for `group`.
    pub fn contains(&self, group: &str, partition: PartitionId) -> bool {
        self.by_group.get(group).is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Takes one in; the later one of a transaction counts. Answers whether there was none.
    pub fn insert(
        &mut self,
        producer_id: ProducerId,
        group: &Arc<str>,
        partition: PartitionId,
        committed: CommittedOffset,
        commit_number: u64,
    ) -> bool {
        let pending = Pending { committed, commit_number };
        self.bytes += pending.bytes(group);
        let of_producer = self.by_producer.entry(producer_id).or_default();
        match of_producer.insert((Arc::clone(group), partition), pending) {
            Some(before) => {
                self.bytes -= before.bytes(group);
                false
            }
            None => {
                let of_group = self.by_group.entry(Arc::clone(group)).or_default();
                let producers = of_group.entry(partition).or_default();
                if producers.is_empty() {
                    self.by_partition.insert((partition, Arc::clone(group)));
                }
                producers.insert(producer_id);
                true
            }
        }
    }

    /// Who has some pending.
    pub fn producers(&self) -> impl Iterator<Item = ProducerId> + '_ {
        self.by_producer.keys().copied()
    }

    /// What a producer has pending: group, number of the commit, and its time.
    pub fn of_producer(&self, producer_id: ProducerId) -> impl Iterator<Item = (&str, u64, Timestamp)> {
        let offsets = self.by_producer.get(&producer_id).into_iter().flatten();
        offsets.map(|((group, _), pending)| (&**group, pending.commit_number, pending.committed.commit_timestamp))
    }

    fn remove(&mut self, producer_id: ProducerId, at: &Committed) -> Option<Pending> {
        let of_producer = self.by_producer.get_mut(&producer_id)?;
        let pending = of_producer.remove(at)?;
        if of_producer.is_empty() {
            self.by_producer.remove(&producer_id);
        }
        self.bytes -= pending.bytes(&at.0);
        if let Some(partitions) = self.by_group.get_mut(&at.0) {
            if let Some(producers) = partitions.get_mut(&at.1) {
                producers.remove(&producer_id);
                if producers.is_empty() {
                    partitions.remove(&at.1);
                    self.by_partition.remove(&(at.1, Arc::clone(&at.0)));
                }
            }
            if partitions.is_empty() {
                self.by_group.remove(&at.0);
            }
        }
        Some(pending)
    }

    /// Those of one partition of a group.
    fn of_partition(&self, group: &str, partition: PartitionId) -> Vec<(ProducerId, Committed)> {
        let Some((group, partitions)) = self.by_group.get_key_value(group) else { return Vec::new() };
        let producers = partitions.get(&partition).into_iter().flatten();
        let found = producers.map(|id| (*id, (Arc::clone(group), partition)));
        found.inspect(|_| self.look()).collect()
    }

    fn of_group(&self, group: &str) -> Vec<(ProducerId, Committed)> {
        let Some((group, partitions)) = self.by_group.get_key_value(group) else { return Vec::new() };
        let found = partitions
            .iter()
            .flat_map(|(partition, producers)| producers.iter().map(|id| (*id, (Arc::clone(group), *partition))));
        found.inspect(|_| self.look()).collect()
    }

    fn of_topic(&self, topic: TopicNo) -> Vec<(ProducerId, Committed)> {
        let first = (PartitionId { topic, index: 0 }, Arc::from(""));
        let places = self.by_partition.range(first..).inspect(|_| self.look());
        let places = places.take_while(|(partition, _)| partition.topic == topic);
        places.flat_map(|(partition, group)| self.of_partition(group, *partition)).collect()
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "counts in tests only"))]
    fn look(&self) {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
    }
}

/// TxnOffsetCommit: stages the offsets of one group. Answers those that are not staged, and why.
///
/// # Errors
/// Why none is.
pub fn stage(
    state: &mut State,
    group: &mut Group,
    producer: &TransactionProducer,
    group_id: &str,
    offsets: Vec<OffsetToCommit>,
    now: Timestamp,
) -> Result<BTreeMap<PartitionId, ErrorCode>, TransactionRefused> {
    admit_group(&mut state.transactions, group, producer, group_id, now)?;
    let (id, group_id) = (producer.producer_id, Arc::<str>::from(group_id));
    let mut refused = BTreeMap::new();
    let mut staged = Vec::with_capacity(offsets.len());
    for OffsetToCommit { partition, committed } in offsets {
        let bytes = state.offset_index.bytes().saturating_add(state.transactions.pending.bytes());
        let more = 2 * offset_bytes(&group_id, &committed);
        if state.topic_of(partition).is_none() {
            refused.insert(partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        } else if bytes.saturating_add(more) > state.settings.group_offsets_bytes_max {
            refused.insert(partition, ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
        } else {
            let number = state.next_commit_number();
            group.rows.put(pending_offset_key(id, &group_id, partition), row_of(&committed, number).encode());
            if state.settings.has(Mutant::ApplyOffsetsLater) {
                group.rows.put(offset_key(&group_id, partition), row_of(&committed, number).encode());
            }
            if state.settings.has(Mutant::ShowStagedOffsets) {
                let (group_id, committed) = (group_id.to_string(), vec![(partition, committed.clone())]);
                group.when_synced.effects.push(Effect::Committed { group: group_id, committed });
            }
            if state.transactions.pending.insert(id, &group_id, partition, committed, number) {
                staged.push(partition);
            }
        }
    }
    count("refused", refused.len());
    if !staged.is_empty() {
        group.when_synced.effects.push(Effect::Pending { group: group_id, partitions: staged });
    }
    Ok(refused)
}

/// Moves or drops the pending offsets of an ended transaction, at most `max` of them. Answers whether those were all.
///
/// A pending offset replaces the committed one only if it was accepted later: a plain commit that came meanwhile stays.
pub fn settle(
    state: &mut State,
    group: &mut Group,
    producer_id: ProducerId,
    result: TransactionResult,
    max: usize,
) -> bool {
    settle_of(state, group, producer_id, result, max, |_| true)
}

/// The same for some groups.
pub fn settle_of(
    state: &mut State,
    group: &mut Group,
    producer_id: ProducerId,
    result: TransactionResult,
    max: usize,
    is_meant: impl Fn(&str) -> bool,
) -> bool {
    let Some(of_producer) = state.transactions.pending.by_producer.get(&producer_id) else { return true };
    let mut meant = of_producer.keys().filter(|(group_id, _)| is_meant(group_id));
    let settled: Vec<Committed> = meant.by_ref().take(max).cloned().collect();
    let is_all = meant.next().is_none();
    let settled_count = settled.len();
    let moves = match result {
        TransactionResult::Commit => !state.settings.has(Mutant::DropOffsetsOfCommit),
        TransactionResult::Abort => state.settings.has(Mutant::ApplyOffsetsOfAbort),
    };
    let mut by_group: BTreeMap<Arc<str>, SettledOffsets> = BTreeMap::new();
    for at in settled {
        let Some(pending) = state.transactions.pending.remove(producer_id, &at) else { continue };
        let (group_id, partition) = at;
        group.rows.delete(pending_offset_key(producer_id, &group_id, partition));
        let of_group = by_group.entry(Arc::clone(&group_id)).or_default();
        of_group.settled.push(partition);
        let is_newer = state.offset_index.commit_number(&group_id, partition).is_none_or(|n| n < pending.commit_number);
        if moves && is_newer && state.topic_of(partition).is_some() {
            // There was room for it when it was staged.
            state.offset_index.insert(&group_id, partition, &pending.committed, pending.commit_number, usize::MAX);
            let row = row_of(&pending.committed, pending.commit_number);
            group.rows.put(offset_key(&group_id, partition), row.encode());
            of_group.committed.push((partition, pending.committed));
        }
    }
    let committed_count = by_group.values().map(|of_group| of_group.committed.len()).sum();
    count("committed", committed_count);
    count(if result == TransactionResult::Commit { "superseded" } else { "aborted" }, settled_count - committed_count);
    for (group_id, SettledOffsets { committed, settled }) in by_group {
        group.when_synced.effects.push(Effect::Settled { group: group_id, committed, settled });
    }
    is_all
}

fn count(result: &'static str, offsets: usize) {
    if offsets > 0 {
        metrics::counter!(crate::metrics::TXN_OFFSET_COMMITS_TOTAL, "result" => result).increment(offsets as u64);
    }
}

/// Drops what is pending for a deleted topic.
pub fn forget_topic(state: &mut State, group: &mut Group, topic: TopicNo) {
    let doomed = state.transactions.pending.of_topic(topic);
    forget(state, group, doomed);
}

/// Drops what is pending for a deleted group.
pub fn forget_group(state: &mut State, group: &mut Group, group_id: &str) {
    let doomed = state.transactions.pending.of_group(group_id);
    forget(state, group, doomed);
}

/// Drops what is pending for one partition of a group.
pub fn forget_partition(state: &mut State, group: &mut Group, group_id: &str, partition: PartitionId) {
    let doomed = state.transactions.pending.of_partition(group_id, partition);
    forget(state, group, doomed);
}

fn forget(state: &mut State, group: &mut Group, doomed: Vec<(ProducerId, Committed)>) {
    for (producer_id, at) in doomed {
        if state.transactions.pending.remove(producer_id, &at).is_some() {
            let (group_id, partition) = at;
            group.rows.delete(pending_offset_key(producer_id, &group_id, partition));
            let settled = vec![partition];
            group.when_synced.effects.push(Effect::Settled { group: group_id, committed: Vec::new(), settled });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderEpoch;

    /// 20 producers, each with offsets of 5 groups of its own and of one that all share, in 3 partitions of 2 topics.
    fn pending() -> PendingOffsets {
        let mut pending = PendingOffsets::default();
        for producer in 0..20 {
            let own = (0..5).map(|group| format!("{producer}-{group}"));
            for group in own.chain(["shared".to_owned()]) {
                for (topic, index) in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)] {
                    let committed = CommittedOffset {
                        offset: 1,
                        leader_epoch: LeaderEpoch(-1),
                        metadata: String::new(),
                        commit_timestamp: 0,
                        expire_timestamp: -1,
                    };
                    let partition = PartitionId { topic: TopicNo(topic), index };
                    pending.insert(ProducerId(producer), &Arc::from(group.as_str()), partition, committed, 1);
                }
            }
        }
        pending
    }

    fn all(pending: &PendingOffsets) -> BTreeSet<(ProducerId, Committed)> {
        let of = |(id, offsets): (&ProducerId, &BTreeMap<Committed, Pending>)| {
            let id = *id;
            offsets.keys().map(move |at| (id, at.clone())).collect::<Vec<_>>()
        };
        pending.by_producer.iter().flat_map(of).collect()
    }

    #[test]
    fn to_forget_some_looks_at_those_only() {
        let at = |topic, index| PartitionId { topic: TopicNo(topic), index };
        type Find = Box<dyn Fn(&PendingOffsets) -> Vec<(ProducerId, Committed)>>;
        type IsMeant = Box<dyn Fn(&Committed) -> bool>;
        let cases: [(&str, Find, IsMeant); 5] = [
            (
                "a partition of a group",
                Box::new(move |pending| pending.of_partition("3-1", at(1, 2))),
                Box::new(move |(group, partition)| &**group == "3-1" && *partition == at(1, 2)),
            ),
            (
                "a partition of a group of many producers",
                Box::new(move |pending| pending.of_partition("shared", at(2, 0))),
                Box::new(move |(group, partition)| &**group == "shared" && *partition == at(2, 0)),
            ),
            ("a group", Box::new(|pending| pending.of_group("3-1")), Box::new(|(group, _)| &**group == "3-1")),
            ("nobody's", Box::new(|pending| pending.of_group("none")), Box::new(|_| false)),
            (
                "a topic",
                Box::new(|pending| pending.of_topic(TopicNo(1))),
                Box::new(|(_, partition)| partition.topic == TopicNo(1)),
            ),
        ];
        for (case, find, is_meant) in cases {
            let mut pending = pending();
            let found = find(&pending);
            let expected: BTreeSet<_> = all(&pending).into_iter().filter(|(_, at)| is_meant(at)).collect();
            assert_eq!((found.len(), found.iter().cloned().collect()), (expected.len(), expected), "{case}");
            // Of a topic also each place, and the one behind.
            let looks_max = 2 * found.len() + 1;
            assert!(pending.looks.get() <= looks_max, "{case}: {} for {}", pending.looks.get(), found.len());
            for (producer_id, at) in found {
                assert!(pending.remove(producer_id, &at).is_some(), "{case}");
            }
            assert_eq!(find(&pending), [], "{case}");
            for (producer_id, at) in all(&pending) {
                pending.remove(producer_id, &at);
            }
            assert!(pending.by_group.is_empty() && pending.by_partition.is_empty(), "{case}");
            assert_eq!(pending.bytes(), 0, "{case}");
        }
    }
}
