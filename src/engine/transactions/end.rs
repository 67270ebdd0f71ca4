//! Carries outcomes out: a marker in each partition, offsets moved or dropped, the transaction complete, all in one write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connections::Coordinator;
use super::{BROKER_VERSION, EndAnswer, Ending};
use crate::engine::command::{Marker, Reply, TransactionProducer};
use crate::engine::group::Group;
use crate::engine::markers;
use crate::engine::mutant::Mutant;
use crate::engine::producer_ids;
use crate::engine::state::State;
use crate::producer::MarkerWriter;
use crate::transaction::transition::EndedBy;
use crate::transaction::{EndTxn, TransactionMetadata, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

/// The largest that one write carries ([`Settings::transaction_slice`](crate::engine::settings::Settings::transaction_slice)). Until
/// the last slice, readers of different partitions see different parts of a transaction, as in Kafka.
pub const SLICE: usize = 10_000;

/// Time until a partition whose state could not be read is tried again.
const RETRY_MS: u64 = 1_000;

/// Who ended a transaction, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    Client,
    Timeout,
    Fencing,
}

impl Initiator {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Timeout => "timeout",
            Self::Fencing => "fencing",
        }
    }
}

/// What EndTxn answers: producer id and epoch of the next transaction.
pub type Ended = Result<(ProducerId, ProducerEpoch), TransactionRefused>;

/// EndTxn: answered once the whole outcome is synced.
pub fn end_txn(
    state: &mut State,
    group: &mut Group,
    producer: &TransactionProducer,
    result: TransactionResult,
    reply: Reply<Ended>,
    now: Timestamp,
) {
    let judged = state.transactions.find(&producer.transactional_id).and_then(|(id, metadata)| {
        let how = metadata.end_txn(producer.version, producer.producer_id, producer.producer_epoch, result)?;
        Ok((id, how, (metadata.producer_id, metadata.producer_epoch)))
    });
    let judged = judged.and_then(|judged| {
        state.transactions.admit_connection(Coordinator::Transactions, producer)?;
        Ok(judged)
    });
    match judged {
        Err(TransactionRefused::ProducerFenced)
            if state.settings.has(Mutant::AcceptEndOfOldEpoch)
                && state
                    .transactions
                    .get(&producer.transactional_id)
                    .is_some_and(|metadata| metadata.state == TransactionState::Ongoing) =>
        {
            let id = Arc::clone(&producer.transactional_id);
            prepare(state, group, &id, result, producer.version, Initiator::Client, now);
            carry_out(state, group, id, None, now);
            answer(group, reply, Ok((producer.producer_id, producer.producer_epoch)));
        }
        // A retry may come before what it repeats is synced, so that it waits, too.
        Err(refused) => {
            if refused == TransactionRefused::ProducerFenced {
                count_fenced("newer_epoch");
            }
            answer(group, reply, Err(refused));
        }
        Ok((_, EndTxn::Done, stored)) => answer(group, reply, Ok(stored)),
        Ok((id, EndTxn::End, _)) => {
            let began = Instant::now();
            prepare(state, group, &id, result, producer.version, Initiator::Client, now);
            let duration = state.counters.ends.of(result).end.clone();
            let ended: EndAnswer = Box::new(move |metadata| {
                let next = (metadata.producer_id, metadata.producer_epoch);
                Box::new(move || {
                    duration.record(began.elapsed());
                    let _ = reply.send(Ok(next));
                })
            });
            carry_out(state, group, id, Some(ended), now);
        }
    }
}

fn answer(group: &mut Group, reply: Reply<Ended>, ended: Ended) {
    group.when_synced.answers.push(Box::new(move || {
        let _ = reply.send(ended);
    }));
}

/// Aborts an open transaction in its producer's stead, and fences it.
pub fn abort(state: &mut State, group: &mut Group, id: &Arc<str>, initiator: Initiator, now: Timestamp) {
    prepare(state, group, id, TransactionResult::Abort, BROKER_VERSION, initiator, now);
    carry_out(state, group, Arc::clone(id), None, now);
}

/// Counts a producer that is shut out.
pub fn count_fenced(reason: &'static str) {
    metrics::counter!(crate::metrics::TXN_FENCED_TOTAL, "reason" => reason).increment(1);
}

