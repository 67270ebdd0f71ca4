//! InitProducerId with a transactional id: who becomes its producer, with which epoch.

use super::{TransactionMetadata, TransactionRefused, TransactionState};
use crate::types::{ProducerEpoch, ProducerId};

/// What InitProducerId does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    /// The retry of a call whose answer was lost: the same answer again.
    Unchanged,
    /// The next epoch of the same producer id.
    Bump {
        /// The epoch before, which a retry will name; [`ProducerEpoch::NONE`] for a new instance of the producer.
        last_producer_epoch: ProducerEpoch,
    },
    /// The first epoch of a new producer id: the old one has no epoch left.
    Rotate {
        /// As for a bump.
        last_producer_epoch: ProducerEpoch,
    },
    /// The open transaction is aborted with a higher epoch, which fences the old producer; then the client asks again
    /// (CONCURRENT_TRANSACTIONS).
    Fence,
}

impl TransactionMetadata {
    /// Judges InitProducerId. `given`: producer id and epoch that a client names which goes on after an error (KIP-360).
    ///
    /// # Errors
    /// [`TransactionRefused::ProducerFenced`], or [`TransactionRefused::Concurrent`] while an end is under way.
    pub fn init_producer_id(
        &self,
        given: Option<(ProducerId, ProducerEpoch)>,
    ) -> Result<Initialization, TransactionRefused> {
        let is_new = self.producer_epoch == ProducerEpoch::NONE;
        if given.is_some_and(|(id, epoch)| !is_new && id != self.producer_id && !self.is_rotated(id, epoch)) {
            return Err(TransactionRefused::ProducerFenced);
        }
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(TransactionRefused::Concurrent),
            // The caller's epoch is not looked at: if it is an old one, its next call tells.
            TransactionState::Ongoing => Ok(Initialization::Fence),
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                self.next_epoch(given, is_new)
            }
        }
    }

    fn next_epoch(
        &self,
        given: Option<(ProducerId, ProducerEpoch)>,
        is_new: bool,
    ) -> Result<Initialization, TransactionRefused> {
        let last_producer_epoch = match given {
            None => ProducerEpoch::NONE,
            Some(_) if is_new => ProducerEpoch::NONE,
            Some((id, epoch)) if (id, epoch) == (self.producer_id, self.producer_epoch) => epoch,
            Some((id, epoch))
                if epoch == self.last_producer_epoch && (id == self.producer_id || self.is_rotated(id, epoch)) =>
            {
                return Ok(Initialization::Unchanged);
            }
            Some(_) => return Err(TransactionRefused::ProducerFenced),
        };
        Ok(if self.is_epoch_exhausted() {
            Initialization::Rotate { last_producer_epoch }
        } else {
            Initialization::Bump { last_producer_epoch }
        })
    }

    /// Whether `id` with `epoch` is what the client had before its producer id was replaced for want of epochs.
    pub(super) fn is_rotated(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        id == self.previous_producer_id && id != ProducerId::NONE && epoch >= super::EPOCH_EXHAUSTED
    }
}
