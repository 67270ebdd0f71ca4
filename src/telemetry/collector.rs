//! Renders the families that no recorder keeps: by topic and partition from the catalog, of the store, of the process.
//!
//! The series of a deleted topic vanish with it, as they are written from what exists. What clients can multiply is capped:
//! topics beyond `einmal.metrics.max.series.per.family` fold into `_other`, partitions are shown while there are few.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::exposition::{family_names, head, sample};
use super::process;
use super::recorder::family;
use super::stability::{Found, Stability};
use crate::log::catalog::{Catalog, Topic, Topics, Traffic};
use crate::log::partition::Partition;
use crate::metrics::{self as catalogue, FAMILIES};
use crate::store::{Store, StoreStats};

/// Above this number of partitions the families by partition are left out.
const PARTITIONS_SHOWN_MAX: usize = 1_000;

/// Statistics of the store are taken at most this often: RocksDB locks for some of them.
const STORE_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Topic that stands for all those beyond the cap.
const OTHER: &str = "_other";

/// What is observed, and how much of it is shown.
pub struct Collector {
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    data_dir: PathBuf,
    series_max: usize,
    /// Whether acks=all is answered from the page cache where a topic says nothing.
    fsync_disabled: bool,
    disk_low: Arc<AtomicBool>,
    sampled: Mutex<Option<(Instant, StoreStats)>>,
    began: Instant,
    stability: Mutex<Stability>,
}

type TrafficCounter = fn(&Traffic) -> &AtomicU64;
type PartitionGauge = fn(&Partition) -> f64;

const BY_TOPIC: &[(&str, TrafficCounter)] = &[
    (catalogue::TOPIC_BYTES_IN_TOTAL, |traffic| &traffic.bytes_in),
    (catalogue::TOPIC_BYTES_OUT_TOTAL, |traffic| &traffic.bytes_out),
    (catalogue::TOPIC_RECORDS_IN_TOTAL, |traffic| &traffic.records_in),
    (catalogue::TOPIC_BATCHES_IN_TOTAL, |traffic| &traffic.batches_in),
    (catalogue::TOPIC_PRODUCE_FAILED_TOTAL, |traffic| &traffic.produce_failed),
    (catalogue::TOPIC_FETCH_FAILED_TOTAL, |traffic| &traffic.fetch_failed),
    (catalogue::PRODUCER_DUPLICATE_RECORDS_TOTAL, |traffic| &traffic.duplicate_records),
    (catalogue::PRODUCER_DUPLICATE_BYTES_TOTAL, |traffic| &traffic.duplicate_bytes),
    (catalogue::PRODUCER_OUT_OF_ORDER_TOTAL, |traffic| &traffic.out_of_order),
];

/// By topic and reason.
const DELETED: &[(&str, TrafficCounter)] = &[
    ("time", |traffic| &traffic.deleted_by_time_bytes),
    ("size", |traffic| &traffic.deleted_by_size_bytes),
    ("delete_records", |traffic| &traffic.deleted_by_request_bytes),
    ("compaction", |traffic| &traffic.deleted_by_compaction_bytes),
];

const BY_PARTITION: &[(&str, PartitionGauge)] = &[
    (catalogue::PARTITION_HIGH_WATERMARK, |partition| partition.offsets().high_watermark as f64),
    (catalogue::PARTITION_LOG_START_OFFSET, |partition| partition.offsets().log_start as f64),
    (catalogue::PARTITION_SIZE_BYTES, |partition| partition.size_bytes() as f64),
];

const SINGLE: &[&str] = &[
    catalogue::TOPICS,
    catalogue::PARTITIONS,
    catalogue::TOPICS_RELAXED_DURABILITY,
    catalogue::FSYNC_DISABLED,
    catalogue::DISK_LOW,
    catalogue::LSO_LAG_RECORDS_MAX,
    catalogue::LSO_STALLED_SECONDS_MAX,
    catalogue::PARTITIONS_LATE_TXN,
    catalogue::RECOVERY_SECONDS,
    catalogue::RECOVERY_REPLAYED_BYTES,
    catalogue::WAL_BYTES_WRITTEN_TOTAL,
    catalogue::WAL_SYNCS_TOTAL,
];

