//! Errors of RocksDB's background work, as it tells of them: what it counts never goes down again, and what they are stands in its own log
//! only.
//!
//! Most pass: a compaction that found no room is tried again. What does not pass fails the next write, and that ends the process.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, Options};

/// How long an error counts: longer than RocksDB waits between two tries.
const RECENT: Duration = Duration::from_secs(300);
/// Least time between two lines of the log.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// `kWriteCallback` and `kMemTable`: a write or sync failed, which is no background work, and its caller is told.
const REASONS_OF_WRITES: [u32; 2] = [2, 3];

/// What is known of the errors.
#[derive(Debug, Default)]
pub(super) struct BackgroundErrors(Mutex<Errors>);

#[derive(Debug, Default)]
struct Errors {
    last: Option<Instant>,
    told: Option<Instant>,
}

impl Errors {
    /// Takes note of one. Answers whether the log is to have it.
    fn note(&mut self, now: Instant) -> bool {
        self.last = Some(now);
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= TOLD_INTERVAL);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < RECENT)
    }
}

impl BackgroundErrors {
    /// Whether background work failed within the last minutes.
    pub fn is_recent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_recent(Instant::now())
    }

    fn note(&self, error: &str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now()) {
            tracing::error!(error, "background work of the store failed, and is tried again where that can help");
        }
    }

    /// Has databases that are opened with `options` tell of their errors.
    pub fn listen(self: &Arc<Self>, options: &Options) {
        let state = Arc::into_raw(Arc::clone(self)).cast_mut().cast::<c_void>();
        // SAFETY: `state` is an `Arc` of this type that `release` gives back once, when the last of the options and databases that share
        // the listener is gone; RocksDB calls what it is given with that pointer until then, and none of it may be null. The options take
        // the listener over.
        unsafe {
            let listener = ffi::rocksdb_eventlistener_create(
                state,
                Some(release),
                Some(ignore_3),
                Some(ignore_3),
                Some(ignore_3),
                Some(ignore_3),
                Some(ignore_2),
                Some(ignore_2),
                Some(ignore_3),
                Some(on_error),
                Some(ignore_2),
                Some(ignore_2),
            );
            ffi::rocksdb_options_add_eventlistener(options.as_raw_ptr(), listener);
        }
    }
}

unsafe extern "C" fn release(state: *mut c_void) {
    // SAFETY: see `listen`.
    drop(unsafe { Arc::from_raw(state.cast_const().cast::<BackgroundErrors>()) });
}

unsafe extern "C" fn ignore_2<A>(_: *mut c_void, _: *const A) {}

unsafe extern "C" fn ignore_3<A, B>(_: *mut c_void, _: *mut A, _: *const B) {}

unsafe extern "C" fn on_error(state: *mut c_void, reason: u32, status: *mut ffi::rocksdb_status_ptr_t) {
    if REASONS_OF_WRITES.contains(&reason) {
        return;
    }
    let mut text = std::ptr::null_mut();
    // SAFETY: RocksDB keeps the status while this runs, and answers a C string of its own, to be freed once, or leaves null for no error.
    unsafe { ffi::rocksdb_status_ptr_get_error(status, &mut text) };
    let Some(text) = NonNull::new(text) else { return };
    // SAFETY: the same; `state` is borrowed from the listener, which is there while it calls.
    unsafe {
        let errors = &*state.cast_const().cast::<BackgroundErrors>();
        errors.note(&CStr::from_ptr(text.as_ptr()).to_string_lossy());
        ffi::rocksdb_free(text.as_ptr().cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::STORAGE_BACKGROUND_FAILING;
    use crate::store::rocks::{RocksStore, StoreOptions};
    use crate::store::{Rows, Store};

    #[test]
    fn an_error_counts_for_minutes_and_not_for_ever_and_the_log_has_one_a_minute() {
        let (mut errors, start) = (Errors::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!errors.is_recent(at(0)));
        assert_eq!(
            [0, 1, 59, 60, 100, 120].map(|second| errors.note(at(second))),
            [true, false, false, true, false, true]
        );
        assert!(errors.is_recent(at(120)) && errors.is_recent(at(419)));
        assert!(!errors.is_recent(at(420)));
        assert!(errors.note(at(500)));
        assert!(errors.is_recent(at(500)));
    }

    #[test]
    fn a_flush_that_fails_is_heard_of() {
        /// More files than the flush tries.
        const NUMBERS: u64 = 50;
        let dir = tempfile::tempdir().expect("a directory");
        let store = RocksStore::open(dir.path(), &StoreOptions::default()).expect("opens").store;
        let gauge = |name| store.stats().gauges.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        assert_eq!(gauge(STORAGE_BACKGROUND_FAILING), Some(0.0));
        // Where the next files would be.
        for number in 1..NUMBERS {
            for suffix in ["sst", "blob"] {
                // Those that are there are old.
                let _ = std::fs::create_dir(dir.path().join("db").join(format!("{number:06}.{suffix}")));
            }
        }
        let mut rows = Rows::default();
        rows.put(vec![0x7f, 1], vec![1]);
        store.write(&rows, 0).expect("writes");
        store.database.db.flush().expect_err("no file can be made");
        assert_eq!(gauge(STORAGE_BACKGROUND_FAILING), Some(1.0));
    }
}
