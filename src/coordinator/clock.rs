//! The time of all groups, and the one task that keeps it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::Coordinator;
use super::kind::Group;
use crate::engine::command::GroupChange;
use crate::engine::environment::{Environment, SystemEnvironment};
use crate::group::classic::Now;

/// Time without any alarm.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Alarms of groups: one each, at its nearest deadline or before.
pub(super) struct Clock {
    origin: Instant,
    alarms: Mutex<BTreeSet<(u64, String)>>,
    moved: Arc<Notify>,
}

impl Clock {
    pub fn start() -> Self {
        Self { origin: Instant::now(), alarms: Mutex::default(), moved: Arc::default() }
    }

    pub fn now(&self) -> Now {
        let monotonic_ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { monotonic_ms, wall: SystemEnvironment.now() }
    }

    pub fn move_alarm(&self, group_id: &str, before_ms: Option<u64>, deadline_ms: u64) {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before_ms) = before_ms {
            alarms.remove(&(before_ms, group_id.to_owned()));
        }
        alarms.insert((deadline_ms, group_id.to_owned()));
        let is_next = alarms.first().is_some_and(|(first_ms, _)| *first_ms == deadline_ms);
        drop(alarms);
        if is_next {
            self.moved.notify_one();
        }
    }

    fn take_due(&self) -> Vec<String> {
        let now_ms = self.now().monotonic_ms;
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        let later = alarms.split_off(&(now_ms.saturating_add(1), String::new()));
        std::mem::replace(&mut *alarms, later).into_iter().map(|(_, group_id)| group_id).collect()
    }

    fn next(&self) -> Instant {
        let alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        let within = alarms.first().map(|(deadline_ms, _)| Duration::from_millis(*deadline_ms));
        within.and_then(|within| self.origin.checked_add(within)).unwrap_or_else(|| Instant::now() + SLEEP_MAX)
    }
}

/// Starts the task. It ends with the coordinator.
pub(super) fn keep_time(coordinator: &Arc<Coordinator>) {
    let weak = Arc::downgrade(coordinator);
    let moved = Arc::clone(&coordinator.clock.moved);
    let sweep_interval = coordinator.settings.sweep_interval;
    tokio::spawn(async move {
        let mut next_sweep = Instant::now() + sweep_interval;
        while let Some(next) = next(&weak) {
            tokio::select! {
                () = tokio::time::sleep_until(next.min(next_sweep)) => {}
                () = moved.notified() => continue,
            }
            let Some(coordinator) = weak.upgrade() else { return };
            coordinator.ring();
            if Instant::now() >= next_sweep {
                coordinator.sweep();
                next_sweep = Instant::now() + sweep_interval;
            }
        }
    });
}

fn next(coordinator: &Weak<Coordinator>) -> Option<Instant> {
    Some(coordinator.upgrade()?.clock.next())
}

impl Coordinator {
    fn ring(&self) {
        for group_id in self.clock.take_due() {
            let Some(slot) = self.slot(&group_id) else { continue };
            self.change(&group_id, &slot, |state, now, effects| {
                // A group of the same name that came after one that has gone keeps its own alarm.
                if state.alarm_ms.is_none_or(|alarm| alarm <= now.monotonic_ms) {
                    state.alarm_ms = None;
                }
                let members_before = state.group.member_count();
                match &mut state.group {
                    Group::Classic(group) => group.tick(now, &self.settings.terms, &mut effects.classic),
                    Group::Consumer(_) => self.expire(&group_id, state, now, effects),
                }
                let members = state.group.member_count();
                if members < members_before {
                    let lost = members_before - members;
                    // Once for all that go together, however many those are.
                    tracing::info!(group_id, lost, members, "members were not heard of in time and are given up");
                }
            });
        }
    }

    /// Forgets groups that have neither members nor offsets (`cleanupGroupMetadata`). Who has been given an id to become a member finds
    /// the group again; in Kafka it may not.
    pub(super) fn sweep(&self) {
        let slots: Vec<_> = self.groups.iter().map(|slot| (slot.key().clone(), Arc::clone(&slot))).collect();
        for (group_id, slot) in slots {
            self.change(&group_id, &slot, |state, _, _| {
                if state.group.is_idle() && !self.offsets.is_known(&group_id) {
                    // Nobody waits for it; a restart before it is stored finds the group and sweeps again.
                    let change = GroupChange::Forget(state.group.deletions());
                    drop(self.engine.change_group(group_id.clone(), change));
                    self.remove(&group_id, state);
                }
            });
        }
    }
}
