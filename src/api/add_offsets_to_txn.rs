//! AddOffsetsToTxn: the group whose offsets a producer of V1 is about to commit.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::Context;
use super::apis::count_error;
use super::group_id::TEXT_BYTES_MAX;
use super::txn_producer::{code, producer};
use crate::transaction::TransactionVersion;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// First version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 2;

/// Makes the group part of the transaction.
pub async fn add_offsets_to_txn(
    cx: Context,
    header: RequestHeader,
    request: AddOffsetsToTxnRequest,
) -> Result<AddOffsetsToTxnResponse, Close> {
    let producer = producer(
        &request.transactional_id,
        request.producer_id,
        request.producer_epoch,
        TransactionVersion::V1,
        cx.connection,
    );
    let producer = producer.and_then(|producer| {
        if request.group_id.len() > TEXT_BYTES_MAX { Err(ErrorCode::INVALID_GROUP_ID) } else { Ok(producer) }
    });
    let error = match producer {
        Err(error) => error,
        Ok(producer) => {
            let added = cx.broker.engine.add_offsets_to_txn(producer, request.group_id.to_string()).await;
            match added.map_err(|_| Close::Ending)? {
                Ok(()) => ErrorCode::NONE,
                Err(refused) => code(refused, header.api_version >= FENCED_FROM)?,
            }
        }
    };
    count_error(&header, error);
    Ok(AddOffsetsToTxnResponse::default().with_error_code(error.0))
}
