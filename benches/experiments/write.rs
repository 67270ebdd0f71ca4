//! `write`: one writer, no syncs; optionally at a rate, and all read back at the end.
//!
//! Takes `dir`, `batch`, `batches_per_commit`, `partitions`, `sides=batch`, `memtable`, `rocksdb`, `mb` and `seconds` (whichever
//! ends first), `rate` (MB/s, 0 as fast as it goes), `read=1`, `keep=N` (MB after which what was written is deleted, over and over).

use std::time::{Duration, Instant};

use einmal::store::schema::log_range;
use einmal::store::{Rows, Store};
use serde_json::json;

use crate::load::{self, Load};
use crate::{Outcome, Parameters, meter};

pub fn measure(parameters: &Parameters) -> Outcome {
    let store = load::store(parameters)?;
    let mut load = Load::of(parameters)?;
    let bytes_max = parameters.number("mb", 1000)? * 1_000_000;
    let time_max = Duration::from_secs(parameters.number("seconds", 600)?);
    let rate = parameters.number("rate", 0)? * 1_000_000;
    let keep_bytes = parameters.number("keep", 0)? * 1_000_000;
    let mut latency_us = meter::latencies()?;
    let (mut bytes, mut kept_bytes) = (0, 0);
    let (cpu, device, began) = (meter::cpu_s(), meter::device_bytes(), Instant::now());
    while bytes < bytes_max && began.elapsed() < time_max {
        if rate > 0 {
            let due = Duration::from_secs_f64(bytes as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        let rows = load.commit();
        let commit = Instant::now();
        store.write(&rows, 0)?;
        latency_us.saturating_record(commit.elapsed().as_micros() as u64);
        bytes += load.commit_bytes();
        kept_bytes += load.commit_bytes();
        if keep_bytes > 0 && kept_bytes > keep_bytes {
            read(&store, &load)?;
            forget(&store, &load)?;
            kept_bytes = 0;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    // Before the last log is synced: what is in it alone and what is in tables and blob files alone has been written once so far.
    let device = meter::device_bytes() - device;
    store.close()?;
    let gb = bytes as f64 / 1e9;
    let mut measured = json!({
        "gb": gb,
        "mb_per_s": gb * 1e3 / seconds,
        "commits_per_s": latency_us.len() as f64 / seconds,
        "cpu_s_per_gb": (meter::cpu_s() - cpu) / gb,
        "device_ratio": device as f64 / bytes as f64,
        "commit_p50_us": latency_us.value_at_quantile(0.5),
        "commit_p99_us": latency_us.value_at_quantile(0.99),
        "commit_p99_9_us": latency_us.value_at_quantile(0.999),
        "commit_max_us": latency_us.max(),
        "rss_peak_mb": meter::memory_mb("VmHWM"),
        "rss_end_mb": meter::memory_mb("VmRSS"),
    });
    if parameters.number("read", 0)? > 0 {
        let (cpu, began) = (meter::cpu_s(), Instant::now());
        let read_gb = read(&store, &load)? as f64 / 1e9;
        measured["read_mb_per_s"] = json!(read_gb * 1e3 / began.elapsed().as_secs_f64());
        measured["read_cpu_s_per_gb"] = json!((meter::cpu_s() - cpu) / read_gb);
    }
    Ok(measured)
}

/// Reads all partitions as a consumer does, 1 MiB at a time.
fn read(store: &dyn Store, load: &Load) -> Outcome<u64> {
    let mut bytes = 0;
    for (partition, end) in load.ends() {
        let mut next = 0;
        while next < end {
            let batches = store.read_log(partition, next, end, 1 << 20)?;
            let Some(last) = batches.last() else { break };
            next = last.last_offset + 1;
            bytes += batches.iter().map(|batch| batch.bytes.len() as u64).sum::<u64>();
        }
    }
    Ok(bytes)
}

/// Deletes all that was written, and has the space given back.
fn forget(store: &dyn Store, load: &Load) -> Outcome<()> {
    for (partition, end) in load.ends() {
        let (from, to) = log_range(partition, 0, end);
        let mut rows = Rows::default();
        rows.delete_log_range(from.clone(), to.clone());
        store.write(&rows, 0)?;
        store.reclaim_log_range(&from, &to)?;
    }
    Ok(())
}
