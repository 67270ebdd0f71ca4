//! The timers of one group.

use std::collections::{BTreeSet, HashMap};

use super::MemberId;

/// What happens at a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Members are not waited for any longer.
    Join,
    /// Nor are their SyncGroups.
    Sync,
    /// A member's session ends, or the time in which a given id may be used.
    Session(MemberId),
}

/// Deadlines on the monotonic clock, ms; one of each timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_deadline: BTreeSet<(u64, Timer)>,
    deadlines: HashMap<Timer, u64>,
}

impl Timers {
    /// Sets a timer, also one that is set.
    pub fn set(&mut self, timer: Timer, deadline_ms: u64) {
        self.clear(&timer);
        self.by_deadline.insert((deadline_ms, timer.clone()));
        self.deadlines.insert(timer, deadline_ms);
    }

    /// Takes a timer back, if it is set.
    pub fn clear(&mut self, timer: &Timer) {
        if let Some(deadline_ms) = self.deadlines.remove(timer) {
            self.by_deadline.remove(&(deadline_ms, timer.clone()));
        }
    }

    /// The nearest deadline.
    pub fn next(&self) -> Option<u64> {
        self.by_deadline.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// A timer whose deadline has come; it is not set any more.
    pub fn take_due(&mut self, now_ms: u64) -> Option<Timer> {
        if self.next()? > now_ms {
            return None;
        }
        let (_, timer) = self.by_deadline.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    #[cfg(test)]
    pub fn is_set(&self, timer: &Timer) -> bool {
        self.deadlines.contains_key(timer)
    }
}
