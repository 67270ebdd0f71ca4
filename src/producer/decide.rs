//! Whether a batch continues its producer's sequence, repeats a batch, or must be refused.

use super::{ProducerState, WindowBatch};
use crate::record::{BatchHeader, advance_sequence};
use crate::types::{ErrorCode, ProducerEpoch, ProducerId};

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Append it and move the producer's state.
    Append,
    /// It was appended before, as this batch: answer that one's base offset and, where the topic stamps times, its timestamp;
    /// write nothing.
    Duplicate(WindowBatch),
}

/// Why a batch is refused; each variant carries what a person needs to see who is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendRejected {
    /// A newer instance of the producer has written.
    #[error("producer {producer_id} with epoch {producer_epoch} is fenced by epoch {current_epoch}")]
    FencedEpoch {
        /// Of the batch.
        producer_id: ProducerId,
        /// Of the batch.
        producer_epoch: ProducerEpoch,
        /// Newest one seen.
        current_epoch: ProducerEpoch,
    },
    /// Records are missing before this batch, or it is older than the window.
    #[error(
        "out of order sequence number of producer {producer_id} with epoch {producer_epoch}: \
         expected {expected_sequence}, got {first_sequence}"
    )]
    OutOfOrderSequence {
        /// Of the batch.
        producer_id: ProducerId,
        /// Of the batch.
        producer_epoch: ProducerEpoch,
        /// The one that would have continued the sequence.
        expected_sequence: i32,
        /// Of the batch.
        first_sequence: i32,
    },
    /// A producer that begins in a transaction of version 2 (KIP-890) begins at 0: it is not one that was forgotten here.
    #[error(
        "out of order sequence number of producer {producer_id} with epoch {producer_epoch}, which is unknown here: \
         expected 0, got {first_sequence}"
    )]
    UnknownProducer {
        /// Of the batch.
        producer_id: ProducerId,
        /// Of the batch.
        producer_epoch: ProducerEpoch,
        /// Of the batch.
        first_sequence: i32,
    },
    /// The producer has a transaction open in this partition, and the batch is not part of it.
    #[error("producer {producer_id} has an open transaction, but the batch is not transactional")]
    NotTransactional {
        /// Of the batch.
        producer_id: ProducerId,
    },
}

impl AppendRejected {
    /// Code for the wire. A fenced epoch is not PRODUCER_FENCED here: clients take INVALID_PRODUCER_EPOCH from Produce as
    /// "abort and go on", the other as fatal.
    pub fn error(&self) -> ErrorCode {
        match self {
            Self::FencedEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            Self::OutOfOrderSequence { .. } | Self::UnknownProducer { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            Self::NotTransactional { .. } => ErrorCode::INVALID_TXN_STATE,
        }
    }
}

/// Judges a batch that a client sent, `header`, by what the partition knows of its producer; none: nothing, or it expired.
/// The batch has a producer and passed [`check_client_batch`](crate::record::validate::check_client_batch).
///
/// The order is Kafka's: epoch, duplicate, membership, sequence, transaction. A zombie hears that it is fenced whatever it sends
/// (KAFKA-19690), and a retry is answered also after the end of its transaction. `admit` says whether the batch belongs to an open
/// transaction of its producer, and is asked at its place in that order; `begins_at_zero` is true for batches of transactions
/// of version 2 (KIP-890), whose producers count from 0 in each epoch.
///
/// # Errors
/// [`AppendRejected`], or what `admit` says.
pub fn decide<R: From<AppendRejected>>(
    state: Option<&ProducerState>,
    header: &BatchHeader,
    begins_at_zero: bool,
    admit: impl FnOnce() -> Result<(), R>,
) -> Result<Decision, R> {
    let Some(state) = state else {
        admit()?;
        // A producer that is not known may begin anywhere: its state may have expired while the client lived on.
        if begins_at_zero && header.base_sequence != 0 {
            return Err(R::from(AppendRejected::UnknownProducer {
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                first_sequence: header.base_sequence,
            }));
        }
        return Ok(Decision::Append);
    };
    if header.producer_epoch < state.epoch {
        return Err(R::from(AppendRejected::FencedEpoch {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            current_epoch: state.epoch,
        }));
    }
    let same_epoch = header.producer_epoch == state.epoch;
    if same_epoch && let Some(batch) = duplicate(state, header) {
        return Ok(Decision::Duplicate(batch));
    }
    admit()?;
    let expected_sequence = match state.window.last() {
        Some(last) if same_epoch => advance_sequence(last.last_sequence(), 1),
        _ => 0,
    };
    if header.base_sequence != expected_sequence {
        return Err(R::from(AppendRejected::OutOfOrderSequence {
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            expected_sequence,
            first_sequence: header.base_sequence,
        }));
    }
    if state.open_transaction.is_some() && !header.is_transactional() {
        return Err(R::from(AppendRejected::NotTransactional { producer_id: header.producer_id }));
    }
    Ok(Decision::Append)
}

/// The remembered batch with exactly the sequences of `header`; a partial overlap is none.
fn duplicate(state: &ProducerState, header: &BatchHeader) -> Option<WindowBatch> {
    let (first, last) = (header.base_sequence, header.last_sequence());
    state
        .window
        .iter()
        .copied()
        .find(|batch| !batch.aborted && (batch.first_sequence, batch.last_sequence()) == (first, last))
}
