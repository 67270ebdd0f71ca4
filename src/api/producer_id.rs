//! InitProducerId: identities for idempotent and transactional producers.
//!
//! Mirrors `TransactionCoordinator.handleInitProducerId`; what a transactional id makes of it is
//! [`TransactionMetadata::init_producer_id`](crate::transaction::TransactionMetadata::init_producer_id).

use std::sync::Arc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::Context;
use super::apis::count_error;
use super::group_id::TEXT_BYTES_MAX;
use crate::engine::command::InitTransactions;
use crate::types::{ErrorCode, ProducerEpoch, ProducerId};
use crate::wire::{Close, RequestHeader};

/// First version whose clients know PRODUCER_FENCED.
const FENCED_FROM: i16 = 4;

/// Without a transactional id: a new producer id with epoch 0, whatever id and epoch the request carries (KIP-360 clients name their
/// old ones). With one: its producer id and next epoch, which fences whoever had it before.
///
/// Two-phase commits (version 6) are not offered, nor does Kafka advertise them.
pub async fn init_producer_id(
    cx: Context,
    header: RequestHeader,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, Close> {
    let outcome = match transaction_of(&cx, &request) {
        Err(error) => Err(error),
        Ok(None) => Ok(cx.broker.engine.init_producer_id().await.map_err(|_| Close::Ending)?),
        Ok(Some(init)) => {
            let begun = cx.broker.engine.init_transactions(init).await.map_err(|_| Close::Ending)?;
            begun.map_err(|refused| refused.error(header.api_version >= FENCED_FROM))
        }
    };
    Ok(match outcome {
        Ok((producer_id, epoch)) => answer(ErrorCode::NONE, producer_id, epoch),
        Err(error) => {
            count_error(&header, error);
            answer(error, ProducerId::NONE, ProducerEpoch::NONE)
        }
    })
}

fn transaction_of(cx: &Context, request: &InitProducerIdRequest) -> Result<Option<InitTransactions>, ErrorCode> {
    let given = (ProducerId(request.producer_id.0), ProducerEpoch(request.producer_epoch));
    // An old id comes with its epoch, or neither comes.
    if (given.0 == ProducerId::NONE) != (given.1 == ProducerEpoch::NONE) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let Some(transactional_id) = &request.transactional_id else { return Ok(None) };
    if transactional_id.is_empty() || transactional_id.len() > TEXT_BYTES_MAX {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let timeout_ms_max = cx.broker.config.load().transaction_max_timeout_ms;
    let timeout_ms = u32::try_from(request.transaction_timeout_ms).ok().filter(|ms| (1..=timeout_ms_max).contains(ms));
    Ok(Some(InitTransactions {
        transactional_id: Arc::from(transactional_id.as_str()),
        timeout_ms: timeout_ms.ok_or(ErrorCode::INVALID_TRANSACTION_TIMEOUT)?,
        given: (given.0 != ProducerId::NONE).then_some(given),
        arrival: cx.arrival,
    }))
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

    fn transactional(id: &str, timeout_ms: i32) -> InitProducerIdRequest {
        let id = StrBytes::from_string(id.to_owned()).into();
        InitProducerIdRequest::default().with_transactional_id(Some(id)).with_transaction_timeout_ms(timeout_ms)
    }

    #[tokio::test]
    async fn a_transactional_id_keeps_its_producer_id_and_gets_the_next_epoch() {
        let broker = TestBroker::start();
        let first = broker.call(0, &transactional("payments", 60_000)).await;
        assert_eq!((first.error_code, first.producer_epoch), (0, 0));
        for version in 0..=5 {
            let next = broker.call(version, &transactional("payments", 60_000)).await;
            let answered = (next.error_code, next.producer_id, next.producer_epoch);
            assert_eq!(answered, (0, first.producer_id, version + 1), "version {version}");
        }
        let other = broker.call(5, &transactional("refunds", 60_000)).await;
        assert!(other.producer_id != first.producer_id && other.producer_epoch == 0, "{other:?}");
    }

    #[tokio::test]
    async fn a_fenced_producer_is_told_in_the_words_of_its_version() {
        let broker = TestBroker::start();
        let first = broker.call(3, &transactional("payments", 60_000)).await;
        let going_on =
            |epoch| transactional("payments", 60_000).with_producer_id(first.producer_id).with_producer_epoch(epoch);
        let next = broker.call(3, &going_on(0)).await;
        assert_eq!((next.error_code, next.producer_epoch), (0, 1));
        let retried = broker.call(3, &going_on(0)).await;
        assert_eq!(retried, next, "the answer was lost, and nobody else has come");
        broker.call(3, &transactional("payments", 60_000)).await;
        for (version, error) in [(3, 47), (4, 90), (5, 90)] {
            let fenced = broker.call(version, &going_on(1)).await;
            assert_eq!((fenced.error_code, fenced.producer_id.0, fenced.producer_epoch), (error, -1, -1));
        }
    }

    #[tokio::test]
    async fn bad_ids_and_timeouts_are_refused_in_every_version() {
        let broker = TestBroker::with_settings(&[("transaction.max.timeout.ms", "5000")]);
        for version in 0..=5 {
            for (id, timeout_ms, error) in [
                ("", 5000, ErrorCode::INVALID_REQUEST),
                ("", 0, ErrorCode::INVALID_REQUEST),
                ("payments", 0, ErrorCode::INVALID_TRANSACTION_TIMEOUT),
                ("payments", -1, ErrorCode::INVALID_TRANSACTION_TIMEOUT),
                ("payments", 5001, ErrorCode::INVALID_TRANSACTION_TIMEOUT),
                ("payments", 5000, ErrorCode::NONE),
            ] {
                let answer = broker.call(version, &transactional(id, timeout_ms)).await;
                assert_eq!(answer.error_code, error.0, "{version} {id:?} {timeout_ms}");
            }
        }
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(broker.call(5, &transactional(&long, 5000)).await.error_code, ErrorCode::INVALID_REQUEST.0);
    }

    #[tokio::test]
    async fn ids_beyond_the_limit_are_refused_and_known_ones_are_not() {
        let broker = TestBroker::with_settings(&[("einmal.transactions.bytes.max", "1200")]);
        for (id, error) in [("one", 0), ("two", 0), ("three", ErrorCode::POLICY_VIOLATION.0), ("one", 0)] {
            assert_eq!(broker.call(5, &transactional(id, 1)).await.error_code, error, "{id}");
        }
    }
}
