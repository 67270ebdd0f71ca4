//! Who writes in a transaction, and what belongs to it: InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, and the same
//! question as each batch asks it.

use std::sync::Arc;

use super::connections::Coordinator;
use super::end;
use super::{GROUP_BYTES, PARTITION_BYTES, Transactions};
use crate::engine::command::{InitTransactions, TransactionProducer};
use crate::engine::group::Group;
use crate::engine::producer_ids;
use crate::engine::state::State;
use crate::transaction::{Initialization, Membership, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{PartitionId, ProducerEpoch, ProducerId, Timestamp};

/// InitProducerId with a transactional id. An open transaction is aborted in the same write, and the caller asked to come again:
/// all clients know that answer, and some do not expect to become the producer while one is open.
pub fn init_producer_id(
    state: &mut State,
    group: &mut Group,
    init: &InitTransactions,
    now: Timestamp,
) -> Result<(ProducerId, ProducerEpoch), TransactionRefused> {
    let (transactions, producer_ids) = (&mut state.transactions, &mut state.producer_ids);
    let id = match transactions.find(&init.transactional_id) {
        Ok((id, _)) => id,
        Err(_) => transactions.create(&init.transactional_id, || producer_ids::next(producer_ids, group), now)?,
    };
    let metadata = transactions.get(&id).expect("found or created");
    let how = metadata.init_producer_id(init.given)?;
    if how == Initialization::Fence {
        end::count_fenced("init_producer_id");
        end::abort(state, group, &id, end::Initiator::Fencing, now);
        return Err(TransactionRefused::Concurrent);
    }
    if how != Initialization::Unchanged {
        transactions.set_connection(&id, init.arrival);
    }
    let next = matches!(how, Initialization::Rotate { .. }).then(|| producer_ids::next(producer_ids, group));
    transactions.change(group, &id, |metadata| {
        metadata.initialize(how, init.timeout_ms, || next.expect("drawn for a rotation"), now);
        Ok((metadata.producer_id, metadata.producer_epoch))
    })
}

/// AddPartitionsToTxn.
pub fn add_partitions(
    state: &mut State,
    group: &mut Group,
    producer: &TransactionProducer,
    partitions: &[PartitionId],
    now: Timestamp,
) -> Result<(), TransactionRefused> {
    let transactions = &mut state.transactions;
    let (id, metadata) = transactions.find(&producer.transactional_id)?;
    metadata.check_producer(producer.producer_id, producer.producer_epoch)?;
    let is_open = metadata.state == TransactionState::Ongoing;
    let more = partitions.iter().filter(|partition| !metadata.partitions.contains(partition)).count();
    transactions.admit_connection(Coordinator::Transactions, producer)?;
    if is_open && more == 0 {
        return Ok(());
    }
    transactions.check_growth(&id, more * PARTITION_BYTES)?;
    transactions.change(group, &id, |metadata| {
        for partition in partitions {
            metadata.add_partition(producer.version, *partition, now);
        }
    });
    Ok(())
}

/// AddOffsetsToTxn.
pub fn add_group(
    state: &mut State,
    group: &mut Group,
    producer: &TransactionProducer,
    group_id: &str,
    now: Timestamp,
) -> Result<(), TransactionRefused> {
    let (id, metadata) = state.transactions.find(&producer.transactional_id)?;
    metadata.check_producer(producer.producer_id, producer.producer_epoch)?;
    let is_present = metadata.state == TransactionState::Ongoing && metadata.groups.contains(group_id);
    state.transactions.admit_connection(Coordinator::Transactions, producer)?;
    if is_present {
        return Ok(());
    }
    insert_group(&mut state.transactions, group, &id, producer.version, group_id, now)
}

/// Has a batch's partition be part of its producer's open transaction, or tells why it is not. What V2 adds is in the write with
/// the batch, so neither can be there without the other, and no end can come between.
pub fn admit_partition(
    transactions: &mut Transactions,
    group: &mut Group,
    producer: &TransactionProducer,
    partition: PartitionId,
    now: Timestamp,
) -> Result<(), TransactionRefused> {
    let (id, metadata) = transactions.find(&producer.transactional_id)?;
    let (producer_id, epoch) = (producer.producer_id, producer.producer_epoch);
    match metadata.check_partition(producer.version, producer_id, epoch, partition)? {
        Membership::Present => {}
        Membership::ToBeAdded => {
            transactions.check_growth(&id, PARTITION_BYTES)?;
            transactions.change(group, &id, |metadata| metadata.add_partition(producer.version, partition, now));
        }
    }
    Ok(())
}

/// The same for a group whose offsets are to be committed with the transaction.
pub fn admit_group(
    transactions: &mut Transactions,
    group: &mut Group,
    producer: &TransactionProducer,
    group_id: &str,
    now: Timestamp,
) -> Result<(), TransactionRefused> {
    let (id, metadata) = transactions.find(&producer.transactional_id)?;
    let (producer_id, epoch) = (producer.producer_id, producer.producer_epoch);
    let membership = metadata.check_group(producer.version, producer_id, epoch, group_id)?;
    transactions.admit_connection(Coordinator::Groups, producer)?;
    match membership {
        Membership::Present => Ok(()),
        Membership::ToBeAdded => insert_group(transactions, group, &id, producer.version, group_id, now),
    }
}

fn insert_group(
    transactions: &mut Transactions,
    group: &mut Group,
    id: &Arc<str>,
    version: TransactionVersion,
    group_id: &str,
    now: Timestamp,
) -> Result<(), TransactionRefused> {
    transactions.check_growth(id, GROUP_BYTES + group_id.len())?;
    transactions.change(group, id, |metadata| metadata.add_group(version, &Arc::from(group_id), now));
    Ok(())
}
