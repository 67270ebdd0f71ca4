//! What partitions know of their producers: loaded on first use, moved with each batch and marker, shown to administrators.
//!
//! Invariant: a partition's open transactions are those of its producers' states, and a producer has at most one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::append;
use super::command::DescribedProducer;
use super::delete_records::bytes_below;
use super::group::Group;
use super::housekeeping;
use super::mutant::Mutant;
use super::settings::Settings;
use super::state::{OpenTransaction, PartitionLog, State};
use crate::producer::{EndMarker, ProducerState};
use crate::record::BatchHeader;
use crate::store::schema::{RowError, RowValue, producer_key, producer_of_key, producers_prefix};
use crate::store::{Store, StoreError};
use crate::types::{ErrorCode, Offset, PartitionId, ProducerId, Timestamp};

/// Brings the producers of a partition into memory on its first idempotent batch; those that have expired go. Answers how many
/// there are now that were not before.
pub(super) fn load(
    log: &mut PartitionLog,
    store: &dyn Store,
    group: &mut Group,
    settings: &Settings,
    expiry_now: Timestamp,
) -> Result<usize, StoreError> {
    if log.producers.is_some() {
        return Ok(0);
    }
    let id = log.view.id;
    let mut producers = HashMap::new();
    // Also where the log is empty: batches of which all messages were there already have used up sequences.
    if !settings.has(Mutant::ForgetProducersAtStart) {
        let mut damage = None;
        store.scan(&producers_prefix(Some(id)), &mut |key, value| match read(key, value) {
            Ok((producer_id, producer)) => {
                producers.insert(producer_id, producer);
            }
            Err(error) => damage = Some(error),
        })?;
        if let Some(error) = damage {
            return Err(error.into());
        }
        producers.retain(|producer_id, producer| {
            let expired = producer.is_expired(expiry_now, settings.producer_id_expiration_ms);
            if expired {
                group.rows.delete(producer_key(id, *producer_id));
            }
            !expired
        });
    }
    for (producer_id, producer) in &producers {
        if let Some(first_offset) = producer.open_transaction {
            let bytes_before = bytes_below(store, id, &log.row, first_offset)?;
            log.open.insert(first_offset, OpenTransaction { producer_id: *producer_id, bytes_before });
        }
    }
    let count = producers.len();
    log.producers = Some(producers);
    Ok(count)
}

fn read(key: &[u8], value: &[u8]) -> Result<(ProducerId, ProducerState), RowError> {
    let (_, producer_id) = producer_of_key(key)?;
    Ok((producer_id, ProducerState::decode(value)?))
}

/// Moves the state of the producer of a staged batch; answers whether it is a new one.
pub(super) fn note_batch(log: &mut PartitionLog, group: &mut Group, header: &BatchHeader, now: Timestamp) -> bool {
    if header.last_sequence() < header.base_sequence {
        metrics::counter!(crate::metrics::PRODUCER_SEQUENCE_WRAPS_TOTAL).increment(1);
    }
    group.producers.insert((log.view.id, header.producer_id));
    let producers = log.producers.as_mut().expect("loaded before the batch was judged");
    let (is_new, producer) = match producers.entry(header.producer_id) {
        Entry::Occupied(known) => {
            let known = known.into_mut();
            known.append(header, header.base_offset, now);
            (false, known)
        }
        Entry::Vacant(new) => (true, new.insert(ProducerState::first(header, header.base_offset, now))),
    };
    if producer.open_transaction == Some(header.base_offset) {
        let bytes_before = log.row.size_bytes - u64::from(header.size_bytes);
        let open = OpenTransaction { producer_id: header.producer_id, bytes_before };
        log.open.insert(header.base_offset, open);
    }
    is_new
}

/// Moves the state of the producer of a batch of which nothing is staged, and that is answered with `base_offset`; answers whether it
/// is a new one.
pub(super) fn note_known(
    log: &mut PartitionLog,
    group: &mut Group,
    header: &BatchHeader,
    base_offset: Offset,
    now: Timestamp,
) -> bool {
    group.producers.insert((log.view.id, header.producer_id));
    let producers = log.producers.as_mut().expect("loaded before the batch was judged");
    match producers.entry(header.producer_id) {
        Entry::Occupied(mut known) => {
            known.get_mut().pass_over(header, base_offset, now);
            false
        }
        Entry::Vacant(new) => {
            new.insert(ProducerState::first_passed_over(header, base_offset, now));
            true
        }
    }
}

/// Takes note that the first batch of a producer was refused, which [`decide`](crate::producer::decide) had let pass; answers whether
/// the producer is a new one. In memory alone: a start ends connections, and after it a client sends again in order.
pub(super) fn note_refused(log: &mut PartitionLog, header: &BatchHeader, now: Timestamp) -> bool {
    let producers = log.producers.as_mut().expect("loaded before the batch was judged");
    let Entry::Vacant(new) = producers.entry(header.producer_id) else { return false };
    new.insert(ProducerState::awaiting(header, now));
    true
}

/// Moves the state of the producer of a staged marker. Answers the first offset of the transaction that it ends, if one was open,
/// and whether the producer is a new one.
pub(super) fn note_marker(
    log: &mut PartitionLog,
    group: &mut Group,
    producer_id: ProducerId,
    marker: &EndMarker,
    now: Timestamp,
) -> (Option<Offset>, bool) {
    group.producers.insert((log.view.id, producer_id));
    let producers = log.producers.as_mut().expect("loaded before the marker was judged");
    match producers.entry(producer_id) {
        Entry::Occupied(mut known) => {
            let first_offset = known.get_mut().end(marker, now);
            if let Some(first_offset) = first_offset {
                let ended = log.open.remove(&first_offset).map(|open| open.producer_id);
                assert_eq!(ended, Some(producer_id), "transaction open at {first_offset} of {}", log.view.id);
            }
            (first_offset, false)
        }
        Entry::Vacant(new) => {
            new.insert(ProducerState::of_marker(marker, now));
            (None, true)
        }
    }
}

/// The producers of a partition, by id (DescribeProducers).
pub(super) fn describe(
    state: &mut State,
    group: &mut Group,
    id: PartitionId,
) -> Result<Vec<DescribedProducer>, ErrorCode> {
    let topic = state.topic_of(id).map(Arc::clone).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let log = state.logs.get_mut(&id).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let expiry_now = state.expiry_clock.now(state.settings.producer_id_expiration_ms);
    match append::load(log, state.store.as_ref(), group, &state.settings, true, expiry_now) {
        Ok(count) => state.producer_state_count += count,
        Err(error) => {
            let error = topic.naming(&error);
            tracing::error!(
                topic = &*topic.name,
                partition = id.index,
                error,
                "producers of the partition cannot be read"
            );
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
    }
    let producers = log.producers.iter().flatten();
    let described =
        producers.map(|(producer_id, state)| DescribedProducer { producer_id: *producer_id, state: state.clone() });
    let mut described: Vec<_> = described.collect();
    described.sort_unstable_by_key(|producer| producer.producer_id);
    if state.producer_state_count > state.settings.producer_ids_max {
        housekeeping::expire_producers(state, group);
    }
    Ok(described)
}
