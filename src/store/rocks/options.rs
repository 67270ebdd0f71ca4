//! Options of the database. Those that differ from RocksDB's defaults say why.

use rocksdb::statistics::StatsLevel;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options};

use crate::store::schema::PARTITION_PREFIX_BYTES;

const MIB: u64 = 1024 * 1024;
/// Table and blob files held open; far below the usual descriptor limit, most of which is for connections.
const OPEN_FILES_MAX: i32 = 512;
/// Memtables in memory: the one that is written to, and those that wait to be written out.
pub const MEMTABLES_MAX: u64 = 4;

/// What the configuration decides about the store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Size at which a memtable is written out; up to four are in memory.
    pub memtable_bytes: usize,
    /// Cache of index and data blocks.
    pub block_cache_bytes: usize,
    /// Open in spite of damage to acknowledged data: what cannot be used is set aside.
    pub accept_loss: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { memtable_bytes: 64 << 20, block_cache_bytes: 32 << 20, accept_loss: false }
    }
}

/// # Errors
/// Only if RocksDB does not know an option's name.
pub(super) fn database_options(options: &StoreOptions) -> Result<Options, rocksdb::Error> {
    // Options without a setter come first: the string makes a new object.
    let without_setter = [
        // Otherwise the replayed log stays unsynced for good, and a retry that it answers is acknowledged without being durable.
        "avoid_flush_during_recovery=false",
        // A range delete slows reads of its memtable until that is written out.
        "memtable_max_range_deletions=1000",
        // Batches of a partition come in the order of their keys: each is inserted beside the one before, without a search.
        &format!("memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.{PARTITION_PREFIX_BYTES}"),
    ];
    let mut db = Options::default().get_options_from_string(without_setter.join(";"))?;
    db.create_if_missing(true);
    db.set_paranoid_checks(true);
    set_wal(&mut db);
    set_memtables(&mut db, options);
    set_files(&mut db);
    set_blobs(&mut db);
    set_cache(&mut db, options);
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db.set_keep_log_file_num(3);
    db.enable_statistics();
    db.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    Ok(db)
}

fn set_wal(db: &mut Options) {
    // Acknowledged data must not stay in the process.
    db.set_manual_wal_flush(false);
    // Early write-back doubles the bytes in page-cache mode, and leaves holes after a power cut.
    db.set_wal_bytes_per_sync(0);
    // Records of an old log in a recycled file look valid.
    db.set_recycle_log_file_num(0);
    db.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
}

fn set_memtables(db: &mut Options, options: &StoreOptions) {
    db.set_write_buffer_size(options.memtable_bytes);
    db.set_max_write_buffer_number(MEMTABLES_MAX as i32);
    // There is one writer.
    db.set_allow_concurrent_memtable_write(false);
}

fn set_files(db: &mut Options) {
    db.set_compression_type(DBCompressionType::None);
    db.set_target_file_size_base(8 * MIB);
    db.set_max_bytes_for_level_base(64 * MIB);
    // A stall stops whoever writes, and with it everything that is to be written.
    db.set_level_zero_file_num_compaction_trigger(4);
    db.set_level_zero_slowdown_writes_trigger(40);
    db.set_level_zero_stop_writes_trigger(60);
    db.set_max_background_jobs(2);
    db.set_bytes_per_sync(MIB);
    // It would also turn off the read-ahead of blob files.
    db.set_advise_random_on_open(false);
    db.set_max_open_files(OPEN_FILES_MAX);
}

fn set_blobs(db: &mut Options) {
    db.set_enable_blob_files(true);
    // Batches of 500 to 1,000 bytes reach the device less often from blob files, and are cheaper to read; those of 200 are dearer.
    db.set_min_blob_size(512);
    // A file goes once nothing in it lives. The batches of a memtable are written in the order of their partitions, so with several
    // files to a memtable those of topics that keep little go, whatever lives long beside them.
    db.set_blob_file_size(16 * MIB);
    db.set_blob_compression_type(DBCompressionType::None);
    // On pure inserts it only adds writes.
    db.set_enable_blob_gc(false);
}

fn set_cache(db: &mut Options, options: &StoreOptions) {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_hyper_clock_cache(options.block_cache_bytes, 0));
    table.set_cache_index_and_filter_blocks(true);
    db.set_block_based_table_factory(&table);
}
