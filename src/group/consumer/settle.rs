//! What a request of a member does to its group, whichever protocol it came by: nothing here refuses.

use std::sync::Arc;

use super::assignment::Partitions;
use super::change::Change;
use super::deadlines::Timeout;
use super::group::{Changes, ConsumerGroup};
use super::member::{CurrentAssignment, JOIN_EPOCH, MemberMetadata, MemberState};
use super::reconcile::{Surroundings, reconcile};
use super::request::Context;
use super::topics::Matching;
use crate::group::rebalance_reason::RebalanceReason;

/// Whose request it is.
pub(super) enum Subject {
    /// A member's.
    Known(Arc<str>),
    /// Somebody's who joins.
    New(Arc<str>),
    /// A static member's that comes back under another member id.
    Replacing { old: Arc<str>, new: Arc<str> },
}

impl Subject {
    pub(super) fn id(&self) -> &Arc<str> {
        match self {
            Self::Known(id) | Self::New(id) | Self::Replacing { new: id, .. } => id,
        }
    }

    /// The member whose metadata the request's go on from.
    pub(super) fn base(&self) -> Option<&Arc<str>> {
        match self {
            Self::Known(id) | Self::Replacing { old: id, .. } => Some(id),
            Self::New(_) => None,
        }
    }
}

/// What a request tells of its member.
pub(super) struct News<'a> {
    /// Its metadata, if they are others than before.
    pub metadata: Option<MemberMetadata>,
    /// A pattern that nobody used before, with its topics.
    pub resolved: Option<(String, Matching)>,
    /// What it owns.
    pub reported: Option<&'a Partitions>,
}

/// Takes the member in, has targets follow, and moves it one step towards its own. Answers whether other partitions are assigned
/// to it than before.
pub(super) fn settle(
    group: &mut ConsumerGroup,
    subject: &Subject,
    news: News<'_>,
    cx: &Context<'_>,
    changes: &mut Changes,
) -> bool {
    let id = subject.id();
    if let Subject::Replacing { old, new } = subject {
        replace(group, old, new, changes);
    }
    if let Some((regex, matching)) = news.resolved {
        group.add_regex(regex, matching, changes);
    }
    let mut subscription_changed = false;
    if let Some(metadata) = news.metadata {
        let before = group.state.members.get(id).map(|member| member.metadata.clone()).unwrap_or_default();
        subscription_changed = before.subscribed_topic_names != metadata.subscribed_topic_names
            || before.subscribed_topic_regex != metadata.subscribed_topic_regex;
        changes.make(&mut group.state, Change::Member(id.to_string(), Some(metadata)));
        if let Some(regex) = before.subscribed_topic_regex {
            group.forget_unused_regex(&regex, changes);
        }
    }
    group.refresh_regexes(cx, changes);
    let reason = match subject {
        Subject::New(_) if subscription_changed || group.is_new() => Some(RebalanceReason::Join),
        _ if subscription_changed || group.is_new() => Some(RebalanceReason::Metadata),
        _ => None,
    };
    group.update_targets(reason, cx, changes);
    let reassigned = advance(group, id, subscription_changed, news.reported, cx, changes);
    group.keep_alive(id, cx);
    reassigned
}

/// Hands everything of the static member `old` to `new`: target and partitions stay together, nobody else notices.
fn replace(group: &mut ConsumerGroup, old: &Arc<str>, new: &Arc<str>, changes: &mut Changes) {
    let Some(member) = group.state.members.get(old).cloned() else { return };
    let target = group.state.targets.get(old).cloned();
    group.drop_member(old, changes);
    // Two clients under one member id: the one that comes last is the member.
    if group.state.members.contains_key(new) {
        group.drop_member(new, changes);
    }
    changes.make(&mut group.state, Change::Member(new.to_string(), Some(member.metadata)));
    if target.is_some() {
        changes.make(&mut group.state, Change::Target(new.to_string(), target));
    }
    let current = CurrentAssignment { epoch: JOIN_EPOCH, previous_epoch: JOIN_EPOCH, ..member.current };
    changes.make(&mut group.state, Change::Current(new.to_string(), Some(current)));
}

/// One step of `id` towards its target, with the rebalance deadline that goes with it. Whether other partitions are assigned
/// to it than before.
fn advance(
    group: &mut ConsumerGroup,
    id: &Arc<str>,
    subscription_changed: bool,
    reported: Option<&Partitions>,
    cx: &Context<'_>,
    changes: &mut Changes,
) -> bool {
    let Some(member) = group.state.members.get(id) else { return false };
    let target_epoch = group.state.epochs.assignment_epoch;
    if !subscription_changed && member.current.is_reconciled_to(target_epoch) {
        return false;
    }
    let none = Partitions::new();
    let subscribed = group.subscribed_ids(member, cx.topics);
    let next = reconcile(
        &member.current,
        &Surroundings {
            target_epoch,
            target: group.state.targets.get(id).unwrap_or(&none),
            is_subscribed: &|partition| subscribed.contains(&partition.topic_id),
            is_taken: &|partition| group.state.owner(partition).is_some_and(|owner| *owner != **id),
            subscription_changed,
            reported,
        },
    );
    let Some(next) = next else { return false };
    let reassigned = !next.assigned.keys().eq(member.current.assigned.keys());
    if next.state == MemberState::UnrevokedPartitions {
        // The time runs from the first demand: what is added to an open one does not prolong it.
        let is_open = member.current.state == MemberState::UnrevokedPartitions
            && member
                .current
                .pending_revocation
                .keys()
                .any(|partition| next.pending_revocation.contains_key(partition));
        if !is_open {
            let timeout_ms = i64::from(member.metadata.rebalance_timeout_ms);
            group.deadlines.set(id, Timeout::Rebalance, cx.now_ms + timeout_ms);
        }
    } else {
        group.deadlines.clear(id, Timeout::Rebalance);
    }
    changes.make(&mut group.state, Change::Current(id.to_string(), Some(next)));
    reassigned
}
