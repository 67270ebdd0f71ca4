//! Appends batches: judges each by its producer's state, gives it offsets, stages it.
//!
//! The order per batch: partition known, producer's verdict with the membership in its transaction, message ids, time, offsets, log row, producer
//! state, partition row. Producer state, batch and what the batch adds to its transaction are rows of the same write, so none can
//! be there without the others; and since one thread decides batches and ends of transactions, no end comes between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::command::{AppendBatch, Appended, Refused, Repeated};
use super::group::Group;
use super::message_ids::{self, Outcome};
use super::mutant::Mutant;
use super::settings::Settings;
use super::state::{Counters, PartitionLog, State};
use super::transactions::producer::admit_partition;
use super::{disk_watch, producer_states, sparse_index};
use crate::config::TimestampType;
use crate::log::catalog::Topic;
use crate::producer::{self, AppendRejected, Decision, WindowBatch};
use crate::record::{BatchHeader, patch};
use crate::store::schema::LogKey;
use crate::store::{Store, StoreError, StoredBatch};
use crate::transaction::{TransactionRefused, TransactionVersion};
use crate::types::{ErrorCode, LeaderEpoch, Offset, PartitionId, Timestamp};

/// Leader epochs remembered per partition; the oldest are forgotten, as if the log began later.
const EPOCHS_MAX: usize = 64;