/// Decides the outcome for good.
fn prepare(
    state: &mut State,
    group: &mut Group,
    id: &Arc<str>,
    result: TransactionResult,
    version: TransactionVersion,
    initiator: Initiator,
    now: Timestamp,
) {
    let (transactions, ids) = (&mut state.transactions, &mut state.producer_ids);
    let by = if initiator == Initiator::Client { EndedBy::Client } else { EndedBy::Broker };
    let is_exhausted = transactions.get(id).is_some_and(TransactionMetadata::is_epoch_exhausted);
    let next = (version == TransactionVersion::V2 && is_exhausted).then(|| producer_ids::next(ids, group));
    if let Some(metadata) = transactions.get(id) {
        let open_ms = u64::try_from(now.saturating_sub(metadata.start_time)).unwrap_or(0);
        state.counters.ends.of(result).open.record(Duration::from_millis(open_ms));
        state.counters.ends.partitions.record(metadata.partitions.len() as f64);
        state.counters.ends.records.record(transactions.take_records(id) as f64);
    }
    transactions.change(group, id, |metadata| {
        metadata.prepare(result, version, by, || next.expect("drawn for the last epoch"), now);
    });
    let result = if result == TransactionResult::Commit { "commit" } else { "abort" };
    let initiator = initiator.name();
    metrics::counter!(crate::metrics::TXN_COMPLETED_TOTAL, "result" => result, "initiator" => initiator).increment(1);
}

/// Goes on with what has more participants than one write carries: one slice for each round of the writer.
pub fn carry_on(state: &mut State, group: &mut Group, now: Timestamp) {
    if state.transactions.is_ending()
        && let Some(Ending { id, answer, .. }) = state.transactions.ending.pop_front()
    {
        if answer.is_none() && state.settings.has(Mutant::LeavePreparedAtStart) {
            return;
        }
        carry_out(state, group, id, answer, now);
    }
}

/// Stages a slice of the outcome, and the completion with the last one. The row of a transaction that is not complete holds what
/// is left, so that a restart goes on where the last write ended.
fn carry_out(state: &mut State, group: &mut Group, id: Arc<str>, ended: Option<EndAnswer>, now: Timestamp) {
    let metadata = state.transactions.get(&id).expect("prepared before");
    let result = metadata.prepared().expect("prepared before");
    let marker = Marker {
        producer_id: metadata.producer_id,
        producer_epoch: metadata.producer_epoch,
        coordinator_epoch: state.leader_epoch.0,
        result,
        version: metadata.version,
        by: MarkerWriter::Coordinator,
    };
    let slice = state.settings.transaction_slice;
    let partitions: Vec<_> = metadata.partitions.iter().copied().take(slice).collect();
    let offsets_max = slice - partitions.len();
    let is_last_of_partitions = partitions.len() == metadata.partitions.len();
    // With its topic, what was open there is gone. Nothing else is done before it has its marker: who is told that a transaction has
    // ended must find it ended everywhere.
    let mut unwritten = markers::stage(state, group, marker, &partitions, now);
    unwritten.retain(|_, error| *error != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let is_last_of_offsets = super::offsets::settle(state, group, marker.producer_id, result, offsets_max);
    if is_last_of_partitions && is_last_of_offsets && unwritten.is_empty() {
        let complete = state.transactions.change(group, &id, |metadata| {
            metadata.complete(now);
            ended.map(|ended| ended(metadata))
        });
        if state.settings.has(Mutant::AnswerEndEarly) {
            group.when_written.answers.extend(complete);
        } else {
            group.when_synced.answers.extend(complete);
        }
    } else {
        state.transactions.change(group, &id, |metadata| {
            for partition in partitions.iter().filter(|partition| !unwritten.contains_key(partition)) {
                metadata.partitions.remove(partition);
            }
        });
        let wait_ms = if unwritten.is_empty() { 0 } else { RETRY_MS };
        let at_ms = state.transactions.now_ms.saturating_add(wait_ms);
        state.transactions.ending.push_back(Ending { id, answer: ended, at_ms });
    }
}
