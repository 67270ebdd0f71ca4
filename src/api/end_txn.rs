//! EndTxn: commits or aborts a transaction, whole and in one write.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::Context;
use super::apis::count_error;
use super::txn_producer::{code, producer};
use crate::transaction::TransactionVersion;
use crate::types::{ErrorCode, TransactionResult};
use crate::wire::{Close, RequestHeader};

/// First version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;
/// First version in which the end gives the producer its next epoch (KIP-890).
const EPOCH_FROM: i16 = 5;

/// Ends the transaction. From version 5 on it answers the producer id and epoch of the next one.
pub async fn end_txn(cx: Context, header: RequestHeader, request: EndTxnRequest) -> Result<EndTxnResponse, Close> {
    let version = if header.api_version >= EPOCH_FROM { TransactionVersion::V2 } else { TransactionVersion::V1 };
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    let ended = match producer(&request.transactional_id, id, epoch, version, cx.connection) {
        Err(error) => Err(error),
        Ok(producer) => {
            let result = TransactionResult::from_wire(request.committed);
            match cx.broker.engine.end_txn(producer, result).await.map_err(|_| Close::Ending)? {
                Ok(next) => Ok(next),
                Err(refused) => Err(code(refused, header.api_version >= FENCED_FROM)?),
            }
        }
    };
    Ok(match ended {
        Err(error) => {
            count_error(&header, error);
            EndTxnResponse::default().with_error_code(error.0)
        }
        Ok(_) if version == TransactionVersion::V1 => EndTxnResponse::default().with_error_code(ErrorCode::NONE.0),
        Ok((producer_id, epoch)) => {
            EndTxnResponse::default().with_producer_id(producer_id.0.into()).with_producer_epoch(epoch.0)
        }
    })
}
