//! Whether the broker is fit to be sent clients, and if not, why.

use std::sync::atomic::{AtomicU8, Ordering};

/// A sync of the data directory that takes longer hangs, seconds: a slow disk takes a tenth of it, and clients give up after thirty.
const SYNC_SECONDS_MAX: f64 = 10.0;

/// Where the process is in its life, in the words of Kafka's `BrokerState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BrokerState {
    /// Ports are bound, the data directory is being opened.
    Recovery,
    /// Requests are served.
    Running,
    /// It was told to stop and finishes what is under way.
    ShuttingDown,
}

/// The state, as the admin port sees it.
#[derive(Debug, Default)]
pub struct Health {
    state: AtomicU8,
}

impl Health {
    /// Enters the next state.
    pub fn enter(&self, state: BrokerState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// The state last entered.
    pub fn state(&self) -> BrokerState {
        match self.state.load(Ordering::Acquire) {
            0 => BrokerState::Recovery,
            1 => BrokerState::Running,
            _ => BrokerState::ShuttingDown,
        }
    }

    /// Why no clients should be sent, none if they may. `storage` are gauges of store and disk by metric name.
    pub fn reasons(&self, storage: &[(&'static str, f64)]) -> Vec<&'static str> {
        let exceeds = |name: &str, limit| storage.iter().any(|(found, value)| *found == name && *value > limit);
        let is_set = |name: &str| exceeds(name, 0.0);
        let hangs = exceeds(crate::metrics::WAL_SYNC_RUNNING_SECONDS, SYNC_SECONDS_MAX);
        [
            (self.state() == BrokerState::Recovery, "recovering: the data directory is being opened"),
            (self.state() == BrokerState::ShuttingDown, "stopping: the broker was told to stop"),
            (hangs, "the disk hangs: a sync of the data directory has been under way for more than 10 s"),
            (is_set(crate::metrics::STORAGE_WRITE_STOPPED), "writes stopped: compaction is too far behind"),
            (
                is_set(crate::metrics::STORAGE_BACKGROUND_FAILING),
                "storage error: background work has failed within the last five minutes, see the log",
            ),
        ]
        .into_iter()
        .filter_map(|(holds, reason)| holds.then_some(reason))
        .collect()
    }
}

/// What those should know who are ready all the same: while the disk is nearly full, consumers and those who delete must find
/// their way here, or it stays full; and what is damaged is refused where it is, while the rest is served.
pub fn notices(storage: &[(&'static str, f64)]) -> Vec<&'static str> {
    let is_set = |name: &str| storage.iter().any(|(found, value)| *found == name && *value > 0.0);
    [
        (is_set(crate::metrics::DISK_LOW), "disk nearly full: produce requests and new topics are refused"),
        (
            is_set(crate::metrics::STORAGE_CORRUPTION_TOTAL),
            "damaged data was read since the start, see the log: einmal verify tells what is hit while the broker is stopped",
        ),
    ]
    .into_iter()
    .filter_map(|(holds, notice)| holds.then_some(notice))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{
        DISK_LOW, STORAGE_BACKGROUND_ERRORS, STORAGE_BACKGROUND_FAILING, STORAGE_CORRUPTION_TOTAL,
        STORAGE_WRITE_STOPPED, WAL_SYNC_RUNNING_SECONDS,
    };

    #[test]
    fn only_a_serving_broker_with_a_sound_store_is_ready() {
        let health = Health::default();
        let count = |storage: &[(&'static str, f64)]| health.reasons(storage).len();
        assert_eq!(count(&[]), 1);
        health.enter(BrokerState::Running);
        assert_eq!(count(&[(STORAGE_WRITE_STOPPED, 0.0), (STORAGE_BACKGROUND_FAILING, 0.0)]), 0);
        assert_eq!(count(&[(STORAGE_WRITE_STOPPED, 1.0), (STORAGE_BACKGROUND_FAILING, 1.0)]), 2);
        assert_eq!(
            count(&[(STORAGE_BACKGROUND_FAILING, 0.0), (STORAGE_BACKGROUND_ERRORS, 6.0)]),
            0,
            "they have passed"
        );
        assert_eq!([0.0, 9.9, 10.1].map(|seconds| count(&[(WAL_SYNC_RUNNING_SECONDS, seconds)])), [0, 0, 1]);
        assert_eq!((count(&[(DISK_LOW, 1.0)]), notices(&[(DISK_LOW, 1.0)]).len()), (0, 1), "ready to read and delete");
        assert_eq!(notices(&[(DISK_LOW, 0.0), (STORAGE_CORRUPTION_TOTAL, 0.0)]).len(), 0);
        let damaged = [(STORAGE_CORRUPTION_TOTAL, 1.0)];
        assert_eq!((count(&damaged), notices(&damaged).len()), (0, 1), "the rest is served");
        health.enter(BrokerState::ShuttingDown);
        assert_eq!(count(&[]), 1);
    }
}
