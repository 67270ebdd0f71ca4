//! Stores what groups have processed. Offsets of a deleted topic are dropped: there is nothing left to come back to.

use super::command::OffsetToCommit;
use super::group::{Effect, Group};
use super::state::State;
use crate::log::offsets::CommittedOffset;
use crate::store::schema::{OffsetRow, RowValue, offset_key};

/// Stages the offsets of one group, visible once they are synced.
pub(super) fn commit(state: &State, group: &mut Group, group_id: String, offsets: Vec<OffsetToCommit>) {
    let mut committed = Vec::with_capacity(offsets.len());
    for offset in offsets {
        if state.topic_of(offset.partition).is_some() {
            group.rows.put(offset_key(&group_id, offset.partition), row_of(&offset.committed).encode());
            committed.push((offset.partition, offset.committed));
        }
    }
    group.when_synced.effects.push(Effect::Committed { group: group_id, committed });
}

fn row_of(committed: &CommittedOffset) -> OffsetRow {
    OffsetRow {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
        commit_timestamp: committed.commit_timestamp,
        expire_timestamp: committed.expire_timestamp,
    }
}
