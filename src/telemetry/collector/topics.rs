//! Families by topic and by partition, from the catalog's own counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ages::Asking;
use super::groups::age;
use super::partition_count;
use super::writer::{Fold, Writer};
use crate::dedup::KnownBy;
use crate::log::catalog::{Topic, Topics, Traffic};
use crate::log::partition::Partition;
use crate::metrics::{self as catalogue, Family, compat};
use crate::telemetry::recorder::family;
use crate::types::Timestamp;

type TrafficCounter = fn(&Traffic) -> u64;
type PartitionGauge = fn(&Partition) -> f64;

const BY_TOPIC: &[(&str, TrafficCounter)] = &[
    (catalogue::TOPIC_BYTES_IN_TOTAL, |traffic| count(&traffic.bytes_in)),
    (catalogue::TOPIC_BYTES_OUT_TOTAL, |traffic| count(&traffic.bytes_out)),
    (catalogue::TOPIC_RECORDS_IN_TOTAL, |traffic| count(&traffic.records_in)),
    (catalogue::TOPIC_RECORDS_OUT_TOTAL, |traffic| count(&traffic.records_out)),
    (catalogue::TOPIC_BATCHES_IN_TOTAL, |traffic| count(&traffic.batches_in)),
    (catalogue::TOPIC_PRODUCE_FAILED_TOTAL, |traffic| count(&traffic.produce_failed)),
    (catalogue::TOPIC_FETCH_FAILED_TOTAL, |traffic| count(&traffic.fetch_failed)),
    (catalogue::PRODUCER_DUPLICATE_RECORDS_TOTAL, |traffic| count(&traffic.duplicate_records)),
    (catalogue::PRODUCER_DUPLICATE_BYTES_TOTAL, |traffic| count(&traffic.duplicate_bytes)),
    (catalogue::DEDUP_CHECKED_RECORDS_TOTAL, |traffic| count(&traffic.dedup_checked)),
    (catalogue::DEDUP_MISSING_ID_TOTAL, |traffic| count(&traffic.dedup_missing_id)),
    (catalogue::DEDUP_HOLES_RECORDS_TOTAL, |traffic| count(&traffic.dedup_holes_records)),
    (catalogue::DEDUP_REWRITTEN_BATCHES_TOTAL, |traffic| count(&traffic.dedup_rewritten_batches)),
    (catalogue::DEDUP_SUPPRESSED_BATCHES_TOTAL, |traffic| count(&traffic.dedup_suppressed_batches)),
    (catalogue::DEDUP_REJECTED_TOTAL, |traffic| count(&traffic.dedup_rejected)),
    (catalogue::DEDUP_PENDING_CONFLICTS_TOTAL, |traffic| count(&traffic.dedup_pending_conflicts)),
    (catalogue::DEDUP_THROTTLED_TOTAL, |traffic| count(&traffic.dedup_throttled)),
    (catalogue::DEDUP_BYPASSED_TOTAL, |traffic| count(&traffic.dedup_bypassed)),
    (catalogue::DEDUP_AUDIT_MISSED_TOTAL, |traffic| count(&traffic.dedup_audit_missed)),
    (catalogue::DEDUP_EVICTED_TOTAL, |traffic| count(&traffic.dedup_evicted)),
    (catalogue::PRODUCER_OUT_OF_ORDER_TOTAL, |traffic| count(&traffic.out_of_order)),
];

const BY_PARTITION: &[(&str, PartitionGauge)] = &[
    (catalogue::PARTITION_HIGH_WATERMARK, |partition| partition.offsets().high_watermark as f64),
    (catalogue::PARTITION_LOG_START_OFFSET, |partition| partition.offsets().log_start as f64),
    (catalogue::PARTITION_SIZE_BYTES, |partition| partition.size_bytes() as f64),
];

const COMPAT_BY_TOPIC: &[(&Family, TrafficCounter)] = &[
    (compat::BYTES_IN, |traffic| count(&traffic.bytes_in)),
    (compat::BYTES_OUT, |traffic| count(&traffic.bytes_out)),
    (compat::MESSAGES_IN, |traffic| count(&traffic.records_in)),
    (compat::PRODUCE_REQUESTS, |traffic| count(&traffic.batches_in) + count(&traffic.produce_failed)),
    (compat::PRODUCE_FAILED, |traffic| count(&traffic.produce_failed)),
    (compat::FETCH_REQUESTS, |traffic| count(&traffic.fetches) + count(&traffic.fetch_failed)),
    (compat::FETCH_FAILED, |traffic| count(&traffic.fetch_failed)),
];

