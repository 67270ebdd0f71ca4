//! JoinGroup.

use bytes::Bytes;

use super::{ClassicGroup, Effects, Member, MemberId, Now, State, StoredMember, Terms, Ticket, Timer, id};
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::ErrorCode;

/// Time for a new member to be answered: it has no session yet, and may have gone (Kafka's `NEW_MEMBER_JOIN_TIMEOUT_MS`).
const NEW_MEMBER_TIMEOUT_MS: u64 = 5 * 60_000;

/// Most protocols that a member may name in a JoinGroup. Kafka has no limit. A constant and no setting: a protocol is an assignor that
/// the client brings along, of which real ones name a handful, and each is stored and compared with those of the other members.
pub const PROTOCOLS_PER_MEMBER_MAX: usize = 256;

/// A JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Names the request.
    pub ticket: Ticket,
    /// Empty for a new member.
    pub member_id: String,
    /// The id that a new member gets: drawn by the caller, unique.
    pub new_member_id: String,
    /// Set for a static member (KIP-345).
    pub instance_id: Option<String>,
    /// From the request's header.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// As sent.
    pub session_timeout_ms: i32,
    /// As sent; version 0 has none, and means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, or the client's own.
    pub protocol_type: String,
    /// Protocols with what the member says of each, most wanted first.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether a new member has to come again with its id (version 4, KIP-394).
    pub requires_known_member_id: bool,
    /// Whether a static leader that comes back can be told to keep the assignment (version 9, KIP-814).
    pub supports_skip_assignment: bool,
}

/// A member as the leader is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// KIP-345.
    pub instance_id: Option<String>,
    /// What it says of the chosen protocol.
    pub metadata: Bytes,
}

/// Answer to a JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinAnswer {
    /// NONE, or why it is not a member.
    pub error: ErrorCode,
    /// The member's id from here on.
    pub member_id: String,
    /// -1 on error.
    pub generation_id: i32,
    /// None on error.
    pub protocol_type: Option<String>,
    /// None on error.
    pub protocol_name: Option<String>,
    /// Id of the leader; empty on error.
    pub leader: String,
    /// KIP-814.
    pub skip_assignment: bool,
    /// For the leader alone.
    pub members: Vec<JoinedMember>,
}

impl JoinAnswer {
    /// An answer that is an error.
    pub fn refused(error: ErrorCode, member_id: &str) -> Self {
        Self {
            error,
            member_id: member_id.to_owned(),
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

impl JoinRequest {
    /// Memory that the member would take, bytes, about.
    pub fn bytes(&self) -> usize {
        super::member::bytes_of(&self.stored(id(&self.new_member_id)))
    }

    fn stored(&self, member_id: MemberId) -> StoredMember {
        StoredMember {
            member_id,
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            session_timeout_ms: self.session_timeout_ms.unsigned_abs(),
            rebalance_timeout_ms: u32::try_from(self.rebalance_timeout_ms).unwrap_or(0),
            protocols: self.protocols.clone(),
            assignment: Bytes::new(),
        }
    }
}

impl ClassicGroup {
    /// A JoinGroup: refused at once, answered at once, or parked until the next generation begins.
    pub fn join(&mut self, now: Now, terms: &Terms, request: &JoinRequest, effects: &mut Effects) {
        if let Err((error, member_id)) = self.try_join(now, terms, request, effects) {
            effects.joined.push((request.ticket, JoinAnswer::refused(error, member_id)));
        }
    }

    fn try_join<'a>(
        &mut self,
        now: Now,
        terms: &Terms,
        request: &'a JoinRequest,
        effects: &mut Effects,
    ) -> Result<(), (ErrorCode, &'a str)> {
        let member_id = request.member_id.as_str();
        let refused = |error| Err((error, member_id));
        if !(terms.session_timeout_ms_min..=terms.session_timeout_ms_max).contains(&request.session_timeout_ms) {
            return refused(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if !self.has_room(terms, member_id) {
            self.remove_member(member_id, effects);
            self.maybe_complete_join(now, effects);
            return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, ""));
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if member_id.is_empty() {
            return self.join_new(now, terms, request, effects);
        }
        if self.pending.contains(member_id) {
            if request.instance_id.is_some() {
                return refused(ErrorCode::UNKNOWN_MEMBER_ID);
            }
            self.remove_pending(member_id);
            self.add_then_rebalance(now, terms, request, id(member_id), effects);
            return Ok(());
        }
        self.check_member(member_id, request.instance_id.as_deref()).map_err(|error| (error, member_id))?;
        let is_leader = self.leader.as_deref() == Some(member_id);
        let is_unchanged =
            self.members.get(member_id).is_some_and(|member| member.stored.protocols == request.protocols);
        match self.state() {
            State::Empty => refused(ErrorCode::UNKNOWN_MEMBER_ID),
            // Its client may not have got the answer.
            State::CompletingRebalance if is_unchanged => {
                self.answer_join(request.ticket, member_id, effects);
                Ok(())
            }
            State::Stable if is_unchanged && !is_leader => {
                self.answer_join(request.ticket, member_id, effects);
                Ok(())
            }
            // A leader that joins a stable group wants partitions to be assigned anew.
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update_then_rebalance(now, terms, request, member_id, effects);
                Ok(())
            }
        }
    }

    /// `group.max.size`, as `acceptJoiningMember`: while members join it counts those that wait, for others may not come back.
    fn has_room(&self, terms: &Terms, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.state() {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.join.is_some()) || self.awaiting_join < terms.members_max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.members.len() < terms.members_max,
        }
    }

    fn join_new<'a>(
        &mut self,
        now: Now,
        terms: &Terms,
        request: &'a JoinRequest,
        effects: &mut Effects,
    ) -> Result<(), (ErrorCode, &'a str)> {
        let new_id = id(&request.new_member_id);
        let current = request.instance_id.as_ref().and_then(|instance| self.static_members.get(instance).cloned());
        if let Some(current) = current {
            self.join_again(now, terms, request, &current, new_id, effects);
            return Ok(());
        }
        if request.instance_id.is_none() && request.requires_known_member_id {
            let session_ms = u64::from(request.session_timeout_ms.unsigned_abs());
            self.timers.set(Timer::Session(new_id.clone()), now.monotonic_ms.saturating_add(session_ms));
            self.add_pending(new_id);
            return Err((ErrorCode::MEMBER_ID_REQUIRED, &request.new_member_id));
        }
        self.add_then_rebalance(now, terms, request, new_id, effects);
        Ok(())
    }

