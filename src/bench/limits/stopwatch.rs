//! Wall time and the thread's own CPU time, side by side.

use std::time::{Duration, Instant};

use super::Limit;

/// Started at a moment on one thread, to be read on the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

/// Time that passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu() }
    }

    pub(super) fn spent(&self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: thread_cpu().saturating_sub(self.cpu) }
    }
}

impl Spent {
    /// The limit of something that handled `bytes`.
    pub(super) fn bytes(self, name: impl Into<String>, bytes: u64) -> Limit {
        let gigabytes = bytes as f64 / 1e9;
        Limit {
            name: name.into(),
            gb_per_s: Some(gigabytes / self.wall.as_secs_f64()),
            cpu_s_per_gb: Some(self.cpu.as_secs_f64() / gigabytes),
            ..Limit::default()
        }
    }

    /// The limit of something that was done `count` times.
    pub(super) fn operations(self, name: impl Into<String>, count: u64) -> Limit {
        Limit {
            name: name.into(),
            per_s: Some(count as f64 / self.wall.as_secs_f64()),
            cpu_us: Some(self.cpu.as_secs_f64() * 1e6 / count as f64),
            ..Limit::default()
        }
    }
}

/// Repeats `step` until the time is over; answers what it took and how often it was done, at least once.
pub(super) fn repeat(time: Duration, mut step: impl FnMut()) -> (Spent, u64) {
    let watch = Stopwatch::start();
    let mut count = 0;
    loop {
        step();
        count += 1;
        if watch.wall.elapsed() >= time {
            return (watch.spent(), count);
        }
    }
}

/// CPU time of the calling thread since its start.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes into the structure that it is given, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
