//! AddPartitionsToTxn, AddOffsetsToTxn, and the same question as batches and offsets ask it: what is part of a transaction.

use super::{TransactionMetadata, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{PartitionId, ProducerEpoch, ProducerId};

impl TransactionMetadata {
    /// Whether `producer_id` with `producer_epoch` may add participants.
    ///
    /// # Errors
    /// [`TransactionRefused`], in Kafka's order.
    pub fn check_producer(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Result<(), TransactionRefused> {
        if producer_id != self.producer_id {
            return Err(TransactionRefused::OtherProducerId);
        }
        if producer_epoch != self.producer_epoch {
            return Err(TransactionRefused::ProducerFenced);
        }
        if self.state.is_prepared() { Err(TransactionRefused::Concurrent) } else { Ok(()) }
    }

    /// Whether a batch for `partition` may be appended (KIP-890). In V2 a partition that is not there yet is to be added with it.
    ///
    /// # Errors
    /// [`TransactionRefused`].
    pub fn check_partition(
        &self,
        version: TransactionVersion,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        partition: PartitionId,
    ) -> Result<Membership, TransactionRefused> {
        self.check_producer(producer_id, producer_epoch)?;
        self.membership(version, self.partitions.contains(&partition))
    }

    /// Whether offsets of `group` may be staged: as [`TransactionMetadata::check_partition`].
    ///
    /// # Errors
    /// [`TransactionRefused`].
    pub fn check_group(
        &self,
        version: TransactionVersion,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        group: &str,
    ) -> Result<Membership, TransactionRefused> {
        self.check_producer(producer_id, producer_epoch)?;
        self.membership(version, self.groups.contains(group))
    }

    fn membership(&self, version: TransactionVersion, is_listed: bool) -> Result<Membership, TransactionRefused> {
        if is_listed && self.state == TransactionState::Ongoing {
            return Ok(Membership::Present);
        }
        match version {
            TransactionVersion::V1 => Err(TransactionRefused::NotInTransaction),
            TransactionVersion::V2 => Ok(Membership::ToBeAdded),
        }
    }
}

/// Whether something is part of the open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It is.
    Present,
    /// It will be: V2 adds what the client writes to.
    ToBeAdded,
}
