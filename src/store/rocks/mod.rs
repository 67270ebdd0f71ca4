//! Rows in RocksDB: one database, one column family, record batches in blob files.
//!
//! One column family, because with more RocksDB fsyncs each write-ahead log before a flush, which doubles the bytes that reach
//! the device in page-cache mode. The data directory holds `FORMAT`, `einmal.lock`, `SYNCED`, the database in `db`, slices of
//! message ids in `dedup` ([`super::slices`]), and what recovery set aside in `cut`.
//!
//! Invariant: log rows are the only ones that range deletes touch, so reads of the log may ignore them: a reader never asks
//! below the log start.
//! Invariant: no row enters the database but through [`Store::write`]; the gap-free sequence numbers that recovery demands
//! depend on it.

mod allocator;
mod background_errors;
mod error;
mod iterator;
mod keys;
mod open;
mod options;
mod pinned;
mod read_only;
mod reclaim;
mod stats;
mod values;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{DB, ReadOptions, WriteBatch, WriteOptions};

pub use self::open::{Opened, RecoveryReport};
pub use self::options::{MEMTABLES_MAX, StoreOptions};
pub use self::read_only::ReadOnlyStore;
pub use super::directory::{FORMAT_VERSION, OpenError};
pub use super::wal::TailCut;

use self::background_errors::BackgroundErrors;
use self::error::store_error;
use self::keys::LogCursor;
use self::reclaim::Batches;
use super::directory::DirectoryLock;
use super::disk::DiskSpace;
use super::schema::{LogKey, next_prefix};
use super::slices::{SliceFiles, SliceFolder};
use super::wal::{self, Keeper};
use super::{BatchSpace, KeyAndValue, Row, Rows, Store, StoreError, StoreStats, StoredBatch};
use crate::types::{Offset, PartitionId};

/// The open database with its directory. Batches that were read keep it open until they are dropped.
struct Database {
    db: DB,
    // After `db`: the directory is free once RocksDB has left it.
    _lock: DirectoryLock,
}

/// Rows in RocksDB.
pub struct RocksStore {
    database: Arc<Database>,
    options: rocksdb::Options,
    keeper: Keeper,
    recovery: RecoveryReport,
    /// Shared with the files of message ids.
    corruptions: Arc<AtomicU64>,
    background_errors: Arc<BackgroundErrors>,
}

impl RocksStore {
    /// Counts damage that a read met; other errors pass.
    fn count<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Corrupt { .. })) {
            self.corruptions.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Keys of the batches to read, chosen by their facts.
    fn plan(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        bytes_max: usize,
    ) -> Result<Vec<LogKey>, StoreError> {
        let mut plan: Vec<LogKey> = Vec::new();
        let mut bytes = 0usize;
        let mut cursor = LogCursor::new(&self.database.db, partition, from, to);
        while let Some(key) = cursor.next()? {
            bytes = bytes.saturating_add(key.size_bytes as usize);
            if bytes > bytes_max && !plan.is_empty() {
                break;
            }
            plan.push(key);
        }
        Ok(plan)
    }

    fn fetch(&self, plan: &[LogKey]) -> Result<Vec<StoredBatch>, StoreError> {
        // Those gone since they were planned are left out: the log start has moved beyond them, and readers begin anew there.
        let values = values::read(&self.database, plan)?;
        plan.iter().zip(values).map(|(key, value)| StoredBatch::checked(key, value)).collect()
    }
}

#[cfg(test)]
impl RocksStore {
    /// Bytes of record batches read from blob files so far.
    pub(super) fn blob_bytes_read(&self) -> u64 {
        self.options.get_ticker_count(rocksdb::statistics::Ticker::BlobDbBlobFileBytesRead)
    }
}

/// Visits all rows of `db` whose key begins with `prefix`, in key order. An error is where it could not go on.
fn scan_prefix(db: &DB, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(prefix);
    if let Some(next) = next_prefix(prefix) {
        options.set_iterate_upper_bound(next);
    }
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek_to_first();
    while let Some((key, value)) = iterator.item() {
        visit(key, value);
        iterator.next();
    }
    iterator.status().map_err(store_error)
}

