//! A consumer group: its state, its deadlines, and what it last saw of the topics.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::assignment::Partitions;
use super::assignor::{Assignor, Subscriber};
use super::change::{Change, GroupEpochs};
use super::codec::Row;
use super::deadlines::{Deadlines, Timeout};
use super::member::{Member, MemberMetadata, MemberState};
use super::regex::REGEX_PATTERN_BYTES_MAX;
use super::request::{Context, HeartbeatAnswer, HeartbeatRequest, Settings};
use super::state::{GroupState, MEMBER_BYTES, NAME_BYTES, PARTITION_BYTES};
use super::topics::{Matching, TopicsImage, metadata_hash};
use crate::group::rebalance_reason::RebalanceReason;
use crate::types::Uuid;

/// Patterns are matched against new topics no more often than this, however many topics are created. Kafka waits 10 s.
pub const REGEX_REFRESH_INTERVAL_MS: i64 = 1000;

/// Most patterns of one group. Kafka has no limit. A constant and no setting: the members of a group share one subscription, or two while
/// it is changed, and each pattern is matched against all topics whenever one is created.
pub const REGEXES_PER_GROUP_MAX: usize = 16;
/// Most bytes of them together; no more than half of the patterns at their longest.
pub const REGEXES_PER_GROUP_BYTES_MAX: usize = REGEXES_PER_GROUP_MAX / 2 * REGEX_PATTERN_BYTES_MAX;

/// One consumer group.
///
/// It moves only by [`super::heartbeat`] and [`ConsumerGroup::expire`], and both return all rows that a restart needs to find
/// the same [`GroupState`] again.
#[derive(Debug, Default)]
pub struct ConsumerGroup {
    pub(super) state: GroupState,
    pub(super) deadlines: Deadlines,
    /// Version of the topics for which the metadata hash was last computed.
    topics_seen: Option<u64>,
    /// Version of the topics against which the patterns were last matched, and when.
    regexes_seen: Option<(u64, i64)>,
    /// What made the targets old, first.
    reason: Option<RebalanceReason>,
    /// Why targets were computed, since this was last asked for.
    rebalances: Vec<RebalanceReason>,
}

/// What a decision returns: state has moved, and this remains to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// To be committed before the answer leaves, in this order. Empty for a heartbeat that changed nothing.
    pub rows: Vec<Row>,
    /// The answer.
    pub answer: HeartbeatAnswer,
}

/// A member that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Who.
    pub member_id: Arc<str>,
    /// Why.
    pub timeout: Timeout,
    /// To be committed.
    pub rows: Vec<Row>,
}

impl ConsumerGroup {
    /// The group that `state` stands for, after a start at `now_ms`: every member has its full session and rebalance timeout.
    pub fn restored(state: GroupState, settings: &Settings, now_ms: i64) -> Self {
        let mut deadlines = Deadlines::default();
        for (id, member) in &state.members {
            deadlines.set(id, Timeout::Session, now_ms + session_timeout_ms(member, settings));
            if member.current.state == MemberState::UnrevokedPartitions {
                deadlines.set(id, Timeout::Rebalance, now_ms + i64::from(member.metadata.rebalance_timeout_ms));
            }
        }
        Self { state, deadlines, ..Self::default() }
    }

    /// Its state, for Describe and for all who only read.
    pub fn state(&self) -> &GroupState {
        &self.state
    }

    /// Sets the epochs from which a group that was taken over goes on, its targets being what its members have.
    pub(in crate::group) fn begin(&mut self, epochs: GroupEpochs, topics: &dyn TopicsImage) {
        let metadata_hash = self.metadata_hash(topics);
        self.state.apply(Change::Group(Some(GroupEpochs { metadata_hash, ..epochs })));
        self.topics_seen = Some(topics.version());
    }

    /// Whether nobody ever joined: it need not be kept.
    pub fn is_new(&self) -> bool {
        self.state.epochs.group_epoch == 0
    }