/// Appends one batch, or tells why not. The second value says whether the answer rests on a topic that syncs.
pub(super) fn append(state: &mut State, group: &mut Group, mut batch: AppendBatch, now: Timestamp) -> (Appended, bool) {
    let id = batch.partition;
    let Some(topic) = state.topic_of(id).map(Arc::clone) else { return (unknown_partition(), false) };
    let Some(log) = state.logs.get_mut(&id) else { return (unknown_partition(), false) };
    let synced = !topic.config.is_relaxed();
    // What the partition needs from the store comes before anything is staged: damage there refuses its batches and no others.
    let expiry_now = state.expiry_clock.now(state.settings.producer_id_expiration_ms);
    match load(log, state.store.as_ref(), group, &state.settings, batch.header.is_idempotent(), expiry_now) {
        Ok(count) => state.producer_state_count += count,
        Err(error) => return (unreadable(log, &topic, &error), false),
    }
    if batch.header.is_idempotent() {
        let producers = log.producers.as_ref().expect("loaded above");
        let transaction = batch.transaction.as_deref();
        let begins_at_zero = transaction.is_some_and(|producer| producer.version == TransactionVersion::V2);
        let producer = producers.get(&batch.header.producer_id);
        let admits_all = state.settings.has(Mutant::SkipMembership);
        let admit = || match transaction {
            _ if admits_all => Ok(()),
            None => Ok(()),
            Some(producer) => {
                admit_partition(&mut state.transactions, group, producer, id, now).map_err(Rejection::from)
            }
        };
        match producer::decide(producer, &batch.header, begins_at_zero, admit) {
            // A retry of what is stored needs no room.
            Ok(Decision::Append) if state.disk.is_low() => {
                state.producer_state_count += note_refused(log, &batch.header, now);
                return (no_room(log), false);
            }
            Ok(Decision::Append) => {}
            Ok(Decision::Duplicate(_)) if state.settings.has(Mutant::ForgetDuplicates) => {}
            Ok(Decision::Duplicate(original)) => {
                state.counters.duplicate.increment(1);
                let age_ms = u64::try_from(now.saturating_sub(original.timestamp)).unwrap_or(0);
                if original.timestamp >= 0 {
                    state.counters.duplicate_age.record(Duration::from_millis(age_ms));
                }
                let mut answer = duplicate(log, &topic, &batch, original);
                if state.settings.has(Mutant::AnswerDuplicateWrongly) {
                    answer.base_offset += 1;
                }
                return (answer, synced);
            }
            Err(rejection) => return (refused(log, &topic, &rejection, &state.counters), synced),
        }
    } else if state.disk.is_low() {
        return (no_room(log), false);
    }
    if let Some(refused) = batch.refused {
        let Refused { error, message } = *refused;
        state.producer_state_count += note_refused(log, &batch.header, now);
        return (not_stored(log.row.log_start, error, Some(message)), false);
    }
    let mut last_present_delta = batch.header.last_offset_delta;
    let mut repeated = Repeated::default();
    if let Some(dedup) = &topic.config.dedup {
        let (store, base_offset) = (state.store.as_ref(), log.row.log_end);
        let known = (store, &state.topics);
        let outcome = state.message_ids.judge(known, group, &topic, dedup, &mut batch, base_offset);
        repeated = state.message_ids.repeated();
        let refusal = match outcome {
            Outcome::Append { last_present_delta: delta } => {
                last_present_delta = delta;
                let transaction = message_ids::transaction_of(&batch);
                state.message_ids.keep(group, &topic, dedup, id, log.row.log_end, transaction);
                None
            }
            Outcome::Known { base_offset } => {
                let base_offset = base_offset.unwrap_or(-1);
                if batch.header.is_idempotent()
                    && producer_states::note_known(log, group, &batch.header, base_offset, now)
                {
                    state.producer_state_count += 1;
                }
                // When its first record was appended is not remembered.
                return (stored_at(log, base_offset, -1, repeated), synced);
            }
            Outcome::Refused(error, message) => Some((error, message, Vec::new())),
            Outcome::RefusedFor(records, message) => Some((ErrorCode::INVALID_RECORD, message, records)),
        };
        if let Some((error, message, record_errors)) = refusal {
            state.producer_state_count += note_refused(log, &batch.header, now);
            let refused = not_stored(log.row.log_start, error, Some(message));
            // A refusal may rest on a record that is not synced yet, and must not outlive it.
            return (Appended { record_errors, repeated, ..refused }, synced);
        }
    }
    if batch.header.is_idempotent() {
        state.counters.appended.increment(1);
        if let Some(producer) = &batch.transaction {
            let records = u64::try_from(batch.header.record_count).unwrap_or(0);
            state.transactions.count_records(&producer.transactional_id, records);
        }
    } else {
        state.counters.nonidempotent.increment(1);
    }
    let (mut stored, header, log_append_time) = stamp(batch, log.row.log_end, state.leader_epoch, &topic, now);
    // A batch whose last records are left out is found by the offsets that it holds: a reader behind them gets the next one.
    stored.last_offset = stored.base_offset + Offset::from(last_present_delta);
    stage(log, group, id, &header, &stored, state.leader_epoch, now);
    if header.is_idempotent() && producer_states::note_batch(log, group, &header, now) {
        state.producer_state_count += 1;
    }
    log.move_last_stable_offset();
    if !synced {
        count_unflushed(log, group, &topic, &header);
    }
    count_traffic(&topic, &header);
    let appended = stored_at(log, header.base_offset, log_append_time, repeated);
    state.tail_cache.push(&log.view, stored);
    (appended, synced)
}

/// Has later batches of a producer wait for a refused one, of which nothing is known otherwise; answers how many producers there
/// are more.
fn note_refused(log: &mut PartitionLog, header: &BatchHeader, now: Timestamp) -> usize {
    usize::from(header.is_idempotent() && producer_states::note_refused(log, header, now))
}

/// The answer to a batch that is stored.
fn stored_at(log: &PartitionLog, base_offset: Offset, log_append_time: Timestamp, repeated: Repeated) -> Appended {
    Appended {
        error: ErrorCode::NONE,
        base_offset,
        log_append_time,
        log_start_offset: log.row.log_start,
        message: None,
        record_errors: Vec::new(),
        repeated,
    }
}

/// The answer to a batch that is not stored.
fn not_stored(log_start_offset: Offset, error: ErrorCode, message: Option<String>) -> Appended {
    Appended {
        error,
        base_offset: -1,
        log_append_time: -1,
        log_start_offset,
        message,
        record_errors: Vec::new(),
        repeated: Repeated::default(),
    }
}

