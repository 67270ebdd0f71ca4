//! Stores what groups have processed, and forgets it when its time is over. Offsets of a deleted topic are dropped: there is
//! nothing left to come back to.

use std::collections::BTreeMap;

use super::command::OffsetToCommit;
use super::group::{Effect, Group};
use super::groups::kept_since;
use super::offset_index::Committed;
use super::state::State;
use crate::log::offsets::CommittedOffset;
use crate::store::schema::{OffsetRow, RowValue, offset_key};
use crate::types::{ErrorCode, PartitionId};

/// Stages the offsets of one group, visible once they are synced. Answers those that are not stored, and why.
///
/// For want of room it is INVALID_COMMIT_OFFSET_SIZE, as in Kafka where the row of an offset is too large to be written: clients
/// tell their application and do not try again at once.
pub(super) fn commit(
    state: &mut State,
    group: &mut Group,
    group_id: String,
    offsets: Vec<OffsetToCommit>,
) -> BTreeMap<PartitionId, ErrorCode> {
    let mut committed = Vec::with_capacity(offsets.len());
    let mut refused = BTreeMap::new();
    // Pending offsets have their room, so that the end of a transaction never lacks it.
    let bytes_max = state.settings.group_offsets_bytes_max.saturating_sub(state.transactions.pending.bytes());
    for OffsetToCommit { partition, committed: offset } in offsets {
        let number = state.next_commit_number();
        if state.topic_of(partition).is_none() {
            refused.insert(partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        } else if !state.offset_index.insert(&group_id, partition, &offset, number, bytes_max) {
            refused.insert(partition, ErrorCode::INVALID_COMMIT_OFFSET_SIZE);
        } else {
            group.rows.put(offset_key(&group_id, partition), row_of(&offset, number).encode());
            committed.push((partition, offset));
        }
    }
    // A group of which nothing is stored is not known.
    if !committed.is_empty() {
        group.when_synced.effects.push(Effect::Committed { group: group_id, committed });
    }
    refused
}

/// Stages the removal of a slice of what has expired. Answers whether that was the last one of the pass.
pub(super) fn expire(state: &mut State, group: &mut Group) -> bool {
    let mut index = std::mem::take(&mut state.offset_index);
    let retention_ms = state.settings.offsets_retention_ms;
    let pending = &state.transactions.pending;
    let is_pending = |id: &str, partition| pending.contains(id, partition);
    let kept_since = |id: &str, topic| kept_since(state, id, topic);
    let now = state.expiry_clock.now(retention_ms);
    let (expired, complete) = index.remove_expired(now, retention_ms, kept_since, is_pending);
    state.offset_index = index;
    metrics::counter!(crate::metrics::GROUP_OFFSETS_EXPIRED_TOTAL).increment(expired.len() as u64);
    forget(group, expired);
    complete
}

/// Stages the removal of what is no longer in the index.
pub(super) fn forget(group: &mut Group, offsets: Vec<Committed>) {
    if !offsets.is_empty() {
        for (group_id, partition) in &offsets {
            group.rows.delete(offset_key(group_id, *partition));
        }
        group.when_synced.effects.push(Effect::Forgotten { offsets });
    }
}

pub(super) fn row_of(committed: &CommittedOffset, commit_number: u64) -> OffsetRow {
    OffsetRow {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
        commit_timestamp: committed.commit_timestamp,
        expire_timestamp: committed.expire_timestamp,
        commit_number,
    }
}