    /// Whether `member_id` is a member in its current epoch.
    pub fn has_member(&self, member_id: &str, epoch: i32) -> bool {
        self.state.members.get(member_id).is_some_and(|member| member.current.epoch == epoch)
    }

    /// Why targets were computed since the last call, each time for itself.
    pub fn take_rebalances(&mut self) -> Vec<RebalanceReason> {
        std::mem::take(&mut self.rebalances)
    }

    /// What made the targets old; none: they are of now, or of before a start.
    pub fn pending_reason(&self) -> Option<RebalanceReason> {
        self.reason
    }

    /// Deadlines of its members.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// How much more memory a heartbeat may have the group take, bytes, about: what the member tells, and what it may be given that
    /// nobody has yet.
    pub fn growth(&self, request: &HeartbeatRequest, topics: &dyn TopicsImage) -> usize {
        let names = request.subscribed_topic_names.iter().flatten();
        let texts = names.clone().map(|name| NAME_BYTES + name.len()).sum::<usize>();
        let optional = [&request.instance_id, &request.rack_id, &request.subscribed_topic_regex];
        let texts = texts + optional.into_iter().flatten().map(String::len).sum::<usize>();
        let holder = || self.state.members.get(self.state.static_member(request.instance_id.as_deref()?)?);
        // Also one that is back under its instance id. It is not charged for partitions, which it may be given without asking: refused,
        // its client would give up for good.
        if let Some(member) = self.state.members.get(request.member_id.as_str()).or_else(holder) {
            return texts.saturating_sub(bytes_of_texts(&member.metadata));
        }
        let has_regex = request.subscribed_topic_regex.as_ref().is_some_and(|regex| !regex.is_empty());
        let names: Box<dyn Iterator<Item = &str>> =
            if has_regex { topics.names() } else { Box::new(names.map(String::as_str)) };
        let partitions =
            names.filter_map(|name| topics.topic(name)).map(|topic| topic.partitions.unsigned_abs() as usize);
        // In a target, and owned.
        MEMBER_BYTES + texts + 2 * PARTITION_BYTES * partitions.sum::<usize>().saturating_sub(self.state.owned_count())
    }

    /// Gives up one member whose deadline has passed; none: no more for now. [`Deadlines::next`] tells when to ask again.
    pub fn expire(&mut self, cx: &Context<'_>) -> Option<Expired> {
        let (member_id, timeout) = self.deadlines.due(cx.now_ms).map(|(id, timeout)| (Arc::clone(id), timeout))?;
        let mut changes = Changes::default();
        let reason = match timeout {
            Timeout::Session => RebalanceReason::SessionTimeout,
            Timeout::Rebalance | Timeout::Join | Timeout::Sync => RebalanceReason::RebalanceTimeout,
        };
        self.remove_member(&member_id, reason, cx.topics, &mut changes);
        Some(Expired { member_id, timeout, rows: changes.rows() })
    }

    /// The assignor that most members prefer, else the default; the one configured first among equals.
    pub fn assignor(&self, settings: &Settings) -> Assignor {
        let votes = |assignor: &Assignor| {
            let prefers = |member: &&Member| member.metadata.server_assignor.as_deref() == Some(assignor.name());
            self.state.members.values().filter(prefers).count()
        };
        // The last of equal maxima wins, so they are walked backwards.
        settings.assignors.iter().copied().rev().max_by_key(votes).unwrap_or(Assignor::Uniform)
    }

    /// Takes `id` out for good. What it had is free at once; the others' targets follow with the next heartbeat.
    pub(super) fn remove_member(
        &mut self,
        id: &Arc<str>,
        reason: RebalanceReason,
        topics: &dyn TopicsImage,
        changes: &mut Changes,
    ) {
        self.reason.get_or_insert(reason);
        let regex = self.state.members.get(id).and_then(|member| member.metadata.subscribed_topic_regex.clone());
        self.drop_member(id, changes);
        if let Some(regex) = regex {
            self.forget_unused_regex(&regex, changes);
        }
        let mut epochs = self.state.epochs;
        epochs.group_epoch += 1;
        epochs.metadata_hash = self.metadata_hash(topics);
        changes.make(&mut self.state, Change::Group(Some(epochs)));
    }

