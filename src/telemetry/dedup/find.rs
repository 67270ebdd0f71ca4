//! Where one message lies that a topic remembers, for `/api/v1/dedup/find`. Asks the writer, and then the files.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{NoAnswer, looking_topic};
use crate::config::DedupConfig;
use crate::dedup::slice::SealedId;
use crate::dedup::{BatchId, NamedId, Reached};
use crate::log::catalog::Topic;
use crate::telemetry::admin::{Observed, Running};
use crate::telemetry::collector::Collector;
use crate::telemetry::name::shown;
use crate::telemetry::query::Query;
use crate::telemetry::questions::{ANSWER_PATIENCE, Questions};
use crate::types::{Offset, PartitionId, Timestamp};

/// Partitions in which one question looks for an id, where its topic tells ids of different partitions apart.
pub const PARTITIONS_MAX: usize = 10_000;

/// Where the message with `?topic=…&id=…` lies, `id` as often as it has parts, with `namespace` and `partition` where the topic has use
/// for them; of a sender that counts, how far it has come.
pub(in crate::telemetry) async fn find(
    observed: Arc<Observed>,
    questions: Questions,
    query: Option<String>,
) -> Result<Value, NoAnswer> {
    let query = Query::read(query.as_deref(), &["topic", "id", "namespace", "partition"]).map_err(NoAnswer::Unfit)?;
    let (Some(collector), Some(running)) = (observed.collector.get(), observed.running.get()) else {
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
        "window" => ids(running, &questions, topic, dedup, (&id, partition)).await?,
        "sequence" => numbers(running, &questions, topic, (&id, partition)).await?,
        mode => {
            let how = "a key's version is the offset of its newest record in the partition";
            return Err(NoAnswer::Unfit(format!("topic {name} remembers no ids: it looks at {mode}; {how}")));
        }
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
        record_time: Option<Timestamp>,
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
            Self::Id { partition, offset, record_time, age_ms, left_ms, kept_in, producer_id } => json!({
                "partition": partition.index,
                "offset": offset,
                "batch_timestamp_ms": timestamp(partition, offset),
                "record_timestamp_ms": record_time,
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
    running: &Running,
    questions: &Questions,
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
    let named = partitions.iter().map(|partition| running.extractor.named(&dedup.identity, *partition, id));
    let named = named.collect::<Result<Vec<_>, _>>().map_err(|unfit| NoAnswer::Unfit(unfit.to_string()))?;
    let (engine, no, asked) = (running.engine.clone(), topic.no, named.clone());
    let in_memory = questions.ask(ANSWER_PATIENCE, async move { engine.look_up_ids(no, asked).await }).await?;
    let now = in_memory.now;
    let left = |time: Timestamp| time.saturating_add(dedup.kept_ms()).saturating_sub(now);
    let mut found = Vec::new();
    let mut elsewhere = Vec::new();
    for (fingerprint, remembered) in named.into_iter().zip(in_memory.ids) {
        if remembered.is_empty() {
            elsewhere.push(BatchId { fingerprint, offset_delta: 0 });
        }
        // What belongs to an open transaction counts however old it is. Where all of it is over, so is an older one in a file.
        let live = remembered.into_iter().filter(|id| id.transaction.is_some() || left(id.time) > 0);
        // Only records' own times keep several of one id apart: without them the newest tells all copies.
        let told = if dedup.compares_times { usize::MAX } else { 1 };
        found.extend(live.take(told).map(|id| Found::Id {
            partition: PartitionId { topic: topic.no, index: id.original.partition },
            offset: id.original.offset,
            record_time: id.record_time.filter(|_| dedup.compares_times),
            age_ms: now.saturating_sub(id.time),
            left_ms: left(id.time),
            kept_in: "memory",
            producer_id: id.transaction.map(|producer_id| producer_id.0),
        }));
    }
    let (sealed_ids, no) = (running.sealed_ids.clone(), topic.no);
    let read = tokio::task::spawn_blocking(move || sealed_ids.ask(no, &elsewhere).read(&elsewhere));
    let sealed = read.await.map_err(|_| NoAnswer::NotNow("the files of message ids cannot be read"))?;
    let sealed = sealed.map_err(|error| {
        tracing::error!(topic = &*topic.name, %error, "message ids cannot be looked up");
        NoAnswer::NotNow("the files of message ids cannot be read")
    })?;
    let is_there = |id: &SealedId| left(id.time) > 0;
    found.extend(sealed.found.into_iter().map(|(_, id)| id).filter(is_there).map(|id| Found::Id {
        partition: PartitionId { topic: topic.no, index: id.partition },
        offset: id.offset,
        record_time: None,
        age_ms: now.saturating_sub(id.time),
        left_ms: left(id.time),
        kept_in: "file",
        producer_id: None,
    }));
    Ok(found)
}

async fn numbers(
    running: &Running,
    questions: &Questions,
    topic: &Topic,
    (id, partition): (&NamedId, Option<PartitionId>),
) -> Result<Vec<Found>, NoAnswer> {
    let [name] = id.parts.as_slice() else {
        return Err(NoAnswer::Unfit("in mode sequence name a sender".to_owned()));
    };
    let name = String::from_utf8(name.clone()).map_err(|_| NoAnswer::Unfit("names are UTF-8".to_owned()))?;
    let (engine, no) = (running.engine.clone(), topic.no);
    let known = questions.ask(ANSWER_PATIENCE, async move { engine.look_up_name(no, name).await }).await?;
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