fn unknown_partition() -> Appended {
    not_stored(-1, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, None)
}

fn unreadable(log: &PartitionLog, topic: &Topic, error: &StoreError) -> Appended {
    let error = topic.naming(error);
    tracing::error!(
        topic = &*topic.name,
        partition = log.view.id.index,
        error,
        "state of the partition cannot be read"
    );
    let message = "the state of the partition cannot be read".to_owned();
    not_stored(log.row.log_start, ErrorCode::KAFKA_STORAGE_ERROR, Some(message))
}

fn no_room(log: &PartitionLog) -> Appended {
    not_stored(log.row.log_start, ErrorCode::KAFKA_STORAGE_ERROR, Some(disk_watch::REFUSAL.to_owned()))
}

fn duplicate(log: &PartitionLog, topic: &Topic, batch: &AppendBatch, original: WindowBatch) -> Appended {
    let records = u64::try_from(batch.header.record_count).unwrap_or(0);
    topic.traffic.duplicate_records.fetch_add(records, Ordering::Relaxed);
    topic.traffic.duplicate_bytes.fetch_add(u64::from(batch.header.size_bytes), Ordering::Relaxed);
    let stamped = topic.config.message_timestamp_type == TimestampType::LogAppendTime;
    let log_append_time = if stamped { original.timestamp } else { -1 };
    stored_at(log, original.base_offset(), log_append_time, Repeated { retried: records, known: 0 })
}

/// Why a batch with a producer is not appended.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    /// By what the partition knows of its producer.
    #[error(transparent)]
    Producer(#[from] AppendRejected),
    /// By its transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionRefused),
}

fn refused(log: &PartitionLog, topic: &Topic, rejection: &Rejection, counters: &Counters) -> Appended {
    match rejection {
        Rejection::Producer(AppendRejected::FencedEpoch { .. })
        | Rejection::Transaction(TransactionRefused::ProducerFenced) => counters.fenced.increment(1),
        Rejection::Producer(AppendRejected::UnknownProducer { .. }) => {
            counters.unknown_producer.increment(1);
            topic.traffic.out_of_order.fetch_add(1, Ordering::Relaxed);
        }
        Rejection::Producer(AppendRejected::OutOfOrderSequence { .. }) => {
            counters.out_of_order.increment(1);
            topic.traffic.out_of_order.fetch_add(1, Ordering::Relaxed);
        }
        Rejection::Producer(AppendRejected::NotTransactional { .. }) => counters.not_transactional.increment(1),
        Rejection::Transaction(refused) => {
            counters.not_transactional.increment(1);
            count_unverified(*refused);
        }
    }
    let error = match rejection {
        Rejection::Producer(rejected) => rejected.error(),
        // A fenced producer aborts and goes on with INVALID_PRODUCER_EPOCH; the other code is final.
        Rejection::Transaction(refused) => refused.error(false),
    };
    not_stored(log.row.log_start, error, Some(rejection.to_string()))
}

/// Counts a batch that is not of the transaction that it claims to be of (KIP-890).
fn count_unverified(refused: TransactionRefused) {
    let reason = match refused {
        TransactionRefused::NotInTransaction => "not_in_transaction",
        TransactionRefused::Concurrent | TransactionRefused::InvalidState => "state",
        TransactionRefused::UnknownTransactionalId | TransactionRefused::OtherProducerId => "unknown_id",
        TransactionRefused::ProducerFenced | TransactionRefused::Superseded | TransactionRefused::NoRoom => return,
    };
    metrics::counter!(crate::metrics::TXN_VERIFICATION_FAILED_TOTAL, "reason" => reason).increment(1);
}

