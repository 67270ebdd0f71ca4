//! Whether a marker may end a producer's transaction in a partition.

use super::ProducerState;
use crate::types::{ErrorCode, ProducerEpoch, TransactionResult};

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
}

/// What to do with a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerDecision {
    /// Append it and move the producer's state.
    Append,
    /// It is there already: write nothing.
    Replay,
}

/// Why a marker is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MarkerRejected {
    /// The producer has gone on meanwhile.
    #[error("marker of epoch {producer_epoch} comes after epoch {current_epoch} of its producer")]
    FencedEpoch {
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
            Self::FencedEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::FencedCoordinator { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        }
    }
}

/// Judges a marker by what the partition knows of its producer, none: nothing.
///
/// One that raises the epoch is a replay where that epoch is there and nothing is open: refusing it would have a coordinator that
/// repeats it try for ever (KAFKA-19999). The last of all epochs cannot be raised, so equal is enough there. One of version 1
/// is written also where nothing is open: its transaction may have had no data here.
///
/// # Errors
/// [`MarkerRejected`].
pub fn decide_marker(state: Option<&ProducerState>, marker: &EndMarker) -> Result<MarkerDecision, MarkerRejected> {
    let Some(state) = state else { return Ok(MarkerDecision::Append) };
    let fenced = MarkerRejected::FencedEpoch { producer_epoch: marker.producer_epoch, current_epoch: state.epoch };
    if marker.producer_epoch < state.epoch {
        return Err(fenced);
    }
    if marker.coordinator_epoch < state.coordinator_epoch {
        return Err(MarkerRejected::FencedCoordinator {
            coordinator_epoch: marker.coordinator_epoch,
            current_epoch: state.coordinator_epoch,
        });
    }
    if marker.raises_epoch && marker.producer_epoch == state.epoch {
        return match state.open_transaction {
            None => Ok(MarkerDecision::Replay),
            Some(_) if marker.producer_epoch.0 == i16::MAX => Ok(MarkerDecision::Append),
            Some(_) => Err(fenced),
        };
    }
    Ok(MarkerDecision::Append)
}
