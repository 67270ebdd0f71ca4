//! What topics remember of their messages, for `/api/v1/dedup` and `/api/v1/dedup/find`.
//!
//! The figures are those that the writer shows; only who looks for one id asks it, and then the files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::admin::Observed;
use super::collector::Collector;
use super::name::shown;
use super::overview::{ROWS_MAX, SenderRow};
use super::query::Query;
use crate::api::senders::SENDERS_MAX;
use crate::config::DedupConfig;
use crate::dedup::{BatchId, Extractor, KnownBy, NamedId, Reached};
use crate::engine::Engine;
use crate::engine::sealing::SealedIds;
use crate::log::catalog::Topic;
use crate::types::{Offset, PartitionId, Timestamp};

/// Topics that one answer tells of: those that know most messages again.
pub const TOPICS_MAX: usize = 1_000;
/// Partitions in which one question looks for an id, where its topic tells ids of different partitions apart.
pub const PARTITIONS_MAX: usize = 10_000;

/// Looks for single ids.
pub struct LookUp {
    /// Knows what is in memory.
    pub engine: Engine,
    /// Knows what ids are remembered by.
    pub extractor: Extractor,
    /// Knows what is in files.
    pub sealed_ids: SealedIds,
}

/// Why there is no answer.
enum NoAnswer {
    NotFound(String),
    Unfit(String),
    NotNow(&'static str),
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Self::Unfit(why) => (StatusCode::BAD_REQUEST, why),
            Self::NotNow(why) => (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()),
        };
        (status, why + "\n").into_response()
    }
}

fn answered(answer: Result<Value, NoAnswer>) -> Response {
    match answer {
        Ok(value) => ([(header::CONTENT_TYPE, "application/json")], value.to_string() + "\n").into_response(),
        Err(none) => none.into_response(),
    }
}

/// All topics that look for repeated messages, or the one of `?topic=`.
pub(super) async fn status(State(observed): State<Arc<Observed>>, RawQuery(query): RawQuery) -> Response {
    answered(status_of(&observed, query.as_deref()))
}

fn status_of(observed: &Observed, query: Option<&str>) -> Result<Value, NoAnswer> {
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
        "pending_conflicts": count(&traffic.dedup_pending_conflicts),
        "bypassed_records": count(&traffic.dedup_bypassed),
        "evicted_ids": count(&traffic.dedup_evicted),
    })
}

/// Where the message with `?topic=…&id=…` lies, `id` as often as it has parts, with `namespace` and `partition` where the topic has use
/// for them; of a sender that counts, how far it has come.
pub(super) async fn find(State(observed): State<Arc<Observed>>, RawQuery(query): RawQuery) -> Response {
    answered(found(observed, query).await)
}

async fn found(observed: Arc<Observed>, query: Option<String>) -> Result<Value, NoAnswer> {
    let query = Query::read(query.as_deref(), &["topic", "id", "namespace", "partition"]).map_err(NoAnswer::Unfit)?;
    let (Some(collector), Some(look_up)) = (observed.collector.get(), observed.look_up.get()) else {
        return Err(NoAnswer::NotNow("the data directory is not open yet"));
    };
    let name = query.text("topic").map_err(NoAnswer::Unfit)?;
    let name = name.ok_or_else(|| NoAnswer::Unfit("name a topic: ?topic=…&id=…".to_owned()))?;
    let topics = collector.topics();
    let (topic, dedup) = looking_topic(topics.by_name.get(name), name)?;
    let id = NamedId {
        parts: query.all("id").map(<[u8]>::to_vec).collect(),
        namespace: query.first("namespace").map(<[u8]>::to_vec),
    };
    let partition = partition(topic, query.text("partition").map_err(NoAnswer::Unfit)?)?;
    let found = match dedup.mode() {
        "window" => ids(look_up, topic, dedup, (&id, partition)).await?,
        "sequence" => numbers(look_up, topic, (&id, partition)).await?,
        mode => return Err(NoAnswer::Unfit(format!("topic {name} remembers no ids: it looks at {mode}"))),
    };
    // The store's keys come from C++ and may wait: not on a thread that serves connections.
    let (topic_name, mode) = (topic.name.to_string(), dedup.mode());
    let timed = tokio::task::spawn_blocking(move || {
        let collector = observed.collector.get();
        found.into_iter().map(|found| found.json(collector)).collect::<Vec<_>>()
    });
    let found = timed.await.map_err(|_| NoAnswer::NotNow("the log cannot be read"))?;
    Ok(json!({ "topic": topic_name, "mode": mode, "is_live": !found.is_empty(), "found": found }))
}

/// The partition that is named.
fn partition(topic: &Topic, named: Option<&str>) -> Result<Option<PartitionId>, NoAnswer> {
    let Some(named) = named else { return Ok(None) };
    let index = named.parse::<u32>().ok();
    let partition = index.and_then(|index| topic.partitions.get(index as usize));
    let partition =
        partition.ok_or_else(|| NoAnswer::Unfit(format!("{} has no partition {}", topic.name, shown(named))))?;
    Ok(Some(partition.id))
}

/// What was found.
enum Found {
    Id {
        partition: PartitionId,
        offset: Offset,
        age_ms: Timestamp,
        left_ms: Timestamp,
        kept_in: &'static str,
        producer_id: Option<i64>,
    },
    Number {
        partition: PartitionId,
        settled: Option<Reached>,
        pending: Option<(i64, Reached)>,
    },
}

