//! One member of a classic group.

use std::sync::Arc;

use bytes::Bytes;

use super::{ClassicGroup, Effects, StoredMember, Ticket, Timer, id};
use super::{JoinAnswer, SyncAnswer};
use crate::types::ErrorCode;

/// Id that the broker gave to a member.
pub type MemberId = Arc<str>;

/// What a member takes in memory beside its texts and bytes: map entries, timers, allocations.
const MEMBER_BYTES: usize = 640;
/// The same of an id that was given away.
const PENDING_BYTES: usize = 192;

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    /// What survives a restart.
    pub stored: StoredMember,
    /// Its JoinGroup waits.
    pub join: Option<Ticket>,
    /// Its SyncGroup waits.
    pub sync: Option<Ticket>,
    /// Has not been answered yet since it came.
    pub is_new: bool,
}

impl Member {
    /// Whether a request of it waits.
    pub fn is_awaiting(&self) -> bool {
        self.join.is_some() || self.sync.is_some()
    }

    /// What it said of a protocol, empty if it does not speak it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let own = self.stored.protocols.iter().find(|(name, _)| name == protocol);
        own.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

pub(super) fn bytes_of(stored: &StoredMember) -> usize {
    let protocols: usize = stored.protocols.iter().map(|(name, metadata)| 64 + name.len() + metadata.len()).sum();
    let texts = 4 * stored.member_id.len() + stored.client_id.len() + stored.client_host.len();
    let instance = stored.instance_id.as_ref().map_or(0, |instance| 2 * instance.len());
    MEMBER_BYTES + texts + instance + protocols + stored.assignment.len()
}

/// Changes of the set of members: the one place where counts, votes and sizes follow it.
impl ClassicGroup {
    /// Memory that a member takes, bytes; 0 if it is none.
    pub fn member_bytes(&self, member_id: &str) -> usize {
        self.members.get(member_id).map_or(0, |member| bytes_of(&member.stored))
    }

    /// Keeps an id that was given away.
    pub(super) fn add_pending(&mut self, member_id: MemberId) {
        let bytes = PENDING_BYTES + member_id.len();
        if self.pending.insert(member_id) {
            self.bytes += bytes;
        }
    }

    /// Forgets such an id. Answers whether it was one.
    pub(super) fn remove_pending(&mut self, member_id: &str) -> bool {
        let is_pending = self.pending.remove(member_id);
        if is_pending {
            self.bytes -= PENDING_BYTES + member_id.len();
        }
        is_pending
    }

    /// Takes a member in, which must not be one yet.
    pub(super) fn add_member(&mut self, stored: StoredMember, join: Option<Ticket>, is_new: bool) {
        let member_id = stored.member_id.clone();
        if let Some(instance_id) = &stored.instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        self.count(&stored, true);
        self.awaiting_join += usize::from(join.is_some());
        self.leader.get_or_insert_with(|| member_id.clone());
        let before = self.members.insert(member_id, Member { stored, join, sync: None, is_new });
        assert!(before.is_none(), "a member is added once");
    }

    /// Takes a member out; what it waits for is answered UNKNOWN_MEMBER_ID, upon which clients join anew.
    pub(super) fn remove_member(&mut self, member_id: &str, effects: &mut Effects) {
        let Some(member) = self.members.remove(member_id) else { return };
        self.refuse_waiting(&member, ErrorCode::UNKNOWN_MEMBER_ID, effects);
        self.count(&member.stored, false);
        if let Some(instance_id) = &member.stored.instance_id
            && self.static_members.get(instance_id).is_some_and(|current| **current == *member_id)
        {
            self.static_members.remove(instance_id);
        }
        self.pending_sync.remove(member_id);
        self.timers.clear(&Timer::Session(id(member_id)));
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Puts a new instance of a static member into the place of its predecessor, which is fenced.
    pub(super) fn replace_member(&mut self, old_id: &str, new_id: MemberId, effects: &mut Effects) {
        let Some(mut member) = self.members.remove(old_id) else { return };
        self.refuse_waiting(&member, ErrorCode::FENCED_INSTANCE_ID, effects);
        self.count(&member.stored, false);
        self.timers.clear(&Timer::Session(id(old_id)));
        if self.leader.as_deref() == Some(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        member.stored.member_id = new_id.clone();
        if let Some(instance_id) = &member.stored.instance_id {
            self.static_members.insert(instance_id.clone(), new_id.clone());
        }
        (member.join, member.sync) = (None, None);
        self.count(&member.stored, true);
        self.members.insert(new_id, member);
    }

    /// Changes what is stored of a member.
    pub(super) fn change_member(&mut self, member_id: &str, change: impl FnOnce(&mut StoredMember)) {
        let Some(mut member) = self.members.remove(member_id) else { return };
        self.count(&member.stored, false);
        change(&mut member.stored);
        self.count(&member.stored, true);
        self.members.insert(member.stored.member_id.clone(), member);
    }

    /// A JoinGroup of a member waits from here on. One that waited before is answered as a rebalance, upon which its client,
    /// if there still is one, joins again.
    pub(super) fn await_join(&mut self, member_id: &str, ticket: Ticket, effects: &mut Effects) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        match member.join.replace(ticket) {
            Some(before) => {
                effects.joined.push((before, JoinAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS, member_id)))
            }
            None => self.awaiting_join += 1,
        }
    }

    /// The ticket of a member's waiting JoinGroup, which waits no more.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<Ticket> {
        let ticket = self.members.get_mut(member_id)?.join.take()?;
        self.awaiting_join -= 1;
        Some(ticket)
    }

    fn refuse_waiting(&mut self, member: &Member, error: ErrorCode, effects: &mut Effects) {
        if let Some(ticket) = member.join {
            self.awaiting_join -= 1;
            effects.joined.push((ticket, JoinAnswer::refused(error, &member.stored.member_id)));
        }
        if let Some(ticket) = member.sync {
            effects.synced.push((ticket, SyncAnswer::refused(error)));
        }
    }

    fn count(&mut self, stored: &StoredMember, is_added: bool) {
        // A protocol that is named twice is one.
        let names: std::collections::BTreeSet<&String> = stored.protocols.iter().map(|(name, _)| name).collect();
        for name in names {
            let supported = self.supported.entry(name.clone()).or_default();
            *supported = if is_added { *supported + 1 } else { *supported - 1 };
            if *supported == 0 {
                self.supported.remove(name);
            }
        }
        let bytes = bytes_of(stored);
        self.bytes = if is_added { self.bytes + bytes } else { self.bytes - bytes };
    }
}