fn write_batch(rows: &Rows, synced: u64) -> WriteBatch {
    const BATCH_OVERHEAD_BYTES: usize = 64;
    const ROW_OVERHEAD_BYTES: usize = 16;
    let row_bytes = |row: &Row| match row {
        Row::Put { key, value } => key.len() + value.len(),
        Row::Delete { key } => key.len(),
        Row::DeleteLogRange { from, to } => from.len() + to.len(),
    };
    // All of it at once: growth would copy record bytes once more.
    let bytes = rows.changes().map(|row| ROW_OVERHEAD_BYTES + row_bytes(row)).sum::<usize>();
    let mut batch = WriteBatch::with_capacity_bytes(BATCH_OVERHEAD_BYTES + bytes);
    batch.put_log_data(wal::mark(synced));
    for row in rows.changes() {
        match row {
            Row::Put { key, value } => batch.put(key, value),
            Row::Delete { key } => batch.delete(key),
            Row::DeleteLogRange { from, to } => batch.delete_range(from, to),
        }
    }
    batch
}

impl Store for RocksStore {
    fn write(&self, rows: &Rows, synced: u64) -> Result<u64, StoreError> {
        let batch = write_batch(rows, synced);
        if !batch.is_empty() {
            self.database.db.write_opt(batch, &WriteOptions::default()).map_err(store_error)?;
        }
        Ok(self.sequence())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let sequence = self.sequence();
        self.database.db.flush_wal(true).map_err(store_error)?;
        self.keeper.advance(sequence).map_err(StoreError::Failed)
    }

    fn sequence(&self) -> u64 {
        self.database.db.latest_sequence_number()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.count(self.database.db.get(key).map_err(store_error))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.count(scan_prefix(&self.database.db, prefix, visit))
    }

    fn scan_range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut iterator = self.database.db.raw_iterator_opt(options);
        iterator.seek_to_first();
        while let Some((key, value)) = iterator.item() {
            if !visit(key, value) {
                break;
            }
            iterator.next();
        }
        self.count(iterator.status().map_err(store_error))
    }

    fn last_before(&self, prefix: &[u8], before: &[u8]) -> Result<Option<KeyAndValue>, StoreError> {
        let next = next_prefix(prefix);
        let before = next.as_deref().map_or(before, |next| before.min(next));
        if before <= prefix {
            return Ok(None);
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix);
        options.set_iterate_upper_bound(before);
        let mut iterator = self.database.db.raw_iterator_opt(options);
        iterator.seek_to_last();
        let last = iterator.item().map(|(key, value)| (key.to_vec(), value.to_vec()));
        self.count(iterator.status().map_err(store_error))?;
        Ok(last)
    }

    fn read_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        self.count(self.plan(partition, from, to, bytes_max).and_then(|plan| self.fetch(&plan)))
    }

    fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(LogKey) -> bool,
    ) -> Result<(), StoreError> {
        let mut cursor = LogCursor::new(&self.database.db, partition, from, to);
        while let Some(key) = self.count(cursor.next())? {
            if !visit(key) {
                break;
            }
        }
        Ok(())
    }

    fn reclaim_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        reclaim::compact(&self.database.db, Some((from, to)), Batches::Stay)
    }

    fn move_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        reclaim::compact(&self.database.db, Some((from, to)), Batches::MoveOldest { share: 1.0 })
    }

    fn move_oldest_batches(&self, bytes_max: u64) -> Result<u64, StoreError> {
        reclaim::move_oldest(&self.database.db, bytes_max)
    }

    fn batch_space(&self) -> BatchSpace {
        let value = |property| self.database.db.property_int_value(property).ok().flatten().unwrap_or(0);
        BatchSpace { bytes: value(stats::BLOB_BYTES), garbage_bytes: value(stats::BLOB_GARBAGE_BYTES) }
    }

    fn slices(&self) -> Arc<dyn SliceFiles> {
        let dir = self.database.db.path().parent().unwrap_or_else(|| Path::new(""));
        Arc::new(SliceFolder::counting(dir, Arc::clone(&self.corruptions)))
    }

    fn disk_space(&self) -> Option<DiskSpace> {
        DiskSpace::of(self.database.db.path())
    }

    fn stats(&self) -> StoreStats {
        stats::collect(self)
    }

    fn close(&self) -> Result<(), StoreError> {
        let sequence = self.sequence();
        self.database.db.flush_wal(true).map_err(store_error)?;
        self.database.db.flush().map_err(store_error)?;
        self.keeper.close(sequence).map_err(|error| StoreError::Failed(format!("writing SYNCED: {error}")))
    }
}

#[cfg(test)]
mod recovery_tests;
