//! Renders the families that no recorder keeps: by topic, partition and group, of the store, of the process.
//!
//! The series of a deleted topic or group vanish with it, as they are written from what exists. What clients can multiply is
//! capped, in number by `einmal.metrics.max.series.per.family` and in bytes: topics and groups beyond fold into `_other`, partitions are
//! shown while there are few, and long names are cut. Nothing here asks the writer: it reads what readers read.

mod ages;
pub mod groups;
mod recorded;
mod runtime;
mod topics;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::exposition::sample;
use super::process;
use super::recorder::family;
use super::stability::{Found, Stability};
use crate::api::clients::Clients;
use crate::api::senders::Senders;
use crate::coordinator::{Coordinator, GroupFigures};
use crate::engine::{Busy, OpenTransactions, SyncUnderWay};
use crate::log::catalog::{Catalog, Topics};
use crate::log::offsets::CommittedOffsets;
use crate::metrics::compat::{self, Dialect};
use crate::metrics::phases::RequestPhases;
use crate::metrics::{self as catalogue, FAMILIES};
use crate::store::{Store, StoreStats};
use crate::types::{Offset, PartitionId, Timestamp};
use ages::Ages;
use groups::GroupLag;
pub use runtime::RuntimeFigures;
use writer::Writer;

/// Above this number of partitions the families by partition are left out at [`Level::Topic`].
const PARTITIONS_SHOWN_MAX: usize = 1_000;

/// Software of clients that is told apart.
const SOFTWARE_SHOWN_MAX: usize = 50;

/// Statistics of the store are taken at most this often: RocksDB locks for some of them.
const STORE_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// `einmal.metrics.level`: how far families are broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As the next, and nothing is recorded.
    Off,
    /// None by topic or group.
    Cluster,
    /// By topic and group; by partition while there are few.
    Topic,
    /// By partition, up to the cap.
    Partition,
}

impl Level {
    /// The level that is set.
    pub fn of(config: &crate::config::Config) -> Self {
        Self::of_name(&config.metrics_level).unwrap_or(Self::Topic)
    }

    /// The level of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "cluster" => Some(Self::Cluster),
            "topic" => Some(Self::Topic),
            "partition" => Some(Self::Partition),
            _ => None,
        }
    }
}

/// How much is shown.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `log.dirs`.
    pub data_dir: PathBuf,
    /// `einmal.metrics.max.series.per.family`.
    pub series_max: usize,
    /// `einmal.metrics.level`.
    pub level: Level,
    /// `einmal.metrics.compat`.
    pub compat: Vec<Dialect>,
    /// Whether acks=all is answered from the page cache where a topic says nothing.
    pub fsync_disabled: bool,
    /// `node.id`.
    pub node_id: i32,
    /// Address that clients are told, of one listener.
    pub advertised: String,
    /// `transaction.max.timeout.ms`.
    pub transaction_timeout_max: Duration,
}

impl From<&crate::config::Config> for Settings {
    fn from(config: &crate::config::Config) -> Self {
        Self {
            data_dir: config.data_dir.clone(),
            series_max: config.metrics_series_max,
            level: Level::of(config),
            compat: config.metrics_compat.iter().filter_map(|name| Dialect::of_name(name)).collect(),
            fsync_disabled: config.topic_defaults.is_relaxed(),
            node_id: config.node_id,
            advertised: String::new(),
            transaction_timeout_max: Duration::from_millis(config.transaction_max_timeout_ms.into()),
        }
    }
}

/// What is observed.
pub struct Sources {
    /// Topics.
    pub catalog: Arc<Catalog>,
    /// Progress of groups.
    pub offsets: Arc<CommittedOffsets>,
    /// Members of groups; none in tests without.
    pub coordinator: Option<Arc<Coordinator>>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Set while appends are refused.
    pub disk_low: Arc<AtomicBool>,
    /// Age of transactions.
    pub open_transactions: Arc<OpenTransactions>,
    /// Time that the writer has worked.
    pub busy: Arc<Busy>,
    /// The sync that everybody waits for.
    pub sync_under_way: Arc<SyncUnderWay>,
    /// Who is connected.
    pub clients: Arc<Clients>,
    /// Where the time of requests goes.
    pub phases: Arc<RequestPhases>,
    /// Who sent records that were there.
    pub senders: Arc<Senders>,
}

/// Observes and renders.
pub struct Collector {
    sources: Sources,
    settings: Settings,
    sampled: Mutex<Option<(Instant, StoreStats)>>,
    ages: Mutex<Ages>,
    began: Instant,
    stability: Mutex<Stability>,
}

impl Collector {
    /// Observes `sources`.
    pub fn new(sources: Sources, settings: Settings) -> Self {
        let stability = Mutex::new(Stability::new(settings.transaction_timeout_max));
        let (sampled, ages, began) = (Mutex::new(None), Mutex::default(), Instant::now());
        Self { sources, settings, sampled, ages, began, stability }
    }