/// Whether the recorder leaves this family to the collector.
pub fn collects(name: &str) -> bool {
    SINGLE.contains(&name)
        || name.starts_with("process_")
        || name.starts_with("einmal_storage_")
        || name == catalogue::RETENTION_DELETED_BYTES_TOTAL
        || name == catalogue::TOPIC_OLDEST_RECORD_AGE_SECONDS
        || BY_TOPIC.iter().any(|(family, _)| *family == name)
        || BY_PARTITION.iter().any(|(family, _)| *family == name)
}

impl Collector {
    /// Observes `catalog` and `store`.
    pub fn new(
        catalog: Arc<Catalog>,
        store: Arc<dyn Store>,
        data_dir: PathBuf,
        series_max: usize,
        fsync_disabled: bool,
        disk_low: Arc<AtomicBool>,
        transaction_timeout_max: Duration,
    ) -> Self {
        let stability = Mutex::new(Stability::new(transaction_timeout_max));
        let (sampled, began) = (Mutex::new(None), Instant::now());
        Self { catalog, store, data_dir, series_max, fsync_disabled, disk_low, sampled, began, stability }
    }

    /// How stable the partitions are; to be asked every [`LOOK_INTERVAL`](super::stability::LOOK_INTERVAL).
    pub fn look_at_stability(&self) -> Found {
        let topics = self.catalog.topics();
        let partitions = topics.by_name.values().flat_map(|topic| &topic.partitions);
        let mut stability = self.stability.lock().unwrap_or_else(PoisonError::into_inner);
        stability.look(self.began.elapsed(), partitions.map(|partition| (partition.id, partition.offsets())))
    }

    /// The store's figures, not older than a moment.
    pub fn store_stats(&self) -> StoreStats {
        let mut sampled = self.sampled.lock().unwrap_or_else(PoisonError::into_inner);
        match &*sampled {
            Some((at, stats)) if at.elapsed() < STORE_SAMPLE_INTERVAL => stats.clone(),
            _ => {
                let stats = self.store.stats();
                *sampled = Some((Instant::now(), stats.clone()));
                stats
            }
        }
    }

    /// The gauges that say whether clients may be sent, by name.
    pub fn fitness(&self) -> Vec<(&'static str, f64)> {
        let mut gauges = self.store_stats().gauges;
        gauges.push((catalogue::DISK_LOW, self.disk_low()));
        gauges
    }

    fn disk_low(&self) -> f64 {
        f64::from(u8::from(self.disk_low.load(Ordering::Relaxed)))
    }

    /// Appends everything to `text`, which holds the recorder's families already.
    pub fn render(&self, text: &mut String) {
        let topics = self.catalog.topics();
        let partitions: usize = topics.by_name.values().map(|topic| topic.partitions.len()).sum();
        let relaxed = topics.by_name.values().filter(|topic| topic.config.is_relaxed()).count();
        let mut writer = Writer::new(text);
        writer.single(catalogue::TOPICS, topics.by_name.len() as f64);
        writer.single(catalogue::PARTITIONS, partitions as f64);
        writer.single(catalogue::TOPICS_RELAXED_DURABILITY, relaxed as f64);
        writer.single(catalogue::FSYNC_DISABLED, f64::from(u8::from(self.fsync_disabled)));
        writer.single(catalogue::DISK_LOW, self.disk_low());
        let Found { lag_records_max, stalled_max, late_partitions } = self.look_at_stability();
        writer.single(catalogue::LSO_LAG_RECORDS_MAX, lag_records_max as f64);
        writer.single(catalogue::LSO_STALLED_SECONDS_MAX, stalled_max.as_secs_f64());
        writer.single(catalogue::PARTITIONS_LATE_TXN, late_partitions as f64);
        self.by_topic(&mut writer, &topics);
        self.retention(&mut writer, &topics);
        self.by_partition(&mut writer, &topics, partitions);
        self.of_store(&mut writer);
        writer.folded();
    }

    fn by_topic(&self, writer: &mut Writer<'_>, topics: &Topics) {
        let shown = self.topics_shown(topics);
        for (name, counter) in BY_TOPIC {
            let count = |topic: &Arc<Topic>| counter(&topic.traffic).load(Ordering::Relaxed);
            writer.family(name, |family, text| {
                for topic in topics.by_name.values().take(shown) {
                    sample(text, family, &[&topic.name], count(topic) as f64);
                }
                if shown != usize::MAX {
                    let rest: u64 = topics.by_name.values().skip(shown).map(count).sum();
                    sample(text, family, &[OTHER], rest as f64);
                }
            });
            if shown != usize::MAX {
                writer.folded.insert(name);
            }
        }
    }

