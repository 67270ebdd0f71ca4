//! The classic group protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup. Pure.
//!
//! Mirrors `ClassicGroup` and the classic half of `GroupMetadataManager`, with KIP-394 (a new member must come back with the id it
//! was given) and KIP-345 (static members). A [`ClassicGroup`] takes requests and the time, and answers in [`Effects`]: answers to
//! requests that were parked, and whether the group as it is now must be stored before any of them leaves.
//!
//! | request \ state | Empty | PreparingRebalance | CompletingRebalance | Stable |
//! |---|---|---|---|---|
//! | join, new | parked, → Preparing | parked | parked, → Preparing | parked, → Preparing |
//! | join, member | – | parked | repeated answer, or → Preparing if it changed | follower: repeated answer; leader or changed: → Preparing |
//! | sync | UNKNOWN_MEMBER_ID | REBALANCE_IN_PROGRESS | parked until the leader's, → Stable | the assignment |
//! | heartbeat | UNKNOWN_MEMBER_ID | REBALANCE_IN_PROGRESS | NONE | NONE |
//! | leave | UNKNOWN_MEMBER_ID | may complete the join | → Preparing | → Preparing |
//! | commit, member | UNKNOWN_MEMBER_ID | NONE | REBALANCE_IN_PROGRESS | NONE |
//!
//! `group.initial.rebalance.delay.ms` is 0 unless set, where Kafka has 3000. The delay is worth its time where members start together
//! and each further rebalance has all of them stop and share anew, which for hundreds of members lasts seconds. A broker of one node
//! mostly has groups of a few, each of which would wait three seconds with every start of its first member: in development, in
//! tests, after each deployment. Without the delay the second of two members that start together costs one rebalance of some
//! milliseconds, for JoinGroup and SyncGroup wait for nobody else then. Kafka's own quick start sets 0 for the same reason, and clients
//! notice nothing but the time.
//!
//! A restart of the broker goes back to no generation that a member was told of: those who joined and have no assignments yet go on
//! with their SyncGroup. In Kafka the generation before comes back, its successor's number is given to others a second time, and who
//! was told of it is refused with ILLEGAL_GENERATION, upon which clients take their partitions for lost.
//!
//! Invariant: each ticket that was taken is answered exactly once, in the effects of some later call.
//! Invariant: only a member of the current generation has an assignment of it, and only the leader's SyncGroup gives them.
//! Invariant: while anybody is awaited there is a timer, so that nobody is awaited for ever.

mod commit;
mod join;
mod leave;
mod member;
mod rebalance;
mod stored;
mod subscription;
mod sync;
mod takeover;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::rebalance_reason::RebalanceReason;
use crate::types::{ErrorCode, Timestamp};
pub use commit::{Committer, Retention};
pub use join::{JoinAnswer, JoinRequest, JoinedMember, PROTOCOLS_PER_MEMBER_MAX};
pub use leave::Leaving;
use member::Member;
pub use member::MemberId;
pub use stored::{StoredGroup, StoredMember};
pub use sync::{SyncAnswer, SyncRequest};
use timers::{Timer, Timers};

/// Names a parked request; the caller's choice, unique within the group.
pub type Ticket = u64;

/// The time of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, ms since any moment: for timeouts.
    pub monotonic_ms: u64,
    /// Wall clock, ms since 1970: for what is stored.
    pub wall: Timestamp,
}

/// Settings that a call obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.max.size`.
    pub members_max: usize,
}

/// Where a group stands. A group that is gone (Kafka's Dead) has no [`ClassicGroup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No members; there may be offsets. Ways out: a join.
    Empty,
    /// Waits for all members to join, or for time to be up. Ways out: the next generation, empty or not.
    PreparingRebalance,
    /// Waits for the leader's assignment. Ways out: it comes; a member joins, leaves or is late.
    CompletingRebalance,
    /// Every member has its assignment or can have it. Ways out: a member joins, leaves or is late.
    Stable,
}

impl State {
    /// Kafka's name, as DescribeGroups and ListGroups tell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// What follows a call.
#[derive(Debug, Default)]
pub struct Effects {
    /// Answers to JoinGroup.
    pub joined: Vec<(Ticket, JoinAnswer)>,
    /// Answers to SyncGroup.
    pub synced: Vec<(Ticket, SyncAnswer)>,
    /// The group must be stored ([`ClassicGroup::to_stored`]) before anything of this or a later call is answered.
    pub store: bool,
    /// Generations that began, each by what began it.
    pub generations: Vec<RebalanceReason>,
}

/// Members, generation and state of one group.
#[derive(Debug, Default)]
pub struct ClassicGroup {
    state: StateAndSince,
    generation_id: i32,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// Members by instance id.
    static_members: HashMap<String, MemberId>,
    /// Ids that were given away (KIP-394), and not used yet.
    pending: BTreeSet<MemberId>,
    /// Members of the generation whose SyncGroup is awaited.
    pending_sync: BTreeSet<MemberId>,
    /// How many members support each protocol.
    supported: HashMap<String, usize>,
    awaiting_join: usize,
    /// Set while the first members of an empty group are waited for.
    initial: Option<InitialRebalance>,
    /// Of the rebalance that is under way, or was last.
    reason: RebalanceReason,
    timers: Timers,
    bytes: usize,
}

#[derive(Debug)]
struct StateAndSince {
    state: State,
    since: Timestamp,
}

impl Default for StateAndSince {
    fn default() -> Self {
        Self { state: State::Empty, since: -1 }
    }
}

#[derive(Debug, Clone, Copy)]
struct InitialRebalance {
    remaining_ms: u64,
    /// Another member has come since the timer was set.
    has_new_member: bool,
}

/// What a described group has of each member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// As answered by JoinGroup.
    pub member_id: MemberId,
    /// KIP-345.
    pub instance_id: Option<String>,
    /// From its request's header.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// Of the group's protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// The newest that it was given; in a rebalance what it had before.
    pub assignment: Bytes,
}

