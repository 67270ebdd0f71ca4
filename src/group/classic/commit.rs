//! What a group says of its offsets: who may commit them, who may delete them, how long they are kept.

use std::collections::BTreeSet;

use super::{ClassicGroup, Now, State, StoredGroup, subscription};
use crate::types::{ErrorCode, Timestamp};

/// Type of protocol whose subscriptions the broker can read.
const CONSUMER: &str = "consumer";

/// Who an OffsetCommit says it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committer<'a> {
    /// Empty for none.
    pub member_id: &'a str,
    /// KIP-345.
    pub instance_id: Option<&'a str>,
    /// Below 0 for none.
    pub generation_id: i32,
}

impl Committer<'_> {
    /// Whether it says nothing of itself.
    pub fn is_nobody(&self) -> bool {
        self.generation_id < 0 && self.member_id.is_empty() && self.instance_id.is_none()
    }
}

/// How long offsets of a group are kept (`offsetExpirationCondition`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retention {
    /// The broker's retention counts from here, or from the commit if that is later.
    Since(Timestamp),
    /// Those of subscribed topics are kept, those of others expire from their commit on.
    Subscribed(BTreeSet<String>),
    /// All are kept: nobody can tell what the members read.
    Kept,
}

impl ClassicGroup {
    /// Whether `committer` may commit, as `ClassicGroup.validateOffsetCommit`. A commit keeps a member alive as a heartbeat does.
    ///
    /// # Errors
    /// The code that Kafka answers.
    pub fn check_commit(&mut self, now: Now, committer: Committer<'_>) -> Result<(), ErrorCode> {
        if committer.generation_id < 0 && self.state() == State::Empty {
            return Ok(());
        }
        if committer.is_nobody() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.check_member(committer.member_id, committer.instance_id)?;
        if committer.generation_id != self.generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        self.keep_alive(now, committer.member_id);
        match self.state() {
            // The member has not been told yet which partitions are its own.
            State::CompletingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::Empty | State::PreparingRebalance | State::Stable => Ok(()),
        }
    }

    /// Whether `committer` may commit with a transaction: as [`ClassicGroup::check_commit`], but also where nobody says who it is, which
    /// older clients do not, and while the group rebalances (KIP-447).
    ///
    /// # Errors
    /// The code that Kafka answers.
    pub fn check_transactional_commit(&self, committer: Committer<'_>) -> Result<(), ErrorCode> {
        if committer.is_nobody() || (committer.generation_id < 0 && self.state() == State::Empty) {
            return Ok(());
        }
        self.check_member(committer.member_id, committer.instance_id)?;
        if committer.generation_id == self.generation_id { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
    }

    /// Whether the whole group may be deleted.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP.
    pub fn check_delete(&self) -> Result<(), ErrorCode> {
        if self.state() == State::Empty { Ok(()) } else { Err(ErrorCode::NON_EMPTY_GROUP) }
    }

    /// Whether offsets may be deleted at all; for which topics, [`ClassicGroup::is_subscribed`] says.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP, if it has members whose subscriptions cannot be read.
    pub fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        if self.state() == State::Empty || self.protocol_type() == Some(CONSUMER) {
            Ok(())
        } else {
            Err(ErrorCode::NON_EMPTY_GROUP)
        }
    }

    /// Whether a member may read `topic`; of subscriptions that cannot be read it is assumed.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        if self.state() == State::Empty {
            return false;
        }
        self.subscribed().is_none_or(|topics| topics.contains(topic))
    }

    fn subscribed(&self) -> Option<BTreeSet<String>> {
        let of = |member: &super::Member| {
            let own = self.protocol_name.as_ref().map(|name| member.metadata(name));
            own.or_else(|| member.stored.protocols.first().map(|(_, metadata)| metadata.clone()))
        };
        subscription::union(self.members.values().map(of))
    }
}

impl StoredGroup {
    /// How long its offsets are kept.
    pub fn retention(&self) -> Retention {
        if self.members.is_empty() {
            return Retention::Since(self.since);
        }
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return Retention::Kept;
        }
        let name = self.protocol_name.as_deref().unwrap_or_default();
        let of = |member: &super::StoredMember| {
            member.protocols.iter().find(|(own, _)| own == name).map(|(_, metadata)| metadata.clone())
        };
        subscription::union(self.members.iter().map(of)).map_or(Retention::Kept, Retention::Subscribed)
    }
}
