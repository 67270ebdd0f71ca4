//! One group with what waits for it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};

use super::kind::{Effects, Group};
use super::{Coordinator, EngineGone, GROUP_BYTES};
use crate::group::classic::{self, JoinAnswer, Now, SyncAnswer, Ticket};
use crate::group::rebalance_reason::Rebalances;

/// A group behind its lock.
pub(super) struct Slot {
    state: Mutex<SlotState>,
    /// How many of its changes are stored; [`BROKEN`] when no more will be.
    stored: watch::Sender<u64>,
}

/// Instead of a count of changes: the engine has ended.
const BROKEN: u64 = u64::MAX;

/// What the lock guards.
pub(super) struct SlotState {
    pub group: Group,
    pub joins: HashMap<Ticket, oneshot::Sender<JoinAnswer>>,
    pub syncs: HashMap<Ticket, oneshot::Sender<SyncAnswer>>,
    /// Its deadline as the clock knows it, never later than the group's own.
    pub alarm_ms: Option<u64>,
    /// Not in the map any more: whoever still finds it looks again.
    pub is_gone: bool,
    /// Changes queued to be stored.
    queued: u64,
    /// What metrics and limits count of it.
    pub counted_bytes: Option<usize>,
    /// Generations, and assignments of a consumer group, that began since the start of the broker.
    pub rebalances: Rebalances,
    /// Offsets that were not committed for it since then.
    pub refused_commits: u64,
}

/// Until it is passed, a change that was queued before is not stored.
pub(super) struct Barrier {
    stored: watch::Receiver<u64>,
    queued: u64,
}

impl Barrier {
    fn is_passed(&self) -> bool {
        let stored = *self.stored.borrow();
        stored >= self.queued && stored != BROKEN
    }

    /// # Errors
    /// [`EngineGone`]: it never will be.
    pub async fn passed(mut self) -> Result<(), EngineGone> {
        let queued = self.queued;
        match self.stored.wait_for(|stored| *stored >= queued).await {
            Ok(stored) if *stored != BROKEN => Ok(()),
            _ => Err(EngineGone),
        }
    }
}

impl Slot {
    pub fn new(group: Group) -> Self {
        let state = SlotState {
            group,
            joins: HashMap::new(),
            syncs: HashMap::new(),
            alarm_ms: None,
            is_gone: false,
            queued: 0,
            counted_bytes: None,
            rebalances: Rebalances::default(),
            refused_commits: 0,
        };
        Self { state: Mutex::new(state), stored: watch::Sender::new(0) }
    }

    /// Looks at the group; none if it has gone. Nothing may be changed: that is [`Coordinator::change`].
    pub fn look<T>(&self, look: impl FnOnce(&mut SlotState) -> T) -> Option<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_gone { None } else { Some(look(&mut state)) }
    }
}

impl Coordinator {
    /// The one way in which a group changes: decide, have it stored, answer. None if the group has gone.
    pub(super) fn change<T>(
        &self,
        group_id: &str,
        slot: &Arc<Slot>,
        decide: impl FnOnce(&mut SlotState, Now, &mut Effects) -> T,
    ) -> Option<(T, Barrier)> {
        let mut effects = Effects::default();
        slot.look(|state| {
            let decided = decide(state, self.clock.now(), &mut effects);
            for reason in effects.classic.generations.drain(..).chain(state.group.take_rebalances()) {
                state.rebalances.count(reason);
                let (state, members) = (state.group.state_name(), state.group.member_count());
                tracing::debug!(group_id, state, members, reason = reason.name(), "the group is shared anew");
            }
            // Gone in the call: what was to be stored of it is its deletion, which is queued already.
            let change = if state.is_gone { None } else { effects.take_to_store(&state.group) };
            let storing = change.map(|change| {
                state.queued += 1;
                (state.queued, self.engine.change_group(group_id.to_owned(), change))
            });
            if !state.is_gone && state.group.is_unused() {
                self.remove(group_id, state);
            }
            self.recount(group_id, state);
            self.set_alarm(group_id, state);
            let barrier = || Barrier { stored: slot.stored.subscribe(), queued: state.queued };
            let answers = Answers::of(&mut state.joins, &mut state.syncs, &mut effects.classic);
            match storing {
                Some((number, stored)) => {
                    let slot = Arc::clone(slot);
                    tokio::spawn(async move {
                        // Without the engine nothing is answered any more; the process ends.
                        let is_stored = stored.await.is_ok();
                        slot.stored.send_modify(|stored| {
                            *stored = if is_stored { (*stored).max(number) } else { BROKEN };
                        });
                        if is_stored {
                            answers.send();
                        }
                    });
                }
                None if answers.is_empty() => {}
                None if barrier().is_passed() => answers.send(),
                None => {
                    let barrier = barrier();
                    tokio::spawn(async move {
                        if barrier.passed().await.is_ok() {
                            answers.send();
                        }
                    });
                }
            }
            (decided, Barrier { stored: slot.stored.subscribe(), queued: state.queued })
        })
    }

    /// Has metrics and limits follow the group.
    fn recount(&self, group_id: &str, state: &mut SlotState) {
        let now = (!state.is_gone).then(|| GROUP_BYTES + group_id.len() + state.group.bytes());
        if now == state.counted_bytes {
            return;
        }
        let (before, after) = (state.counted_bytes.unwrap_or(0), now.unwrap_or(0));
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        metrics::gauge!(crate::metrics::GROUP_MEMBERS_BYTES).increment(after as f64 - before as f64);
        state.counted_bytes = now;
    }

    fn set_alarm(&self, group_id: &str, state: &mut SlotState) {
        let deadline = state.group.next_deadline_ms().filter(|_| !state.is_gone);
        if let Some(deadline) = deadline
            && state.alarm_ms.is_none_or(|alarm| deadline < alarm)
        {
            self.clock.move_alarm(group_id, state.alarm_ms, deadline);
            state.alarm_ms = Some(deadline);
        }
    }
}

/// Answers with the way back to those who wait for them.
struct Answers {
    joined: Vec<(oneshot::Sender<JoinAnswer>, JoinAnswer)>,
    synced: Vec<(oneshot::Sender<SyncAnswer>, SyncAnswer)>,
}

impl Answers {
    fn of(
        joins: &mut HashMap<Ticket, oneshot::Sender<JoinAnswer>>,
        syncs: &mut HashMap<Ticket, oneshot::Sender<SyncAnswer>>,
        effects: &mut classic::Effects,
    ) -> Self {
        let joined = effects.joined.drain(..).filter_map(|(ticket, answer)| Some((joins.remove(&ticket)?, answer)));
        let synced = effects.synced.drain(..).filter_map(|(ticket, answer)| Some((syncs.remove(&ticket)?, answer)));
        Self { joined: joined.collect(), synced: synced.collect() }
    }

    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.synced.is_empty()
    }

    /// Whoever has gone does not want its answer any more.
    fn send(self) {
        self.joined.into_iter().for_each(|(sender, answer)| drop(sender.send(answer)));
        self.synced.into_iter().for_each(|(sender, answer)| drop(sender.send(answer)));
    }
}
