//! One step of a member towards its target: give up first, then take what is free.
//!
//! Mirrors `CurrentAssignmentBuilder` of Kafka 4.3.
//!
//! Invariant: the result owns nothing that another member owns, if that held before.
//! Invariant: a partition leaves a member's ownership only once the member reported to own it no more.

use super::assignment::{OwnedPartitions, Partitions, TopicIdPartition};
use super::member::{CurrentAssignment, MemberState};

/// What a step depends on besides the member's own state.
pub struct Surroundings<'a> {
    /// Epoch of the target.
    pub target_epoch: i32,
    /// What the member should have.
    pub target: &'a Partitions,
    /// Whether the member's subscription covers a partition's topic, and the topic exists.
    pub is_subscribed: &'a dyn Fn(&TopicIdPartition) -> bool,
    /// Whether *another* member owns a partition.
    pub is_taken: &'a dyn Fn(&TopicIdPartition) -> bool,
    /// Whether this heartbeat changed the subscription.
    pub subscription_changed: bool,
    /// What the member reports to own; none: the same as in its last report, so nothing is given up by it.
    pub reported: Option<&'a Partitions>,
}

/// The member's state after the step; none: nothing changes.
pub fn reconcile(current: &CurrentAssignment, around: &Surroundings<'_>) -> Option<CurrentAssignment> {
    let next = match current.state {
        MemberState::Stable if current.epoch != around.target_epoch => step(current, around),
        MemberState::Stable if around.subscription_changed => shrink(current, around)?,
        MemberState::Stable => return None,
        MemberState::UnrevokedPartitions if still_owns(&current.pending_revocation, around) => {
            if !around.subscription_changed {
                return None;
            }
            shrink(current, around)?
        }
        MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => step(current, around),
    };
    (next != *current).then_some(next)
}

/// Whether the member owns any of `partitions`, as far as it told: it does until it reports without them.
fn still_owns(partitions: &OwnedPartitions, around: &Surroundings<'_>) -> bool {
    around.reported.is_none_or(|reported| partitions.keys().any(|partition| reported.contains(partition)))
}

/// Towards the newest target.
fn step(current: &CurrentAssignment, around: &Surroundings<'_>) -> CurrentAssignment {
    // A topic that is not subscribed any more counts as not in the target, also where the target is older than that.
    let wanted = |partition: &TopicIdPartition| around.target.contains(partition) && (around.is_subscribed)(partition);
    let (mut assigned, revoked): (OwnedPartitions, OwnedPartitions) =
        copied(&current.assigned).partition(|(partition, _)| wanted(partition));
    if !revoked.is_empty() && still_owns(&revoked, around) {
        return CurrentAssignment {
            state: MemberState::UnrevokedPartitions,
            epoch: current.epoch,
            previous_epoch: current.epoch,
            assigned,
            pending_revocation: revoked,
        };
    }
    let mut waits = false;
    for partition in around.target.iter().filter(|partition| (around.is_subscribed)(partition)) {
        if assigned.contains_key(partition) {
            continue;
        }
        if (around.is_taken)(partition) {
            waits = true;
        } else {
            assigned.insert(*partition, around.target_epoch);
        }
    }
    CurrentAssignment {
        state: if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable },
        epoch: around.target_epoch,
        previous_epoch: current.epoch,
        assigned,
        pending_revocation: OwnedPartitions::new(),
    }
}

fn copied(partitions: &OwnedPartitions) -> impl Iterator<Item = (TopicIdPartition, i32)> {
    partitions.iter().map(|(partition, epoch)| (*partition, *epoch))
}

/// Within the epoch: what is not subscribed any more goes. None: there is nothing of the kind.
fn shrink(current: &CurrentAssignment, around: &Surroundings<'_>) -> Option<CurrentAssignment> {
    let (assigned, unsubscribed): (OwnedPartitions, OwnedPartitions) =
        copied(&current.assigned).partition(|(partition, _)| (around.is_subscribed)(partition));
    if unsubscribed.is_empty() {
        return None;
    }
    let mut pending_revocation = current.pending_revocation.clone();
    pending_revocation.extend(unsubscribed);
    let mut next = CurrentAssignment { previous_epoch: current.epoch, assigned, ..current.clone() };
    if still_owns(&pending_revocation, around) {
        next.state = MemberState::UnrevokedPartitions;
        next.pending_revocation = pending_revocation;
    }
    Some(next)
}
