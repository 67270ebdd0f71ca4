//! The way from and to a consumer group of KIP-848.

use super::{ClassicGroup, Effects, JoinAnswer, MemberId, Now, StoredGroup, SyncAnswer, Terms};
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::ErrorCode;

impl ClassicGroup {
    /// The stable group that goes on with the members of a consumer group, with the protocol that they vote for.
    pub fn taken_over(now: Now, stored: StoredGroup) -> Self {
        let mut group = Self::restore(now, stored);
        group.protocol_name = group.vote();
        group
    }

    /// Has its members join again, for partitions have become free.
    pub fn rebalance(&mut self, now: Now, terms: &Terms, reason: RebalanceReason, effects: &mut Effects) {
        self.prepare_rebalance(now, terms, reason, effects);
    }

    /// Before it becomes a consumer group: whoever waits is to join that one.
    pub fn refuse_all_waiting(&mut self, effects: &mut Effects) {
        let members: Vec<MemberId> = self.members.keys().cloned().collect();
        for member_id in members {
            if let Some(ticket) = self.take_join(&member_id) {
                effects.joined.push((ticket, JoinAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS, &member_id)));
            }
            let ticket = self.members.get_mut(&member_id).and_then(|member| member.sync.take());
            if let Some(ticket) = ticket {
                effects.synced.push((ticket, SyncAnswer::refused(ErrorCode::REBALANCE_IN_PROGRESS)));
            }
        }
    }
}
