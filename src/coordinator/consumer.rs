//! Consumer groups of KIP-848: heartbeats, and the ways to and from the classic protocol.

use std::sync::Arc;

use super::kind::{Effects, Group, Moved};
use super::patterns::Matchings;
use super::slot::SlotState;
use super::topics::Image;
use super::{Coordinator, EngineGone};
use crate::group::classic::{ClassicGroup, JoinAnswer, JoinRequest, Now, State};
use crate::group::consumer::change::Change;
use crate::group::consumer::member::JOIN_EPOCH;
use crate::group::consumer::request::check;
use crate::group::consumer::state::GroupPhase;
use crate::group::consumer::{
    ConsumerGroup, Context, HeartbeatAnswer, HeartbeatRejected, HeartbeatRequest, Settings, check_upgrading, heartbeat,
};
use crate::group::migration;
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::ErrorCode;

/// What the decisions of one group depend on besides the group, as it is at one moment.
pub(super) struct Around {
    pub topics: Image,
    pub settings: Settings,
}

impl Around {
    pub fn context(&self, now: Now) -> Context<'_> {
        let now_ms = i64::try_from(now.monotonic_ms).unwrap_or(i64::MAX);
        Context { topics: &self.topics, settings: &self.settings, now_ms }
    }
}

impl Coordinator {
    /// Called under the group's lock, so that no group sees topics go back.
    pub(super) fn around(&self, group_id: &str) -> Around {
        Around { topics: Image::of(self.catalog.topics()), settings: self.settings_of(group_id) }
    }

    /// The same, with what was found out of patterns.
    fn around_with(&self, group_id: &str, matchings: &Arc<Matchings>) -> Around {
        let topics = Image::with(self.catalog.topics(), Arc::clone(matchings));
        Around { topics, settings: self.settings_of(group_id) }
    }

