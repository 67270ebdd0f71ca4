//! What a consumer group is, and how a change moves it.
//!
//! [`GroupState::apply`] is the only code that moves it, for a live decision and for rows read after a restart.
//!
//! Invariant: a partition has at most one owner: the member that has it assigned or has not yet confirmed its revocation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::assignment::{Partitions, TopicIdPartition};
use super::change::{Change, GroupEpochs};
use super::codec::RowInvalid;
use super::member::{CurrentAssignment, Member, MemberMetadata};
use crate::group::classic::Retention;

/// Members, epochs and targets: everything that survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupState {
    /// Epochs of the group.
    pub epochs: GroupEpochs,
    /// Members by member id.
    pub members: BTreeMap<Arc<str>, Member>,
    /// Targets by member id; none is an empty one.
    pub targets: BTreeMap<Arc<str>, Partitions>,
    /// Patterns of the members, with the topics each matched.
    pub regexes: BTreeMap<String, BTreeSet<String>>,
    /// Member ids by instance id; derived.
    static_members: HashMap<String, Arc<str>>,
    /// Who owns a partition; derived.
    owners: HashMap<TopicIdPartition, Arc<str>>,
    /// Memory that it takes; derived.
    bytes: usize,
}

/// What a member takes in memory beside its texts and partitions, bytes: map entries, deadlines, allocations.
pub const MEMBER_BYTES: usize = 768;
/// A partition in a target, or owned, with its place in the index of owners.
pub const PARTITION_BYTES: usize = 128;
/// A name in a set of names.
pub const NAME_BYTES: usize = 64;

fn bytes_of_member(id: &str, metadata: &MemberMetadata) -> usize {
    let names =
        metadata.subscribed_topic_names.len() + metadata.classic.as_ref().map_or(0, |classic| classic.protocols.len());
    MEMBER_BYTES + 4 * id.len() + metadata.text_bytes() + NAME_BYTES * names
}

fn bytes_of_current(current: &CurrentAssignment) -> usize {
    PARTITION_BYTES * (current.assigned.len() + current.pending_revocation.len())
}

fn bytes_of_regex(pattern: &str, topics: &BTreeSet<String>) -> usize {
    2 * NAME_BYTES + pattern.len() + topics.iter().map(|topic| NAME_BYTES + topic.len()).sum::<usize>()
}

/// State of a whole group, as Describe and List name it (`ConsumerGroupState` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupPhase {
    /// It has no members.
    Empty,
    /// The targets are older than the group epoch: the next heartbeat computes them.
    Assigning,
    /// Some member has not reached its target.
    Reconciling,
    /// All members have what they should.
    Stable,
}

impl GroupPhase {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

impl GroupState {
    /// The state that the rows of `changes` stand for, in any order.
    ///
    /// # Errors
    /// Rows of which no decision can have written both: a partition with two owners, or something of a member without it.
    pub fn restore(changes: impl IntoIterator<Item = Change>) -> Result<Self, RowInvalid> {
        let corrupt = |detail| Err(RowInvalid::Corrupt { detail });
        let mut state = Self::default();
        let mut members = BTreeSet::new();
        for change in changes {
            match &change {
                Change::Current(_, Some(current)) => {
                    let mut partitions = current.assigned.keys().chain(current.pending_revocation.keys());
                    if partitions.any(|partition| state.owners.contains_key(partition)) {
                        return corrupt("a partition has two owners");
                    }
                }
                Change::Member(id, Some(_)) => {
                    members.insert(id.clone());
                }
                _ => {}
            }
            state.apply(change);
        }
        let with_rows = state.members.keys().chain(state.targets.keys());
        if with_rows.into_iter().any(|id| !members.contains(&**id)) {
            return corrupt("something of a member that is not there");
        }
        Ok(state)
    }

