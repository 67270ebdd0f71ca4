//! Drives groups: takes their requests, keeps their time, has their changes stored, answers.
//!
//! [`crate::group`] decides; this is what it needs around it. Groups have nothing to do with each other, so each has a lock
//! of its own and runs on the task of whoever asks: a heartbeat costs neither a queue nor another thread. The engine is not asked
//! but for what must survive a restart: generation and members when a generation begins, assignments when it has them. Requests that
//! wait for others (JoinGroup, SyncGroup) are parked as one-shot channels by ticket. One task keeps the time of all groups: each has
//! its nearest deadline in one ordered set, and heartbeats, which only move deadlines away, do not touch it.
//!
//! A classic group as a whole is one row: members come and go together with their generation, and the row is written twice per
//! rebalance: before members are told of the generation, and before they are told of their assignments. A consumer group has a row
//! for each thing that changes by itself.
//!
//! Mirrors `GroupCoordinatorService`. Kafka replays a partition of `__consumer_offsets` before it serves a group.
//!
//! Invariant: what a request saw of a group is answered after the change that made it so is stored: answers wait for all changes
//! that were queued before them ([`slot::Barrier`]).
//! Invariant: changes are queued under the group's lock, commits of offsets too, so that they are stored in the order in which they
//! were decided: a member that was fenced cannot commit behind its successor.
//! Invariant: a slot is locked while no reference into the map of slots is held.

mod clock;
mod configs;
mod consumer;
mod kind;
mod offsets;
mod patterns;
mod read;
mod slot;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Duration;

use crate::config::groups::ConsumerGroups;
use crate::engine::{Engine, StoredGroups};
use crate::group::classic::{ClassicGroup, JoinAnswer, JoinRequest, Leaving, SyncAnswer, SyncRequest, Terms};
use crate::group::consumer::{Assignor, ConsumerGroup};
use crate::group::migration::MigrationPolicy;
use crate::log::catalog::Catalog;
use crate::log::offsets::CommittedOffsets;
use crate::types::ErrorCode;
use clock::Clock;
use kind::Group;
pub use offsets::{QueuedCommit, QueuedStaging, TopicOffsets};
pub use read::{Described, DescribedConsumerGroup, DescribedGroup, GroupFigures, ListedGroup};
use slot::{Slot, SlotState};

/// The coordinator has lost the engine; the process ends.
pub use crate::engine::command::EngineGone;

/// What a group takes in memory without members, bytes.
const GROUP_BYTES: usize = 768;

/// What the coordinator takes from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For the groups themselves.
    pub terms: Terms,
    /// `group.consumer.*`.
    pub consumer_groups: ConsumerGroups,
    /// `group.consumer.assignors`.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration_policy: MigrationPolicy,
    /// `einmal.group.members.bytes.max`.
    pub members_bytes_max: usize,
    /// `einmal.group.members.bytes.per.group.max`.
    pub members_bytes_per_group_max: usize,
    /// `offsets.retention.check.interval.ms`: groups that are empty and have no offsets go at the same time.
    pub sweep_interval: Duration,
}

impl From<&crate::config::Config> for Settings {
    fn from(config: &crate::config::Config) -> Self {
        Self {
            terms: Terms {
                initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
                session_timeout_ms_min: config.group_session_timeout_ms_min,
                session_timeout_ms_max: config.group_session_timeout_ms_max,
                members_max: config.group_size_max,
            },
            assignors: config.consumer_groups.assignors.iter().filter_map(|name| Assignor::of_name(name)).collect(),
            migration_policy: MigrationPolicy::of_name(&config.consumer_groups.migration_policy).unwrap_or_default(),
            consumer_groups: config.consumer_groups.clone(),
            members_bytes_max: config.group_members_bytes_max,
            members_bytes_per_group_max: config.group_members_bytes_per_group_max,
            sweep_interval: config.offsets_retention_check_interval,
        }
    }
}