    /// What retention and deletion took from each topic, and what they leave.
    fn retention(&self, writer: &mut Writer<'_>, topics: &Topics) {
        let shown = self.topics_shown(topics);
        let reasons = || DELETED.iter();
        writer.family(catalogue::RETENTION_DELETED_BYTES_TOTAL, |family, text| {
            for (reason, counter) in reasons() {
                let count = |topic: &Arc<Topic>| counter(&topic.traffic).load(Ordering::Relaxed);
                for topic in topics.by_name.values().take(shown) {
                    sample(text, family, &[&topic.name, reason], count(topic) as f64);
                }
                if shown != usize::MAX {
                    let rest: u64 = topics.by_name.values().skip(shown).map(count).sum();
                    sample(text, family, &[OTHER, reason], rest as f64);
                }
            }
        });
        writer.family(catalogue::TOPIC_OLDEST_RECORD_AGE_SECONDS, |family, text| {
            for topic in topics.by_name.values().take(shown) {
                let age_ms = topic.traffic.oldest_record_age_ms.load(Ordering::Relaxed);
                sample(text, family, &[&topic.name], age_ms as f64 / 1000.0);
            }
        });
        if shown != usize::MAX {
            writer.folded.insert(catalogue::RETENTION_DELETED_BYTES_TOTAL);
            writer.folded.insert(catalogue::TOPIC_OLDEST_RECORD_AGE_SECONDS);
        }
    }

    /// Topics that are shown by name: all, or one less than there may be series.
    fn topics_shown(&self, topics: &Topics) -> usize {
        if topics.by_name.len() > self.series_max { self.series_max.saturating_sub(1) } else { usize::MAX }
    }

    fn by_partition(&self, writer: &mut Writer<'_>, topics: &Topics, partitions: usize) {
        let is_shown = partitions <= PARTITIONS_SHOWN_MAX.min(self.series_max);
        for (name, gauge) in BY_PARTITION {
            writer.family(name, |family, text| {
                for topic in topics.by_name.values().filter(|_| is_shown) {
                    for partition in &topic.partitions {
                        let index = partition.id.index.to_string();
                        sample(text, family, &[&topic.name, &index], gauge(partition));
                    }
                }
            });
            if !is_shown {
                writer.folded.insert(name);
            }
        }
    }

    fn of_store(&self, writer: &mut Writer<'_>) {
        let stats = self.store_stats();
        let dir = self.data_dir.display().to_string();
        let counters = stats.counters.into_iter().map(|(name, value)| (name, value as f64));
        for (name, value) in stats.gauges.into_iter().chain(counters) {
            let labels: &[&str] = match family(name).labels {
                ["db"] => &["log"],
                ["dir"] => &[&dir],
                _ => &[],
            };
            writer.family(name, |family, text| sample(text, family, labels, value));
        }
    }
}

/// The whole page: what the recorder rendered, what `collector` finds if there is one yet, and the process. Families without
/// a series yet are named all the same.
pub fn page(recorded: String, collector: Option<&Collector>) -> String {
    let mut text = recorded;
    if let Some(collector) = collector {
        collector.render(&mut text);
    }
    let mut writer = Writer::new(&mut text);
    for (name, value) in process::figures() {
        writer.single(name, value);
    }
    for family in FAMILIES {
        writer.family(family.name, |_, _| {});
    }
    text
}

/// Appends families, each once.
struct Writer<'a> {
    text: &'a mut String,
    written: BTreeSet<String>,
    folded: BTreeSet<&'static str>,
}

impl<'a> Writer<'a> {
    fn new(text: &'a mut String) -> Self {
        let written = family_names(text).map(str::to_owned).collect();
        Self { text, written, folded: BTreeSet::new() }
    }

    /// A family and its samples, unless it is there already.
    fn family(&mut self, name: &str, samples: impl FnOnce(&'static crate::metrics::Family, &mut String)) {
        if self.written.insert(name.to_owned()) {
            let family = family(name);
            head(self.text, family);
            samples(family, self.text);
        }
    }

    fn single(&mut self, name: &str, value: f64) {
        self.family(name, |family, text| sample(text, family, &[], value));
    }

    /// Says which families are not whole.
    fn folded(&mut self) {
        let folded = std::mem::take(&mut self.folded);
        self.family(catalogue::METRICS_FOLDED, |family, text| {
            folded.iter().for_each(|name| sample(text, family, &[name], 1.0));
        });
    }
}

#[cfg(test)]
mod tests;
