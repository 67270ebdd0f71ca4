//! ListTransactions: transactional ids by state, producer, age and name.
//!
//! The engine's writer only tells which ids there are; they are picked and put in order here, on a thread that nobody waits for. A
//! pattern has the limits of [`crate::group::consumer::regex`], and one listing at a time may match one, for a limited time.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use kafka_protocol::messages::list_transactions_response::TransactionState as ListedState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Semaphore;

use super::apis::count_error;
use super::{Context, now};
use crate::engine::command::ListedTransaction;
use crate::group::consumer::regex::TextPattern;
use crate::transaction::TransactionState;
use crate::types::{ErrorCode, ProducerId, Timestamp};
use crate::wire::{Close, RequestHeader};

/// Longest time for which a pattern is matched with ids. Looked at between two ids; matching one of 32 kB takes a fraction of it.
const MATCHING_TIME_MAX: Duration = Duration::from_secs(5);

/// For those that match a pattern: whatever clients ask for, one core at most is busy with it.
static MATCHING: Semaphore = Semaphore::const_new(1);

/// What is asked of a transaction beside its state; what is empty or none lets all pass.
struct Filter {
    /// Of one of these producers.
    producer_ids: HashSet<ProducerId>,
    /// Begun longer ago than this, ms.
    older_than_ms: Option<i64>,
    /// With a transactional id that this matches (KIP-1152).
    pattern: Option<TextPattern>,
    now: Timestamp,
}

impl Filter {
    fn passes(&self, listed: &ListedTransaction) -> bool {
        let is_old = |ms: i64| self.now.saturating_sub(listed.start_time) > ms;
        (self.producer_ids.is_empty() || self.producer_ids.contains(&listed.producer_id))
            && self.older_than_ms.is_none_or(is_old)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(&listed.transactional_id))
    }
}

/// Answers the ids that pass all filters, in order. Names of states that there are not are told back.
pub async fn list_transactions(
    cx: Context,
    header: RequestHeader,
    request: ListTransactionsRequest,
) -> Result<ListTransactionsResponse, Close> {
    let refused = |error: ErrorCode| {
        count_error(&header, error);
        ListTransactionsResponse::default().with_error_code(error.0)
    };
    let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
    let Ok(pattern) = pattern.map(TextPattern::new).transpose() else {
        return Ok(refused(ErrorCode::INVALID_REGULAR_EXPRESSION));
    };
    let (known, unknown): (Vec<StrBytes>, Vec<StrBytes>) =
        request.state_filters.into_iter().partition(|name| is_state(name));
    let states: BTreeSet<_> = known.iter().filter_map(|name| TransactionState::of_name(name)).collect();
    let is_none_known = known.is_empty() && !unknown.is_empty();
    let answer = ListTransactionsResponse::default().with_unknown_state_filters(unknown);
    // Also where only states are named that no transaction is ever seen in.
    if is_none_known || (states.is_empty() && !known.is_empty()) {
        return Ok(answer);
    }
    let filter = Filter {
        producer_ids: request.producer_id_filters.iter().map(|id| ProducerId(id.0)).collect(),
        older_than_ms: Some(request.duration_filter).filter(|ms| *ms >= 0),
        pattern,
        now: now(),
    };
    // Before the ids are asked for, so that those who wait hold none.
    let permit = match filter.pattern {
        Some(_) => Some(MATCHING.acquire().await.map_err(|_| Close::Ending)?),
        None => None,
    };
    let listed = cx.broker.engine.list_transactions(states).await.map_err(|_| Close::Ending)?;
    let picking = tokio::task::spawn_blocking(move || {
        // Given back by this thread: the request may be given up before it is done.
        let _permit = permit;
        let begun = Instant::now();
        pick(listed, &filter, || begun.elapsed() > MATCHING_TIME_MAX)
    });
    match picking.await.map_err(|_| Close::Ending)? {
        Some(picked) => Ok(answer.with_transaction_states(picked)),
        None => Ok(refused(ErrorCode::INVALID_REGULAR_EXPRESSION)),
    }
}

/// Those that pass, by id. None: `is_over` said so before a pattern was matched with all of them.
fn pick(mut listed: Vec<ListedTransaction>, filter: &Filter, is_over: impl Fn() -> bool) -> Option<Vec<ListedState>> {
    let mut passing = Vec::new();
    for transaction in listed.drain(..) {
        if filter.pattern.is_some() && is_over() {
            return None;
        }
        if filter.passes(&transaction) {
            passing.push(transaction);
        }
    }
    passing.sort_unstable_by(|one, other| one.transactional_id.cmp(&other.transactional_id));
    let states = passing.into_iter().map(|listed| {
        ListedState::default()
            .with_transactional_id(StrBytes::from_string(listed.transactional_id.to_string()).into())
            .with_producer_id(listed.producer_id.0.into())
            .with_transaction_state(StrBytes::from_static_str(listed.state.name()))
    });
    Some(states.collect())
}

/// Whether it is the name of a state, also of one of Kafka's that no transaction is ever seen in.
fn is_state(name: &str) -> bool {
    TransactionState::of_name(name).is_some() || ["Dead", "PrepareEpochFence"].contains(&name)
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
            (matching(&format!("a-1{}", "|x".repeat(511))), "128"),
            (matching("[01]*1(?:[01]{1000})(?:[01]{1000})(?:[01]{1000})(?:[01]{1000})x"), "128"),
            (states(&["Dead"]), ""),
            (all().with_duration_filter(-1), "a-1 a-10 b-1"),
        ] {
            assert_eq!(listed(&broker, &request).await, expected, "{request:?}");
        }
    }

    #[test]
    fn a_pattern_is_matched_with_no_more_ids_once_its_time_is_over() {
        let transaction = |id: &str| ListedTransaction {
            transactional_id: id.into(),
            producer_id: ProducerId(1),
            state: TransactionState::Ongoing,
            start_time: 0,
        };
        let filter = |pattern: Option<&str>| Filter {
            producer_ids: HashSet::new(),
            older_than_ms: None,
            pattern: pattern.map(|pattern| TextPattern::new(pattern).expect("valid")),
            now: 0,
        };
        let looks = std::cell::Cell::new(0);
        let picked = |pattern, looks_max| {
            looks.set(0);
            let is_over = || looks.replace(looks.get() + 1) >= looks_max;
            pick(["c", "a", "b"].map(transaction).into(), &filter(pattern), is_over).map(|picked| picked.len())
        };
        assert_eq!((picked(Some("."), 3), looks.get()), (Some(3), 3));
        assert_eq!((picked(Some("."), 1), looks.get()), (None, 2));
        assert_eq!((picked(None, 0), looks.get()), (Some(3), 0), "what has no pattern ends by itself");
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