/// All groups.
pub struct Coordinator {
    groups: DashMap<String, Arc<Slot>>,
    /// Settings of single groups.
    configs: DashMap<String, Arc<BTreeMap<String, String>>>,
    catalog: Arc<Catalog>,
    engine: Engine,
    offsets: Arc<CommittedOffsets>,
    settings: Settings,
    clock: Clock,
    /// Memory of all groups, bytes.
    bytes: AtomicUsize,
    next_ticket: AtomicU64,
    /// A permit for each thread that may match patterns.
    matching: Arc<Semaphore>,
}

impl Coordinator {
    /// Brings the stored groups back, their sessions beginning now, and starts to keep time. Must be called in a runtime.
    pub fn start(
        engine: Engine,
        catalog: Arc<Catalog>,
        offsets: Arc<CommittedOffsets>,
        stored: StoredGroups,
        settings: Settings,
    ) -> Arc<Self> {
        let coordinator = Arc::new(Self {
            groups: DashMap::new(),
            configs: DashMap::new(),
            catalog,
            engine,
            offsets,
            settings,
            clock: Clock::start(),
            bytes: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(0),
            matching: Arc::new(Semaphore::new(patterns::threads_max())),
        });
        let now = coordinator.clock.now();
        for (group_id, configs) in stored.configs {
            coordinator.keep_configs(&group_id, configs);
        }
        let classic = stored.classic.into_iter();
        let classic = classic.map(|(group_id, stored)| (group_id, Group::Classic(ClassicGroup::restore(now, stored))));
        let now_ms = i64::try_from(now.monotonic_ms).unwrap_or(i64::MAX);
        let consumer = stored.consumer.into_iter().map(|(group_id, state)| {
            let settings = coordinator.settings_of(&group_id);
            (group_id, Group::Consumer(ConsumerGroup::restored(state, &settings, now_ms)))
        });
        for (group_id, group) in classic.chain(consumer) {
            let slot = Arc::new(Slot::new(group));
            coordinator.groups.insert(group_id.clone(), Arc::clone(&slot));
            coordinator.change(&group_id, &slot, |_, _, _| ());
        }
        clock::keep_time(&coordinator);
        coordinator
    }

    /// Answers when the next generation begins, or at once.
    pub fn join(&self, group_id: &str, request: JoinRequest) -> oneshot::Receiver<JoinAnswer> {
        let (sender, answer) = oneshot::channel();
        let mut sender = Some(sender);
        loop {
            // Who names itself a member of a group that does not exist is none.
            let slot =
                if request.member_id.is_empty() { Some(self.slot_or_new(group_id)) } else { self.slot(group_id) };
            let Some(slot) = slot else {
                let refused = JoinAnswer::refused(ErrorCode::UNKNOWN_MEMBER_ID, &request.member_id);
                if let Some(sender) = sender.take() {
                    let _ = sender.send(refused);
                }
                return answer;
            };
            let joined = self.change(group_id, &slot, |state, now, effects| {
                let Some(sender) = sender.take() else { return };
                let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
                state.joins.insert(ticket, sender);
                let more = request.bytes().saturating_sub(state.group.member_bytes(&request.member_id));
                if !self.has_room(state.group.bytes(), more) {
                    let refused = JoinAnswer::refused(ErrorCode::GROUP_MAX_SIZE_REACHED, &request.member_id);
                    return effects.classic.joined.push((ticket, refused));
                }
                let request = JoinRequest { ticket, ..request.clone() };
                if matches!(&state.group, Group::Consumer(group) if group.state().members.is_empty()) {
                    Self::replace_empty(state, effects);
                }
                match &mut state.group {
                    Group::Classic(group) => group.join(now, &self.settings.terms, &request, &mut effects.classic),
                    Group::Consumer(_) => self.join_consumer_group(group_id, state, &request, now, effects),
                }
            });
            if joined.is_some() {
                return answer;
            }
        }
    }

