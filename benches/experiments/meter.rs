//! What this process has used, as the kernel counts it.

use std::fs;

use hdrhistogram::Histogram;

use crate::Outcome;

/// Of latencies from 1 µs to a minute.
pub fn latencies() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// User and system time of all threads, s.
pub fn cpu_s() -> f64 {
    // SAFETY: a plain structure for the kernel to fill.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Resident memory by the field of `/proc/self/status` (`VmRSS`, `VmHWM`), MB.
pub fn memory_mb(field: &str) -> f64 {
    number_after("/proc/self/status", field).map_or(0.0, |kib| kib as f64 * 1024.0 / 1e6)
}

/// Bytes that this process has had written to the device: pages that it made dirty, but for those of files deleted before.
pub fn device_bytes() -> u64 {
    let read = |field| number_after("/proc/self/io", field).unwrap_or(0);
    read("write_bytes:").saturating_sub(read("cancelled_write_bytes:"))
}

fn number_after(path: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
