//! Whether a member may commit or fetch offsets (`ConsumerGroup.validateOffsetCommit`, `validateOffsetFetch`).

use super::assignment::TopicIdPartition;
use super::member::Member;
use super::state::GroupState;
use crate::types::ErrorCode;

/// From this version of OffsetCommit on, clients know the codes of consumer groups.
const OFFSET_COMMIT_VERSION_MIN: i16 = 9;

/// Who commits, out of OffsetCommit or TxnOffsetCommit.
#[derive(Debug, Clone, Copy)]
pub struct Committer<'a> {
    /// The member; empty: none.
    pub member_id: &'a str,
    /// Its instance id.
    pub instance_id: Option<&'a str>,
    /// Its epoch; negative: none.
    pub member_epoch: i32,
    /// Whether within a transaction.
    pub is_transactional: bool,
    /// Version of the request.
    pub api_version: i16,
}

/// What an accepted committer may commit.
#[derive(Debug, Clone, Copy)]
pub enum CommitScope<'a> {
    /// Everything.
    All,
    /// An older epoch of a member: what it has held since then (KIP-1251). A client that commits while its epoch rises need
    /// not repeat itself, and a zombie cannot overwrite what a later owner committed.
    HeldSince {
        /// Who commits. One of the classic protocol calls its epoch generation.
        member: &'a Member,
        /// With which epoch.
        member_epoch: i32,
    },
}

impl CommitScope<'_> {
    /// What is answered for a partition that is not covered: STALE_MEMBER_EPOCH, or ILLEGAL_GENERATION to the classic protocol.
    pub fn refusal(&self) -> ErrorCode {
        match self {
            Self::HeldSince { member, .. } if member.metadata.classic.is_some() => ErrorCode::ILLEGAL_GENERATION,
            Self::All | Self::HeldSince { .. } => ErrorCode::STALE_MEMBER_EPOCH,
        }
    }

    /// Whether an offset of `partition` may be committed.
    pub fn covers(&self, partition: &TopicIdPartition) -> bool {
        match self {
            Self::All => true,
            Self::HeldSince { member, member_epoch } => {
                let current = &member.current;
                let held_since = current.assigned.get(partition).or_else(|| current.pending_revocation.get(partition));
                held_since.is_some_and(|epoch| epoch <= member_epoch)
            }
        }
    }
}

/// Why offsets are neither committed nor fetched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffsetsRefused {
    /// No such member.
    #[error("member {0} is not a member of the group")]
    UnknownMemberId(String),
    /// The epoch is not the member's.
    #[error("member epoch {received} is not the current epoch {current}")]
    StaleMemberEpoch {
        /// Of the request.
        received: i32,
        /// Of the member.
        current: i32,
    },
    /// The same of a member of the classic protocol.
    #[error("generation {received} is not the current one, {current}")]
    IllegalGeneration {
        /// Of the request.
        received: i32,
        /// Of the member.
        current: i32,
    },
    /// The request is older than the protocol of the group.
    #[error("members of consumer groups commit with version {OFFSET_COMMIT_VERSION_MIN} or above")]
    UnsupportedVersion,
}

impl OffsetsRefused {
    /// Code for the wire.
    pub fn error(&self) -> ErrorCode {
        match self {
            Self::UnknownMemberId(_) => ErrorCode::UNKNOWN_MEMBER_ID,
            Self::StaleMemberEpoch { .. } => ErrorCode::STALE_MEMBER_EPOCH,
            Self::IllegalGeneration { .. } => ErrorCode::ILLEGAL_GENERATION,
            Self::UnsupportedVersion => ErrorCode::UNSUPPORTED_VERSION,
        }
    }
}

/// What `committer` may commit in the group.
///
/// # Errors
/// [`OffsetsRefused`].
pub fn check_commit<'a>(state: &'a GroupState, committer: &Committer<'_>) -> Result<CommitScope<'a>, OffsetsRefused> {
    let epoch = committer.member_epoch;
    // Tools and consumers without a group, while nobody is in it.
    if epoch < 0 && state.members.is_empty() {
        return Ok(CommitScope::All);
    }
    // A transactional producer that was not told about the consumer.
    let names_nobody = committer.member_id.is_empty() && committer.instance_id.is_none();
    if committer.is_transactional && epoch == -1 && names_nobody {
        return Ok(CommitScope::All);
    }
    let Some(member) = state.members.get(committer.member_id) else {
        return Err(OffsetsRefused::UnknownMemberId(committer.member_id.to_owned()));
    };
    let is_classic = member.metadata.classic.is_some();
    if !committer.is_transactional && !is_classic && committer.api_version < OFFSET_COMMIT_VERSION_MIN {
        return Err(OffsetsRefused::UnsupportedVersion);
    }
    let current = member.current.epoch;
    if epoch == current {
        Ok(CommitScope::All)
    } else if epoch > current && is_classic {
        Err(OffsetsRefused::IllegalGeneration { received: epoch, current })
    } else if epoch > current {
        Err(OffsetsRefused::StaleMemberEpoch { received: epoch, current })
    } else {
        Ok(CommitScope::HeldSince { member, member_epoch: epoch })
    }
}

/// Whether a fetch with this member and epoch is answered. Without either it always is: that is a tool.
///
/// # Errors
/// [`OffsetsRefused`].
pub fn check_fetch(state: &GroupState, member_id: Option<&str>, member_epoch: i32) -> Result<(), OffsetsRefused> {
    if member_id.is_none() && member_epoch < 0 {
        return Ok(());
    }
    let id = member_id.unwrap_or_default();
    let Some(member) = state.members.get(id) else { return Err(OffsetsRefused::UnknownMemberId(id.to_owned())) };
    let current = member.current.epoch;
    if member_epoch == current {
        Ok(())
    } else if member.metadata.classic.is_some() {
        Err(OffsetsRefused::IllegalGeneration { received: member_epoch, current })
    } else {
        Err(OffsetsRefused::StaleMemberEpoch { received: member_epoch, current })
    }
}
