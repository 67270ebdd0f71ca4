//! InitProducerId: identities for idempotent producers.
//!
//! Mirrors the part of Kafka's `TransactionCoordinator.handleInitProducerId` for a null transactional id. Transactions are not
//! served yet.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::Context;
use super::apis::count_error;
use crate::types::{ErrorCode, ProducerEpoch, ProducerId};
use crate::wire::{Close, RequestHeader};

/// Answers a new producer id with epoch 0, whatever id and epoch the request carries (KIP-360 clients name their old ones).
///
/// A transactional id is refused with TRANSACTIONAL_ID_AUTHORIZATION_FAILED: the one code that every client takes as final
/// at this request. A retriable one would let `initTransactions` hang until its timeout, and an id without a coordinator
/// behind it would promise an atomicity that is not there.
pub async fn init_producer_id(
    cx: Context,
    header: RequestHeader,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Close> {
    if let Some(error) = refusal(&request) {
        count_error(&header, error);
        return Ok(answer(error, ProducerId::NONE, ProducerEpoch::NONE));
    }
    let (producer_id, epoch) = cx.broker.engine.init_producer_id().await.map_err(|_| Close::Ending)?;
    Ok(answer(ErrorCode::NONE, producer_id, epoch))
}

fn refusal(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    match &request.transactional_id {
        Some(id) if id.is_empty() => return Some(ErrorCode::INVALID_REQUEST),
        Some(_) => return Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        None => {}
    }
    // An old id comes with its epoch, or neither comes.
    let is_torn = (request.producer_id.0 == ProducerId::NONE.0) != (request.producer_epoch == ProducerEpoch::NONE.0);
    is_torn.then_some(ErrorCode::INVALID_REQUEST)
}

fn answer(error: ErrorCode, producer_id: ProducerId, epoch: ProducerEpoch) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.0)
        .with_producer_id(producer_id.0.into())
        .with_producer_epoch(epoch.0)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::api::testing::TestBroker;

    #[tokio::test]
    async fn an_old_id_without_its_epoch_is_refused_and_so_is_the_reverse() {
        let broker = TestBroker::start();
        for (id, epoch) in [(5, -1), (-1, 3)] {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_producer_id(id.into())
                .with_producer_epoch(epoch);
            let answer = broker.call(3, &request).await;
            assert_eq!((answer.error_code, answer.producer_id.0), (ErrorCode::INVALID_REQUEST.0, -1), "{id}/{epoch}");
        }
    }

    #[tokio::test]
    async fn every_request_gets_an_id_of_its_own_in_every_version() {
        let broker = TestBroker::start();
        let mut ids = std::collections::BTreeSet::new();
        for version in 0..=5 {
            let mut request = InitProducerIdRequest::default().with_transactional_id(None);
            if version >= 3 {
                // KIP-360: a producer that asks for a higher epoch names its old id.
                request = request.with_producer_id(5.into()).with_producer_epoch(3);
            }
            let answer = broker.call(version, &request).await;
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0), "version {version}");
            assert!(ids.insert(answer.producer_id.0), "version {version} repeats an id");
        }
    }

    #[tokio::test]
    async fn transactional_id_is_refused_for_good() {
        let broker = TestBroker::start();
        for version in 0..=5 {
            for (id, error) in [("payments", 53), ("", 42)] {
                let id = StrBytes::from_static_str(id).into();
                let request = InitProducerIdRequest::default().with_transactional_id(Some(id));
                let answer = broker.call(version, &request).await;
                assert_eq!((answer.error_code, answer.producer_id.0, answer.producer_epoch), (error, -1, -1));
            }
        }
    }
}
