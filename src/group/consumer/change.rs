//! What a decision changes: each change is applied to the state and written as one row, live and after a restart alike.

use std::collections::BTreeSet;

use super::assignment::Partitions;
use super::member::{CurrentAssignment, MemberMetadata};

/// One change. Absence of a value deletes the row and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The group's epochs.
    Group(Option<GroupEpochs>),
    /// What a member told about itself. Deleted: the member is gone, with all it had.
    Member(String, Option<MemberMetadata>),
    /// What a member should have.
    Target(String, Option<Partitions>),
    /// What a member has.
    Current(String, Option<CurrentAssignment>),
    /// The topics that a pattern matched when it was last looked up.
    Regex(String, Option<BTreeSet<String>>),
}

/// Epochs of the group, and of what topics it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupEpochs {
    /// Rises with each change of members, subscriptions or subscribed topics; 0: nobody ever joined.
    pub group_epoch: i32,
    /// Group epoch for which the targets were computed.
    pub assignment_epoch: i32,
    /// Of names, ids and partition counts of the subscribed topics: another one raises the group epoch.
    pub metadata_hash: u64,
}
