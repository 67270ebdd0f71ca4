//! RocksDB's iterator through its C interface: the safe crate's reads the value of each row that it passes, from the blob file.
//! RocksDB can leave that out (`allow_unprepared_value`).

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr::NonNull;

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, DB};

use crate::store::StoreError;

/// What an iterator reads of the rows that it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// Their keys alone: it touches no blob file.
    Keys,
    /// Their values, too.
    Rows,
}

/// An iterator over rows of the log. It does not see range deletes, which readers need not: they never ask below the log start.
pub(super) struct LogIterator<'a> {
    iterator: NonNull<ffi::rocksdb_iterator_t>,
    options: NonNull<ffi::rocksdb_readoptions_t>,
    /// The options point to their bytes.
    _bounds: [Vec<u8>; 2],
    db: PhantomData<&'a DB>,
}

impl<'a> LogIterator<'a> {
    /// Over the keys in `[lower, upper)`, not placed anywhere yet.
    pub(super) fn new(db: &'a DB, lower: Vec<u8>, upper: Vec<u8>, passes: Passes) -> Self {
        // SAFETY: both functions return a new object, never null. The bounds' heap bytes outlive the iterator and do not move
        // with the vectors. `db` outlives the iterator by the lifetime 'a.
        let (options, iterator) = unsafe {
            let options = ffi::rocksdb_readoptions_create();
            ffi::rocksdb_readoptions_set_iterate_lower_bound(options, lower.as_ptr().cast(), lower.len());
            ffi::rocksdb_readoptions_set_iterate_upper_bound(options, upper.as_ptr().cast(), upper.len());
            ffi::rocksdb_readoptions_set_ignore_range_deletions(options, 1);
            ffi::rocksdb_readoptions_set_fill_cache(options, 0);
            ffi::rocksdb_readoptions_set_allow_unprepared_value(options, u8::from(passes == Passes::Keys));
            (options, ffi::rocksdb_create_iterator(db.as_raw_ptr(), options))
        };
        Self {
            iterator: NonNull::new(iterator).expect("RocksDB returns an iterator"),
            options: NonNull::new(options).expect("RocksDB returns options"),
            _bounds: [lower, upper],
            db: PhantomData,
        }
    }

    pub(super) fn seek(&mut self, key: &[u8]) {
        // SAFETY: the iterator is alive, and RocksDB copies the key.
        unsafe { ffi::rocksdb_iter_seek(self.iterator.as_ptr(), key.as_ptr().cast(), key.len()) }
    }

    pub(super) fn seek_for_prev(&mut self, key: &[u8]) {
        // SAFETY: as for `seek`.
        unsafe { ffi::rocksdb_iter_seek_for_prev(self.iterator.as_ptr(), key.as_ptr().cast(), key.len()) }
    }

    pub(super) fn valid(&self) -> bool {
        // SAFETY: the iterator is alive.
        unsafe { ffi::rocksdb_iter_valid(self.iterator.as_ptr()) != 0 }
    }

    /// Moves on. Only while `valid`.
    pub(super) fn next(&mut self) {
        assert!(self.valid(), "moved an iterator beyond its end");
        // SAFETY: the iterator is alive and stands on a row.
        unsafe { ffi::rocksdb_iter_next(self.iterator.as_ptr()) }
    }

    /// The key under the iterator. Only while `valid`.
    pub(super) fn key(&self) -> &[u8] {
        assert!(self.valid(), "read an iterator beyond its end");
        let mut length = 0;
        // SAFETY: the iterator stands on a row; the bytes live until it moves, which borrows it mutably.
        unsafe {
            let key = ffi::rocksdb_iter_key(self.iterator.as_ptr(), &raw mut length);
            std::slice::from_raw_parts(key.cast(), length)
        }
    }

    /// The value under the iterator, which must be one of [`Passes::Rows`]. Only while `valid`.
    pub(super) fn value(&self) -> &[u8] {
        assert!(self.valid(), "read an iterator beyond its end");
        let mut length = 0;
        // SAFETY: as for `key`. An empty value's pointer may be null, which a slice's must not be.
        unsafe {
            let value = ffi::rocksdb_iter_value(self.iterator.as_ptr(), &raw mut length);
            if value.is_null() { &[] } else { std::slice::from_raw_parts(value.cast(), length) }
        }
    }

    /// Why it is not valid: none at its end.
    pub(super) fn status(&self) -> Result<(), StoreError> {
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

impl Drop for LogIterator<'_> {
    fn drop(&mut self) {
        // SAFETY: both were created by `new` and are destroyed once, the iterator before what it uses.
        unsafe {
            ffi::rocksdb_iter_destroy(self.iterator.as_ptr());
            ffi::rocksdb_readoptions_destroy(self.options.as_ptr());
        }
    }
}
