//! Figures of the store for `/metrics`.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use rocksdb::properties;
use rocksdb::statistics::Ticker;

use super::{Database, RocksStore};
use crate::metrics;
use crate::store::disk::DiskSpace;
use crate::store::{Store, StoreStats};

/// Property: bytes of all blob files.
pub(super) const BLOB_BYTES: &str = "rocksdb.total-blob-file-size";
/// Property: bytes in them that nothing refers to.
pub(super) const BLOB_GARBAGE_BYTES: &str = "rocksdb.live-blob-file-garbage-size";

/// Property: blob files that something refers to.
pub(super) const BLOB_FILES: &str = "rocksdb.num-blob-files";

/// Gauges by property. Those of blob files have no constant in the crate.
fn gauges(database: &Database) -> Vec<(&'static str, f64)> {
    let named = [
        (metrics::STORAGE_WRITE_STOPPED, properties::IS_WRITE_STOPPED),
        (metrics::STORAGE_DELAYED_WRITE_RATE_BYTES, properties::ACTUAL_DELAYED_WRITE_RATE),
        (metrics::STORAGE_PENDING_COMPACTION_BYTES, properties::ESTIMATE_PENDING_COMPACTION_BYTES),
        (metrics::STORAGE_RUNNING_COMPACTIONS, properties::NUM_RUNNING_COMPACTIONS),
        (metrics::STORAGE_RUNNING_FLUSHES, properties::NUM_RUNNING_FLUSHES),
        (metrics::STORAGE_BACKGROUND_ERRORS, properties::BACKGROUND_ERRORS),
        (metrics::STORAGE_SST_BYTES, properties::TOTAL_SST_FILES_SIZE),
        (metrics::STORAGE_MEMTABLE_BYTES, properties::CUR_SIZE_ALL_MEM_TABLES),
        (metrics::STORAGE_LIVE_DATA_BYTES, properties::ESTIMATE_LIVE_DATA_SIZE),
        (metrics::STORAGE_TABLE_READER_BYTES, properties::ESTIMATE_TABLE_READERS_MEM),
        (metrics::STORAGE_BLOCK_CACHE_USAGE_BYTES, properties::BLOCK_CACHE_USAGE),
        (metrics::STORAGE_BLOCK_CACHE_CAPACITY_BYTES, properties::BLOCK_CACHE_CAPACITY),
        (metrics::STORAGE_BLOCK_CACHE_PINNED_BYTES, properties::BLOCK_CACHE_PINNED_USAGE),
    ];
    let blobs = [
        (metrics::STORAGE_BLOB_BYTES, BLOB_BYTES),
        (metrics::STORAGE_BLOB_GARBAGE_BYTES, BLOB_GARBAGE_BYTES),
        (metrics::STORAGE_L0_FILES, "rocksdb.num-files-at-level0"),
    ];
    // A figure that RocksDB cannot give is left out: sampling has nobody to report to.
    let named = named.into_iter().map(|(name, property)| (name, database.db.property_value(property)));
    let blobs = blobs.into_iter().map(|(name, property)| (name, database.db.property_value(property)));
    named.chain(blobs).filter_map(|(name, value)| Some((name, value.ok()??.parse().ok()?))).collect()
}

fn counters(options: &rocksdb::Options) -> Vec<(&'static str, u64)> {
    [
        (metrics::WAL_BYTES_WRITTEN_TOTAL, Ticker::WalFileBytes),
        (metrics::WAL_SYNCS_TOTAL, Ticker::WalFileSynced),
        (metrics::STORAGE_FLUSH_BYTES_TOTAL, Ticker::FlushWriteBytes),
        (metrics::STORAGE_COMPACTION_WRITTEN_BYTES_TOTAL, Ticker::CompactWriteBytes),
        (metrics::STORAGE_COMPACTION_READ_BYTES_TOTAL, Ticker::CompactReadBytes),
        (metrics::STORAGE_BLOCK_CACHE_HITS_TOTAL, Ticker::BlockCacheHit),
        (metrics::STORAGE_BLOCK_CACHE_MISSES_TOTAL, Ticker::BlockCacheMiss),
    ]
    .map(|(name, ticker)| (name, options.get_ticker_count(ticker)))
    .to_vec()
}

/// Seconds; 0 without snapshots.
fn oldest_snapshot_age(database: &Database) -> f64 {
    let began = database.db.property_int_value(properties::OLDEST_SNAPSHOT_TIME).ok().flatten().unwrap_or(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if began == 0 { 0.0 } else { now.saturating_sub(began) as f64 }
}

pub(super) fn collect(store: &RocksStore) -> StoreStats {
    let mut gauges = gauges(&store.database);
    if let Some(DiskSpace { total_bytes, free_bytes }) = store.disk_space() {
        gauges.push((metrics::STORAGE_DISK_TOTAL_BYTES, total_bytes as f64));
        gauges.push((metrics::STORAGE_DISK_FREE_BYTES, free_bytes as f64));
    }
    gauges.push((metrics::RECOVERY_SECONDS, store.recovery.duration.as_secs_f64()));
    gauges.push((metrics::RECOVERY_REPLAYED_BYTES, store.recovery.replayed_bytes as f64));
    gauges.push((metrics::STORAGE_OLDEST_SNAPSHOT_AGE_SECONDS, oldest_snapshot_age(&store.database)));
    gauges.push((metrics::STORAGE_BACKGROUND_FAILING, f64::from(u8::from(store.background_errors.is_recent()))));
    let mut counters = counters(&store.options);
    // Whole seconds: counters carry integers.
    counters
        .push((metrics::STORAGE_STALL_SECONDS_TOTAL, store.options.get_ticker_count(Ticker::StallMicros) / 1_000_000));
    counters.push((metrics::STORAGE_CORRUPTION_TOTAL, store.corruptions.load(Ordering::Relaxed)));
    StoreStats { gauges, counters }
}