impl ClassicGroup {
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state.state
    }

    /// Current generation; 0 before the first.
    pub fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// Type of the members' protocols (`consumer`, `connect`); none before the first member.
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// Protocol that the current generation has voted for.
    pub fn protocol_name(&self) -> Option<&str> {
        self.protocol_name.as_deref()
    }

    /// Number of members, pending ones left out.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether somebody is a member by this id or this instance id.
    pub fn has_member(&self, member_id: &str, instance_id: Option<&str>) -> bool {
        self.members.contains_key(member_id) || instance_id.is_some_and(|id| self.static_members.contains_key(id))
    }

    /// Memory that it takes, bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nobody is a member, and nobody is about to be one.
    pub fn is_idle(&self) -> bool {
        self.state() == State::Empty && self.pending.is_empty()
    }

    /// Whether nothing would be lost without it: nobody ever completed a join, and nobody is about to.
    pub fn is_unused(&self) -> bool {
        self.is_idle() && self.generation_id == 0
    }

    /// All members, as DescribeGroups shows them.
    pub fn described_members(&self) -> Vec<DescribedMember> {
        let is_stable = self.state() == State::Stable;
        let described = |(id, member): (&MemberId, &Member)| {
            let protocol = self.protocol_name.as_deref().filter(|_| is_stable);
            DescribedMember {
                member_id: id.clone(),
                instance_id: member.stored.instance_id.clone(),
                client_id: member.stored.client_id.clone(),
                client_host: member.stored.client_host.clone(),
                metadata: protocol.map(|name| member.metadata(name)).unwrap_or_default(),
                assignment: member.stored.assignment.clone(),
            }
        };
        self.members.iter().map(described).collect()
    }

    /// When [`ClassicGroup::tick`] has something to do, on the monotonic clock; none: never.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Heartbeat of a member.
    pub fn heartbeat(&mut self, now: Now, member_id: &str, instance_id: Option<&str>, generation_id: i32) -> ErrorCode {
        if let Err(error) = self.check_member(member_id, instance_id) {
            return error;
        }
        if generation_id != self.generation_id {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.keep_alive(now, member_id);
        match self.state() {
            State::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, terms: &Terms, effects: &mut Effects) {
        while let Some(timer) = self.timers.take_due(now.monotonic_ms) {
            match timer {
                Timer::Join => self.join_time_is_up(now, terms, effects),
                Timer::Sync => self.sync_time_is_up(now, terms, effects),
                Timer::Session(member_id) => self.session_ended(now, terms, &member_id, effects),
            }
        }
    }

    fn session_ended(&mut self, now: Now, terms: &Terms, member_id: &MemberId, effects: &mut Effects) {
        if self.remove_pending(member_id) {
            self.maybe_complete_join(now, effects);
            return;
        }
        let Some(member) = self.members.get(member_id) else { return };
        // Who waits for an answer cannot send heartbeats; its session begins anew with the answer. A new member is only given
        // a fixed time, since it may have gone without anybody noticing.
        if member.is_new || !member.is_awaiting() {
            self.remove_member(member_id, effects);
            self.rebalance_without(now, terms, RebalanceReason::SessionTimeout, effects);
        }
    }

    /// After members have gone.
    fn rebalance_without(&mut self, now: Now, terms: &Terms, reason: RebalanceReason, effects: &mut Effects) {
        match self.state() {
            State::Empty => {}
            State::PreparingRebalance => self.maybe_complete_join(now, effects),
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(now, terms, reason, effects),
        }
    }

    /// Whether `member_id` is a member, and if it says to be static, the newest of its instance.
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if **current != *member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// The member's session begins anew.
    fn keep_alive(&mut self, now: Now, member_id: &str) {
        if let Some((id, member)) = self.members.get_key_value(member_id) {
            let timeout_ms = u64::from(member.stored.session_timeout_ms);
            self.timers.set(Timer::Session(id.clone()), now.monotonic_ms.saturating_add(timeout_ms));
        }
    }

    fn enter(&mut self, now: Now, state: State) {
        self.state = StateAndSince { state, since: now.wall };
    }

    /// The longest that any member wants to be waited for.
    fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| u64::from(member.stored.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Whether all members could speak one of `protocols`.
    fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.supported.get(name) == Some(&self.members.len()))
    }
}

/// An id as the group keeps it.
fn id(text: &str) -> MemberId {
    Arc::from(text)
}

#[cfg(test)]
mod tests;
