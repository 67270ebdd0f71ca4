//! Compactions that give space back, through RocksDB's C interface: the safe crate's has no word for the collection of blob garbage.
//!
//! A compaction drops the index entries of removed batches, and a blob file is deleted with the last batch in it. While others in it
//! live it stays as it is, so a range can also be compacted with its batches moved into new files.

use std::ptr::NonNull;

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, DB};

/// `BlobGarbageCollectionPolicy` of RocksDB.
const MOVE_BLOBS: i32 = 0;
/// `BottommostLevelCompaction::kForceOptimized`: what is at the bottom moves, too, but not twice.
const BOTTOMMOST_ALSO: u8 = 3;

/// What becomes of the batches that live in the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batches {
    /// They stay in their blob files and are not read.
    Stay,
    /// They are copied into new blob files.
    Move,
}

/// Compacts the keys in `[from, to)`.
pub(super) fn compact(db: &DB, from: &[u8], to: &[u8], batches: Batches) {
    // SAFETY: the options are created here, used by this call alone and destroyed once; RocksDB copies the keys.
    unsafe {
        let options = NonNull::new(ffi::rocksdb_compactoptions_create()).expect("RocksDB returns options").as_ptr();
        // Compactions that writes wait for must not wait for this one.
        ffi::rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
        if batches == Batches::Move {
            ffi::rocksdb_compactoptions_set_bottommost_level_compaction(options, BOTTOMMOST_ALSO);
            ffi::rocksdb_compactoptions_set_blob_garbage_collection_policy(options, MOVE_BLOBS);
            ffi::rocksdb_compactoptions_set_blob_garbage_collection_age_cutoff(options, 1.0);
        }
        ffi::rocksdb_compact_range_opt(
            db.as_raw_ptr(),
            options,
            from.as_ptr().cast(),
            from.len(),
            to.as_ptr().cast(),
            to.len(),
        );
        ffi::rocksdb_compactoptions_destroy(options);
    }
}
