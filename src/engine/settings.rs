//! What the engine takes from the configuration.

use std::time::Duration;

pub use super::cleaner::CleanerSettings;
use super::transactions::Limits;
use super::transactions::end::SLICE;
use crate::config::{Config, TopicConfig};
use crate::store::rocks::MEMTABLES_MAX;
use crate::types::Timestamp;

/// Limits and defaults of the engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Budget of the tail cache, bytes (`einmal.tail.cache.bytes`).
    pub tail_cache_bytes: usize,
    /// Threads for cold reads (`einmal.reader.threads`).
    pub reader_threads: usize,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: Timestamp,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_check_interval_ms: u64,
    /// Producer states in memory, over all partitions (`einmal.producer.ids.max`).
    pub producer_ids_max: usize,
    /// `offsets.retention.minutes`.
    pub offsets_retention_ms: Timestamp,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// Limits of compaction; none: nothing is compacted (`log.cleaner.enable`).
    pub cleaner: Option<CleanerSettings>,
    /// Bytes of removed batches whose space is worth giving back at once.
    pub reclaim_bytes: u64,
    /// Memory of committed offsets, bytes (`einmal.group.offsets.bytes.max`).
    pub group_offsets_bytes_max: usize,
    /// Memory of transactional ids and what belongs to their transactions.
    pub transaction_limits: Limits,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration_ms: Timestamp,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`.
    pub transactional_id_check_interval_ms: u64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`.
    pub transaction_timeout_check_interval_ms: u64,
    /// Partitions and offsets of a transaction that one write carries; what has more is prepared first and carried out in slices.
    pub transaction_slice: usize,
    /// Memory of message ids, all topics together, bytes (`einmal.dedup.memory.bytes`).
    pub dedup_memory_bytes: usize,
    /// Message ids of one topic that are in memory before some are sealed (`einmal.dedup.open.max.ids`).
    pub dedup_open_ids_max: usize,
    /// Into how many slices a window is cut, about, ≥ 1 (`einmal.dedup.slices.per.window`).
    pub dedup_slices_per_window: usize,
    /// Longest message id, bytes (`einmal.dedup.id.max.bytes`).
    pub dedup_id_bytes_max: usize,
    /// What a compressed batch with message ids may become, bytes (`einmal.dedup.batch.max.bytes`).
    pub dedup_batch_bytes_max: u64,
    /// Partitions of all topics (`einmal.partitions.max`).
    pub partitions_max: usize,
    /// Whether callers lend their threads to an idle writer; without it, it works on its own thread only, as measurements of one
    /// part by itself want.
    pub takes_loans: bool,
    /// Free bytes of the disk below which appends and new topics are refused: `einmal.disk.reserve.bytes`, and what the memtables
    /// still have to write out by then; 0: never.
    pub disk_reserve_bytes: u64,
    /// Settings of topics that have none of their own.
    pub topic_defaults: TopicConfig,
    /// `cluster.id` for a new data directory; none: a random one.
    pub cluster_id: Option<String>,
    /// The fault that a test has planted.
    #[cfg(test)]
    pub mutant: Option<super::mutant::Mutant>,
}

/// What AlterConfigs changes of [`Settings`] while the engine runs.
#[derive(Debug, Clone)]
pub struct DynamicSettings {
    /// Settings of topics that have none of their own.
    pub topic_defaults: TopicConfig,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: Timestamp,
}

impl From<&Config> for DynamicSettings {
    fn from(config: &Config) -> Self {
        Self {
            topic_defaults: config.topic_defaults.clone(),
            producer_id_expiration_ms: ms(config.producer_id_expiration),
        }
    }
}

fn ms(duration: Duration) -> Timestamp {
    Timestamp::try_from(duration.as_millis()).unwrap_or(Timestamp::MAX)
}

impl From<&Config> for CleanerSettings {
    fn from(config: &Config) -> Self {
        Self {
            backoff: config.log_cleaner_backoff,
            dedupe_bytes: config.log_cleaner_dedupe_buffer_bytes,
            bytes_per_second: config.log_cleaner_bytes_per_second,
        }
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        let interval_ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            tail_cache_bytes: config.tail_cache_bytes,
            reader_threads: config.reader_threads,
            producer_id_expiration_ms: ms(config.producer_id_expiration),
            offsets_retention_ms: ms(config.offsets_retention),
            offsets_retention_check_interval_ms: interval_ms(config.offsets_retention_check_interval),
            retention_check_interval: config.log_retention_check_interval,
            cleaner: config.log_cleaner_enable.then(|| CleanerSettings::from(config)),
            reclaim_bytes: config.storage_memtable_bytes as u64,
            group_offsets_bytes_max: config.group_offsets_bytes_max,
            transaction_limits: Limits {
                bytes_max: config.transactions_bytes_max,
                bytes_per_id_max: config.transaction_bytes_per_id_max,
            },
            transactional_id_expiration_ms: ms(config.transactional_id_expiration),
            transactional_id_check_interval_ms: interval_ms(config.transactional_id_check_interval),
            transaction_timeout_check_interval_ms: interval_ms(config.transaction_timeout_check_interval),
            producer_id_check_interval_ms: interval_ms(config.producer_id_check_interval),
            producer_ids_max: config.producer_ids_max,
            transaction_slice: SLICE,
            dedup_memory_bytes: config.dedup_memory_bytes,
            dedup_open_ids_max: config.dedup_open_ids_max,
            dedup_slices_per_window: config.dedup_slices_per_window,
            dedup_id_bytes_max: config.dedup_id_bytes_max,
            dedup_batch_bytes_max: config.dedup_batch_bytes_max,
            partitions_max: config.partitions_max,
            takes_loans: true,
            disk_reserve_bytes: disk_reserve_bytes(config),
            topic_defaults: config.topic_defaults.clone(),
            cluster_id: config.cluster_id.clone(),
            #[cfg(test)]
            mutant: None,
        }
    }
}

/// A setting of 0 switches the reserve off. Any other is for what is still written after the last look at the disk: the write-ahead
/// log of what goes on, one group of appends, and compactions. The memtables come on top, whose records are in the write-ahead log
/// and are written a second time.
fn disk_reserve_bytes(config: &Config) -> u64 {
    let memtables_bytes = (config.storage_memtable_bytes as u64).saturating_mul(MEMTABLES_MAX);
    match config.disk_reserve_bytes {
        0 => 0,
        bytes => bytes.saturating_add(memtables_bytes),
    }
}
