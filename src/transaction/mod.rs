//! Transactions as their coordinator sees them: states, who may move them, how producer ids and epochs go on. Pure.
//!
//! Mirrors `TransactionMetadata` and the decisions of `TransactionCoordinator`. Each request of the protocol has a file: what it
//! decides is a table, and its test is the same table as text. [`transition`] is the one place where a transaction moves.
//!
//! Both protocols are first class, told apart by the version of each single request ([`TransactionVersion`]): one without an epoch
//! per transaction, which librdkafka and most others speak, and that of KIP-890, where each end raises the epoch.
//!
//! `rules.md` beside this file says of each rule of exactly once where it is code, here or elsewhere, and which tests hold it.
//!
//! Invariant: the epoch of a producer id never falls, and 32767 is given to no client: it exists to fence.
//! Invariant: an outcome, once prepared, is never changed.

mod end_txn;
mod init_producer_id;
mod participant;
mod state;
pub mod transition;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use end_txn::EndTxn;
pub use init_producer_id::Initialization;
pub use participant::Membership;
pub use state::TransactionState;

use crate::types::{ErrorCode, PartitionId, ProducerEpoch, ProducerId, Timestamp};

/// From this epoch on the next one is that of a new producer id: one more is left, to fence with.
pub const EPOCH_EXHAUSTED: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

/// Which protocol a request speaks: `TransactionVersion` in Kafka, whose level 2 this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionVersion {
    /// The epoch stays until InitProducerId, and partitions are added before they are written to: Produce up to 11, EndTxn up to 4.
    V1,
    /// KIP-890: each end raises the epoch, and the first batch adds its partition.
    V2,
}

/// What is known of one transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMetadata {
    /// Its producer id.
    pub producer_id: ProducerId,
    /// The one before, where an end or InitProducerId has just replaced it: a retry may still name it. [`ProducerId::NONE`] else.
    pub previous_producer_id: ProducerId,
    /// The one that takes over once the prepared end is complete; [`ProducerId::NONE`] but then.
    pub next_producer_id: ProducerId,
    /// Newest epoch; [`ProducerEpoch::NONE`] before the first InitProducerId is through.
    pub producer_epoch: ProducerEpoch,
    /// The epoch before, if the same client goes on: a retry may still name it. [`ProducerEpoch::NONE`] after any other client.
    pub last_producer_epoch: ProducerEpoch,
    /// How long a transaction may be open, ms.
    pub timeout_ms: u32,
    /// Where it stands.
    pub state: TransactionState,
    /// Partitions of the open transaction.
    pub partitions: BTreeSet<PartitionId>,
    /// Groups whose offsets belong to the open transaction.
    pub groups: BTreeSet<Arc<str>>,
    /// When its first participant was added; -1 if there was none since InitProducerId.
    pub start_time: Timestamp,
    /// When it last moved.
    pub last_update: Timestamp,
    /// Of the request that moved it last.
    pub version: TransactionVersion,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionRefused {
    /// Nobody has, or no longer has, this transactional id.
    #[error("the transactional id is unknown")]
    UnknownTransactionalId,
    /// The transactional id has another producer id.
    #[error("the transactional id belongs to another producer id")]
    OtherProducerId,
    /// A newer instance of the producer has begun, or the transaction was ended in its stead.
    #[error("the producer is fenced by a newer one")]
    ProducerFenced,
    /// The transaction is not where the request takes it to be.
    #[error("the state of the transaction does not allow this")]
    InvalidState,
    /// The transaction is being ended.
    #[error("the transaction is being ended")]
    Concurrent,
    /// The partition or group is not part of an open transaction, and the request's version cannot add it.
    #[error("not part of an open transaction")]
    NotInTransaction,
    /// Late: the producer has acted through a younger connection since, and nobody waits for this request's answer. In V1 it would
    /// count for the transaction that is open by now. The connection is closed instead.
    #[error("the producer has gone on to a younger connection")]
    Superseded,
    /// `einmal.transactions.bytes.max`, or `einmal.transaction.bytes.per.id.max`, is reached.
    #[error("no room for more, see einmal.transactions.bytes.max and einmal.transaction.bytes.per.id.max")]
    NoRoom,
}

impl TransactionRefused {
    /// Code for the wire. `knows_fenced`: the version of the request is one whose clients know PRODUCER_FENCED.
    pub fn error(self, knows_fenced: bool) -> ErrorCode {
        match self {
            Self::UnknownTransactionalId | Self::OtherProducerId => ErrorCode::INVALID_PRODUCER_ID_MAPPING,
            Self::ProducerFenced if knows_fenced => ErrorCode::PRODUCER_FENCED,
            Self::ProducerFenced => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::InvalidState => ErrorCode::INVALID_TXN_STATE,
            Self::Concurrent => ErrorCode::CONCURRENT_TRANSACTIONS,
            Self::NotInTransaction => ErrorCode::TRANSACTION_ABORTABLE,
            Self::Superseded => ErrorCode::NETWORK_EXCEPTION,
            Self::NoRoom => ErrorCode::POLICY_VIOLATION,
        }
    }
}

impl TransactionMetadata {
    /// A transactional id that has just been seen for the first time; it has no epoch before [`TransactionMetadata::initialize`].
    pub fn new(producer_id: ProducerId, now: Timestamp) -> Self {
        Self {
            producer_id,
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            last_producer_epoch: ProducerEpoch::NONE,
            timeout_ms: 0,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            start_time: -1,
            last_update: now,
            version: TransactionVersion::V1,
        }
    }

    /// Whether the next epoch is that of a new producer id.
    pub fn is_epoch_exhausted(&self) -> bool {
        self.producer_epoch >= EPOCH_EXHAUSTED
    }

    /// Whether it may be forgotten: nothing is open, and nothing happened for `expiration_ms` (`transactional.id.expiration.ms`).
    pub fn is_expired(&self, now: Timestamp, expiration_ms: Timestamp) -> bool {
        self.state.is_at_rest() && now.saturating_sub(self.last_update) >= expiration_ms
    }
}

#[cfg(test)]
mod tests;