    /// Moves the state by one change.
    ///
    /// # Panics
    /// If it gives a partition away that another member owns.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Group(epochs) => self.epochs = epochs.unwrap_or_default(),
            Change::Member(id, Some(metadata)) => {
                self.release_instance(&id);
                let id: Arc<str> = id.into();
                if let Some(instance_id) = &metadata.instance_id {
                    self.static_members.insert(instance_id.clone(), Arc::clone(&id));
                }
                self.bytes += bytes_of_member(&id, &metadata);
                let before = std::mem::replace(&mut self.member(&id).metadata, metadata);
                self.bytes -= bytes_of_member(&id, &before);
            }
            Change::Member(id, None) => {
                self.disown(&id);
                self.release_instance(&id);
                if let Some(member) = self.members.remove(id.as_str()) {
                    self.bytes -= bytes_of_member(&id, &member.metadata) + bytes_of_current(&member.current);
                }
            }
            Change::Target(id, target) => {
                let count = |target: Option<&Partitions>| PARTITION_BYTES * target.map_or(0, Partitions::len);
                self.bytes += count(target.as_ref());
                let before = match target {
                    Some(target) => self.targets.insert(id.into(), target),
                    None => self.targets.remove(id.as_str()),
                };
                self.bytes -= count(before.as_ref());
            }
            Change::Current(id, current) => {
                self.disown(&id);
                if let Some(current) = current {
                    let id: Arc<str> = id.into();
                    for partition in current.assigned.keys().chain(current.pending_revocation.keys()) {
                        let other = self.owners.insert(*partition, Arc::clone(&id));
                        assert!(other.is_none(), "{partition:?} given to {id} while {other:?} owns it");
                    }
                    self.bytes += bytes_of_current(&current);
                    let before = std::mem::replace(&mut self.member(&id).current, current);
                    self.bytes -= bytes_of_current(&before);
                } else if let Some(member) = self.members.get_mut(id.as_str()) {
                    self.bytes -= bytes_of_current(&member.current);
                    member.current = Default::default();
                }
            }
            Change::Regex(pattern, topics) => {
                let count = |topics: &BTreeSet<String>| bytes_of_regex(&pattern, topics);
                self.bytes += topics.as_ref().map_or(0, count);
                let before = self.regexes.get(&pattern).map_or(0, count);
                self.bytes -= before;
                match topics {
                    Some(topics) => self.regexes.insert(pattern, topics),
                    None => self.regexes.remove(&pattern),
                };
            }
        }
    }

    /// The member of this id; rows may come in any order, so whatever comes first makes it.
    fn member(&mut self, id: &Arc<str>) -> &mut Member {
        let bytes = &mut self.bytes;
        self.members.entry(Arc::clone(id)).or_insert_with(|| {
            *bytes += bytes_of_member(id, &MemberMetadata::default());
            Member::default()
        })
    }

    /// Memory that it takes, bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that a member takes without its partitions, bytes, about; 0 if it is none.
    pub fn member_bytes(&self, member_id: &str) -> usize {
        self.members.get(member_id).map_or(0, |member| bytes_of_member(member_id, &member.metadata))
    }

    /// Whether all members speak the classic protocol; an empty group has none.
    pub fn is_all_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.metadata.classic.is_some())
    }

    /// All rows as they stand, the changes that make this state out of nothing.
    pub fn changes(&self) -> Vec<Change> {
        let members = self.members.iter().flat_map(|(id, member)| {
            let id = id.to_string();
            let current = Change::Current(id.clone(), Some(member.current.clone()));
            [Change::Member(id, Some(member.metadata.clone())), current]
        });
        let targets = self.targets.iter().map(|(id, target)| Change::Target(id.to_string(), Some(target.clone())));
        let regexes = self.regexes.iter().map(|(regex, topics)| Change::Regex(regex.clone(), Some(topics.clone())));
        std::iter::once(Change::Group(Some(self.epochs))).chain(members).chain(targets).chain(regexes).collect()
    }

    /// Changes that delete every row, for a group that is deleted.
    pub fn deletions(&self) -> Vec<Change> {
        let delete = |change| match change {
            Change::Group(_) => Change::Group(None),
            Change::Member(id, _) => Change::Member(id, None),
            Change::Target(id, _) => Change::Target(id, None),
            Change::Current(id, _) => Change::Current(id, None),
            Change::Regex(pattern, _) => Change::Regex(pattern, None),
        };
        self.changes().into_iter().map(delete).collect()
    }

    /// Takes everything that `id` owns out of the index of owners.
    fn disown(&mut self, id: &str) {
        let Some(member) = self.members.get(id) else { return };
        for partition in member.current.assigned.keys().chain(member.current.pending_revocation.keys()) {
            self.owners.remove(partition);
        }
    }

    /// Takes the instance id of `id` out of the index of static members.
    fn release_instance(&mut self, id: &str) {
        let instance_id = self.members.get(id).and_then(|member| member.metadata.instance_id.as_ref());
        if let Some(instance_id) = instance_id
            && self.static_members.get(instance_id).is_some_and(|holder| **holder == *id)
        {
            self.static_members.remove(instance_id);
        }
    }

    /// The member that holds `instance_id`.
    pub fn static_member(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    /// The member that owns `partition`.
    pub fn owner(&self, partition: &TopicIdPartition) -> Option<&str> {
        self.owners.get(partition).map(|id| &**id)
    }

    /// Number of partitions that some member owns.
    pub fn owned_count(&self) -> usize {
        self.owners.len()
    }

    /// Names of the topics that `member` is subscribed to, by name or by pattern, whether they exist or not.
    pub fn subscribed_names<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = &'a String> {
        let regex = member.metadata.subscribed_topic_regex.as_ref();
        let matched = regex.and_then(|regex| self.regexes.get(regex));
        member.metadata.subscribed_topic_names.iter().chain(matched.into_iter().flatten())
    }

    /// Whether `member` is subscribed to the topic `name`, by name or by pattern.
    pub fn is_subscribed(&self, member: &Member, name: &str) -> bool {
        let metadata = &member.metadata;
        let matched = metadata.subscribed_topic_regex.as_ref().and_then(|regex| self.regexes.get(regex));
        metadata.subscribed_topic_names.contains(name) || matched.is_some_and(|topics| topics.contains(name))
    }

    /// Whether any member is subscribed to the topic `name`: its offsets are neither expired nor deleted then.
    pub fn subscribes(&self, name: &str) -> bool {
        self.members.values().any(|member| self.is_subscribed(member, name))
    }

    /// How long its offsets are kept: those of topics that somebody subscribes to for ever, all others by the time of their commit,
    /// whether there are members or not (`ConsumerGroup.offsetExpirationCondition`).
    pub fn retention(&self) -> Retention {
        let subscribed = self.members.values().flat_map(|member| self.subscribed_names(member));
        Retention::Subscribed(subscribed.cloned().collect())
    }

    /// How far the group as a whole has come.
    pub fn phase(&self) -> GroupPhase {
        let epochs = &self.epochs;
        let is_reconciled = |member: &Member| member.current.is_reconciled_to(epochs.assignment_epoch);
        if self.members.is_empty() {
            GroupPhase::Empty
        } else if epochs.group_epoch > epochs.assignment_epoch {
            GroupPhase::Assigning
        } else if self.members.values().all(is_reconciled) {
            GroupPhase::Stable
        } else {
            GroupPhase::Reconciling
        }
    }
}
