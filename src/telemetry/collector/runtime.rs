//! The runtime that serves connections, in figures.

use std::time::{Duration, Instant};

/// What the runtime that serves connections has done.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuntimeFigures {
    /// Threads.
    pub workers: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Time the threads worked.
    pub busy: Duration,
    /// Since when.
    pub age: Duration,
}

impl RuntimeFigures {
    /// Of the runtime that calls; `began` is when it was made.
    pub fn of_current(began: Instant) -> Self {
        let metrics = tokio::runtime::Handle::current().metrics();
        let workers = metrics.num_workers();
        let busy = (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum();
        Self { workers, tasks: metrics.num_alive_tasks(), busy, age: began.elapsed() }
    }

    /// Share of the time in which the threads had nothing to do, 0 to 1.
    pub(super) fn idle(&self) -> f64 {
        let all = self.age.as_secs_f64() * self.workers as f64;
        if all > 0.0 { (1.0 - self.busy.as_secs_f64() / all).clamp(0.0, 1.0) } else { 1.0 }
    }
}