impl Found {
    fn json(self, collector: Option<&Collector>) -> Value {
        let timestamp = |partition, offset| collector.and_then(|collector| collector.timestamp(partition, offset));
        match self {
            Self::Id { partition, offset, age_ms, left_ms, kept_in, producer_id } => json!({
                "partition": partition.index,
                "offset": offset,
                "batch_timestamp_ms": timestamp(partition, offset),
                "age_ms": age_ms,
                "left_ms": left_ms,
                "kept_in": kept_in,
                "open_producer_id": producer_id,
            }),
            Self::Number { partition, settled, pending } => json!({
                "partition": partition.index,
                "number": settled.map(|reached| reached.number),
                "offset": settled.map(|reached| reached.offset),
                "batch_timestamp_ms": settled.and_then(|reached| timestamp(partition, reached.offset)),
                "open_number": pending.map(|(_, reached)| reached.number),
                "open_producer_id": pending.map(|(producer_id, _)| producer_id),
            }),
        }
    }
}

async fn ids(
    look_up: &LookUp,
    topic: &Arc<Topic>,
    dedup: &DedupConfig,
    (id, partition): (&NamedId, Option<PartitionId>),
) -> Result<Vec<Found>, NoAnswer> {
    let partitions: Vec<PartitionId> = match partition {
        Some(partition) => vec![partition],
        // Where an id is the same in all partitions, one question is enough.
        None => {
            let asked = if dedup.identity.is_per_partition { topic.partitions.len() } else { 1 };
            topic.partitions.iter().map(|partition| partition.id).take(asked).collect()
        }
    };
    if partitions.len() > PARTITIONS_MAX {
        return Err(NoAnswer::Unfit(format!("{} has more than {PARTITIONS_MAX} partitions: name one", topic.name)));
    }
    let named = partitions.iter().map(|partition| look_up.extractor.named(&dedup.identity, *partition, id));
    let named = named.collect::<Result<Vec<_>, _>>().map_err(|unfit| NoAnswer::Unfit(unfit.to_string()))?;
    let in_memory = look_up.engine.look_up_ids(topic.no, named.clone()).await;
    let in_memory = in_memory.map_err(|_| NoAnswer::NotNow("the broker is stopping"))?;
    let now = in_memory.now;
    let left = |time: Timestamp| time.saturating_add(dedup.kept_ms()).saturating_sub(now);
    let mut found = Vec::new();
    let mut elsewhere = Vec::new();
    for (fingerprint, remembered) in named.into_iter().zip(in_memory.ids) {
        match remembered {
            // What belongs to an open transaction counts however old it is.
            Some(id) if id.transaction.is_some() || left(id.time) > 0 => found.push(Found::Id {
                partition: PartitionId { topic: topic.no, index: id.original.partition },
                offset: id.original.offset,
                age_ms: now.saturating_sub(id.time),
                left_ms: left(id.time),
                kept_in: "memory",
                producer_id: id.transaction.map(|producer_id| producer_id.0),
            }),
            // An older one in a file is over, too.
            Some(_) => {}
            None => elsewhere.push(BatchId { fingerprint, offset_delta: 0 }),
        }
    }
    let (sealed_ids, no) = (look_up.sealed_ids.clone(), topic.no);
    let read = tokio::task::spawn_blocking(move || sealed_ids.ask(no, &elsewhere).read(&elsewhere));
    let sealed = read.await.map_err(|_| NoAnswer::NotNow("the files of message ids cannot be read"))?;
    let sealed = sealed.map_err(|error| {
        tracing::error!(topic = &*topic.name, %error, "message ids cannot be looked up");
        NoAnswer::NotNow("the files of message ids cannot be read")
    })?;
    let is_there = |id: &crate::dedup::slice::SealedId| topic.has_reached(id.partition, id.offset) && left(id.time) > 0;
    found.extend(sealed.found.into_iter().map(|(_, id)| id).filter(is_there).map(|id| Found::Id {
        partition: PartitionId { topic: topic.no, index: id.partition },
        offset: id.offset,
        age_ms: now.saturating_sub(id.time),
        left_ms: left(id.time),
        kept_in: "file",
        producer_id: None,
    }));
    Ok(found)
}

async fn numbers(
    look_up: &LookUp,
    topic: &Topic,
    (id, partition): (&NamedId, Option<PartitionId>),
) -> Result<Vec<Found>, NoAnswer> {
    let [name] = id.parts.as_slice() else {
        return Err(NoAnswer::Unfit("in mode sequence name a sender".to_owned()));
    };
    let name = String::from_utf8(name.clone()).map_err(|_| NoAnswer::Unfit("names are UTF-8".to_owned()))?;
    let known = look_up.engine.look_up_name(topic.no, name).await;
    let known = known.map_err(|_| NoAnswer::NotNow("the broker is stopping"))?;
    let known = known.into_iter().map(|(index, sequence)| {
        let pending = sequence.pending.map(|(producer_id, reached)| (producer_id.0, reached));
        Found::Number { partition: PartitionId { topic: topic.no, index }, settled: sequence.settled, pending }
    });
    let is_asked = |found: &Found| match (found, partition) {
        (Found::Number { partition: of, .. }, Some(asked)) => *of == asked,
        _ => true,
    };
    Ok(known.filter(is_asked).collect())
}
