//! ListTransactions: transactional ids by state, producer, age and name.

use kafka_protocol::messages::list_transactions_response::TransactionState as ListedState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::Context;
use super::apis::count_error;
use crate::engine::command::{IdFilter, TransactionFilter};
use crate::transaction::TransactionState;
use crate::types::{ErrorCode, ProducerId};
use crate::wire::{Close, RequestHeader};

/// Answers the ids that pass all filters, in order. Names of states that there are not are told back.
pub async fn list_transactions(
    cx: Context,
    header: RequestHeader,
    request: ListTransactionsRequest,
) -> Result<ListTransactionsResponse, Close> {
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let transactional_id = match pattern.map(whole_id).transpose() {
        Ok(filter) => filter,
        Err(error) => {
            count_error(&header, error);
            return Ok(ListTransactionsResponse::default().with_error_code(error.0));
        }
    };
    let (known, unknown): (Vec<StrBytes>, Vec<StrBytes>) =
        request.state_filters.into_iter().partition(|name| is_state(name));
    let is_none_known = known.is_empty() && !unknown.is_empty();
    let answer = ListTransactionsResponse::default().with_unknown_state_filters(unknown);
    if is_none_known {
        return Ok(answer);
    }
    let filter = TransactionFilter {
        states: known.iter().filter_map(|name| TransactionState::of_name(name)).collect(),
        producer_ids: request.producer_id_filters.iter().map(|id| ProducerId(id.0)).collect(),
        older_than_ms: Some(request.duration_filter).filter(|ms| *ms >= 0),
        transactional_id,
    };
    let listed = cx.broker.engine.list_transactions(filter).await.map_err(|_| Close::Ending)?;
    let states = listed.into_iter().map(|listed| {
        ListedState::default()
            .with_transactional_id(StrBytes::from_string(listed.transactional_id).into())
            .with_producer_id(listed.producer_id.0.into())
            .with_transaction_state(StrBytes::from_static_str(listed.state.name()))
    });
    Ok(answer.with_transaction_states(states.collect()))
}

/// Whether it is the name of a state, also of one of Kafka's that no transaction is ever seen in.
fn is_state(name: &str) -> bool {
    TransactionState::of_name(name).is_some() || ["Dead", "PrepareEpochFence"].contains(&name)
}

/// Largest compiled pattern, bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Takes ids that `pattern` matches from end to end.
fn whole_id(pattern: &str) -> Result<IdFilter, ErrorCode> {
    let anchored = format!("^(?:{pattern})$");
    let compiled = regex::RegexBuilder::new(&anchored).size_limit(PATTERN_BYTES_MAX).build();
    let compiled = compiled.map_err(|_| ErrorCode::INVALID_REGULAR_EXPRESSION)?;
    Ok(Box::new(move |id| compiled.is_match(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{TestBroker, text};

    async fn listed(broker: &TestBroker, request: &ListTransactionsRequest) -> String {
        let answer = broker.call(2, request).await;
        let ids = answer.transaction_states.iter().map(|listed| listed.transactional_id.as_str().to_owned());
        let unknown = answer.unknown_state_filters.iter().map(|name| format!("?{name}"));
        let error = Some(answer.error_code.to_string()).filter(|_| answer.error_code != 0);
        error.into_iter().chain(ids).chain(unknown).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn ids_are_listed_that_pass_all_filters() {
        let broker = TestBroker::start();
        let (first, _) = broker.init_transactions("a-1").await;
        let (second, _) = broker.init_transactions("b-1").await;
        broker.init_transactions("a-10").await;
        let all = ListTransactionsRequest::default;
        let states = |names: &[&str]| all().with_state_filters(names.iter().map(|name| text(name)).collect());
        let of = |ids: &[i64]| all().with_producer_id_filters(ids.iter().map(|id| (*id).into()).collect());
        let matching = |pattern: &str| all().with_transactional_id_pattern(Some(text(pattern)));
        for (request, expected) in [
            (all(), "a-1 a-10 b-1"),
            (states(&["Empty"]), "a-1 a-10 b-1"),
            (states(&["Ongoing", "PrepareCommit", "Dead"]), ""),
            (states(&["Empty", "Nowhere"]), "a-1 a-10 b-1 ?Nowhere"),
            (states(&["empty"]), "?empty"),
            (of(&[first, second, 3]), "a-1 b-1"),
            (of(&[3]), ""),
            (of(&[first]).with_state_filters(vec![text("Ongoing")]), ""),
            (matching("a-1"), "a-1"),
            (matching("a-.*|b"), "a-1 a-10"),
            (matching(""), "a-1 a-10 b-1"),
            (matching("("), "128"),
            (all().with_duration_filter(-1), "a-1 a-10 b-1"),
        ] {
            assert_eq!(listed(&broker, &request).await, expected, "{request:?}");
        }
    }

    #[tokio::test]
    async fn an_id_that_nobody_has_is_not_described() {
        let broker = TestBroker::start();
        let (producer_id, epoch) = broker.init_transactions("payments").await;
        assert_eq!(broker.describe("refunds").await.error_code, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND.0);
        assert_eq!(broker.describe("").await.error_code, ErrorCode::INVALID_REQUEST.0);
        let found = broker.describe("payments").await;
        let facts = (found.error_code, found.transaction_state.as_str(), found.transaction_timeout_ms);
        assert_eq!(facts, (0, "Empty", 60_000));
        assert_eq!((found.producer_id.0, found.producer_epoch, found.topics.len()), (producer_id, epoch, 0));
    }
}