const KAFKA_EXPORTER_BY_PARTITION: &[(&Family, PartitionGauge)] = &[
    (compat::CURRENT_OFFSET, |partition| partition.offsets().high_watermark as f64),
    (compat::OLDEST_OFFSET, |partition| partition.offsets().log_start as f64),
    (compat::IN_SYNC_REPLICA, |_| 1.0),
    (compat::LEADER_IS_PREFERRED, |_| 1.0),
    (compat::REPLICAS, |_| 1.0),
    (compat::UNDER_REPLICATED, |_| 0.0),
];

const JMX_BY_PARTITION: &[(&Family, PartitionGauge)] = &[
    (compat::LOG_SIZE, |partition| partition.size_bytes() as f64),
    (compat::AT_MIN_ISR, |_| 0.0),
    (compat::UNDER_MIN_ISR, |_| 0.0),
    (compat::REPLICAS_COUNT, |_| 1.0),
    (compat::LSO_LAG, lso_lag),
];

/// Boards made for Kafka fill their lists of topics from these: shown wherever a family may have as many series, as such a board shows
/// nothing without.
const FILL_LISTS: [&Family; 3] = [compat::CURRENT_OFFSET, compat::OLDEST_OFFSET, compat::REPLICAS_COUNT];

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn lso_lag(partition: &Partition) -> f64 {
    let offsets = partition.offsets();
    (offsets.high_watermark - offsets.last_stable_offset).max(0) as f64
}

/// What log starts moved over, by reason.
const DELETED: &[(&str, TrafficCounter)] = &[
    ("time", |traffic| count(&traffic.deleted_by_time_bytes)),
    ("size", |traffic| count(&traffic.deleted_by_size_bytes)),
    ("delete_records", |traffic| count(&traffic.deleted_by_request_bytes)),
    ("compaction", |traffic| count(&traffic.deleted_by_compaction_bytes)),
];

pub(super) fn by_topic(writer: &mut Writer<'_>, topics: &Topics) {
    for (name, counter) in BY_TOPIC {
        traffic(writer, family(name), topics, *counter);
    }
    let deleted: Vec<(Vec<&str>, f64)> = topics
        .by_name
        .values()
        .flat_map(|topic| {
            DELETED.iter().map(|(reason, bytes)| (vec![&*topic.name, *reason], bytes(&topic.traffic) as f64))
        })
        .collect();
    writer.series(family(catalogue::RETENTION_DELETED_BYTES_TOTAL), Fold::Sum, deleted);
    remembered(writer, topics);
}

/// Of topics that look for repeated messages, or did. Others have no series.
fn remembered(writer: &mut Writer<'_>, topics: &Topics) {
    let looking: Vec<_> = topics.by_name.values().filter(|topic| topic.config.dedup.is_some()).collect();
    let mut known = Vec::new();
    let has_looked = |topic: &&Arc<Topic>| topic.config.dedup.is_some() || topic.traffic.known_messages() > 0;
    for topic in topics.by_name.values().filter(has_looked) {
        let by = |by: KnownBy| count(&topic.traffic.dedup_duplicates[by as usize]) as f64;
        known.extend(KnownBy::ALL.map(|reason| (vec![&*topic.name, reason.name()], by(reason))));
    }
    writer.series(family(catalogue::DEDUP_DUPLICATES_TOTAL), Fold::Sum, known);
    let ids = looking.iter().map(|topic| (vec![&*topic.name], count(&topic.traffic.remembered.ids) as f64));
    writer.series(family(catalogue::DEDUP_LIVE_IDS), Fold::Sum, ids);
    let ages = looking.iter().map(|topic| {
        let age_ms = count(&topic.traffic.remembered.oldest_age_ms);
        (vec![&*topic.name], age_ms as f64 / 1_000.0)
    });
    writer.series(family(catalogue::DEDUP_OLDEST_ID_AGE_SECONDS), Fold::Max, ages);
}

fn traffic(writer: &mut Writer<'_>, family: &'static Family, topics: &Topics, counter: TrafficCounter) {
    let series = topics.by_name.values().map(|topic| (vec![&*topic.name], counter(&topic.traffic) as f64));
    writer.series(family, Fold::Sum, series);
}

