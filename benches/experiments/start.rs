//! `fill`, `crash`, `open`: what a start takes with many partitions and much index.
//!
//! `fill` writes `batches` index entries for each of `partitions`: keys as the log has them, with values of 24 bytes in the place
//! of references to blobs, which are about as long. `crash` writes `mb` of batches of 16 KiB more and ends without closing. `open`
//! opens the store and reads all partition rows, which is what a start reads of each partition.

use std::time::Instant;

use einmal::store::schema::partitions_prefix;
use einmal::store::{Rows, Store};
use einmal::types::{Offset, PartitionId, TopicNo};
use serde_json::json;

use crate::load::{self, Load, log_key, put_sides};
use crate::{Outcome, Parameters, meter};

const REFERENCE_BYTES: usize = 24;
const ROWS_PER_COMMIT: usize = 5000;

pub fn fill(parameters: &Parameters) -> Outcome {
    let store = load::store(parameters)?;
    let partitions = parameters.number("partitions", 100_000)? as u32;
    let batches = parameters.number("batches", 64)? as Offset;
    let began = Instant::now();
    let mut rows = Rows::default();
    for batch in 0..batches {
        for index in 0..partitions {
            let partition = PartitionId { topic: TopicNo(1), index };
            rows.put(log_key(partition, batch * 16, 16 << 10).encode(), vec![1; REFERENCE_BYTES]);
            if batch + 1 == batches {
                put_sides(&mut rows, partition);
            }
            if rows.rows.len() >= ROWS_PER_COMMIT {
                store.write(&std::mem::take(&mut rows), 0)?;
            }
        }
    }
    store.write(&rows, 0)?;
    store.close()?;
    Ok(json!({ "keys": u64::from(partitions) * batches as u64, "fill_s": began.elapsed().as_secs_f64() }))
}

pub fn crash(parameters: &Parameters) -> Outcome {
    let store = load::store(parameters)?;
    let bytes_max = parameters.number("mb", 60)? * 1_000_000;
    let mut load = Load::of(parameters)?;
    let mut bytes = 0;
    while bytes < bytes_max {
        store.write(&load.commit(), 0)?;
        bytes += load.commit_bytes();
    }
    store.sync()?;
    println!("{}", json!({ "unflushed_mb": bytes as f64 / 1e6 }));
    // Nothing is dropped, nothing is closed.
    // SAFETY: the process ends at once.
    unsafe { libc::_exit(0) }
}

pub fn open(parameters: &Parameters) -> Outcome {
    let began = Instant::now();
    let store = load::store(parameters)?;
    let opened = began.elapsed();
    let mut partitions = 0u64;
    store.scan(&partitions_prefix(), &mut |_, _| partitions += 1)?;
    let measured = json!({
        "open_ms": opened.as_secs_f64() * 1e3,
        "scan_ms": (began.elapsed() - opened).as_secs_f64() * 1e3,
        "partitions": partitions,
        "rss_mb": meter::memory_mb("VmRSS"),
    });
    store.close()?;
    Ok(measured)
}
