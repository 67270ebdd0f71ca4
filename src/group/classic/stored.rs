//! What of a group survives a restart, and how it comes back.

use bytes::Bytes;

use super::{ClassicGroup, MemberId, Now, State, StateAndSince};
use crate::types::Timestamp;

/// A group as stored: as of its last assignment, or empty. A rebalance whose members have not been told of the next generation is not stored; its members join again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredGroup {
    /// Current generation.
    pub generation_id: i32,
    /// None for a group that never had members.
    pub protocol_type: Option<String>,
    /// None without members.
    pub protocol_name: Option<String>,
    /// None without members.
    pub leader: Option<MemberId>,
    /// Whether its members have been told of the generation, but not yet of their assignments.
    pub is_completing: bool,
    /// Since when it stands so, wall clock.
    pub since: Timestamp,
    /// By id.
    pub members: Vec<StoredMember>,
}

/// A member as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMember {
    /// Given by the broker.
    pub member_id: MemberId,
    /// KIP-345.
    pub instance_id: Option<String>,
    /// From its request's header.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// Time without a heartbeat after which it is removed, ms.
    pub session_timeout_ms: u32,
    /// Time that a rebalance waits for it, ms.
    pub rebalance_timeout_ms: u32,
    /// Protocols that it speaks with what it says of each, most wanted first. Kafka keeps only the chosen one, so that members
    /// which join again after its restart are taken for changed.
    pub protocols: Vec<(String, Bytes)>,
    /// As the leader wrote it.
    pub assignment: Bytes,
}

impl StoredGroup {
    /// About as many bytes as its row.
    pub fn bytes(&self) -> usize {
        let of = |member: &StoredMember| {
            let protocols: usize = member.protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum();
            64 + member.member_id.len() + protocols + member.assignment.len()
        };
        64 + self.members.iter().map(of).sum::<usize>()
    }
}

impl ClassicGroup {
    /// The group as it is to be stored; meaningful when [`super::Effects::store`] is set.
    pub fn to_stored(&self) -> StoredGroup {
        StoredGroup {
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            is_completing: matches!(self.state(), State::PreparingRebalance | State::CompletingRebalance),
            since: self.state.since,
            members: self.members.values().map(|member| member.stored.clone()).collect(),
        }
    }

    /// The group as it was when it was stored. Sessions begin at `now`, so that members have as long to come back as they would
    /// have had to send a heartbeat; the time for their SyncGroups, if those were awaited, does too.
    pub fn restore(now: Now, stored: StoredGroup) -> Self {
        let state = match (stored.members.is_empty(), stored.is_completing) {
            (true, _) => State::Empty,
            (false, true) => State::CompletingRebalance,
            (false, false) => State::Stable,
        };
        let mut group = Self {
            state: StateAndSince { state, since: stored.since },
            generation_id: stored.generation_id,
            protocol_type: stored.protocol_type,
            protocol_name: stored.protocol_name,
            leader: stored.leader,
            ..Self::default()
        };
        for member in stored.members {
            let member_id = member.member_id.clone();
            group.add_member(member, None, false);
            group.keep_alive(now, &member_id);
        }
        if state == State::CompletingRebalance {
            group.await_syncs(now);
        }
        group
    }
}
