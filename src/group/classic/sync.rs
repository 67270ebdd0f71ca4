//! SyncGroup.

use std::collections::HashMap;

use bytes::Bytes;

use super::{ClassicGroup, Effects, MemberId, Now, State, Ticket, Timer};
use crate::types::ErrorCode;

/// A SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// Names the request.
    pub ticket: Ticket,
    /// Who asks.
    pub member_id: String,
    /// KIP-345.
    pub instance_id: Option<String>,
    /// As answered by JoinGroup.
    pub generation_id: i32,
    /// Checked if there (version 5).
    pub protocol_type: Option<String>,
    /// Checked if there (version 5).
    pub protocol_name: Option<String>,
    /// By member id; the leader's alone count.
    pub assignments: HashMap<String, Bytes>,
}

/// Answer to a SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncAnswer {
    /// NONE, or why there is no assignment.
    pub error: ErrorCode,
    /// None on error.
    pub protocol_type: Option<String>,
    /// None on error.
    pub protocol_name: Option<String>,
    /// The member's own, as its leader wrote it.
    pub assignment: Bytes,
}

impl SyncAnswer {
    /// An answer that is an error.
    pub fn refused(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol_name: None, assignment: Bytes::new() }
    }
}

impl ClassicGroup {
    /// A SyncGroup: answered at once, or parked until the leader's comes.
    pub fn sync(&mut self, now: Now, request: SyncRequest, effects: &mut Effects) {
        if let Err(error) = self.check_sync(&request) {
            effects.synced.push((request.ticket, SyncAnswer::refused(error)));
            return;
        }
        let member_id = request.member_id.as_str();
        match self.state() {
            State::Empty => effects.synced.push((request.ticket, SyncAnswer::refused(ErrorCode::UNKNOWN_MEMBER_ID))),
            State::PreparingRebalance => {
                effects.synced.push((request.ticket, SyncAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
            }
            State::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(member_id)
                    && let Some(before) = member.sync.replace(request.ticket)
                {
                    effects.synced.push((before, SyncAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
                }
                self.has_synced(member_id);
                if self.leader.as_deref() == Some(member_id) {
                    self.assign(now, request.assignments, effects);
                }
            }
            State::Stable => {
                self.has_synced(member_id);
                self.keep_alive(now, member_id);
                effects.synced.push((request.ticket, self.synced(member_id)));
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ErrorCode> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        let is_other = |told: &Option<String>, own: &Option<String>| told.is_some() && told != own;
        if request.generation_id != self.generation_id {
            Err(ErrorCode::ILLEGAL_GENERATION)
        } else if is_other(&request.protocol_type, &self.protocol_type)
            || is_other(&request.protocol_name, &self.protocol_name)
        {
            Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)
        } else {
            Ok(())
        }
    }

    fn has_synced(&mut self, member_id: &str) {
        self.pending_sync.remove(member_id);
        if self.pending_sync.is_empty() {
            self.timers.clear(&Timer::Sync);
        }
    }

    /// Gives each member what the leader says, nothing to those it forgot, and answers those that wait.
    fn assign(&mut self, now: Now, mut assignments: HashMap<String, Bytes>, effects: &mut Effects) {
        let members: Vec<MemberId> = self.members.keys().cloned().collect();
        self.enter(now, State::Stable);
        effects.store = true;
        for member_id in members {
            let assignment = assignments.remove(&*member_id).unwrap_or_default();
            self.change_member(&member_id, |stored| stored.assignment = assignment);
            let ticket = self.members.get_mut(&member_id).and_then(|member| member.sync.take());
            if let Some(ticket) = ticket {
                self.keep_alive(now, &member_id);
                effects.synced.push((ticket, self.synced(&member_id)));
            }
        }
    }

    fn synced(&self, member_id: &str) -> SyncAnswer {
        SyncAnswer {
            error: ErrorCode::NONE,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self.members.get(member_id).map(|member| member.stored.assignment.clone()).unwrap_or_default(),
        }
    }
}