    /// A ConsumerGroupHeartbeat.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn consumer_heartbeat(
        &self,
        request: &HeartbeatRequest,
        api_version: i16,
        new_member_id: &str,
    ) -> Result<Result<HeartbeatAnswer, HeartbeatRejected>, EngineGone> {
        let group_id = request.group_id.as_str();
        let mut matchings = Arc::new(Matchings::new());
        if let Some(slot) = self.slot(group_id) {
            matchings = Arc::new(self.refreshed(&slot, request).await?);
        }
        loop {
            let makes_group = request.member_epoch == JOIN_EPOCH && !group_id.is_empty();
            let slot = if makes_group { Some(self.slot_or_new(group_id)) } else { self.slot(group_id) };
            let Some(slot) = slot else {
                // There is nothing to join: it says why.
                let around = self.around(group_id);
                let mut none = ConsumerGroup::default();
                let decided =
                    heartbeat(&mut none, request, api_version, new_member_id, &around.context(self.clock.now()));
                return Ok(decided.map(|outcome| outcome.answer));
            };
            let decided = self.change(group_id, &slot, |state, now, effects| {
                let around = self.around_with(group_id, &matchings);
                let cx = around.context(now);
                let answer = self.beat(state, request, api_version, new_member_id, &cx, effects)?;
                self.maybe_downgrade(state, &around, now, effects);
                Ok(answer)
            });
            match decided {
                // Nothing has changed; all that can refuse it without that has let it pass.
                Some((Err(HeartbeatRejected::Unmatched(pattern)), _)) => {
                    let matched = self.matched_anew(pattern).await?;
                    Arc::make_mut(&mut matchings).extend(matched);
                }
                Some((decided, barrier)) => {
                    barrier.passed().await?;
                    return Ok(decided);
                }
                None => {}
            }
        }
    }

    fn beat(
        &self,
        state: &mut SlotState,
        request: &HeartbeatRequest,
        api_version: i16,
        new_member_id: &str,
        cx: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<HeartbeatAnswer, HeartbeatRejected> {
        check(request, api_version, cx.settings)?;
        match &mut state.group {
            Group::Consumer(group) => {
                self.check_room(group, group.growth(request, cx.topics))?;
                let outcome = heartbeat(group, request, api_version, new_member_id, cx)?;
                effects.rows.extend(outcome.rows);
                Ok(outcome.answer)
            }
            Group::Classic(classic) => {
                let mut group = match classic.state() {
                    _ if request.member_epoch != JOIN_EPOCH => {
                        return Err(HeartbeatRejected::NotAConsumerGroup(request.group_id.clone()));
                    }
                    State::Empty => ConsumerGroup::default(),
                    _ => self.upgraded(request, classic, cx)?,
                };
                self.check_room(&group, group.growth(request, cx.topics))?;
                let outcome = heartbeat(&mut group, request, api_version, new_member_id, cx)?;
                classic.refuse_all_waiting(&mut effects.classic);
                effects.rows = group.state().changes().iter().map(Change::row).collect();
                effects.moved = Moved::Upgraded;
                state.group = Group::Consumer(group);
                Ok(outcome.answer)
            }
        }
    }

    fn upgraded(
        &self,
        request: &HeartbeatRequest,
        classic: &ClassicGroup,
        cx: &Context<'_>,
    ) -> Result<ConsumerGroup, HeartbeatRejected> {
        let group_id = request.group_id.as_str();
        let refused = || HeartbeatRejected::NotAConsumerGroup(group_id.to_owned());
        if !self.settings.migration_policy.allows_upgrade() {
            return Err(refused());
        }
        let is_known = classic.has_member(&request.member_id, request.instance_id.as_deref());
        check_upgrading(request, classic.member_count(), is_known, cx.settings)?;
        migration::upgraded(classic, cx).map_err(|error| {
            // As often as a client tries.
            tracing::debug!(group_id, %error, "a classic group stays one");
            refused()
        })
    }

    fn check_room(&self, group: &ConsumerGroup, growth: usize) -> Result<(), HeartbeatRejected> {
        if self.has_room(group.state().bytes(), growth) { Ok(()) } else { Err(HeartbeatRejected::NoMemory) }
    }

    /// A JoinGroup to a consumer group with members.
    pub(super) fn join_consumer_group(
        &self,
        group_id: &str,
        state: &mut SlotState,
        request: &JoinRequest,
        now: Now,
        effects: &mut Effects,
    ) {
        let Group::Consumer(group) = &mut state.group else { return };
        let terms = &self.settings.terms;
        let answer =
            if (terms.session_timeout_ms_min..=terms.session_timeout_ms_max).contains(&request.session_timeout_ms) {
                let around = self.around(group_id);
                let (answer, rows) = group.join(request, &around.context(now));
                effects.rows.extend(rows);
                self.maybe_downgrade(state, &around, now, effects);
                answer
            } else {
                JoinAnswer::refused(ErrorCode::INVALID_SESSION_TIMEOUT, &request.member_id)
            };
        effects.classic.joined.push((request.ticket, answer));
    }

    /// Puts a classic group in the place of a consumer group that nobody is a member of.
    pub(super) fn replace_empty(state: &mut SlotState, effects: &mut Effects) {
        effects.rows = state.group.deletions();
        effects.moved = Moved::Downgraded(None);
        state.group = Group::default();
    }

    /// Gives up members whose time is over.
    pub(super) fn expire(&self, group_id: &str, state: &mut SlotState, now: Now, effects: &mut Effects) {
        let around = self.around(group_id);
        let Group::Consumer(group) = &mut state.group else { return };
        while let Some(expired) = group.expire(&around.context(now)) {
            tracing::debug!(group_id, member_id = %expired.member_id, timeout = ?expired.timeout, "a member is given up");
            effects.rows.extend(expired.rows);
        }
        self.maybe_downgrade(state, &around, now, effects);
    }

    /// Goes on as a classic group if all that are left speak its protocol. If something is to be shared anew they join again.
    pub(super) fn maybe_downgrade(&self, state: &mut SlotState, around: &Around, now: Now, effects: &mut Effects) {
        let Group::Consumer(group) = &state.group else { return };
        let terms = &self.settings.terms;
        if !self.settings.migration_policy.allows_downgrade()
            || !group.state().is_all_classic()
            || group.state().members.len() > terms.members_max
        {
            return;
        }
        let is_settled = group.state().phase() == GroupPhase::Stable;
        let reason = group.pending_reason().unwrap_or(RebalanceReason::Leave);
        let mut classic = migration::downgraded(group, &around.topics, now);
        // Of what this change has put nothing is needed any more.
        effects.rows.retain(|row| row.value.is_none());
        effects.rows.extend(state.group.deletions());
        effects.moved = Moved::Downgraded(Some(classic.to_stored()));
        if !is_settled {
            classic.rebalance(now, terms, reason, &mut effects.classic);
        }
        state.group = Group::Classic(classic);
    }
}
