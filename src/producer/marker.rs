//! Whether a marker may end a producer's transaction in a partition.

use super::ProducerState;
use crate::types::{ErrorCode, ProducerEpoch, TransactionResult};

/// Who has a marker written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerWriter {
    /// The one coordinator that there is. While it ends a transaction the producer can begin no other, so that what is open in the
    /// partition is this transaction.
    Coordinator,
    /// Somebody who sends WriteTxnMarkers. Nothing vouches for the numbers.
    Administrator,
}

/// What a marker brings to a partition, its producer's id apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndMarker {
    /// Epoch of the producer from here on.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the transaction coordinator that writes it.
    pub coordinator_epoch: i32,
    /// The outcome.
    pub result: TransactionResult,
    /// Whether the end raised the epoch, as all ends of version 2 do (KIP-890).
    pub raises_epoch: bool,
    /// Who has it written.
    pub by: MarkerWriter,
}

/// What to do with a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerDecision {
    /// Append it and move the producer's state.
    Append,
    /// It is there already, or there is nothing to end: write nothing.
    Replay,
}

/// Why a marker is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkerRejected {
    /// The producer has gone on meanwhile, or never had this epoch.
    #[error("marker of epoch {producer_epoch}, but its producer has epoch {current_epoch}")]
    OtherEpoch {
        /// Of the marker.
        producer_epoch: ProducerEpoch,
        /// Newest one seen.
        current_epoch: ProducerEpoch,
    },
    /// A newer coordinator has written.
    #[error("marker of coordinator epoch {coordinator_epoch} comes after coordinator epoch {current_epoch}")]
    FencedCoordinator {
        /// Of the marker.
        coordinator_epoch: i32,
        /// Newest one seen.
        current_epoch: i32,
    },
}

impl MarkerRejected {
    /// Code for the wire.
    pub fn error(&self) -> ErrorCode {
        match self {
            Self::OtherEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::FencedCoordinator { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        }
    }
}

/// Judges a marker by what the partition knows of its producer, none: nothing.
///
/// The coordinator is never refused: whatever is open of its producer has to end with it, whichever epochs others have left here. Its
/// marker that raises the epoch is a replay where that epoch is there and nothing is open (KAFKA-19999). One of version 1 is
/// written also where nothing is open: its transaction may have had no data here.
///
/// An administrator ends what is open, with the epoch that it is open with, and nothing else. Kafka writes a marker for any producer
/// and takes over epochs from it that no producer and no coordinator has ever had, which shuts out those that come after.
///
/// # Errors
/// [`MarkerRejected`], to administrators alone.
pub fn decide_marker(state: Option<&ProducerState>, marker: &EndMarker) -> Result<MarkerDecision, MarkerRejected> {
    match marker.by {
        MarkerWriter::Coordinator => Ok(decide_own(state, marker)),
        MarkerWriter::Administrator => decide_foreign(state, marker),
    }
}

fn decide_own(state: Option<&ProducerState>, marker: &EndMarker) -> MarkerDecision {
    let is_there = |state: &ProducerState| {
        marker.raises_epoch && marker.producer_epoch == state.epoch && state.open_transaction.is_none()
    };
    if state.is_some_and(is_there) { MarkerDecision::Replay } else { MarkerDecision::Append }
}

fn decide_foreign(state: Option<&ProducerState>, marker: &EndMarker) -> Result<MarkerDecision, MarkerRejected> {
    let Some(state) = state else { return Ok(MarkerDecision::Replay) };
    let is_open = state.open_transaction.is_some();
    if marker.producer_epoch < state.epoch || is_open && marker.producer_epoch > state.epoch {
        return Err(MarkerRejected::OtherEpoch { producer_epoch: marker.producer_epoch, current_epoch: state.epoch });
    }
    if marker.coordinator_epoch < state.coordinator_epoch {
        return Err(MarkerRejected::FencedCoordinator {
            coordinator_epoch: marker.coordinator_epoch,
            current_epoch: state.coordinator_epoch,
        });
    }
    Ok(if is_open { MarkerDecision::Append } else { MarkerDecision::Replay })
}