    /// How stable the partitions are; to be asked every [`LOOK_INTERVAL`](super::stability::LOOK_INTERVAL).
    pub fn look_at_stability(&self) -> Found {
        let topics = self.sources.catalog.topics();
        let partitions = topics.by_name.values().flat_map(|topic| &topic.partitions);
        let mut stability = self.stability.lock().unwrap_or_else(PoisonError::into_inner);
        stability.look(self.began.elapsed(), partitions.map(|partition| (partition.id, partition.offsets())))
    }

    /// The store's figures, not older than a moment. Who waits for the store keeps nobody from the figures that were had before.
    pub fn store_stats(&self) -> StoreStats {
        match &*self.sampled() {
            Some((at, stats)) if at.elapsed() < STORE_SAMPLE_INTERVAL => return stats.clone(),
            _ => {}
        }
        let stats = self.sources.store.stats();
        *self.sampled() = Some((Instant::now(), stats.clone()));
        stats
    }

    fn sampled(&self) -> MutexGuard<'_, Option<(Instant, StoreStats)>> {
        self.sampled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gauges that say whether clients may be sent, by name.
    pub fn fitness(&self) -> Vec<(&'static str, f64)> {
        self.store_stats();
        self.last_fitness()
    }

    /// The same as of when the store was last asked: at once.
    pub fn last_fitness(&self) -> Vec<(&'static str, f64)> {
        let mut gauges: Vec<(&'static str, f64)> = match &*self.sampled() {
            Some((_, StoreStats { gauges, counters })) => {
                let damaged = counters.iter().filter(|(name, _)| *name == catalogue::STORAGE_CORRUPTION_TOTAL);
                gauges.iter().copied().chain(damaged.map(|(name, count)| (*name, *count as f64))).collect()
            }
            None => Vec::new(),
        };
        gauges.push((catalogue::DISK_LOW, self.disk_low()));
        gauges.push((catalogue::WAL_SYNC_RUNNING_SECONDS, self.sources.sync_under_way.age().as_secs_f64()));
        gauges
    }

    fn disk_low(&self) -> f64 {
        f64::from(u8::from(self.sources.disk_low.load(Ordering::Relaxed)))
    }

    /// Appends everything to `text`, which holds the recorder's families already.
    pub fn render(&self, text: &mut String) {
        let now = now();
        let topics = self.sources.catalog.topics();
        let recorded = self.settings.compat.contains(&Dialect::Jmx).then(|| text.clone());
        let mut writer = Writer::new(text, self.settings.series_max);
        self.singles(&mut writer, &topics, now);
        self.of_requests(&mut writer);
        let figures = self.figures();
        groups::states(&mut writer, &figures);
        if self.settings.level > Level::Cluster {
            self.broken_down(&mut writer, &topics, figures, now);
        }
        self.of_store(&mut writer);
        if let Some(recorded) = recorded {
            recorded::jmx(&mut writer, &recorded);
        }
        writer.folded();
    }

    fn singles(&self, writer: &mut Writer<'_>, topics: &Topics, now: Timestamp) {
        let relaxed = topics.by_name.values().filter(|topic| topic.config.is_relaxed()).count();
        writer.single(catalogue::TOPICS, topics.by_name.len() as f64);
        writer.single(catalogue::PARTITIONS, partition_count(topics) as f64);
        writer.single(catalogue::TOPICS_RELAXED_DURABILITY, relaxed as f64);
        writer.single(catalogue::FSYNC_DISABLED, f64::from(u8::from(self.settings.fsync_disabled)));
        writer.single(catalogue::DISK_LOW, self.disk_low());
        let Found { lag_records_max, stalled_max, late_partitions } = self.look_at_stability();
        writer.single(catalogue::LSO_LAG_RECORDS_MAX, lag_records_max as f64);
        writer.single(catalogue::LSO_STALLED_SECONDS_MAX, stalled_max.as_secs_f64());
        writer.single(catalogue::PARTITIONS_LATE_TXN, late_partitions as f64);
        writer.single(catalogue::WAL_SYNC_RUNNING_SECONDS, self.sources.sync_under_way.age().as_secs_f64());
        writer.single(catalogue::ENGINE_BUSY_SECONDS_TOTAL, self.sources.busy.total().as_secs_f64());
        let open = &self.sources.open_transactions;
        let oldest = open.oldest_start().map_or(0.0, |began| groups::age(now, began));
        writer.single(catalogue::TXN_OLDEST_OPEN_AGE_SECONDS, oldest);
        writer.single(catalogue::TXN_TIMEOUT_MAX_SECONDS, f64::from(open.timeout_max_ms()) / 1_000.0);
    }