    /// The member's session begins anew.
    pub(super) fn keep_alive(&mut self, id: &Arc<str>, cx: &Context<'_>) {
        if let Some(member) = self.state.members.get(id) {
            self.deadlines.set(id, Timeout::Session, cx.now_ms + session_timeout_ms(member, cx.settings));
        }
    }

    /// Deletes the rows of `id`.
    pub(super) fn drop_member(&mut self, id: &Arc<str>, changes: &mut Changes) {
        changes.make(&mut self.state, Change::Current(id.to_string(), None));
        changes.make(&mut self.state, Change::Target(id.to_string(), None));
        changes.make(&mut self.state, Change::Member(id.to_string(), None));
        self.deadlines.forget(id);
    }

    /// Deletes what `regex` matched if no member uses it any more.
    pub(super) fn forget_unused_regex(&mut self, regex: &str, changes: &mut Changes) {
        let uses = |member: &Member| member.metadata.subscribed_topic_regex.as_deref() == Some(regex);
        if self.state.regexes.contains_key(regex) && !self.state.members.values().any(uses) {
            changes.make(&mut self.state, Change::Regex(regex.to_owned(), None));
        }
    }

    /// Takes in a pattern that nobody used before.
    pub(super) fn add_regex(&mut self, regex: String, matching: Matching, changes: &mut Changes) {
        // It may have been matched before the others were: topics that came between are still to be seen.
        if let Some((seen, _)) = &mut self.regexes_seen {
            *seen = (*seen).min(matching.version);
        }
        changes.make(&mut self.state, Change::Regex(regex, Some(matching.names)));
    }

    /// The patterns, if they are to be matched anew: topics have changed and the last time is long enough ago.
    pub fn stale_regexes(&self, cx: &Context<'_>) -> Vec<String> {
        let is_due = self
            .regexes_seen
            .is_none_or(|(seen, at)| seen != cx.topics.version() && cx.now_ms >= at + REGEX_REFRESH_INTERVAL_MS);
        if is_due { self.state.regexes.keys().cloned().collect() } else { Vec::new() }
    }

    /// Whether all who are not `replaced` and one who comes with `regex` stay within the limits for patterns.
    pub(super) fn has_room_for_regex(&self, regex: &str, replaced: Option<&Arc<str>>) -> bool {
        if self.state.regexes.len() < REGEXES_PER_GROUP_MAX / 2 {
            // Also all of them together are short enough.
            return true;
        }
        let others = self.state.members.iter().filter(|(id, _)| Some(*id) != replaced);
        let mut regexes: HashSet<&str> =
            others.filter_map(|(_, member)| member.metadata.subscribed_topic_regex.as_deref()).collect();
        regexes.insert(regex);
        regexes.len() <= REGEXES_PER_GROUP_MAX
            && regexes.iter().map(|regex| regex.len()).sum::<usize>() <= REGEXES_PER_GROUP_BYTES_MAX
    }

    /// Matches all patterns anew if that is due and what they match can be told now.
    pub(super) fn refresh_regexes(&mut self, cx: &Context<'_>, changes: &mut Changes) {
        let stale = self.stale_regexes(cx);
        if stale.is_empty() {
            return;
        }
        let mut oldest = cx.topics.version();
        let mut changed = Vec::new();
        for regex in stale {
            match cx.topics.matching(&regex) {
                None => return,
                // What compiled once compiles again, but with another version of the program perhaps not: it keeps its topics.
                Some(Err(_)) => {}
                Some(Ok(matching)) => {
                    oldest = oldest.min(matching.version);
                    if self.state.regexes.get(&regex) != Some(&matching.names) {
                        changed.push((regex, matching.names));
                    }
                }
            }
        }
        self.regexes_seen = Some((oldest, cx.now_ms));
        for (regex, topics) in changed {
            changes.make(&mut self.state, Change::Regex(regex, Some(topics)));
            // Other topics are subscribed than when the hash was last computed.
            self.topics_seen = None;
        }
    }

