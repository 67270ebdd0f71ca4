//! EndTxn: whether a transaction is ended, has been, or must not be.

use super::{EPOCH_EXHAUSTED, TransactionMetadata, TransactionRefused, TransactionState, TransactionVersion};
use crate::types::{ProducerEpoch, ProducerId, TransactionResult};

/// What EndTxn does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndTxn {
    /// Ends the transaction. In V2 an abort may find nothing to end, for the client cannot know whether anything was added.
    End,
    /// The retry of an end whose answer was lost: the stored producer id and epoch again.
    Done,
}

/// Which epoch a request of V2 carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carried {
    /// The one before an end: the request may be a retry of that end.
    Retry,
    /// The stored one.
    Current,
}

impl TransactionMetadata {
    /// Judges EndTxn.
    ///
    /// # Errors
    /// [`TransactionRefused`].
    pub fn end_txn(
        &self,
        version: TransactionVersion,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        result: TransactionResult,
    ) -> Result<EndTxn, TransactionRefused> {
        match version {
            TransactionVersion::V1 => self.end_v1(producer_id, producer_epoch, result),
            TransactionVersion::V2 => self.end_v2(producer_id, producer_epoch, result),
        }
    }

    fn end_v1(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        result: TransactionResult,
    ) -> Result<EndTxn, TransactionRefused> {
        use TransactionResult::{Abort, Commit};
        use TransactionState as State;
        if producer_id != self.producer_id {
            return Err(TransactionRefused::OtherProducerId);
        }
        // Neither lower nor higher (KAFKA-9600).
        if producer_epoch != self.producer_epoch {
            return Err(TransactionRefused::ProducerFenced);
        }
        match (self.state, result) {
            (State::Ongoing, _) => Ok(EndTxn::End),
            (State::CompleteCommit, Commit) | (State::CompleteAbort, Abort) => Ok(EndTxn::Done),
            (State::PrepareCommit, Commit) | (State::PrepareAbort, Abort) => Err(TransactionRefused::Concurrent),
            (State::Empty, _)
            | (State::PrepareCommit | State::CompleteCommit, Abort)
            | (State::PrepareAbort | State::CompleteAbort, Commit) => Err(TransactionRefused::InvalidState),
        }
    }

    fn end_v2(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        result: TransactionResult,
    ) -> Result<EndTxn, TransactionRefused> {
        use TransactionResult::{Abort, Commit};
        use TransactionState as State;
        match (self.state, result, self.carried(producer_id, producer_epoch)?) {
            (State::Ongoing, _, Carried::Current) => Ok(EndTxn::End),
            (State::Empty | State::CompleteCommit | State::CompleteAbort, Abort, Carried::Current) => Ok(EndTxn::End),
            (State::CompleteCommit, Commit, Carried::Retry) | (State::CompleteAbort, Abort, Carried::Retry) => {
                Ok(EndTxn::Done)
            }
            (State::PrepareCommit, Commit, Carried::Retry) | (State::PrepareAbort, Abort, Carried::Retry) => {
                Err(TransactionRefused::Concurrent)
            }
            (State::Empty | State::CompleteCommit | State::CompleteAbort, Commit, Carried::Current)
            | (State::PrepareCommit | State::CompleteCommit, Abort, Carried::Retry)
            | (State::PrepareAbort | State::CompleteAbort, Commit, Carried::Retry) => {
                Err(TransactionRefused::InvalidState)
            }
            // A prepared transaction has its next epoch already, which nobody has been told.
            (State::Empty | State::Ongoing, _, Carried::Retry)
            | (State::PrepareCommit | State::PrepareAbort, _, Carried::Current) => {
                Err(TransactionRefused::ProducerFenced)
            }
        }
    }

    fn carried(&self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> Result<Carried, TransactionRefused> {
        let is_overflow = producer_id == self.previous_producer_id
            && producer_epoch == EPOCH_EXHAUSTED
            && self.producer_epoch == ProducerEpoch(0);
        if is_overflow {
            return Ok(Carried::Retry);
        }
        if producer_id != self.producer_id {
            return Err(TransactionRefused::OtherProducerId);
        }
        if producer_epoch == self.producer_epoch {
            Ok(Carried::Current)
        } else if producer_epoch.0 >= 0 && producer_epoch.0 == self.producer_epoch.0 - 1 {
            Ok(Carried::Retry)
        } else {
            Err(TransactionRefused::ProducerFenced)
        }
    }
}
