//! Replaces batches by what compaction left of them, each for itself whole: what goes and what comes are rows of one write.

use std::sync::Arc;

use super::command::{Compacted, CompactedUpTo};
use super::group::{Effect, Group};
use super::reclaimer::Purged;
use super::state::State;
use crate::store::schema::{CompactedRow, RowValue, SparseRow, compacted_key, log_range, sparse_key};

/// Stages it; answers whether the partition is still there and to be compacted. What a setting had begun before it was changed is
/// not gone on with once the change has been answered.
pub(super) fn compact(state: &mut State, group: &mut Group, compacted: Compacted) -> bool {
    let Compacted { partition, replaced, index_keys, done } = compacted;
    if !state.topic_of(partition).is_some_and(|topic| topic.config.compact) {
        return false;
    }
    let Some(log) = state.logs.get_mut(&partition) else { return false };
    if !index_keys.is_empty() {
        log.view.begin_removal();
        group.when_synced.effects.push(Effect::Unindexed { partition: Arc::clone(&log.view) });
    }
    index_keys.into_iter().for_each(|key| group.rows.delete(key));
    let compacted_to = replaced.iter().map(|batch| batch.old.last_offset() + 1).max();
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
    if let Some(compacted_to) = compacted_to {
        group.partitions.insert(partition);
        group.when_synced.effects.push(Effect::Compacted {
            partition: Arc::clone(&log.view),
            compacted_to,
            start_bytes: log.row.start_bytes,
        });
    }
    if let Some(CompactedUpTo { seen_log_start, first_dirty, sparse, is_reclaimed }) = done {
        if is_reclaimed {
            group.purged.push(Purged::Records(log_range(partition, 0, first_dirty)));
        }
        group.rows.put(compacted_key(partition), CompactedRow { first_dirty }.encode());
        if log.row.log_start == seen_log_start {
            for (base_offset, row) in sparse {
                let cumulative_bytes = log.row.start_bytes + row.cumulative_bytes;
                group.rows.put(sparse_key(partition, base_offset), SparseRow { cumulative_bytes, ..row }.encode());
            }
        }
    }
    true
}
