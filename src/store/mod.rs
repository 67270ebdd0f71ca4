//! The store: rows in, rows out, one write at a time, synced when told.
//!
//! [`Store`] is the boundary between the engine, which decides, and the disk. [`rocks::RocksStore`] keeps rows in RocksDB,
//! [`memory::MemoryStore`] in a map, for tests and simulation. `schema` is the one home of keys and values.
//!
//! Invariant: a [`Rows`] is applied whole or not at all, also across a crash.
//! Invariant: after an error from [`Store::write`] or [`Store::sync`] the caller ends the process; there is no rollback.

mod directory;
pub mod disk;
#[cfg(test)]
pub(crate) mod layer;
pub mod memory;
mod processor;
pub mod rocks;
pub mod schema;
pub mod slices;
mod wal;

use std::sync::Arc;

use bytes::Bytes;

use crate::types::{Offset, PartitionId};

/// One change of the key space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// Sets `key` to `value`. The value is shared, not copied, until the store writes it.
    Put {
        /// Key from `schema`.
        key: Vec<u8>,
        /// Value from `schema`, or a record batch as received.
        value: Bytes,
    },
    /// Removes `key`.
    Delete {
        /// Key from `schema`.
        key: Vec<u8>,
    },
    /// Removes the keys in `[from, to)`, nothing if that is empty. Only over log rows (prefix 0x10): range deletes slow down
    /// reads that honour them, and reads of the log do not.
    DeleteLogRange {
        /// First key removed.
        from: Vec<u8>,
        /// First key kept.
        to: Vec<u8>,
    },
}

/// The rows of one commit, in order; a later row wins over an earlier one of the same key.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Rows {
    /// In the order in which they were staged.
    pub rows: Vec<Row>,
}

impl Rows {
    /// Stages `key = value`.
    pub fn put(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.rows.push(Row::Put { key, value: value.into() });
    }
    /// Stages the removal of `key`.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.rows.push(Row::Delete { key });
    }
    /// Stages the removal of the log rows in `[from, to)`.
    pub fn delete_log_range(&mut self, from: Vec<u8>, to: Vec<u8>) {
        self.rows.push(Row::DeleteLogRange { from, to });
    }
    /// Whether nothing is staged.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    /// The rows that change something. RocksDB gives a removal of an empty range a sequence number when it is written and none
    /// when it is replayed, so after a crash its numbers would end below the mark.
    fn changes(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !matches!(row, Row::DeleteLogRange { from, to } if from >= to))
    }
}

/// A batch as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The record batch, byte for byte as consumers get it.
    pub bytes: Bytes,
}

impl StoredBatch {
    /// The batch stored under `key`, once it is known to be that one.
    fn checked(key: &schema::LogKey, bytes: Bytes) -> Result<Self, StoreError> {
        key.check_batch(&bytes).map_err(|detail| StoreError::Corrupt {
            place: format!("partition {} offset {}", key.partition, key.base_offset),
            detail,
        })?;
        Ok(Self { base_offset: key.base_offset, last_offset: key.last_offset(), bytes })
    }
}

/// What an error from the disk means to the caller.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The device is full; nothing of the write was applied.
    #[error("no space left in the data directory: {0}")]
    NoSpace(String),
    /// Stored bytes are not what was written.
    #[error("corrupt data at {place}: {detail}")]
    Corrupt {
        /// Partition, key or file.
        place: String,
        /// What did not match.
        detail: String,
    },
    /// Anything else that the disk or RocksDB said.
    #[error("storage failed: {0}")]
    Failed(String),
}

/// Figures for `/metrics`, sampled, never on the write path.
#[derive(Debug, Default, Clone)]
pub struct StoreStats {
    /// `(family, value)`, named by the constants of [`crate::metrics`]; the labels `db` and `dir` are the caller's to add.
    pub gauges: Vec<(&'static str, f64)>,
    /// Monotonic ones.
    pub counters: Vec<(&'static str, u64)>,
}

/// What the files of record batches take, bytes. Small batches, which lie beside their keys, do not count.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpace {
    /// All of them.
    pub bytes: u64,
    /// Of removed batches that share a file with others.
    pub garbage_bytes: u64,
}

/// A row as it was read.
pub type KeyAndValue = (Vec<u8>, Vec<u8>);

/// Rows on disk. One write at a time, from any thread; any thread reads and one syncs.
pub trait Store: Send + Sync + 'static {
    /// Applies `rows` as one write into the operating system's page cache. Returns the store's sequence number after it.
    /// `synced` is the newest sequence number that the caller knows to be fsynced; it travels with the write as the
    /// mark by which recovery tells a torn tail from damage.
    fn write(&self, rows: &Rows, synced: u64) -> Result<u64, StoreError>;

    /// Makes everything written before the call durable against power loss.
    fn sync(&self) -> Result<(), StoreError>;

    /// Sequence number of the newest applied write.
    fn sequence(&self) -> u64;

    /// The value of one row other than a log row.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits all rows whose key begins with `prefix`, in key order.
    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError>;

    /// Visits the rows with keys in `[from, to)`, in key order; ends early when `visit` answers false. No log rows.
    fn scan_range(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool)
    -> Result<(), StoreError>;

    /// The last row whose key begins with `prefix` and lies before `before`; no log row. It costs one search,
    /// however many rows there are.
    fn last_before(&self, prefix: &[u8], before: &[u8]) -> Result<Option<KeyAndValue>, StoreError>;

    /// Batches of `partition` that hold offsets in `[from, to)`, in order, beginning with the one that holds `from` (or the
    /// next after it). Stops before a batch that would exceed `bytes_max`, but the first is always returned.
    fn read_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, StoreError>;

    /// Visits the facts of the batches of `partition` that hold offsets in `[from, to)`, in order, without their payload;
    /// ends early when `visit` answers false.
    fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(schema::LogKey) -> bool,
    ) -> Result<(), StoreError>;

    /// Gives the space of log rows in `[from, to)` that were removed back to the disk, as far as it can be had without reading
    /// record batches. Takes as long as it takes; a failure leaves the space to a later call.
    fn reclaim_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError>;

    /// Copies the batches with keys in `[from, to)` into files of their own, so that those they lay in before can go, whatever else was
    /// in them. It reads and writes all of them, and their old files go at the end, so that it needs as much free space as they take,
    /// and that of their neighbours which lie in the same index files. A failure leaves them where they are.
    fn move_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError>;

    /// Copies what lives in the oldest files of batches, of whatever topic, into new ones, so that the old ones go: as many files as
    /// hold `bytes_max`, which is the free space that it needs, beside the index's. Answers how many: 0 if the largest is too large.
    fn move_oldest_batches(&self, bytes_max: u64) -> Result<u64, StoreError>;

    /// What the files of record batches take. Cheap.
    fn batch_space(&self) -> BatchSpace;

    /// Files of message ids beside the rows. No part of writes and syncs: each is durable by itself.
    fn slices(&self) -> Arc<dyn slices::SliceFiles>;

    /// Space of the disk under the rows; none if there is none or nobody can tell. Cheap, but a call of the system.
    fn disk_space(&self) -> Option<disk::DiskSpace>;

    /// Figures for `/metrics`.
    fn stats(&self) -> StoreStats;

    /// Writes out what a clean stop leaves in memory, so that the next start has nothing to replay.
    fn close(&self) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests;
