//! How fast connections may come (`max.connection.creation.rate`).
//!
//! Mirrors the connection rate of `ConnectionQuotas`: who comes too fast is not refused, but accepted later, and waits in the
//! system's backlog meanwhile. A second's worth may come at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const BURST: Duration = Duration::from_secs(1);

/// The rate of one listener, or of all.
#[derive(Debug)]
pub(crate) struct CreationRate {
    interval: Duration,
    /// When the connections that have come would all have come at the even rate.
    even: Mutex<Option<Instant>>,
}

impl CreationRate {
    /// `per_second` ≥ 1; beyond 10^9 it is no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), even: Mutex::default() }
    }

    /// Counts a connection that comes at `now`. Answers how long it has to wait.
    pub(crate) fn count(&self, now: Instant) -> Duration {
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let at = even.map_or(now, |even| even.max(now)) + self.interval;
        *even = Some(at);
        at.saturating_duration_since(now + BURST)
    }
}

/// The rate of all listeners together, and those that some have of their own.
#[derive(Debug)]
pub(crate) struct CreationRates {
    all: Arc<CreationRate>,
    by_listener: HashMap<Arc<str>, Arc<CreationRate>>,
}

impl CreationRates {
    /// `per_second_of` answers the rate of a listener that has one.
    pub(crate) fn new<'a>(
        per_second: u32,
        listeners: impl Iterator<Item = &'a str>,
        per_second_of: impl Fn(&str) -> Option<u32>,
    ) -> Self {
        let own = |listener| Some((Arc::from(listener), Arc::new(CreationRate::new(per_second_of(listener)?))));
        Self { all: Arc::new(CreationRate::new(per_second)), by_listener: listeners.filter_map(own).collect() }
    }

    /// Those that a connection of `listener` counts for.
    pub(crate) fn of(&self, listener: &str) -> Vec<Arc<CreationRate>> {
        std::iter::once(&self.all).chain(self.by_listener.get(listener)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_worth_comes_at_once_and_the_rest_at_the_rate() {
        let rate = CreationRate::new(10);
        let start = Instant::now();
        let waits = |at: u64| rate.count(start + Duration::from_millis(at)).as_millis();
        assert_eq!([0; 10].map(waits), [0; 10]);
        assert_eq!([0; 3].map(waits), [100, 200, 300]);
        // Who waited counts as come by then.
        assert_eq!([300, 300].map(waits), [100, 200]);
        assert_eq!([5000; 11].map(waits), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100]);
        let unlimited = CreationRate::new(i32::MAX.unsigned_abs());
        assert!((0..1_000_000).all(|_| unlimited.count(start).is_zero()));
    }

    #[test]
    fn a_listener_counts_for_all_and_for_itself() {
        let rates = CreationRates::new(100, ["A", "B"].into_iter(), |listener| (listener == "B").then_some(1));
        assert_eq!((rates.of("A").len(), rates.of("B").len()), (1, 2));
        assert!(Arc::ptr_eq(&rates.of("A")[0], &rates.of("B")[0]));
        assert_eq!(rates.of("B")[1].interval, Duration::from_secs(1));
    }
}
