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
    let ended = match producer(&request.transactional_id, id, epoch, version, cx.arrival) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::group_id::TEXT_BYTES_MAX;
    use crate::api::testing::{TestBroker, text};

    async fn end(broker: &TestBroker, version: i16, named: &str, producer: (i64, i16)) -> EndTxnResponse {
        let request = EndTxnRequest::default()
            .with_transactional_id(text(named).into())
            .with_producer_id(producer.0.into())
            .with_producer_epoch(producer.1)
            .with_committed(true);
        broker.call(version, &request).await
    }

    #[tokio::test]
    async fn ends_that_name_nobody_foreign_or_fenced_producers_end_nothing() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1).await;
        let (id, epoch) = broker.init_transactions("payments").await;
        let (_, of_refunds) = broker.init_transactions("refunds").await;
        assert_eq!(epoch, of_refunds, "it is the id that tells them apart");
        for (named, id, epoch, errors_by_version) in [
            ("", id, epoch, [42; 6]),
            ("nobody", id, epoch, [49; 6]),
            ("refunds", id, epoch, [49; 6]),
            ("payments", -1, epoch, [49; 6]),
            ("payments", id, epoch + 1, [47, 47, 90, 90, 90, 90]),
            ("payments", id, -1, [47, 47, 90, 90, 90, 90]),
            // Nothing is open; the abort of nothing is for V2 to ask for.
            ("payments", id, epoch, [48; 6]),
        ] {
            for (version, expected) in (0..).zip(errors_by_version) {
                let answer = end(&broker, version, named, (id, epoch)).await;
                let answered = (answer.error_code, answer.producer_id.0, answer.producer_epoch);
                assert_eq!(answered, (expected, -1, -1), "{named} {id} {epoch} version {version}");
            }
        }
        // Only compact strings may be so long.
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(end(&broker, 5, &long, (id, epoch)).await.error_code, 42);
        assert_eq!(broker.describe("payments").await.producer_epoch, epoch);
    }
}
