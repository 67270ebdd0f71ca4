//! One member of a consumer group: what it asked for, and what it has.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::assignment::OwnedPartitions;

/// Member epoch of a request that joins, or joins again.
pub const JOIN_EPOCH: i32 = 0;
/// Member epoch of a request that leaves for good.
pub const LEAVE_EPOCH: i32 = -1;
/// Member epoch of a static member that leaves and will be back, in requests and in [`CurrentAssignment::epoch`].
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// How far a member has come towards its target assignment (`MemberState` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It has the target of its epoch. Leaves this state when there is a newer target, or its subscription shrinks.
    #[default]
    Stable,
    /// It was told to give partitions up and has not confirmed it. It stays in its epoch and gets nothing new until it
    /// reports owned partitions without them; it has its rebalance timeout to do so.
    UnrevokedPartitions,
    /// It has given up everything it had to and waits for partitions that other members still own. Each heartbeat hands it
    /// those that became free.
    UnreleasedPartitions,
}

/// What a member told about itself; it changes only by what the member sends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberMetadata {
    /// `group.instance.id`; none: a dynamic member.
    pub instance_id: Option<String>,
    /// `client.rack`. Kept for Describe; assignors do not look at it.
    pub rack_id: Option<String>,
    /// `client.id` of its last heartbeat.
    pub client_id: String,
    /// Address of its last heartbeat.
    pub client_host: String,
    /// How long it may take to give partitions up, in ms; -1 was never told.
    pub rebalance_timeout_ms: i32,
    /// The assignor it prefers.
    pub server_assignor: Option<String>,
    /// Topics by name.
    pub subscribed_topic_names: BTreeSet<String>,
    /// Topics by pattern; none also where the member sent an empty one.
    pub subscribed_topic_regex: Option<String>,
    /// Set while the member speaks the classic protocol.
    pub classic: Option<ClassicMember>,
}

/// What a member brings along that speaks the classic protocol in a consumer group (`ClassicMemberMetadata` in Kafka).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicMember {
    /// Its own session timeout, ms; that of the group does not count for it.
    pub session_timeout_ms: u32,
    /// Protocols with what it says of each, most wanted first; never empty. Kept for the way back to a classic group.
    pub protocols: Vec<(String, Bytes)>,
}

impl MemberMetadata {
    /// Bytes of its texts, which is what a peer can make grow.
    pub(super) fn text_bytes(&self) -> usize {
        let classic = self.classic.iter().flat_map(|classic| &classic.protocols);
        let optional = [&self.instance_id, &self.rack_id, &self.server_assignor, &self.subscribed_topic_regex];
        let names = self.subscribed_topic_names.iter();
        self.client_id.len()
            + self.client_host.len()
            + optional.into_iter().flatten().chain(names).map(String::len).sum::<usize>()
            + classic.map(|(name, metadata)| name.len() + metadata.len()).sum::<usize>()
    }
}

/// What a member has (`ConsumerGroupCurrentMemberAssignment` in Kafka). The default is that of a member before its first
/// reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentAssignment {
    /// How far it has come.
    pub state: MemberState,
    /// Its epoch: that of the target it has reached; 0 new, [`LEAVE_STATIC_EPOCH`] gone for a while.
    pub epoch: i32,
    /// The epoch before: a member that did not get the answer with the newer one still comes with it.
    pub previous_epoch: i32,
    /// Partitions it may read.
    pub assigned: OwnedPartitions,
    /// Partitions it must give up, and owns until it says it has.
    pub pending_revocation: OwnedPartitions,
}

impl CurrentAssignment {
    /// Whether nothing is left to do to reach the target of `target_epoch`.
    pub fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// What it asked for.
    pub metadata: MemberMetadata,
    /// What it has.
    pub current: CurrentAssignment,
}
