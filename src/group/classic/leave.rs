//! LeaveGroup.

use super::{ClassicGroup, Effects, Now, Terms, Timer, id};
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::ErrorCode;

/// A member that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Empty: whoever has the instance id, as administrators remove static members.
    pub member_id: String,
    /// KIP-345.
    pub instance_id: Option<String>,
}

impl ClassicGroup {
    /// Removes members, each for itself, then rebalances once.
    pub fn leave(&mut self, now: Now, terms: &Terms, leaving: &[Leaving], effects: &mut Effects) -> Vec<ErrorCode> {
        let mut is_left = false;
        let mut leave = |leaving: &Leaving| {
            let outcome = self.leave_one(leaving, effects);
            is_left |= outcome.is_none();
            outcome
        };
        let outcomes = leaving.iter().map(&mut leave).collect();
        if is_left {
            self.rebalance_without(now, terms, RebalanceReason::Leave, effects);
        }
        outcomes
    }

    fn leave_one(&mut self, leaving: &Leaving, effects: &mut Effects) -> ErrorCode {
        let instance_id = leaving.instance_id.as_deref();
        let by_instance = instance_id.filter(|_| leaving.member_id.is_empty());
        let member_id = match by_instance.and_then(|instance| self.static_members.get(instance)) {
            Some(current) => current.clone(),
            None => id(&leaving.member_id),
        };
        if self.remove_pending(&member_id) {
            self.timers.clear(&Timer::Session(member_id));
            return ErrorCode::NONE;
        }
        match self.check_member(&member_id, instance_id) {
            Ok(()) => {
                self.remove_member(&member_id, effects);
                ErrorCode::NONE
            }
            Err(error) => error,
        }
    }
}
