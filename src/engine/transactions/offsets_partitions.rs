//! Pending offsets as administrators see them: in partitions of `__consumer_offsets`, as if Kafka kept them there.
//!
//! Mirrors `GroupCoordinator.completeTransaction`, to which Kafka hands markers for that topic.

use std::collections::{BTreeMap, BTreeSet};

use super::offsets;
use crate::engine::command::{DescribedProducer, Marker, OffsetsPartitions};
use crate::engine::group::Group;
use crate::engine::state::State;
use crate::group::offsets_partition::offsets_partition;
use crate::producer::{ProducerState, Window};
use crate::types::{ErrorCode, Offset, PartitionId};

/// Moves or drops what the marker's producer has pending for groups of these partitions, as the end of its transaction would, all in
/// the write that is being decided. The transaction stays open. Answers the partitions in which nothing is ended, and why.
pub fn end(
    state: &mut State,
    group: &mut Group,
    marker: &Marker,
    of: &OffsetsPartitions,
) -> BTreeMap<PartitionId, ErrorCode> {
    let mut meant: BTreeMap<u32, PartitionId> = of.partitions.iter().map(|id| (id.index, *id)).collect();
    let pending = state.transactions.pending.of_producer(marker.producer_id);
    let held: BTreeSet<u32> = pending.map(|(group_id, ..)| offsets_partition(group_id, of.count)).collect();
    meant.retain(|index, _| held.contains(index));
    if meant.is_empty() {
        return BTreeMap::new();
    }
    let epoch = state.transactions.open_epochs().get(&marker.producer_id).copied();
    // As where records are: a marker ends the transaction of its own epoch only.
    if epoch.is_some_and(|epoch| marker.producer_epoch != epoch) {
        return meant.into_values().map(|id| (id, ErrorCode::INVALID_PRODUCER_EPOCH)).collect();
    }
    let is_meant = |group_id: &str| meant.contains_key(&offsets_partition(group_id, of.count));
    offsets::settle_of(state, group, marker.producer_id, marker.result, usize::MAX, is_meant);
    BTreeMap::new()
}

/// The producers that have offsets pending for groups of partition `index` of `count`, by id. The number of the first commit stands for
/// where the transaction begins.
pub fn describe(state: &State, index: u32, count: u32) -> Vec<DescribedProducer> {
    let transactions = &state.transactions;
    let epochs = transactions.open_epochs();
    let mut described = Vec::new();
    for producer_id in transactions.pending.producers() {
        let Some(epoch) = epochs.get(&producer_id).copied() else { continue };
        let pending = transactions.pending.of_producer(producer_id);
        let here = pending.filter(|(group_id, ..)| offsets_partition(group_id, count) == index);
        let span =
            here.map(|(_, number, time)| (number, time)).reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        if let Some((first, last_timestamp)) = span {
            let state = ProducerState {
                epoch,
                coordinator_epoch: -1,
                last_timestamp,
                open_transaction: Some(Offset::try_from(first).unwrap_or(Offset::MAX)),
                window: Window::default(),
            };
            described.push(DescribedProducer { producer_id, state });
        }
    }
    described.sort_unstable_by_key(|producer| producer.producer_id);
    described
}
