//! What topics remember of their messages, for `/api/v1/dedup`. The figures are those that the writer shows: it is not asked.

pub mod find;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::admin::Observed;
use super::name::shown;
use super::overview::{ROWS_MAX, SenderRow};
use super::query::Query;
use super::questions::{NoWord, SILENCE};
use super::turns::NoTurn;
use crate::api::senders::SENDERS_MAX;
use crate::config::DedupConfig;
use crate::dedup::KnownBy;
use crate::log::catalog::Topic;

/// Topics that one answer tells of: those that know most messages again.
pub const TOPICS_MAX: usize = 1_000;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// There is no such topic, or it remembers nothing.
    NotFound(String),
    /// What was asked is no question.
    Unfit(String),
    /// Another time there may be one.
    NotNow(&'static str),
    /// Nobody has looked.
    NoTurn(NoTurn),
}

impl From<NoTurn> for NoAnswer {
    fn from(none: NoTurn) -> Self {
        Self::NoTurn(none)
    }
}

impl From<NoWord> for NoAnswer {
    fn from(none: NoWord) -> Self {
        Self::NotNow(match none {
            NoWord::Silent => SILENCE,
            NoWord::Gone => "the broker is stopping",
        })
    }
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Self::Unfit(why) => (StatusCode::BAD_REQUEST, why),
            Self::NotNow(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()),
            Self::NoTurn(none) => return none.into_response(),
        };
        (status, why + "\n").into_response()
    }
}

/// All topics that look for repeated messages, or the one of `?topic=`.
pub(super) fn status(observed: &Observed, query: Option<&str>) -> Result<Value, NoAnswer> {
    let query = Query::read(query, &["topic"]).map_err(NoAnswer::Unfit)?;
    let collector = observed.collector.get().ok_or(NoAnswer::NotNow("the data directory is not open yet"))?;
    let topics = collector.topics();
    let named = query.text("topic").map_err(NoAnswer::Unfit)?;
    let mut looking: Vec<(&Arc<Topic>, &DedupConfig)> = match named {
        Some(name) => {
            let (topic, dedup) = looking_topic(topics.by_name.get(name), name)?;
            vec![(topic, &**dedup)]
        }
        None => topics.by_name.values().filter_map(|topic| Some((topic, topic.config.dedup.as_deref()?))).collect(),
    };
    looking.sort_by_key(|(topic, _)| std::cmp::Reverse(topic.traffic.known_messages()));
    let left_out = looking.len().saturating_sub(TOPICS_MAX);
    looking.truncate(TOPICS_MAX);
    looking.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    let shown: Vec<Value> = looking.into_iter().map(|(topic, dedup)| topic_json(topic, dedup)).collect();
    let senders = SenderRow::worst(collector, &topics, SENDERS_MAX);
    let is_asked = |row: &&SenderRow| named.is_none_or(|name| &*row.topic == name);
    let senders: Vec<Value> = senders.iter().filter(is_asked).take(ROWS_MAX).map(SenderRow::json).collect();
    Ok(json!({ "topics": shown, "topics_left_out": left_out, "senders": senders }))
}

fn looking_topic<'a>(
    topic: Option<&'a Arc<Topic>>,
    name: &str,
) -> Result<(&'a Arc<Topic>, &'a Arc<DedupConfig>), NoAnswer> {
    let topic = topic.ok_or_else(|| NoAnswer::NotFound(format!("there is no topic {}", shown(name))))?;
    let dedup = topic.config.dedup.as_ref();
    let dedup = dedup
        .ok_or_else(|| NoAnswer::Unfit(format!("topic {name} looks at no message ids (message.dedup.mode=none)")))?;
    Ok((topic, dedup))
}

fn topic_json(topic: &Topic, dedup: &DedupConfig) -> Value {
    let (traffic, remembered) = (&topic.traffic, &topic.traffic.remembered);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let known: serde_json::Map<String, Value> = KnownBy::ALL
        .map(|by| (by.name().to_owned(), json!(count(&traffic.dedup_duplicates[by as usize]))))
        .into_iter()
        .collect();
    json!({
        "topic": &*topic.name,
        "mode": dedup.mode(),
        "audit_topic": dedup.audit_topic.as_deref(),
        "window_ms": dedup.window().map(|(window_ms, _)| window_ms),
        "window_ids_max": dedup.window().map(|(_, ids_max)| ids_max),
        "live_ids": count(&remembered.ids),
        "oldest_id_age_ms": dedup.window().map(|_| count(&remembered.oldest_age_ms)),
        "index_bytes": count(&remembered.memory_bytes),
        "slices": count(&remembered.slices),
        "sealed_bytes": count(&remembered.sealed_bytes),
        "checked_records": count(&traffic.dedup_checked),
        "known_messages": traffic.known_messages(),
        "known_by": known,
        "records_without_id": count(&traffic.dedup_missing_id),
        "rejected_batches": count(&traffic.dedup_rejected),
        "throttled_batches": count(&traffic.dedup_throttled),
        "pending_conflicts": count(&traffic.dedup_pending_conflicts),
        "bypassed_records": count(&traffic.dedup_bypassed),
        "evicted_ids": count(&traffic.dedup_evicted),
    })
}
