//! From one generation to the next.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{ClassicGroup, Effects, InitialRebalance, MemberId, Now, State, SyncAnswer, Terms, Timer};
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::ErrorCode;

impl ClassicGroup {
    /// After a member has come or changed.
    pub(super) fn rebalance_or_complete(
        &mut self,
        now: Now,
        terms: &Terms,
        reason: RebalanceReason,
        effects: &mut Effects,
    ) {
        match self.state() {
            State::PreparingRebalance => self.maybe_complete_join(now, effects),
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(now, terms, reason, effects);
            }
        }
    }

    /// Begins to wait for members. The first of an empty group are given `group.initial.rebalance.delay.ms` to come together.
    pub(super) fn prepare_rebalance(
        &mut self,
        now: Now,
        terms: &Terms,
        reason: RebalanceReason,
        effects: &mut Effects,
    ) {
        if self.state() == State::CompletingRebalance {
            self.drop_assignments(ErrorCode::REBALANCE_IN_PROGRESS, now, effects);
        }
        self.pending_sync.clear();
        self.timers.clear(&Timer::Sync);
        let is_initial = self.state() == State::Empty;
        self.enter(now, State::PreparingRebalance);
        self.reason = reason;
        let delay_ms = terms.initial_rebalance_delay_ms;
        if is_initial && delay_ms > 0 {
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.initial = Some(InitialRebalance { remaining_ms, has_new_member: false });
            self.timers.set(Timer::Join, now.monotonic_ms.saturating_add(delay_ms));
        } else if is_initial || self.has_all_joined() {
            self.complete_join(now, effects);
        } else {
            self.wait_for_joins(now);
        }
    }

    /// Begins the next generation if nobody is awaited any more.
    pub(super) fn maybe_complete_join(&mut self, now: Now, effects: &mut Effects) {
        if self.state() == State::PreparingRebalance && self.initial.is_none() && self.has_all_joined() {
            self.complete_join(now, effects);
        }
    }

    pub(super) fn join_time_is_up(&mut self, now: Now, terms: &Terms, effects: &mut Effects) {
        if self.state() != State::PreparingRebalance {
            return;
        }
        if let Some(initial) = &mut self.initial
            && initial.has_new_member
            && initial.remaining_ms > 0
        {
            let delay_ms = terms.initial_rebalance_delay_ms.max(1).min(initial.remaining_ms);
            initial.remaining_ms -= delay_ms;
            initial.has_new_member = false;
            self.timers.set(Timer::Join, now.monotonic_ms.saturating_add(delay_ms));
            return;
        }
        self.complete_join(now, effects);
    }

    fn has_all_joined(&self) -> bool {
        self.awaiting_join == self.members.len() && self.pending.is_empty()
    }

    fn wait_for_joins(&mut self, now: Now) {
        self.timers.set(Timer::Join, now.monotonic_ms.saturating_add(self.rebalance_timeout_ms()));
    }

    /// Begins the next generation with those who have come, and with static members whether they have or not.
    ///
    /// It is stored before anybody is told of it, where Kafka stores it with its assignments: a broker that is killed in between
    /// knows the members that come back with their SyncGroup, and gives no generation twice.
    fn complete_join(&mut self, now: Now, effects: &mut Effects) {
        self.timers.clear(&Timer::Join);
        self.initial = None;
        let is_late = |member: &super::Member| member.join.is_none() && member.stored.instance_id.is_none();
        let late: Vec<MemberId> =
            self.members.iter().filter(|(_, member)| is_late(member)).map(|(id, _)| id.clone()).collect();
        for member_id in &late {
            self.remove_member(member_id, effects);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Static members alone are left and none has come: until their sessions end they are waited for.
            return self.wait_for_joins(now);
        }
        self.generation_id = self.generation_id.wrapping_add(1).max(1);
        effects.generations.push(self.reason);
        effects.store = true;
        if self.members.is_empty() {
            self.protocol_name = None;
            self.leader = None;
            self.enter(now, State::Empty);
            return;
        }
        self.protocol_name = self.vote();
        self.enter(now, State::CompletingRebalance);
        let members: Vec<MemberId> = self.members.keys().cloned().collect();
        for member_id in members {
            if let Some(ticket) = self.take_join(&member_id) {
                effects.joined.push((ticket, self.joined(&member_id)));
            }
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.keep_alive(now, &member_id);
        }
        self.await_syncs(now);
    }

    /// Waits for the SyncGroup of each member.
    pub(super) fn await_syncs(&mut self, now: Now) {
        self.pending_sync = self.members.keys().cloned().collect();
        self.timers.set(Timer::Sync, now.monotonic_ms.saturating_add(self.rebalance_timeout_ms()));
    }

    /// Has a leader that has come. Answers whether there is one.
    fn elect_leader(&mut self) -> bool {
        let has_come = |id: &MemberId| self.members.get(id).is_some_and(|member| member.join.is_some());
        if self.leader.as_ref().is_some_and(has_come) {
            return true;
        }
        let come = self.members.iter().find(|(_, member)| member.join.is_some());
        match come.map(|(id, _)| id.clone()) {
            Some(leader) => {
                self.leader = Some(leader);
                true
            }
            None => false,
        }
    }

    /// The protocol that most members want most among those that all speak; of equals the first by name.
    pub(super) fn vote(&self) -> Option<String> {
        let is_common = |name: &str| self.supported.get(name) == Some(&self.members.len());
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.stored.protocols.iter().find(|(name, _)| is_common(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max().copied()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }

    /// Takes all assignments back and answers the SyncGroups that wait.
    fn drop_assignments(&mut self, error: ErrorCode, now: Now, effects: &mut Effects) {
        let members: Vec<MemberId> = self.members.keys().cloned().collect();
        for member_id in members {
            self.change_member(&member_id, |stored| stored.assignment = Bytes::new());
            let ticket = self.members.get_mut(&member_id).and_then(|member| member.sync.take());
            if let Some(ticket) = ticket {
                effects.synced.push((ticket, SyncAnswer::refused(error)));
                self.keep_alive(now, &member_id);
            }
        }
    }

    pub(super) fn sync_time_is_up(&mut self, now: Now, terms: &Terms, effects: &mut Effects) {
        let late = std::mem::take(&mut self.pending_sync);
        if late.is_empty() || !matches!(self.state(), State::CompletingRebalance | State::Stable) {
            return;
        }
        for member_id in &late {
            self.remove_member(member_id, effects);
        }
        self.prepare_rebalance(now, terms, RebalanceReason::RebalanceTimeout, effects);
    }
}
