//! The clock of message ids.

use crate::types::Timestamp;

/// The time that ids are kept by: how long brokers have run on this data directory. No wall clock can jump in it. What a run that is
/// killed has not written down is missing, and ids are kept so much longer.
pub(super) struct RunningTime {
    /// As of [`RunningTime::since_ms`].
    before: Timestamp,
    /// By the monotonic clock.
    since_ms: u64,
    now: Timestamp,
}

impl RunningTime {
    /// That of a data directory of which nothing is known yet.
    pub fn start(monotonic_ms: u64) -> Self {
        Self { before: 0, since_ms: monotonic_ms, now: 0 }
    }

    /// As of the newest [`RunningTime::set_now`], ms.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Time has passed on.
    pub fn set_now(&mut self, monotonic_ms: u64) {
        let passed = Timestamp::try_from(monotonic_ms.saturating_sub(self.since_ms)).unwrap_or(Timestamp::MAX);
        self.now = self.before.saturating_add(passed);
    }

    /// Brokers have run for this long, at least.
    pub fn at_least(&mut self, time: Timestamp) {
        self.before = self.before.max(time);
        self.now = self.now.max(time);
    }
}