    fn add_then_rebalance(
        &mut self,
        now: Now,
        terms: &Terms,
        request: &JoinRequest,
        member_id: MemberId,
        effects: &mut Effects,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.timers.set(Timer::Session(member_id.clone()), now.monotonic_ms.saturating_add(NEW_MEMBER_TIMEOUT_MS));
        self.add_member(request.stored(member_id), Some(request.ticket), true);
        if let Some(initial) = &mut self.initial {
            initial.has_new_member = true;
        }
        self.rebalance_or_complete(now, terms, RebalanceReason::Join, effects);
    }

    fn update_then_rebalance(
        &mut self,
        now: Now,
        terms: &Terms,
        request: &JoinRequest,
        member_id: &str,
        effects: &mut Effects,
    ) {
        let names_same = |member: &Member| {
            let before = member.stored.protocols.iter().map(|(name, _)| name);
            before.eq(request.protocols.iter().map(|(name, _)| name))
        };
        let is_same = self.members.get(member_id).is_none_or(names_same);
        let reason = if is_same { RebalanceReason::Metadata } else { RebalanceReason::Assignor };
        self.update(request, member_id, effects);
        self.rebalance_or_complete(now, terms, reason, effects);
    }

    fn update(&mut self, request: &JoinRequest, member_id: &str, effects: &mut Effects) {
        self.change_member(member_id, |stored| {
            let assignment = std::mem::take(&mut stored.assignment);
            *stored = StoredMember { assignment, ..request.stored(stored.member_id.clone()) };
        });
        self.await_join(member_id, request.ticket, effects);
    }

    /// A static member that lost its id: a new instance of it. In a stable group it takes its predecessor's place, as long as the
    /// group would not vote otherwise; nobody else notices.
    fn join_again(
        &mut self,
        now: Now,
        terms: &Terms,
        request: &JoinRequest,
        current: &str,
        new_id: MemberId,
        effects: &mut Effects,
    ) {
        let leader_before = self.leader.clone();
        self.replace_member(current, new_id.clone(), effects);
        self.update(request, &new_id, effects);
        self.keep_alive(now, &new_id);
        if self.state() != State::Stable || self.vote() != self.protocol_name {
            return self.rebalance_or_complete(now, terms, RebalanceReason::Join, effects);
        }
        effects.store = true;
        let Some(ticket) = self.take_join(&new_id) else { return };
        let mut answer = self.joined(&new_id);
        let is_leader = self.leader.as_ref() == Some(&new_id);
        if request.supports_skip_assignment {
            answer.skip_assignment = is_leader;
        } else if is_leader {
            // It must not assign: an older client does if it is called the leader.
            answer.leader = leader_before.map(|leader| leader.to_string()).unwrap_or_default();
            answer.members.clear();
        }
        effects.joined.push((ticket, answer));
    }

    fn answer_join(&self, ticket: Ticket, member_id: &str, effects: &mut Effects) {
        effects.joined.push((ticket, self.joined(member_id)));
    }

    /// What a member of the current generation is answered; the leader with all others.
    pub(super) fn joined(&self, member_id: &str) -> JoinAnswer {
        let leader = self.leader.as_deref().unwrap_or_default();
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let all = |(id, member): (&MemberId, &super::Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.stored.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        let members = if leader == member_id { self.members.iter().map(all).collect() } else { Vec::new() };
        JoinAnswer {
            error: ErrorCode::NONE,
            member_id: member_id.to_owned(),
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: leader.to_owned(),
            skip_assignment: false,
            members,
        }
    }
}