/// What retention has left of each topic that is not empty.
pub(super) fn oldest(writer: &mut Writer<'_>, topics: &Topics, asking: &mut Asking<'_>, now: Timestamp) {
    let mut oldest = Vec::new();
    for topic in topics.by_name.values() {
        let timestamps = topic.partitions.iter().filter_map(|partition| {
            let offsets = partition.offsets();
            let has_records = offsets.log_start < offsets.high_watermark;
            has_records.then(|| asking.timestamp(partition.id, offsets.log_start, offsets.high_watermark)).flatten()
        });
        if let Some(timestamp) = timestamps.min() {
            oldest.push((&topic.name, age(now, timestamp)));
        }
    }
    let series = oldest.iter().map(|(topic, age)| (vec![&***topic], *age));
    writer.series(family(catalogue::TOPIC_OLDEST_RECORD_AGE_SECONDS), Fold::Max, series);
}

/// Families by partition, or none of them if there are too many.
pub(super) fn by_partition(writer: &mut Writer<'_>, topics: &Topics, is_shown: bool) {
    for (name, gauge) in BY_PARTITION {
        partitions(writer, family(name), topics, is_shown, *gauge);
    }
    // Few are held back at a time, so that these may be shown among many.
    let mut held_back = Vec::new();
    for topic in topics.by_name.values() {
        for partition in &topic.partitions {
            let lag = lso_lag(partition);
            if lag > 0.0 {
                held_back.push((topic, partition.id.index.to_string(), lag));
            }
        }
    }
    let series = held_back.iter().map(|(topic, index, lag)| (vec![&*topic.name, index.as_str()], *lag));
    writer.series(family(catalogue::PARTITION_LSO_LAG_RECORDS), Fold::Sum, series);
}

fn partitions(
    writer: &mut Writer<'_>,
    family: &'static Family,
    topics: &Topics,
    is_shown: bool,
    gauge: impl Fn(&Partition) -> f64,
) {
    let fills_list = FILL_LISTS.iter().any(|filling| filling.name == family.name);
    if !(is_shown || fills_list && writer.has_room(partition_count(topics))) {
        writer.left_out(family);
        return;
    }
    writer.whole(family, |write| {
        for topic in topics.by_name.values() {
            for partition in &topic.partitions {
                write(&[&topic.name, &partition.id.index.to_string()], gauge(partition));
            }
        }
    });
}

/// Names of kafka_exporter.
pub(super) fn kafka_exporter(writer: &mut Writer<'_>, topics: &Topics, is_shown: bool, node_id: i32) {
    let of = |topic: &Arc<Topic>| topic.partitions.len() as f64;
    let series = topics.by_name.values().map(|topic| (vec![&*topic.name], of(topic)));
    writer.series(compat::TOPIC_PARTITIONS, Fold::Sum, series);
    for (family, gauge) in KAFKA_EXPORTER_BY_PARTITION {
        partitions(writer, family, topics, is_shown, gauge);
    }
    partitions(writer, compat::LEADER, topics, is_shown, |_| f64::from(node_id));
}

/// Names of Kafka's MBeans.
pub(super) fn jmx(writer: &mut Writer<'_>, topics: &Topics, is_shown: bool) {
    for (family, counter) in COMPAT_BY_TOPIC {
        traffic(writer, family, topics, *counter);
    }
    for (family, gauge) in JMX_BY_PARTITION {
        partitions(writer, family, topics, is_shown, gauge);
    }
    let partitions = topics.by_name.values().map(|topic| topic.partitions.len()).sum::<usize>() as f64;
    for (family, value) in [
        (compat::LEADER_COUNT, partitions),
        (compat::PARTITION_COUNT, partitions),
        (compat::UNDER_REPLICATED_COUNT, 0.0),
        (compat::UNDER_MIN_ISR_COUNT, 0.0),
        (compat::ACTIVE_CONTROLLER, 1.0),
        (compat::OFFLINE_PARTITIONS, 0.0),
        (compat::GLOBAL_TOPICS, topics.by_name.len() as f64),
        (compat::GLOBAL_PARTITIONS, partitions),
        (compat::UNCLEAN_ELECTIONS, 0.0),
        (compat::OFFLINE_DIRECTORIES, 0.0),
    ] {
        writer.one(family, value);
    }
}