    fn of_requests(&self, writer: &mut Writer<'_>) {
        writer.family(family(catalogue::REQUEST_PHASE_SECONDS), |_, text| self.sources.phases.render(text));
        writer.family(family(catalogue::CLIENT_SOFTWARE), |family, text| {
            for ((name, version), count) in self.sources.clients.software(SOFTWARE_SHOWN_MAX) {
                sample(text, family, &[&name, &version], count as f64);
            }
        });
    }

    fn broken_down(&self, writer: &mut Writer<'_>, topics: &Topics, figures: Vec<GroupFigures>, now: Timestamp) {
        let Settings { level, series_max, node_id, .. } = self.settings;
        let partitions_max = if level == Level::Partition { series_max } else { PARTITIONS_SHOWN_MAX.min(series_max) };
        let is_shown = partition_count(topics) <= partitions_max;
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asking = ages.ask(self.sources.store.as_ref());
        let groups = groups::lags(self.sources.offsets.standings(), figures, topics, &mut asking);
        topics::by_topic(writer, topics);
        topics::oldest(writer, topics, &mut asking, now);
        topics::by_partition(writer, topics, is_shown);
        groups::by_group(writer, &groups, now);
        if self.settings.compat.contains(&Dialect::KafkaExporter) {
            writer.one(compat::BROKERS, 1.0);
            writer.family(compat::BROKER_INFO, |family, text| {
                sample(text, family, &[&node_id.to_string(), &self.settings.advertised], 1.0);
            });
            topics::kafka_exporter(writer, topics, is_shown, node_id);
            groups::write_compat(writer, &groups);
        }
        if self.settings.compat.contains(&Dialect::Jmx) {
            topics::jmx(writer, topics, is_shown);
        }
    }

    fn figures(&self) -> Vec<GroupFigures> {
        self.sources.coordinator.as_ref().map(|coordinator| coordinator.figures()).unwrap_or_default()
    }

    /// All topics.
    pub fn topics(&self) -> Arc<Topics> {
        self.sources.catalog.topics()
    }

    /// Largest timestamp of the batch that holds an offset, ms; none if there is none, or it has none. Asks the store.
    pub fn timestamp(&self, partition: PartitionId, offset: Offset) -> Option<Timestamp> {
        let view = self.topics().by_no.get(&partition.topic)?.partitions.get(partition.index as usize)?.offsets();
        if offset < view.log_start || offset >= view.log_end {
            return None;
        }
        let mut found = None;
        // A damaged batch is found by those who read it.
        let _ = self.sources.store.scan_log(partition, offset, offset.saturating_add(1), &mut |key| {
            found = Some(key.max_timestamp);
            false
        });
        found.filter(|timestamp| *timestamp >= 0)
    }

    /// Who sent repeatedly.
    pub fn senders(&self) -> &Senders {
        &self.sources.senders
    }

    /// Lag of all groups.
    pub fn group_lags(&self) -> Vec<GroupLag> {
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = self.sources.catalog.topics();
        let mut asking = ages.ask(self.sources.store.as_ref());
        groups::lags(self.sources.offsets.standings(), self.figures(), &topics, &mut asking)
    }

    fn of_store(&self, writer: &mut Writer<'_>) {
        let stats = self.store_stats();
        let dir = self.settings.data_dir.display().to_string();
        let counters = stats.counters.into_iter().map(|(name, value)| (name, value as f64));
        for (name, value) in stats.gauges.into_iter().chain(counters) {
            let labels: &[&str] = match family(name).labels {
                ["db"] => &["log"],
                ["dir"] => &[&dir],
                _ => &[],
            };
            writer.family(family(name), |family, text| sample(text, family, labels, value));
        }
    }
}

fn partition_count(topics: &Topics) -> usize {
    topics.by_name.values().map(|topic| topic.partitions.len()).sum()
}

/// Milliseconds since 1970; 0 before.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}

/// The whole page: what the recorder rendered, what `collector` finds if there is one yet, the runtime and the process. Families
/// without a series yet are named all the same.
pub fn page(recorded: String, collector: Option<&Collector>, runtime: &RuntimeFigures) -> String {
    let mut text = recorded;
    if let Some(collector) = collector {
        collector.render(&mut text);
    }
    let mut writer = Writer::new(&mut text, usize::MAX);
    writer.single(catalogue::RUNTIME_WORKERS, runtime.workers as f64);
    writer.single(catalogue::RUNTIME_TASKS, runtime.tasks as f64);
    writer.single(catalogue::RUNTIME_BUSY_SECONDS_TOTAL, runtime.busy.as_secs_f64());
    if collector.is_some_and(|collector| collector.settings.compat.contains(&Dialect::Jmx)) {
        writer.one(compat::HANDLER_IDLE, runtime.idle());
        writer.one(compat::PROCESSOR_IDLE, runtime.idle());
    }
    for (name, value) in process::figures() {
        writer.single(name, value);
    }
    for family in FAMILIES {
        writer.family(family, |_, _| {});
    }
    text
}

#[cfg(test)]
pub(super) mod tests;
