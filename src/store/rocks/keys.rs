//! An iterator over keys of the log alone.
//!
//! The safe crate's iterator reads the value of each row that it passes, from the blob file. RocksDB can leave that out
//! (`allow_unprepared_value`), which only its C interface offers.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr::NonNull;

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, DB};

use crate::store::StoreError;
use crate::store::schema::{LOG_KEY_BYTES, LogKey, log_prefix, log_seek_key};
use crate::types::{Offset, PartitionId};

/// The batches of a partition that hold offsets in a range, by their keys.
pub(super) struct LogCursor<'a> {
    iterator: KeyIterator<'a>,
    from: Offset,
    /// Last offset of the key given before.
    last_offset: Option<Offset>,
    placed: bool,
}

impl<'a> LogCursor<'a> {
    /// From the batch that holds `from`, or the next after it, to the last that begins below `to`.
    pub(super) fn new(db: &'a DB, partition: PartitionId, from: Offset, to: Offset) -> Self {
        let iterator = KeyIterator::new(db, log_prefix(partition), log_seek_key(partition, to));
        let mut cursor = Self { iterator, from, last_offset: None, placed: from < to };
        if cursor.placed {
            // Beyond any key of a batch at `from`.
            let mut seek = log_seek_key(partition, from);
            seek.resize(LOG_KEY_BYTES, 0xff);
            cursor.iterator.seek_for_prev(&seek);
            if !cursor.iterator.valid() {
                cursor.iterator.seek(&log_seek_key(partition, from));
            }
        }
        cursor
    }

    /// The next key; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<LogKey>, StoreError> {
        while self.placed && self.iterator.valid() {
            let key = LogKey::decode(self.iterator.key())?;
            self.iterator.next();
            // The row before the one sought, if that does not hold `from`.
            if key.last_offset() < self.from {
                continue;
            }
            self.check_order(&key)?;
            return Ok(Some(key));
        }
        if self.placed {
            self.iterator.status()?;
        }
        Ok(None)
    }

    /// Facts behind the base offset would hide two batches at one offset from key order.
    fn check_order(&mut self, key: &LogKey) -> Result<(), StoreError> {
        match self.last_offset.replace(key.last_offset()) {
            Some(last_offset) if key.base_offset <= last_offset => Err(StoreError::Corrupt {
                place: format!("partition {} offset {}", key.partition, key.base_offset),
                detail: format!("batch begins before the end of the one before it, {last_offset}"),
            }),
            _ => Ok(()),
        }
    }
}

struct KeyIterator<'a> {
    iterator: NonNull<ffi::rocksdb_iterator_t>,
    options: NonNull<ffi::rocksdb_readoptions_t>,
    /// The options point to their bytes.
    _bounds: [Vec<u8>; 2],
    db: PhantomData<&'a DB>,
}

impl<'a> KeyIterator<'a> {
    /// Over the keys in `[lower, upper)`, not placed anywhere yet.
    fn new(db: &'a DB, lower: Vec<u8>, upper: Vec<u8>) -> Self {
        // SAFETY: both functions return a new object, never null. The bounds' heap bytes outlive the iterator and do not move
        // with the vectors. `db` outlives the iterator by the lifetime 'a.
        let (options, iterator) = unsafe {
            let options = ffi::rocksdb_readoptions_create();
            ffi::rocksdb_readoptions_set_iterate_lower_bound(options, lower.as_ptr().cast(), lower.len());
            ffi::rocksdb_readoptions_set_iterate_upper_bound(options, upper.as_ptr().cast(), upper.len());
            ffi::rocksdb_readoptions_set_ignore_range_deletions(options, 1);
            ffi::rocksdb_readoptions_set_fill_cache(options, 0);
            ffi::rocksdb_readoptions_set_allow_unprepared_value(options, 1);
            (options, ffi::rocksdb_create_iterator(db.as_raw_ptr(), options))
        };
        Self {
            iterator: NonNull::new(iterator).expect("RocksDB returns an iterator"),
            options: NonNull::new(options).expect("RocksDB returns options"),
            _bounds: [lower, upper],
            db: PhantomData,
        }
    }

    fn seek(&mut self, key: &[u8]) {
        // SAFETY: the iterator is alive, and RocksDB copies the key.
        unsafe { ffi::rocksdb_iter_seek(self.iterator.as_ptr(), key.as_ptr().cast(), key.len()) }
    }

    fn seek_for_prev(&mut self, key: &[u8]) {
        // SAFETY: as for `seek`.
        unsafe { ffi::rocksdb_iter_seek_for_prev(self.iterator.as_ptr(), key.as_ptr().cast(), key.len()) }
    }

    fn valid(&self) -> bool {
        // SAFETY: the iterator is alive.
        unsafe { ffi::rocksdb_iter_valid(self.iterator.as_ptr()) != 0 }
    }

    /// Moves on. Only while `valid`.
    fn next(&mut self) {
        assert!(self.valid(), "moved an iterator beyond its end");
        // SAFETY: the iterator is alive and stands on a row.
        unsafe { ffi::rocksdb_iter_next(self.iterator.as_ptr()) }
    }

    /// The key under the iterator. Only while `valid`.
    fn key(&self) -> &[u8] {
        assert!(self.valid(), "read an iterator beyond its end");
        let mut length = 0;
        // SAFETY: the iterator stands on a row; the bytes live until it moves, which borrows it mutably.
        unsafe {
            let key = ffi::rocksdb_iter_key(self.iterator.as_ptr(), &raw mut length);
            std::slice::from_raw_parts(key.cast(), length)
        }
    }

    fn status(&self) -> Result<(), StoreError> {
        let mut error: *mut c_char = std::ptr::null_mut();
        // SAFETY: the iterator is alive; RocksDB sets `error` to a text of its own, or leaves it null.
        let text = unsafe {
            ffi::rocksdb_iter_get_error(self.iterator.as_ptr(), &raw mut error);
            if error.is_null() {
                return Ok(());
            }
            let text = CStr::from_ptr(error).to_string_lossy().into_owned();
            ffi::rocksdb_free(error.cast());
            text
        };
        Err(match text.starts_with("Corruption") {
            true => StoreError::Corrupt { place: "the database".to_owned(), detail: text },
            false => StoreError::Failed(text),
        })
    }
}

impl Drop for KeyIterator<'_> {
    fn drop(&mut self) {
        // SAFETY: both were created by `new` and are destroyed once, the iterator before what it uses.
        unsafe {
            ffi::rocksdb_iter_destroy(self.iterator.as_ptr());
            ffi::rocksdb_readoptions_destroy(self.options.as_ptr());
        }
    }
}
