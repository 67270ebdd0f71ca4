//! Who acts in a transaction, as requests name them.

use std::sync::Arc;

use kafka_protocol::messages;

use super::group_id::TEXT_BYTES_MAX;
use crate::engine::command::TransactionProducer;
use crate::transaction::{TransactionRefused, TransactionVersion};
use crate::types::{Arrival, ErrorCode, ProducerEpoch, ProducerId};
use crate::wire::Close;

/// # Errors
/// INVALID_REQUEST for a transactional id that nobody can have.
pub(super) fn producer(
    transactional_id: &messages::TransactionalId,
    producer_id: messages::ProducerId,
    producer_epoch: i16,
    version: TransactionVersion,
    arrival: Arrival,
) -> Result<TransactionProducer, ErrorCode> {
    if transactional_id.is_empty() || transactional_id.len() > TEXT_BYTES_MAX {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok(TransactionProducer {
        transactional_id: Arc::from(transactional_id.as_str()),
        producer_id: ProducerId(producer_id.0),
        producer_epoch: ProducerEpoch(producer_epoch),
        version,
        arrival,
    })
}

/// What a client is told that is refused, or that its connection ends.
///
/// # Errors
/// [`Close::Superseded`] for [`TransactionRefused::Superseded`].
pub(super) fn code(refused: TransactionRefused, knows_fenced: bool) -> Result<ErrorCode, Close> {
    if refused == TransactionRefused::Superseded { Err(Close::Superseded) } else { Ok(refused.error(knows_fenced)) }
}