    /// Answers when the leader has assigned, or at once.
    pub fn sync(&self, group_id: &str, request: SyncRequest) -> oneshot::Receiver<SyncAnswer> {
        let (sender, answer) = oneshot::channel();
        let Some(slot) = self.slot(group_id) else {
            let _ = sender.send(SyncAnswer::refused(ErrorCode::UNKNOWN_MEMBER_ID));
            return answer;
        };
        // If the group has gone meanwhile, the sender comes back unused.
        let mut unused = Some(sender);
        self.change(group_id, &slot, |state, now, effects| {
            let Some(sender) = unused.take() else { return };
            let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
            state.syncs.insert(ticket, sender);
            let more: usize = request.assignments.values().map(bytes::Bytes::len).sum();
            // Kafka answers so if the group's record is too large.
            if !self.has_room(state.group.bytes(), more) {
                return effects.classic.synced.push((ticket, SyncAnswer::refused(ErrorCode::UNKNOWN_SERVER_ERROR)));
            }
            match &mut state.group {
                Group::Classic(group) => group.sync(now, SyncRequest { ticket, ..request }, &mut effects.classic),
                Group::Consumer(group) => {
                    let answer = group.sync(&request, &self.around(group_id).context(now));
                    effects.classic.synced.push((ticket, answer));
                }
            }
        });
        let _ = unused.map(|sender| sender.send(SyncAnswer::refused(ErrorCode::UNKNOWN_MEMBER_ID)));
        answer
    }

    /// Keeps a member's session alive.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn heartbeat(
        &self,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation_id: i32,
    ) -> Result<ErrorCode, EngineGone> {
        let changed = self.slot(group_id).and_then(|slot| {
            self.change(group_id, &slot, |state, now, _| match &mut state.group {
                Group::Classic(group) => group.heartbeat(now, member_id, instance_id, generation_id),
                Group::Consumer(group) => {
                    let around = self.around(group_id);
                    group.classic_heartbeat(member_id, instance_id, generation_id, &around.context(now))
                }
            })
        });
        let Some((error, barrier)) = changed else { return Ok(ErrorCode::UNKNOWN_MEMBER_ID) };
        barrier.passed().await?;
        Ok(error)
    }

    /// Removes members.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn leave(&self, group_id: &str, leaving: &[Leaving]) -> Result<Vec<ErrorCode>, EngineGone> {
        let terms = &self.settings.terms;
        let changed = self.slot(group_id).and_then(|slot| {
            self.change(group_id, &slot, |state, now, effects| match &mut state.group {
                Group::Classic(group) => group.leave(now, terms, leaving, &mut effects.classic),
                Group::Consumer(group) => {
                    let around = self.around(group_id);
                    let (errors, rows) = group.leave(leaving, &around.context(now));
                    effects.rows.extend(rows);
                    self.maybe_downgrade(state, &around, now, effects);
                    errors
                }
            })
        });
        let Some((errors, barrier)) = changed else { return Ok(vec![ErrorCode::UNKNOWN_MEMBER_ID; leaving.len()]) };
        barrier.passed().await?;
        Ok(errors)
    }

    /// Whether a group that takes `bytes` may take `more`, and all groups together (`einmal.group.members.bytes.max`).
    fn has_room(&self, bytes: usize, more: usize) -> bool {
        let all = self.bytes.load(Ordering::Relaxed);
        more == 0
            || (bytes.saturating_add(more) <= self.settings.members_bytes_per_group_max
                && all.saturating_add(more) <= self.settings.members_bytes_max)
    }

    fn slot(&self, group_id: &str) -> Option<Arc<Slot>> {
        self.groups.get(group_id).map(|slot| Arc::clone(&slot))
    }

    fn slot_or_new(&self, group_id: &str) -> Arc<Slot> {
        match self.groups.entry(group_id.to_owned()) {
            Entry::Occupied(slot) => Arc::clone(slot.get()),
            Entry::Vacant(place) => Arc::clone(&place.insert(Arc::new(Slot::new(Group::default())))),
        }
    }

    /// Takes a group out that is gone. The caller holds its lock.
    fn remove(&self, group_id: &str, state: &mut SlotState) {
        state.is_gone = true;
        self.groups.remove(group_id);
    }
}
