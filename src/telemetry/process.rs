//! What the system knows of this process, read from `/proc`; nothing where there is none.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::metrics as catalogue;

/// The `process_` families.
pub(super) fn figures() -> Vec<(&'static str, f64)> {
    let mut figures = Vec::new();
    let mut push = |name, value: Option<f64>| figures.extend(value.map(|value| (name, value)));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |field: &str| number_after(&status, field).map(|kib| kib * 1024.0);
    push(catalogue::PROCESS_RESIDENT_MEMORY_BYTES, kib("VmRSS:"));
    push(catalogue::PROCESS_VIRTUAL_MEMORY_BYTES, kib("VmSize:"));
    push(catalogue::PROCESS_THREADS, number_after(&status, "Threads:"));
    // The directory that is being listed is one of the descriptors.
    push(
        catalogue::PROCESS_OPEN_FDS,
        fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1) as f64),
    );
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    push(catalogue::PROCESS_MAX_FDS, number_after(&limits, "Max open files"));
    if let Some(times) = Times::read() {
        push(catalogue::PROCESS_CPU_SECONDS_TOTAL, Some(times.cpu.as_secs_f64()));
        push(catalogue::PROCESS_START_TIME_SECONDS, start_unix_seconds(&times));
    }
    figures
}

/// The start is computed once: two clocks read one after the other tell a slightly different one each time, and who counts restarts
/// counts its changes.
fn start_unix_seconds(times: &Times) -> Option<f64> {
    static START: OnceLock<Option<f64>> = OnceLock::new();
    *START.get_or_init(|| times.start_unix_seconds())
}

fn number_after(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

struct Times {
    cpu: Duration,
    /// Since the machine started.
    start: Duration,
}

impl Times {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields 14, 15 and 22 of `/proc/self/stat`. The second one is a name in parentheses that may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| -> Option<u64> { fields.get(index)?.parse().ok() };
        // A tick has been 10 ms for every program since Linux 2.6, whatever the kernel's own clock.
        let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(10));
        Some(Self { cpu: time(ticks(11)?.saturating_add(ticks(12)?)), start: time(ticks(19)?) })
    }

    fn start_unix_seconds(&self) -> Option<f64> {
        let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        Some(now - uptime + self.start.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 12345 100 200";
        let times = Times::parse(stat).expect("well formed");
        assert_eq!((times.cpu, times.start), (Duration::from_secs(3), Duration::from_millis(123_450)));
        assert!(Times::parse("7 (a) S 1").is_none());
    }

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(number_after("VmSize:\t  12 kB\nVmRSS:\t  34 kB\n", "VmRSS:"), Some(34.0));
        assert_eq!(number_after("Max open files   1024  4096  files", "Max open files"), Some(1024.0));
        assert_eq!(number_after("", "VmRSS:"), None);
    }
}
