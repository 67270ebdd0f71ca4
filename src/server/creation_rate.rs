//! How fast connections may come (`max.connection.creation.rate`).
//!
//! Mirrors the connection rate of `ConnectionQuotas`: who comes too fast is not refused, but accepted later, and waits in the
//! system's backlog meanwhile. A second's worth may come at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const BURST: Duration = Duration::from_secs(1);

/// Of a listener that has no rate of its own.
const UNLIMITED: u32 = u32::MAX;

/// The rate of one listener, or of all, which is asked for with each connection: a change holds from the next one on.
pub(crate) struct CreationRate {
    /// ≥ 1; beyond 10^9 it is no limit.
    per_second: Box<dyn Fn() -> u32 + Send + Sync>,
    /// When the connections that have come would all have come at the even rate.
    even: Mutex<Option<Instant>>,
}

impl CreationRate {
    /// `per_second` answers the rate as it is now.
    pub(crate) fn new(per_second: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Self { per_second: Box::new(per_second), even: Mutex::default() }
    }

    /// Counts a connection that comes at `now`. Answers how long it has to wait.
    pub(crate) fn count(&self, now: Instant) -> Duration {
        let interval = Duration::from_secs(1) / (self.per_second)().max(1);
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let at = even.map_or(now, |even| even.max(now)) + interval;
        *even = Some(at);
        at.saturating_duration_since(now + BURST)
    }
}

/// The rate of all listeners together, and those that some have of their own.
pub(crate) struct CreationRates {
    all: Arc<CreationRate>,
    by_listener: HashMap<Arc<str>, Arc<CreationRate>>,
}

impl CreationRates {
    /// `per_second_of` answers the rate of a listener as it is now, if it has one.
    pub(crate) fn new<'a>(
        per_second: impl Fn() -> u32 + Send + Sync + 'static,
        listeners: impl Iterator<Item = &'a str>,
        per_second_of: impl Fn(&str) -> Option<u32> + Clone + Send + Sync + 'static,
    ) -> Self {
        let own = |listener| {
            let (name, of): (Arc<str>, _) = (Arc::from(listener), per_second_of.clone());
            (name.clone(), Arc::new(CreationRate::new(move || of(&name).unwrap_or(UNLIMITED))))
        };
        Self { all: Arc::new(CreationRate::new(per_second)), by_listener: listeners.map(own).collect() }
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
        let rate = CreationRate::new(|| 10);
        let start = Instant::now();
        let waits = |at: u64| rate.count(start + Duration::from_millis(at)).as_millis();
        assert_eq!([0; 10].map(waits), [0; 10]);
        assert_eq!([0; 3].map(waits), [100, 200, 300]);
        // Who waited counts as come by then.
        assert_eq!([300, 300].map(waits), [100, 200]);
        assert_eq!([5000; 11].map(waits), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100]);
        let set = Arc::new(std::sync::atomic::AtomicU32::new(1));
        let read = set.clone();
        let changed = CreationRate::new(move || read.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!([0; 3].map(|_| changed.count(start)), [0, 1, 2].map(Duration::from_secs));
        set.store(1000, std::sync::atomic::Ordering::Relaxed);
        // Those that have come by the old rate still have.
        assert_eq!(changed.count(start), Duration::from_millis(2001));
        let unlimited = CreationRate::new(|| i32::MAX.unsigned_abs());
        assert!((0..1_000_000).all(|_| unlimited.count(start).is_zero()));
    }

    #[test]
    fn a_listener_counts_for_all_and_for_itself() {
        let rates = CreationRates::new(|| 100, ["A", "B"].into_iter(), |listener| (listener == "B").then_some(1));
        assert!(Arc::ptr_eq(&rates.of("A")[0], &rates.of("B")[0]));
        let own = |listener| rates.of(listener)[1..].iter().map(|rate| (rate.per_second)()).collect::<Vec<_>>();
        assert_eq!((own("A"), own("B"), own("C")), (vec![UNLIMITED], vec![1], vec![]));
    }
}
