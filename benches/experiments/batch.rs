//! `batch`: how the batch that RocksDB is given is made, over a database with einmal's options.
//!
//! Takes `dir`, `mb` and `how`: `reserved` (a new one with room for all, as the store does it), `growing` (a new one without),
//! `reused` (the same one, cleared) or `parts` (the same one, with header and body of each value as two pieces).

use std::ffi::{CStr, c_char};
use std::time::Instant;

use einmal::store::Store;
use einmal::types::{PartitionId, TopicNo};
use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, Cache, DB, Env, Options, WriteBatch};
use serde_json::json;

use crate::load::{self, log_key};
use crate::{Outcome, Parameters, meter};

const BATCH_BYTES: usize = 16 << 10;
const HEADER_BYTES: usize = 61;
const BATCHES: usize = 16;

pub fn measure(parameters: &Parameters) -> Outcome {
    // Made by the store, so that its options are in the directory.
    load::store(parameters)?.close()?;
    let db_dir = parameters.dir()?.join("db");
    let cache = Cache::new_lru_cache(32 << 20);
    let (options, _) = Options::load_latest(&db_dir, Env::new()?, false, cache)?;
    let db = DB::open(&options, &db_dir)?;
    let payload: Vec<u8> = (0..BATCH_BYTES).map(|at| (at * 31) as u8).collect();
    let bytes_max = parameters.number("mb", 1000)? * 1_000_000;
    let mut reused = RawBatch::new();
    let mut latency_us = meter::latencies()?;
    let (mut bytes, mut offset) = (0, 0);
    let (cpu, began) = (meter::cpu_s(), Instant::now());
    while bytes < bytes_max {
        let commit = Instant::now();
        let keys: Vec<_> = (0..BATCHES as u32)
            .map(|index| {
                log_key(
                    PartitionId { topic: TopicNo(1), index: index % 6 },
                    offset + i64::from(index) * 16,
                    BATCH_BYTES,
                )
            })
            .map(|key| key.encode())
            .collect();
        match parameters.text("how") {
            "reused" => {
                keys.iter().for_each(|key| reused.put(key, &[&payload]));
                reused.write(&db)?;
            }
            "parts" => {
                let (header, body) = payload.split_at(HEADER_BYTES);
                keys.iter().for_each(|key| reused.put(key, &[header, body]));
                reused.write(&db)?;
            }
            how => {
                let mut batch = match how {
                    "growing" => WriteBatch::default(),
                    _ => WriteBatch::with_capacity_bytes(BATCHES * (BATCH_BYTES + 100)),
                };
                keys.iter().for_each(|key| batch.put(key, &payload));
                db.write(batch)?;
            }
        }
        latency_us.saturating_record(commit.elapsed().as_micros() as u64);
        offset += BATCHES as i64 * 16;
        bytes += (BATCHES * BATCH_BYTES) as u64;
    }
    let (seconds, gb) = (began.elapsed().as_secs_f64(), bytes as f64 / 1e9);
    Ok(json!({
        "mb_per_s": gb * 1e3 / seconds,
        "cpu_s_per_gb": (meter::cpu_s() - cpu) / gb,
        "commit_p50_us": latency_us.value_at_quantile(0.5),
        "commit_p99_us": latency_us.value_at_quantile(0.99),
    }))
}

/// A batch of RocksDB's C interface, which can be used again.
struct RawBatch {
    batch: *mut ffi::rocksdb_writebatch_t,
    options: *mut ffi::rocksdb_writeoptions_t,
}

impl RawBatch {
    fn new() -> Self {
        // SAFETY: both return new objects.
        unsafe { Self { batch: ffi::rocksdb_writebatch_create(), options: ffi::rocksdb_writeoptions_create() } }
    }

    fn put(&mut self, key: &[u8], value: &[&[u8]]) {
        let key_bytes = [key.as_ptr().cast::<c_char>()];
        let value_bytes: Vec<_> = value.iter().map(|part| part.as_ptr().cast::<c_char>()).collect();
        let sizes: Vec<_> = value.iter().map(|part| part.len()).collect();
        // SAFETY: the arrays have as many entries as is said, and RocksDB copies what they point to.
        unsafe {
            ffi::rocksdb_writebatch_putv(
                self.batch,
                1,
                key_bytes.as_ptr(),
                [key.len()].as_ptr(),
                value.len() as i32,
                value_bytes.as_ptr(),
                sizes.as_ptr(),
            );
        }
    }

    /// Writes it, and empties it.
    fn write(&mut self, db: &DB) -> Outcome<()> {
        let mut error: *mut c_char = std::ptr::null_mut();
        // SAFETY: all three are alive; RocksDB sets `error` to a text of its own, or leaves it null.
        unsafe {
            ffi::rocksdb_write(db.as_raw_ptr(), self.options, self.batch, &raw mut error);
            ffi::rocksdb_writebatch_clear(self.batch);
            if error.is_null() {
                return Ok(());
            }
            let text = CStr::from_ptr(error).to_string_lossy().into_owned();
            ffi::rocksdb_free(error.cast());
            Err(text.into())
        }
    }
}

impl Drop for RawBatch {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        unsafe {
            ffi::rocksdb_writebatch_destroy(self.batch);
            ffi::rocksdb_writeoptions_destroy(self.options);
        }
    }
}
