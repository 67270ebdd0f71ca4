//! Opens a data directory: lock, format, look at the write-ahead log, RocksDB, and a last comparison with the marks.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocksdb::DB;

use super::allocator;
use super::background_errors::BackgroundErrors;
use super::error::{is_damage, is_no_space};
use super::options::database_options;
use super::{Database, RocksStore, StoreOptions};
use crate::store::directory::{self, OpenError};
use crate::store::wal::{self, Checked, Keeper, SyncedFile, TailCut};
use crate::store::{processor, slices};
use crate::types::Uuid;

/// An open store, and how it was found.
pub struct Opened {
    /// The store. All that it holds is durable.
    pub store: RocksStore,
    /// How it was found.
    pub recovery: RecoveryReport,
}

/// What opening had to do.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveryReport {
    /// Bytes of write-ahead log that were replayed.
    pub replayed_bytes: u64,
    /// Time that opening took.
    pub duration: Duration,
    /// Whether the store was new, or closed in order before.
    pub clean: bool,
    /// The tail that was cut off, if any.
    pub cut: Option<TailCut>,
}

impl RocksStore {
    /// Opens the data directory `dir`, which is made if missing.
    ///
    /// # Errors
    /// [`OpenError`], each of which says what to do. Nothing is changed in a directory that is refused.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Opened, OpenError> {
        Self::open_in(dir, options, "", wal::boot_id())
    }

    /// The same with RocksDB's own options over ours, `name=value;…`: for experiments, which ask whether ours are right.
    ///
    /// # Errors
    /// As [`RocksStore::open`]; also for an option that RocksDB does not know.
    pub fn open_with(dir: &Path, options: &StoreOptions, rocksdb_options: &str) -> Result<Opened, OpenError> {
        Self::open_in(dir, options, rocksdb_options, wal::boot_id())
    }

    /// Opens it in the given run of the kernel, by which a power cut is told from a killed process.
    pub(super) fn open_in(
        dir: &Path,
        options: &StoreOptions,
        rocksdb_options: &str,
        boot_id: Option<Uuid>,
    ) -> Result<Opened, OpenError> {
        let start = Instant::now();
        if let Some(missing) = processor::missing_instructions() {
            return Err(OpenError::Processor { missing });
        }
        let io_error = |error| OpenError::from_io(dir, error);
        let db_dir = dir.join("db");
        directory::check_files(dir, &[&db_dir, &dir.join(slices::FOLDER)])?;
        let lock = directory::claim(dir)?;
        let (synced_file, synced) = SyncedFile::open(dir).map_err(io_error)?;
        let checked = wal::check(dir, &db_dir, synced.as_ref(), boot_id, options.accept_loss).map_err(io_error)?;
        let (replayed_bytes, cut) = match checked {
            Checked::Usable { replay_bytes, cut } => (replay_bytes, cut),
            Checked::Damaged(damage) => return Err(damage.into()),
        };
        let background_errors = Arc::<BackgroundErrors>::default();
        let (db, db_options) = open_database(dir, &db_dir, options, rocksdb_options, &background_errors)?;
        let sequence = db.latest_sequence_number();
        let mark = synced.map_or(0, |synced| synced.sequence);
        if sequence < mark && !options.accept_loss {
            return Err(OpenError::Damaged {
                what: format!("the database ends at write {sequence}, {mark} were durable"),
                place: db_dir.display().to_string(),
                acknowledged: true,
                acceptable: true,
            });
        }
        let keeper = Keeper::start(synced_file, sequence, boot_id).map_err(io_error)?;
        let clean = cut.is_none() && synced.is_none_or(|synced| synced.clean);
        let recovery = RecoveryReport { replayed_bytes, duration: start.elapsed(), clean, cut };
        let store = Self {
            database: Arc::new(Database { db, _lock: lock }),
            options: db_options,
            keeper,
            recovery: recovery.clone(),
            corruptions: Arc::default(),
            background_errors,
        };
        Ok(Opened { store, recovery })
    }
}

fn open_database(
    dir: &Path,
    db_dir: &Path,
    options: &StoreOptions,
    rocksdb_options: &str,
    background_errors: &Arc<BackgroundErrors>,
) -> Result<(DB, rocksdb::Options), OpenError> {
    allocator::keep_memtables();
    let open = || {
        let mut options = database_options(options)?;
        if !rocksdb_options.is_empty() {
            options = options.get_options_from_string(rocksdb_options)?;
        }
        background_errors.listen(&options);
        // By name, because only then the crate keeps the handle that reads of many rows want.
        Ok((DB::open_cf_with_opts(&options, db_dir, [("default", options.clone())])?, options))
    };
    open().map_err(|error: rocksdb::Error| match error {
        error if is_no_space(&error) => OpenError::NoSpace { dir: dir.to_owned() },
        error if is_damage(&error) => OpenError::Damaged {
            what: error.into_string(),
            place: db_dir.display().to_string(),
            acknowledged: false,
            acceptable: false,
        },
        error => OpenError::Failed { dir: dir.to_owned(), detail: error.into_string() },
    })
}
