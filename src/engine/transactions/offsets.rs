//! Offsets that open transactions will commit: staged, then moved to the committed ones or dropped with the transaction's end.
//!
//! Mirrors the pending half of `OffsetMetadataManager`. A row of its own says what is pending, so that a restart keeps it.

use std::collections::{BTreeMap, HashMap};
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
        // Once by producer, once by group.
        2 * offset_bytes(group, &self.committed)
    }
}

/// Of one group: what a transaction has committed, and what is pending no more.
#[derive(Default)]
struct SettledOffsets {
    committed: Vec<(PartitionId, CommittedOffset)>,
    settled: Vec<PartitionId>,
}

/// Offsets of all open transactions.
#[derive(Debug, Default)]
pub struct PendingOffsets {
    by_producer: HashMap<ProducerId, BTreeMap<Committed, Pending>>,
    /// How many transactions have one pending.
    by_group: HashMap<Arc<str>, BTreeMap<PartitionId, u32>>,
    bytes: usize,
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
                *self.by_group.entry(Arc::clone(group)).or_default().entry(partition).or_default() += 1;
                true
            }
        }
    }

    fn remove(&mut self, producer_id: ProducerId, at: &Committed) -> Option<Pending> {
        let of_producer = self.by_producer.get_mut(&producer_id)?;
        let pending = of_producer.remove(at)?;
        if of_producer.is_empty() {
            self.by_producer.remove(&producer_id);
        }
        self.bytes -= pending.bytes(&at.0);
        if let Some(partitions) = self.by_group.get_mut(&at.0) {
            if let Some(count) = partitions.get_mut(&at.1) {
                *count -= 1;
                if *count == 0 {
                    partitions.remove(&at.1);
                }
            }
            if partitions.is_empty() {
                self.by_group.remove(&at.0);
            }
        }
        Some(pending)
    }

    fn matching(&self, is_meant: impl Fn(&Committed) -> bool) -> Vec<(ProducerId, Committed)> {
        let of = |(id, offsets): (&ProducerId, &BTreeMap<Committed, Pending>)| {
            let id = *id;
            offsets.keys().filter(|at| is_meant(at)).map(move |at| (id, at.clone())).collect::<Vec<_>>()
        };
        self.by_producer.iter().flat_map(of).collect()
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
    let Some(of_producer) = state.transactions.pending.by_producer.get(&producer_id) else { return true };
    let is_all = of_producer.len() <= max;
    let settled: Vec<Committed> = of_producer.keys().take(max).cloned().collect();
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
    let doomed = state.transactions.pending.matching(|(_, partition)| partition.topic == topic);
    forget(state, group, doomed);
}

/// Drops what is pending for a deleted group.
pub fn forget_group(state: &mut State, group: &mut Group, group_id: &str) {
    let doomed = state.transactions.pending.matching(|(of, _)| **of == *group_id);
    forget(state, group, doomed);
}

/// Drops what is pending for one partition of a group.
pub fn forget_partition(state: &mut State, group: &mut Group, group_id: &str, partition: PartitionId) {
    if state.transactions.pending.contains(group_id, partition) {
        let doomed = state.transactions.pending.matching(|(of, at)| **of == *group_id && *at == partition);
        forget(state, group, doomed);
    }
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
