//! UnregisterBroker: the one broker is there, and no other.
//!
//! Mirrors `ClusterControlManager.unregisterBroker`. A deviation: Kafka would take out the broker that answers, too.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::Context;
use super::apis::count_error;
use super::told::told;
use crate::types::ErrorCode;
use crate::wire::{Close, RequestHeader};

/// Always refused.
pub async fn unregister_broker(
    cx: Context,
    header: RequestHeader,
    request: UnregisterBrokerRequest,
) -> Result<UnregisterBrokerResponse, Close> {
    let id = request.broker_id.0;
    let (error, message) = if id == cx.broker.config.load().node_id {
        (ErrorCode::INVALID_REQUEST, format!("Broker ID {id} is the only one."))
    } else {
        (ErrorCode::BROKER_ID_NOT_REGISTERED, format!("Broker ID {id} is not currently registered"))
    };
    count_error(&header, error);
    Ok(UnregisterBrokerResponse::default().with_error_code(error.0).with_error_message(Some(told(message))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestBroker;

    #[tokio::test]
    async fn no_broker_can_be_taken_out() {
        let broker = TestBroker::start();
        for (id, error) in [(1, 42), (99, 102), (-1, 102)] {
            let answer = broker.call(0, &UnregisterBrokerRequest::default().with_broker_id(id.into())).await;
            assert_eq!(answer.error_code, error, "{id}");
        }
    }
}