/// Writes offset, epoch and, where the topic wants it, the time into the batch; answers it with its new header and the time
/// stamped, -1 for none.
fn stamp(
    mut batch: AppendBatch,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    topic: &Topic,
    now: Timestamp,
) -> (StoredBatch, BatchHeader, Timestamp) {
    patch::set_base_offset_and_leader_epoch(&mut batch.bytes, base_offset, leader_epoch);
    let mut header = BatchHeader { base_offset, leader_epoch, ..batch.header };
    let mut log_append_time = -1;
    if topic.config.message_timestamp_type == TimestampType::LogAppendTime {
        patch::stamp_log_append_time(&mut batch.bytes, now);
        (header.max_timestamp, log_append_time) = (now, now);
    } else if header.is_log_append_time() {
        patch::unstamp_log_append_time(&mut batch.bytes);
    }
    let stored = StoredBatch { base_offset, last_offset: header.last_offset(), bytes: batch.bytes.freeze() };
    (stored, header, log_append_time)
}

/// Loads what deciding about the partition needs and is not in memory; answers how many producers that are.
pub(super) fn load(
    log: &mut PartitionLog,
    store: &dyn Store,
    group: &mut Group,
    settings: &Settings,
    needs_producers: bool,
    expiry_now: Timestamp,
) -> Result<usize, StoreError> {
    sparse_index::load(log, store)?;
    if needs_producers || log.may_hold_back() {
        return producer_states::load(log, store, group, settings, expiry_now);
    }
    Ok(0)
}

/// Stages the log row and moves the partition's row, but for its last stable offset.
pub(super) fn stage(
    log: &mut PartitionLog,
    group: &mut Group,
    id: PartitionId,
    header: &BatchHeader,
    stored: &StoredBatch,
    leader_epoch: LeaderEpoch,
    now: Timestamp,
) {
    assert_eq!(stored.base_offset, log.row.log_end, "batch of {id} does not begin at the log end");
    let last_offset_delta = stored.last_offset - stored.base_offset;
    if log.row.epochs.last().is_none_or(|(epoch, _)| *epoch < leader_epoch) {
        if log.row.epochs.len() == EPOCHS_MAX {
            log.row.epochs.remove(0);
        }
        log.row.epochs.push((leader_epoch, stored.base_offset));
        group.epochs.insert(id);
    }
    let size_bytes = u32::try_from(stored.bytes.len()).expect("frames are shorter than 4 GiB");
    sparse_index::stage(log, group, header, now);
    let key = LogKey {
        partition: id,
        base_offset: stored.base_offset,
        last_offset_delta: u32::try_from(last_offset_delta).expect("checked to be >= 0 on arrival"),
        size_bytes,
        max_timestamp: header.max_timestamp,
        flags: header.attributes.to_be_bytes()[1],
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
    };
    group.rows.put(key.encode(), stored.bytes.clone());
    log.row.log_end = header.last_offset().checked_add(1).expect("a log of 2^63 records cannot be written");
    log.row.size_bytes += u64::from(size_bytes);
    group.partitions.insert(id);
    group.appended.insert(id);
}

pub(super) fn count_unflushed(log: &mut PartitionLog, group: &mut Group, topic: &Topic, header: &BatchHeader) {
    log.unflushed_records = log.unflushed_records.saturating_add(i64::from(header.record_count));
    if log.unflushed_records >= topic.config.flush_messages {
        log.unflushed_records = 0;
        group.flush_due = true;
    }
    let within_ms = topic.config.flush_ms;
    if within_ms == i64::MAX {
        // Kafka's "never": the sync thread need not wake for it.
        return;
    }
    group.flush_within_ms = Some(group.flush_within_ms.map_or(within_ms, |ms| ms.min(within_ms)));
}

fn count_traffic(topic: &Topic, header: &BatchHeader) {
    let traffic = &topic.traffic;
    traffic.bytes_in.fetch_add(u64::from(header.size_bytes), Ordering::Relaxed);
    traffic.records_in.fetch_add(u64::try_from(header.record_count).unwrap_or(0), Ordering::Relaxed);
    traffic.batches_in.fetch_add(1, Ordering::Relaxed);
}
