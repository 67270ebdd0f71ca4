//! A data directory as it lies, opened without writing a byte.
//!
//! The lock is taken all the same: what a running broker is about to change cannot be judged.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, ReadOptions};

use super::error::{is_damage, store_error};
use super::keys::LogCursor;
use super::options::database_options;
use super::{Database, OpenError, StoreOptions, scan_prefix, values};
use crate::store::schema::{LogKey, prefix, topic_log_range};
use crate::store::wal::{self, Inspected};
use crate::store::{StoreError, directory, slices};
use crate::types::{Offset, PartitionId, TopicNo};

/// Rows that are only read.
pub struct ReadOnlyStore {
    database: Arc<Database>,
}

impl ReadOnlyStore {
    /// Opens the data directory `dir`, and says what is to be said of the write-ahead log.
    ///
    /// # Errors
    /// [`OpenError`]: what is no data directory of this format, is in use, or has a database that does not open.
    pub fn open(dir: &Path) -> Result<(Self, Inspected), OpenError> {
        let db_dir = dir.join("db");
        directory::check_files(dir, &[&db_dir, &dir.join(slices::FOLDER)])?;
        let lock = directory::claim_to_read(dir)?;
        let inspected = wal::inspect(dir, &db_dir, wal::boot_id()).map_err(|error| OpenError::from_io(dir, error))?;
        let open = || {
            let mut options = database_options(&StoreOptions::default())?;
            options.create_if_missing(false);
            DB::open_cf_with_opts_for_read_only(&options, &db_dir, [("default", options.clone())], false)
        };
        let db = open().map_err(|error| match &inspected.damage {
            // A start looks at the logs first: RocksDB may fail by what is missing there.
            Some(damage) => damage.clone().into(),
            None if is_damage(&error) => OpenError::Damaged {
                what: error.into_string(),
                place: db_dir.display().to_string(),
                acknowledged: false,
                acceptable: false,
            },
            None => OpenError::Failed { dir: dir.to_owned(), detail: error.into_string() },
        })?;
        Ok((Self { database: Arc::new(Database { db, _lock: lock }) }, inspected))
    }

    /// Visits all rows whose key begins with `prefix`, in key order.
    ///
    /// # Errors
    /// Where it cannot go on; rows before that were visited.
    pub fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        scan_prefix(&self.database.db, prefix, visit)
    }

    /// Visits the facts of the batches of `partition` from `from` on, in order.
    ///
    /// # Errors
    /// Where it cannot go on.
    pub fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        visit: &mut dyn FnMut(LogKey),
    ) -> Result<(), StoreError> {
        let mut cursor = LogCursor::new(&self.database.db, partition, from, Offset::MAX);
        while let Some(key) = cursor.next()? {
            visit(key);
        }
        Ok(())
    }

    /// The first topic from `from` on of which there are batches; none if there is none. One search, whatever lies between.
    ///
    /// # Errors
    /// Where it cannot go on.
    pub fn topic_with_batches(&self, from: TopicNo) -> Result<Option<TopicNo>, StoreError> {
        let (from, _) = topic_log_range(from);
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound([prefix::LOG + 1]);
        // Passes over what range deletions have removed.
        let mut iterator = self.database.db.raw_iterator_opt(options);
        iterator.seek_to_first();
        match iterator.key() {
            Some(key) => Ok(Some(LogKey::decode(key)?.partition.topic)),
            None => iterator.status().map(|()| None).map_err(store_error),
        }
    }

    /// The batch under `key`; none if there is none.
    ///
    /// # Errors
    /// What RocksDB says of its bytes.
    pub fn batch(&self, key: &LogKey) -> Result<Option<Bytes>, StoreError> {
        Ok(values::read(&self.database, std::slice::from_ref(key))?.into_iter().next())
    }
}
