//! From a classic group to a consumer group and back, while its members read on (KIP-848, online migration).
//!
//! A group becomes a consumer group with the first member of the new protocol, and a classic one again when the last of them has
//! gone and others are left. Generation and group epoch are the same count, and everybody keeps what it reads, so that members notice
//! but a rebalance.
//!
//! Mirrors `ConsumerGroup.fromClassicGroup` and `ClassicGroup.fromConsumerGroup`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classic::{ClassicGroup, Now, StoredGroup, StoredMember};
use super::consumer::assignment::OwnedPartitions;
use super::consumer::change::{Change, GroupEpochs};
use super::consumer::classic::{assignment_of, ids_of, version_of};
use super::consumer::member::{ClassicMember, CurrentAssignment, MemberMetadata, MemberState};
use super::consumer::topics::TopicsImage;
use super::consumer::{ConsumerGroup, Context, GroupState};
use super::embedded::{Assignment, PROTOCOL_TYPE, Subscription};

/// Which ways are open: `group.consumer.migration.policy` (`ConsumerGroupMigrationPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    /// None.
    Disabled,
    /// To consumer groups.
    Upgrade,
    /// To classic groups.
    Downgrade,
    /// Both.
    #[default]
    Bidirectional,
}

impl MigrationPolicy {
    /// The one called `name`, in any case; none if there is none.
    pub fn of_name(name: &str) -> Option<Self> {
        let named = [
            ("disabled", Self::Disabled),
            ("upgrade", Self::Upgrade),
            ("downgrade", Self::Downgrade),
            ("bidirectional", Self::Bidirectional),
        ];
        named.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, policy)| policy)
    }

    /// Whether classic groups may become consumer groups.
    pub fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether consumer groups may become classic groups.
    pub fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// Why a classic group stays one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotUpgradable {
    /// Its members are of another type, Connect's for example.
    #[error("its members are not consumers")]
    ProtocolType,
    /// It has more members than a consumer group may have.
    #[error("it has more members than group.consumer.max.size")]
    TooLarge,
    /// What the members say cannot be read.
    #[error("the embedded consumer protocol is malformed")]
    Malformed,
    /// Its assignor keeps data between the members, which would be lost.
    #[error("an unsupported custom assignor is in use")]
    CustomAssignor,
}

/// The consumer group that goes on with the members of a classic one.
///
/// # Errors
/// [`NotUpgradable`].
pub fn upgraded(classic: &ClassicGroup, cx: &Context<'_>) -> Result<ConsumerGroup, NotUpgradable> {
    if classic.protocol_type() != Some(PROTOCOL_TYPE) {
        return Err(NotUpgradable::ProtocolType);
    }
    if classic.member_count() > cx.settings.max_size {
        return Err(NotUpgradable::TooLarge);
    }
    let classic = classic.to_stored();
    let generation = classic.generation_id;
    let mut state = GroupState::default();
    let mut taken = BTreeSet::new();
    for member in &classic.members {
        let metadata = metadata_of(member)?;
        let assignment = Assignment::read(&member.assignment).map_err(|_| NotUpgradable::Malformed)?;
        if assignment.has_user_data {
            return Err(NotUpgradable::CustomAssignor);
        }
        // A client may have assigned what it liked: what two claim stays with the first, and the other one is told so.
        let mut own = ids_of(&assignment.partitions, cx.topics);
        own.retain(|partition| taken.insert(*partition));
        let assigned: OwnedPartitions = own.iter().map(|partition| (*partition, generation)).collect();
        let current = CurrentAssignment {
            state: MemberState::Stable,
            epoch: generation,
            previous_epoch: generation,
            assigned,
            pending_revocation: OwnedPartitions::new(),
        };
        let id = member.member_id.to_string();
        state.apply(Change::Member(id.clone(), Some(metadata)));
        state.apply(Change::Target(id.clone(), Some(own)));
        state.apply(Change::Current(id, Some(current)));
    }
    let mut group = ConsumerGroup::restored(state, cx.settings, cx.now_ms);
    group.begin(GroupEpochs { group_epoch: generation, assignment_epoch: generation, metadata_hash: 0 }, cx.topics);
    Ok(group)
}

fn metadata_of(member: &StoredMember) -> Result<MemberMetadata, NotUpgradable> {
    let (_, metadata) = member.protocols.first().ok_or(NotUpgradable::Malformed)?;
    let subscription = Subscription::read(metadata).map_err(|_| NotUpgradable::Malformed)?;
    Ok(MemberMetadata {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: i32::try_from(member.rebalance_timeout_ms).unwrap_or(i32::MAX),
        server_assignor: None,
        subscribed_topic_names: subscription.topics.into_iter().collect(),
        subscribed_topic_regex: None,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    })
}

/// The classic group that goes on with the members of a consumer group, all of which speak its protocol. Its generation is the
/// epoch of the last targets, which is that of all members unless a rebalance is under way.
///
/// # Panics
/// If a member does not.
pub fn downgraded(group: &ConsumerGroup, topics: &dyn TopicsImage, now: Now) -> ClassicGroup {
    let state = group.state();
    assert!(state.is_all_classic(), "a group goes back once nobody speaks the new protocol");
    let members = state.members.iter().filter_map(|(id, member)| {
        let classic = member.metadata.classic.as_ref()?;
        let version = classic.protocols.first().map_or(0, |(_, metadata)| version_of(metadata));
        Some(StoredMember {
            member_id: Arc::clone(id),
            instance_id: member.metadata.instance_id.clone(),
            client_id: member.metadata.client_id.clone(),
            client_host: member.metadata.client_host.clone(),
            session_timeout_ms: classic.session_timeout_ms,
            rebalance_timeout_ms: member.metadata.rebalance_timeout_ms.unsigned_abs(),
            protocols: classic.protocols.clone(),
            assignment: assignment_of(member, topics).write(version),
        })
    });
    let stored = StoredGroup {
        generation_id: state.epochs.assignment_epoch,
        protocol_type: Some(PROTOCOL_TYPE.to_owned()),
        protocol_name: None,
        leader: None,
        is_completing: false,
        since: now.wall,
        members: members.collect(),
    };
    ClassicGroup::taken_over(now, stored)
}

#[cfg(test)]
#[path = "migration_tests.rs"]
mod tests;