    /// Raises the group epoch for a reason that is given or if the subscribed topics are not what they were, then computes targets if they
    /// are older than it (`TargetAssignmentBuilder`).
    pub(super) fn update_targets(&mut self, reason: Option<RebalanceReason>, cx: &Context<'_>, changes: &mut Changes) {
        let mut epochs = self.state.epochs;
        let version = cx.topics.version();
        if reason.is_some() || self.topics_seen != Some(version) {
            self.topics_seen = Some(version);
            let hash = self.metadata_hash(cx.topics);
            if reason.is_some() || hash != epochs.metadata_hash {
                self.reason.get_or_insert(reason.unwrap_or(RebalanceReason::Metadata));
                epochs.group_epoch += 1;
                epochs.metadata_hash = hash;
            }
        }
        if epochs.group_epoch > epochs.assignment_epoch {
            epochs.assignment_epoch = epochs.group_epoch;
            // A group whose targets were old when the broker started has no reason any more: a member had gone.
            self.rebalances.push(self.reason.take().unwrap_or(RebalanceReason::Leave));
            for (id, target) in self.new_targets(cx) {
                changes.make(&mut self.state, Change::Target(id, Some(target)));
            }
        }
        if epochs != self.state.epochs {
            changes.make(&mut self.state, Change::Group(Some(epochs)));
        }
    }

    /// Targets that differ from those so far.
    fn new_targets(&self, cx: &Context<'_>) -> Vec<(String, Partitions)> {
        let none = Partitions::new();
        let mut partition_counts = BTreeMap::new();
        let subscriber = |(id, member)| {
            let member: &Member = member;
            let id: &Arc<str> = id;
            Subscriber {
                member_id: id,
                instance_id: member.metadata.instance_id.as_deref(),
                topics: self.subscribed_ids(member, cx.topics),
                previous: self.state.targets.get(id).unwrap_or(&none),
            }
        };
        let members: Vec<Subscriber<'_>> = self.state.members.iter().map(subscriber).collect();
        for name in self.subscribed_names() {
            if let Some(topic) = cx.topics.topic(name) {
                partition_counts.insert(topic.id, topic.partitions);
            }
        }
        let targets = self.assignor(cx.settings).assign(&members, &partition_counts);
        // A member without a row has an empty target, and needs none.
        let changed = members.iter().zip(targets).filter(|(member, target)| member.previous != target);
        changed.map(|(member, target)| (member.member_id.to_owned(), target)).collect()
    }

    /// Ids of the topics that `member` subscribes to and that exist.
    pub(super) fn subscribed_ids(&self, member: &Member, topics: &dyn TopicsImage) -> BTreeSet<Uuid> {
        self.state.subscribed_names(member).filter_map(|name| topics.topic(name)).map(|topic| topic.id).collect()
    }

    fn subscribed_names(&self) -> BTreeSet<&str> {
        self.state.members.values().flat_map(|member| self.state.subscribed_names(member)).map(String::as_str).collect()
    }

    pub(super) fn metadata_hash(&self, topics: &dyn TopicsImage) -> u64 {
        metadata_hash(&self.subscribed_names(), topics)
    }
}

fn bytes_of_texts(metadata: &MemberMetadata) -> usize {
    metadata.text_bytes() + NAME_BYTES * metadata.subscribed_topic_names.len()
}

fn session_timeout_ms(member: &Member, settings: &Settings) -> i64 {
    let own = member.metadata.classic.as_ref().map(|classic| i64::from(classic.session_timeout_ms));
    own.unwrap_or(i64::from(settings.session_timeout_ms))
}

/// Changes of one decision, each applied as it is made.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

impl Changes {
    pub(super) fn make(&mut self, state: &mut GroupState, change: Change) {
        state.apply(change.clone());
        self.0.push(change);
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        self.0.iter().map(Change::row).collect()
    }
}
