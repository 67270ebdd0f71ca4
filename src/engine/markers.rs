//! Ends transactions in partitions: one marker, one offset, in each; with it the producer's state, the entry in the index of aborted
//! transactions and the new last stable offset, all rows of the write that is being decided.
//!
//! Mirrors `KafkaApis.handleWriteTxnMarkersRequest` and what `UnifiedLog.append` does for a control batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::append;
use super::command::Marker;
use super::group::Group;
use super::mutant::Mutant;
use super::producer_states;
use super::state::State;
use crate::producer::{EndMarker, MarkerDecision, MarkerWriter, decide_marker};
use crate::record::{BatchHeader, control, patch};
use crate::store::StoredBatch;
use crate::store::schema::{AbortedRow, RowValue, aborted_key};
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, PartitionId, Timestamp, TransactionResult};

/// Stages one marker in each of `partitions`. Answers those that get none, and why: a transaction that is open there stays open.
/// Of a coordinator's, that is where the topic is gone or the partition's state cannot be read.
/// A disk that is nearly full is no reason, for ends make room.
pub(super) fn stage(
    state: &mut State,
    group: &mut Group,
    marker: Marker,
    partitions: &[PartitionId],
    now: Timestamp,
) -> BTreeMap<PartitionId, ErrorCode> {
    let Marker { producer_id, producer_epoch, coordinator_epoch, result, version, by } = marker;
    // Numbers from an administrator's request, which no producer has.
    if producer_id.0 < 0 || producer_epoch.0 < 0 {
        return partitions.iter().map(|id| (*id, ErrorCode::INVALID_PRODUCER_ID_MAPPING)).collect();
    }
    // There is no other coordinator than ours, and a newer one than that has not been yet.
    if by == MarkerWriter::Administrator && coordinator_epoch > state.leader_epoch.0 {
        return partitions.iter().map(|id| (*id, ErrorCode::TRANSACTION_COORDINATOR_FENCED)).collect();
    }
    let bytes = control::end_transaction_marker(producer_id, producer_epoch, coordinator_epoch, result, now).freeze();
    let raises_epoch = version == TransactionVersion::V2;
    let end = EndMarker { producer_epoch, coordinator_epoch, result, raises_epoch, by };
    let mut refused = BTreeMap::new();
    for (index, id) in partitions.iter().enumerate() {
        let is_last_of_several = index > 0 && index + 1 == partitions.len();
        if is_last_of_several && state.settings.has(Mutant::DropOneMarker) {
            continue;
        }
        if is_last_of_several && state.settings.has(Mutant::TurnOneMarker) {
            let commits = result == TransactionResult::Commit;
            let result = if commits { TransactionResult::Abort } else { TransactionResult::Commit };
            stage(state, group, Marker { result, ..marker }, &[*id], now);
            continue;
        }
        if let Err(error) = stage_one(state, group, &marker, &end, &bytes, *id, now) {
            refused.insert(*id, error);
        }
    }
    refused
}

fn stage_one(
    state: &mut State,
    group: &mut Group,
    marker: &Marker,
    end: &EndMarker,
    bytes: &Bytes,
    id: PartitionId,
    now: Timestamp,
) -> Result<(), ErrorCode> {
    let topic = state.topic_of(id).map(Arc::clone).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let log = state.logs.get_mut(&id).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let expiry_now = state.expiry_clock.now(state.settings.producer_id_expiration_ms);
    match append::load(log, state.store.as_ref(), group, &state.settings, true, expiry_now) {
        Ok(count) => state.producer_state_count += count,
        Err(error) => {
            let error = topic.naming(&error);
            tracing::error!(topic = &*topic.name, partition = id.index, error, "state of the partition cannot be read");
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
    }
    let producer_id = marker.producer_id;
    let producers = log.producers.as_ref().expect("loaded above");
    match decide_marker(producers.get(&producer_id), end) {
        Ok(MarkerDecision::Append) => {}
        Ok(MarkerDecision::Replay) => return Ok(()),
        Err(rejected) => {
            let producer_id = producer_id.0;
            // Whoever asked warns, once for all that it asked for.
            tracing::debug!(topic = &*topic.name, partition = id.index, producer_id, error = %rejected, "marker refused");
            return Err(rejected.error());
        }
    }
    let base_offset = log.row.log_end;
    // Offset and leader epoch lie outside of the checksum, so one batch does for all partitions.
    let mut bytes = bytes.to_vec();
    patch::set_base_offset_and_leader_epoch(&mut bytes, base_offset, state.leader_epoch);
    let header = BatchHeader::parse(&bytes).expect("a marker is a batch");
    let stored = StoredBatch { base_offset, last_offset: header.last_offset(), bytes: Bytes::from(bytes) };
    append::stage(log, group, id, &header, &stored, state.leader_epoch, now);
    group.ended.insert(id);
    let (first_offset, is_new) = producer_states::note_marker(log, group, producer_id, end, now);
    if is_new {
        state.producer_state_count += 1;
    }
    log.move_last_stable_offset();
    let ended = match state.settings.has(Mutant::KeepIdsOfAbort) {
        true => &Marker { result: TransactionResult::Commit, ..*marker },
        false => marker,
    };
    state.message_ids.end(group, &topic, id, ended);
    if let Some(first_offset) = first_offset
        && marker.result == TransactionResult::Abort
    {
        let row = AbortedRow { producer_id, first_offset, last_stable_offset: log.row.last_stable_offset };
        if !state.settings.has(Mutant::LoseAbortedEntry) {
            group.rows.put(aborted_key(id, base_offset), row.encode());
        }
        log.aborted_end = stored.last_offset + 1;
    }
    if topic.config.is_relaxed() {
        append::count_unflushed(log, group, &topic, &header);
    }
    state.tail_cache.push(&log.view, stored);
    Ok(())
}
