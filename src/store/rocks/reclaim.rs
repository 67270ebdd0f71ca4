//! Compactions that give space back, through RocksDB's C interface: the safe crate's has no word for the collection of blob garbage.
//!
//! A compaction drops the index entries of removed batches, and a blob file is deleted with the last batch in it. While others in it
//! live it stays as it is, so a range can also be compacted with its batches moved into new files. The old files go once the last table
//! of the index that refers to them has been replaced, and one such table refers to gigabytes of batches: no range of keys, however
//! small, says how much is moved. The share of the oldest files of which it is does.

use std::ptr::NonNull;

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, DB, properties};

use super::stats::BLOB_FILES;
use crate::store::StoreError;

/// `BlobGarbageCollectionPolicy` of RocksDB.
const MOVE_BLOBS: i32 = 0;
/// `BottommostLevelCompaction::kForceOptimized`: what is at the bottom moves, too, but not twice.
const BOTTOMMOST_ALSO: u8 = 3;

/// What becomes of the batches that live in the range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Batches {
    /// They stay in their blob files and are not read.
    Stay,
    /// Those in the oldest blob files, which are this share of all, are copied into new ones.
    MoveOldest {
        /// From 0 to 1.
        share: f64,
    },
}

/// Moves the batches of as many of the oldest blob files as hold `bytes_max`; answers how many.
pub(super) fn move_oldest(db: &DB, bytes_max: u64) -> Result<u64, StoreError> {
    let count = db.property_int_value(BLOB_FILES).ok().flatten().unwrap_or(0);
    // None is larger than the largest, and most are about that large.
    let moved = bytes_max.checked_div(largest_blob_file(db)?).unwrap_or(0).min(count);
    if moved > 0 {
        // RocksDB multiplies by the count and rounds down.
        let share = if moved == count { 1.0 } else { (moved as f64 + 0.5) / count as f64 };
        compact(db, None, Batches::MoveOldest { share })?;
    }
    Ok(moved)
}

/// Bytes of the largest blob file.
fn largest_blob_file(db: &DB) -> Result<u64, StoreError> {
    let failed = |error: std::io::Error| StoreError::Failed(format!("listing blob files: {error}"));
    let mut largest = 0;
    for entry in std::fs::read_dir(db.path()).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().extension().is_some_and(|extension| extension == "blob") {
            // One that has gone meanwhile counts as nothing.
            largest = largest.max(entry.metadata().map_or(0, |metadata| metadata.len()));
        }
    }
    Ok(largest)
}

/// Compacts the keys in `[from, to)`, or all.
///
/// # Errors
/// Background work failed meanwhile: this compaction, whose status the C interface swallows, or, rarely, another one.
pub(super) fn compact(db: &DB, range: Option<(&[u8], &[u8])>, batches: Batches) -> Result<(), StoreError> {
    let failures = || db.property_int_value(properties::BACKGROUND_ERRORS).ok().flatten().unwrap_or(0);
    let failures_before = failures();
    let bound = |bound: Option<&[u8]>| bound.map_or((std::ptr::null(), 0), |key| (key.as_ptr().cast(), key.len()));
    let (from, from_bytes) = bound(range.map(|(from, _)| from));
    let (to, to_bytes) = bound(range.map(|(_, to)| to));
    // SAFETY: the options are created here, used by this call alone and destroyed once; RocksDB copies the keys, and takes a null
    // pointer for no bound.
    unsafe {
        let options = NonNull::new(ffi::rocksdb_compactoptions_create()).expect("RocksDB returns options").as_ptr();
        // Compactions that writes wait for must not wait for this one.
        ffi::rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
        if let Batches::MoveOldest { share } = batches {
            ffi::rocksdb_compactoptions_set_bottommost_level_compaction(options, BOTTOMMOST_ALSO);
            ffi::rocksdb_compactoptions_set_blob_garbage_collection_policy(options, MOVE_BLOBS);
            ffi::rocksdb_compactoptions_set_blob_garbage_collection_age_cutoff(options, share);
        }
        ffi::rocksdb_compact_range_opt(db.as_raw_ptr(), options, from, from_bytes, to, to_bytes);
        ffi::rocksdb_compactoptions_destroy(options);
    }
    let failed = failures().saturating_sub(failures_before);
    if failed > 0 {
        return Err(StoreError::Failed(format!(
            "{failed} compactions failed: is the disk full? RocksDB's LOG says more"
        )));
    }
    Ok(())
}
