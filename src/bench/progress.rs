//! The line that tells how far a run is: once a second on a terminal, every ten seconds elsewhere.

use std::io::{IsTerminal as _, Write as _, stderr};

use super::clock::SECOND_NS;
use super::drive::Run;

/// Writes to stderr, so that results on stdout stay whole.
pub(super) struct Progress {
    is_terminal: bool,
    start_ns: u64,
    next_ns: u64,
}

impl Progress {
    pub(super) fn new(start_ns: u64) -> Self {
        Self { is_terminal: stderr().is_terminal(), start_ns, next_ns: start_ns + SECOND_NS }
    }

    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    pub(super) fn tick(&mut self, now_ns: u64, run: &Run) {
        if now_ns < self.next_ns {
            return;
        }
        let second = (now_ns - self.start_ns) / SECOND_NS;
        self.next_ns = self.start_ns + (second + 1) * SECOND_NS;
        if !self.is_terminal && !second.is_multiple_of(10) {
            return;
        }
        let mut line = format!("{second:>5} s");
        if let Some(producers) = &run.producers
            && let Some(row) = producers.measure.timeline.last()
        {
            line += &format!(
                "  sent {:>9} records/s {:>8.1} MB/s  p50 {:>7} µs  p99 {:>7} µs  backlog {}",
                row.records,
                row.bytes as f64 / 1e6,
                row.p50_us,
                row.p99_us,
                producers.backlog,
            );
        }
        if let Some(consumers) = &run.consumers
            && let Some(row) = consumers.measure.timeline.last()
        {
            line += &format!("  read {:>9} records/s {:>8.1} MB/s", row.records, row.bytes as f64 / 1e6);
        }
        // Nobody may be reading.
        let _ = match self.is_terminal {
            true => write!(stderr(), "\r{line}\x1b[K"),
            false => writeln!(stderr(), "{line}"),
        };
    }

    pub(super) fn end(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
