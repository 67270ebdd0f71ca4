//! The one place where a transaction moves.

use std::sync::Arc;

use super::{EPOCH_EXHAUSTED, Initialization, TransactionMetadata, TransactionState, TransactionVersion};
use crate::types::{PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

/// Who ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// Its producer.
    Client,
    /// The broker, in the producer's stead: a newer one has come, time was up, or an administrator wanted it. The epoch rises, so
    /// that the producer finds out.
    Broker,
}

impl TransactionMetadata {
    /// Carries an initialization out that is not [`Initialization::Fence`]. `next_producer_id` is asked only where a new one is
    /// needed.
    ///
    /// # Panics
    /// For [`Initialization::Fence`], which is [`TransactionMetadata::prepare`].
    pub fn initialize(
        &mut self,
        how: Initialization,
        timeout_ms: u32,
        next_producer_id: impl FnOnce() -> ProducerId,
        now: Timestamp,
    ) {
        match how {
            Initialization::Unchanged => {}
            Initialization::Bump { last_producer_epoch } => {
                self.producer_epoch = ProducerEpoch(self.producer_epoch.0 + 1);
                self.last_producer_epoch = last_producer_epoch;
                self.previous_producer_id = ProducerId::NONE;
            }
            Initialization::Rotate { last_producer_epoch } => {
                let is_continued = last_producer_epoch != ProducerEpoch::NONE;
                self.previous_producer_id = if is_continued { self.producer_id } else { ProducerId::NONE };
                self.producer_id = next_producer_id();
                self.producer_epoch = ProducerEpoch(0);
                self.last_producer_epoch = last_producer_epoch;
            }
            Initialization::Fence => unreachable!("an open transaction is aborted, not initialized"),
        }
        self.become_state(TransactionState::Empty);
        self.start_time = -1;
        self.timeout_ms = timeout_ms;
        self.last_update = now;
    }

    /// Adds a partition; answers whether it was not there.
    pub fn add_partition(&mut self, version: TransactionVersion, partition: PartitionId, now: Timestamp) -> bool {
        self.begin(version, now);
        self.partitions.insert(partition)
    }

    /// Adds a group; answers whether it was not there.
    pub fn add_group(&mut self, version: TransactionVersion, group: &Arc<str>, now: Timestamp) -> bool {
        self.begin(version, now);
        self.groups.insert(Arc::clone(group))
    }

    fn begin(&mut self, version: TransactionVersion, now: Timestamp) {
        if self.state != TransactionState::Ongoing {
            self.become_state(TransactionState::Ongoing);
            self.start_time = now;
        }
        self.version = version;
        self.last_update = now;
    }

    /// Decides the outcome for good. From here on [`TransactionMetadata::producer_id`] and
    /// [`TransactionMetadata::producer_epoch`] are those of the markers; what the client goes on with is there once the end is
    /// complete. `next_producer_id` is asked only where a new one is needed.
    ///
    /// The epoch rises by one in all, also where fencing and the end of V2 would each raise it (KAFKA-19367). In V1 the client's
    /// own end leaves it.
    pub fn prepare(
        &mut self,
        result: TransactionResult,
        version: TransactionVersion,
        by: EndedBy,
        next_producer_id: impl FnOnce() -> ProducerId,
        now: Timestamp,
    ) {
        let epoch = self.producer_epoch;
        match (version, by) {
            (TransactionVersion::V1, EndedBy::Client) => {}
            (TransactionVersion::V1, EndedBy::Broker) => {
                self.producer_epoch = ProducerEpoch(epoch.0.saturating_add(1));
                self.last_producer_epoch = ProducerEpoch::NONE;
                self.previous_producer_id = ProducerId::NONE;
            }
            (TransactionVersion::V2, _) if self.is_epoch_exhausted() => {
                self.next_producer_id = next_producer_id();
                self.producer_epoch = ProducerEpoch(i16::MAX);
                self.last_producer_epoch = EPOCH_EXHAUSTED;
            }
            (TransactionVersion::V2, _) => {
                self.producer_epoch = ProducerEpoch(epoch.0 + 1);
                self.last_producer_epoch = epoch;
                self.previous_producer_id = ProducerId::NONE;
            }
        }
        if self.state != TransactionState::Ongoing {
            // The abort of nothing.
            self.start_time = now;
        }
        self.become_state(match result {
            TransactionResult::Commit => TransactionState::PrepareCommit,
            TransactionResult::Abort => TransactionState::PrepareAbort,
        });
        self.version = version;
        self.last_update = now;
    }

    /// The prepared outcome.
    pub fn prepared(&self) -> Option<TransactionResult> {
        match self.state {
            TransactionState::PrepareCommit => Some(TransactionResult::Commit),
            TransactionState::PrepareAbort => Some(TransactionResult::Abort),
            _ => None,
        }
    }

    /// The prepared outcome has been carried out everywhere.
    ///
    /// # Panics
    /// If none was prepared.
    pub fn complete(&mut self, now: Timestamp) {
        let result = self.prepared().expect("an outcome was prepared");
        self.become_state(match result {
            TransactionResult::Commit => TransactionState::CompleteCommit,
            TransactionResult::Abort => TransactionState::CompleteAbort,
        });
        self.partitions.clear();
        self.groups.clear();
        if self.next_producer_id != ProducerId::NONE {
            self.previous_producer_id = self.producer_id;
            self.producer_id = std::mem::replace(&mut self.next_producer_id, ProducerId::NONE);
            self.producer_epoch = ProducerEpoch(0);
        }
        self.last_update = now;
    }

    fn become_state(&mut self, next: TransactionState) {
        assert!(self.state.may_become(next), "a transaction does not go from {:?} to {next:?}", self.state);
        self.state = next;
    }
}
