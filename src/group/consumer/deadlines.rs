//! When members are given up: they did not heartbeat within their session, or did not confirm a revocation in time.
//!
//! Not stored: after a restart every member has its full time anew, as in Kafka, so a restart alone fences nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What a member missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeout {
    /// No heartbeat within `group.consumer.session.timeout.ms`.
    Session,
    /// Partitions it had to give up are still reported after its own rebalance timeout.
    Rebalance,
    /// A member of the classic protocol was told to join again, and did not within its rebalance timeout.
    Join,
    /// It joined, and did not ask for its assignment within its rebalance timeout.
    Sync,
}

impl Timeout {
    const ALL: [Self; 4] = [Self::Session, Self::Rebalance, Self::Join, Self::Sync];
}

/// Deadlines of one group's members, in ms of the clock that the caller counts by.
#[derive(Debug, Default)]
pub struct Deadlines {
    at: HashMap<(Arc<str>, Timeout), i64>,
    order: BTreeSet<(i64, Arc<str>, Timeout)>,
}

impl Deadlines {
    /// The earliest one.
    pub fn next(&self) -> Option<i64> {
        self.order.first().map(|(at, ..)| *at)
    }

    /// A member whose deadline is at or before `now_ms`; it stays until the member is forgotten.
    pub fn due(&self, now_ms: i64) -> Option<(&Arc<str>, Timeout)> {
        self.order.first().filter(|(at, ..)| *at <= now_ms).map(|(_, member_id, timeout)| (member_id, *timeout))
    }

    /// When `member_id` is given up for `timeout`.
    pub fn get(&self, member_id: &Arc<str>, timeout: Timeout) -> Option<i64> {
        self.at.get(&(Arc::clone(member_id), timeout)).copied()
    }

    pub(super) fn set(&mut self, member_id: &Arc<str>, timeout: Timeout, at_ms: i64) {
        self.clear(member_id, timeout);
        self.at.insert((Arc::clone(member_id), timeout), at_ms);
        self.order.insert((at_ms, Arc::clone(member_id), timeout));
    }

    pub(super) fn clear(&mut self, member_id: &Arc<str>, timeout: Timeout) {
        if let Some(at) = self.at.remove(&(Arc::clone(member_id), timeout)) {
            self.order.remove(&(at, Arc::clone(member_id), timeout));
        }
    }

    pub(super) fn forget(&mut self, member_id: &Arc<str>) {
        Timeout::ALL.into_iter().for_each(|timeout| self.clear(member_id, timeout));
    }
}
