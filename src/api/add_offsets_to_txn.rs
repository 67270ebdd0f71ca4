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
        cx.arrival,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, text};

    async fn error(broker: &TestBroker, version: i16, named: &str, producer: (i64, i16), group: &str) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(named).into())
            .with_producer_id(producer.0.into())
            .with_producer_epoch(producer.1)
            .with_group_id(text(group).into());
        broker.call(version, &request).await.error_code
    }

    #[tokio::test]
    async fn a_group_takes_part_once_and_begins_the_transaction() {
        for version in 0..=4 {
            let broker = TestBroker::start();
            let producer = broker.init_transactions("payments").await;
            for group in ["group", "group", "other"] {
                assert_eq!(error(&broker, version, "payments", producer, group).await, 0, "version {version}");
                assert_eq!(broker.describe("payments").await.transaction_state.as_str(), "Ongoing");
            }
        }
    }

    #[tokio::test]
    async fn unknown_foreign_and_fenced_producers_add_no_group() {
        let broker = TestBroker::start();
        let (id, epoch) = broker.init_transactions("payments").await;
        for (named, id, epoch, errors_by_version) in [
            ("", id, epoch, [42; 5]),
            ("refunds", id, epoch, [49; 5]),
            ("payments", id + 1, epoch, [49; 5]),
            ("payments", id, epoch + 1, [47, 47, 90, 90, 90]),
            ("payments", id, -1, [47, 47, 90, 90, 90]),
        ] {
            for (version, expected) in (0..).zip(errors_by_version) {
                let error = error(&broker, version, named, (id, epoch), "group").await;
                assert_eq!(error, expected, "{named} {id} {epoch} version {version}");
            }
        }
        // Only compact strings may be so long.
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(error(&broker, 3, "payments", (id, epoch), &long).await, 24);
        assert_eq!(broker.describe("payments").await.transaction_state.as_str(), "Empty");
    }
}
