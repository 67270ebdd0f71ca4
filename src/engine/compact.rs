//! Replaces batches by what compaction left of them, each for itself whole: what goes and what comes are rows of one write.

use std::sync::Arc;

use super::command::{Compaction, Reindexed, Replaced};
use super::dead::Space;
use super::group::{Effect, Group};
use super::reclaimer::Purged;
use super::state::{PartitionLog, State};
use crate::store::schema::{CompactedRow, RowValue, compacted_key, sparse_key};
use crate::types::PartitionId;

/// Stages a step; answers whether the partition is still there and to be compacted. What a setting had begun before it was changed is
/// not gone on with once the change has been answered.
pub(super) fn compact(state: &mut State, group: &mut Group, partition: PartitionId, compaction: Compaction) -> bool {
    if !state.topic_of(partition).is_some_and(|topic| topic.config.compact) {
        return false;
    }
    let Some(log) = state.logs.get_mut(&partition) else { return false };
    match compaction {
        Compaction::Forget(keys) => keys.into_iter().for_each(|key| group.rows.delete(key)),
        Compaction::Replace { replaced, aborted, index } => {
            remove_aborted(log, group, aborted);
            replace(log, group, replaced);
            reindex(log, group, index);
        }
        Compaction::Done { first_dirty, index } => {
            group.rows.put(compacted_key(partition), CompactedRow { first_dirty }.encode());
            reindex(log, group, index);
        }
        Compaction::Reclaim { below } => {
            group.purged.push(Purged::Records { partition, rows_end: below, space: Space::AtOnce });
        }
    }
    true
}

fn remove_aborted(log: &PartitionLog, group: &mut Group, keys: Vec<Vec<u8>>) {
    if keys.is_empty() {
        return;
    }
    // Before the write: a reader who finds the rows gone must not take that for what the index says.
    log.view.begin_removal();
    group.when_synced.effects.push(Effect::Unindexed { partition: Arc::clone(&log.view) });
    keys.into_iter().for_each(|key| group.rows.delete(key));
}

fn replace(log: &mut PartitionLog, group: &mut Group, replaced: Vec<Replaced>) {
    let Some(compacted_to) = replaced.iter().map(|batch| batch.old.last_offset() + 1).max() else { return };
    for batch in replaced {
        // Below the log start all goes in one piece; what is written there now might come after that.
        if batch.old.last_offset() < log.row.log_start {
            continue;
        }
        let old_bytes = u64::from(batch.old.size_bytes);
        let new_bytes = batch.new.as_ref().map_or(0, |(key, _)| u64::from(key.size_bytes));
        group.rows.delete(batch.old.encode());
        if let Some((key, bytes)) = batch.new {
            group.rows.put(key.encode(), bytes);
        }
        // Bytes that are gone count as bytes below the log start, so that the difference is what is left. A batch may have grown.
        log.row.start_bytes = (log.row.start_bytes + old_bytes).saturating_sub(new_bytes).min(log.row.size_bytes);
    }
    group.partitions.insert(log.view.id);
    group.when_synced.effects.push(Effect::Compacted {
        partition: Arc::clone(&log.view),
        compacted_to,
        start_bytes: log.row.start_bytes,
    });
}

fn reindex(log: &PartitionLog, group: &mut Group, index: Reindexed) {
    index.removed.into_iter().for_each(|key| group.rows.delete(key));
    // Those below the log start go with it, and may have gone.
    for (base_offset, row) in index.entries.into_iter().filter(|(base_offset, _)| *base_offset >= log.row.log_start) {
        group.rows.put(sparse_key(log.view.id, base_offset), row.encode());
    }
}
