//! Moves the log start of a partition. Reads obey it at once; the rows below it go by one coarse range deletion.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::command::{LogStart, Refused};
use super::dead::{Dead, Space};
use super::group::{Effect, Group};
use super::sparse_index;
use super::state::{PartitionLog, State};
use crate::log::partition::forget_epochs_before;
use crate::store::schema::PartitionRow;
use crate::store::{Store, StoreError};
use crate::types::{ErrorCode, Offset, PartitionId};

/// Deletes the records of `partition` below `before`, -1 for all that are readable; answers the new log start.
pub(super) fn delete_records(
    state: &mut State,
    group: &mut Group,
    id: PartitionId,
    before: Offset,
) -> Result<Offset, Refused> {
    let topic = state.topic_of(id).map(Arc::clone);
    let (Some(topic), Some(log)) = (topic, state.logs.get_mut(&id)) else {
        return Err(Refused::unknown_partition());
    };
    let high_watermark = log.view.offsets().high_watermark;
    let before = if before == -1 { high_watermark } else { before };
    if before < 0 || before > high_watermark {
        let message = format!("offset {before} is not within the log, which ends at {high_watermark}");
        return Err(Refused::new(ErrorCode::OFFSET_OUT_OF_RANGE, message));
    }
    if before <= log.row.log_start {
        return Ok(log.row.log_start);
    }
    let start_bytes = match bytes_below(state.store.as_ref(), id, &log.row, before) {
        Ok(start_bytes) => start_bytes,
        Err(error) => {
            let error = topic.naming(&error);
            tracing::error!(topic = &*topic.name, partition = id.index, error, "records cannot be deleted");
            let message = "the log cannot be read".to_owned();
            return Err(Refused::new(ErrorCode::KAFKA_STORAGE_ERROR, message));
        }
    };
    let bytes = start_bytes.saturating_sub(log.row.start_bytes);
    group.dead.push(Dead::Records { partition: id, log_start: before, space: Space::InTime { bytes } });
    move_log_start(log, group, before, start_bytes);
    if let Some(topic) = state.topics.by_no.get(&id.topic) {
        topic.traffic.deleted_by_request_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    Ok(before)
}

/// Moves the log starts of those partitions that are as they were seen, in topics whose limits are, too; answers which. Their rows
/// stay for now.
pub(super) fn move_log_starts(state: &mut State, group: &mut Group, starts: &[LogStart]) -> Vec<bool> {
    let mut move_one = |start: &LogStart| {
        let topics = &state.topics.by_no;
        let config = topics.get(&start.partition.topic).map(|topic| &topic.config);
        // Once a change of the limits has been answered, nothing goes by the old ones.
        if config.is_none_or(|now| !now.delete || (now.retention_ms, now.retention_bytes) != start.limits) {
            return false;
        }
        // Deleted meanwhile, or moved by a request, or compacted. The high watermark that was seen is passed for good.
        let Some(log) = state.logs.get_mut(&start.partition) else { return false };
        if (log.row.log_start, log.row.start_bytes) != start.seen {
            return false;
        }
        let (log_start, start_bytes) = start.next;
        move_log_start(log, group, log_start, start_bytes);
        true
    };
    starts.iter().map(&mut move_one).collect()
}

/// Stages a new log start with `start_bytes` of all ever appended below it. Removing the rows is the caller's.
fn move_log_start(log: &mut PartitionLog, group: &mut Group, log_start: Offset, start_bytes: u64) {
    log.row.log_start = log_start;
    // Also out of an open transaction: what is gone is not unstable.
    log.row.last_stable_offset = log.row.last_stable_offset.max(log_start);
    log.row.start_bytes = start_bytes.min(log.row.size_bytes);
    forget_epochs_before(&mut log.row.epochs, log_start);
    group.partitions.insert(log.view.id);
    group.when_synced.effects.push(Effect::LogStart {
        partition: Arc::clone(&log.view),
        log_start,
        start_bytes: log.row.start_bytes,
    });
}

/// Has the rows below the log starts of `partitions` removed once readers know of them, and their space reclaimed.
pub(super) fn remove_records(state: &State, group: &mut Group, partitions: &[PartitionId]) {
    for partition in partitions {
        // Its topic may have been deleted meanwhile, and all rows with it.
        if let Some(log) = state.logs.get(partition) {
            let (partition, log_start) = (*partition, log.row.log_start);
            group.dead.push(Dead::Records { partition, log_start, space: Space::AtOnce });
        }
    }
}

/// Bytes of the batches that end below `before`, of all ever appended: the batch that holds a log start stays whole, and so do
/// its bytes. The sparse index tells most of it, so that few batches are looked at while everybody waits.
pub(super) fn bytes_below(
    store: &dyn Store,
    partition: PartitionId,
    row: &PartitionRow,
    before: Offset,
) -> Result<u64, StoreError> {
    let (mut from, mut bytes) = (row.log_start, row.start_bytes);
    if let Some((base_offset, entry)) = sparse_index::last_entry_up_to(store, partition, before)?
        && base_offset >= from
    {
        (from, bytes) = (base_offset, entry.cumulative_bytes);
    }
    store.scan_log(partition, from, before, &mut |key| {
        if key.last_offset() < before {
            bytes += u64::from(key.size_bytes);
        }
        true
    })?;
    Ok(bytes)
}
