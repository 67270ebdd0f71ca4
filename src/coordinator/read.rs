//! What administrators see of groups.

use std::sync::Arc;

use super::kind::Group;
use super::{Coordinator, EngineGone};
use crate::group::classic::{ClassicGroup, DescribedMember, State};
use crate::group::consumer::assignment::Partitions;
use crate::group::consumer::member::Member;
use crate::group::consumer::{Assignor, ConsumerGroup};
use crate::group::embedded::PROTOCOL_TYPE;
use crate::group::rebalance_reason::Rebalances;

/// Types of groups, as ListGroups names them (`Group.GroupType`).
const CLASSIC: &str = "classic";
const CONSUMER: &str = "consumer";

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// Empty for a group that never had members.
    pub protocol_type: String,
    /// Kafka's name of where it stands.
    pub state: &'static str,
    /// Kafka's name of its type.
    pub group_type: &'static str,
}

/// A group of either protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// What DescribeGroups shows.
    Classic(DescribedGroup),
    /// What ConsumerGroupDescribe shows.
    Consumer(DescribedConsumerGroup),
}

/// A classic group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Empty for a group that never had members.
    pub protocol_type: String,
    /// The generation's protocol; empty unless the group is stable.
    pub protocol_name: String,
    /// Where it stands.
    pub state: State,
    /// All of them.
    pub members: Vec<DescribedMember>,
}

/// A consumer group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Kafka's name of where it stands.
    pub state: &'static str,
    /// See [`crate::group::consumer::change::GroupEpochs`].
    pub group_epoch: i32,
    /// Of the targets.
    pub assignment_epoch: i32,
    /// Who makes the targets.
    pub assignor: Assignor,
    /// By id, each with its target.
    pub members: Vec<(Arc<str>, Member, Partitions)>,
}

impl DescribedGroup {
    fn of(group: &ClassicGroup) -> Self {
        let protocol_name = group.protocol_name().filter(|_| group.state() == State::Stable);
        Self {
            protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
            protocol_name: protocol_name.unwrap_or_default().to_owned(),
            state: group.state(),
            members: group.described_members(),
        }
    }
}

/// What metrics show of a group that has or had members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFigures {
    /// Its id.
    pub group_id: String,
    /// Kafka's name of its type.
    pub group_type: &'static str,
    /// Kafka's name of where it stands.
    pub state: &'static str,
    /// How many there are.
    pub members: usize,
    /// Generations, and assignments of a consumer group, that began since the start of the broker.
    pub rebalances: Rebalances,
    /// Offsets that were not committed for it since then.
    pub refused_commits: u64,
}

fn protocol_type(group: &Group) -> &str {
    match group {
        Group::Classic(group) => group.protocol_type().unwrap_or_default(),
        Group::Consumer(_) => PROTOCOL_TYPE,
    }
}

impl Coordinator {
    /// Figures of all groups that have or had members, by id.
    pub fn figures(&self) -> Vec<GroupFigures> {
        let slots: Vec<_> = self.groups.iter().map(|slot| (slot.key().clone(), Arc::clone(&slot))).collect();
        let mut figures = Vec::with_capacity(slots.len());
        for (group_id, slot) in slots {
            figures.extend(slot.look(|state| GroupFigures {
                group_id,
                group_type: match &state.group {
                    Group::Classic(_) => CLASSIC,
                    Group::Consumer(_) => CONSUMER,
                },
                state: state.group.state_name(),
                members: state.group.member_count(),
                rebalances: state.rebalances,
                refused_commits: state.refused_commits,
            }));
        }
        figures.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        figures
    }

    /// What `of` makes of the lengths of the ids of all groups that have or had members; it need not look at all of them.
    pub fn of_ids<T>(&self, of: impl FnOnce(&mut dyn Iterator<Item = usize>) -> T) -> T {
        of(&mut self.groups.iter().map(|slot| slot.key().len()))
    }

    /// Lengths of the protocol types of all groups that have or had members.
    pub fn protocol_type_bytes(&self) -> impl Iterator<Item = usize> {
        // Who holds a group may wait for its place in the map.
        let slots: Vec<_> = self.groups.iter().map(|slot| Arc::clone(&slot)).collect();
        slots.into_iter().filter_map(|slot| slot.look(|state| protocol_type(&state.group).len()))
    }

    /// Memory of a group and its members, bytes; 0 for one that never had any.
    pub fn bytes_of(&self, group_id: &str) -> usize {
        let bytes = self.slot(group_id).and_then(|slot| slot.look(|state| state.counted_bytes));
        bytes.flatten().unwrap_or(0)
    }

    /// All groups, by id: those with members, and those that have but offsets.
    pub fn list(&self) -> Vec<ListedGroup> {
        let slots: Vec<_> = self.groups.iter().map(|slot| (slot.key().clone(), Arc::clone(&slot))).collect();
        let mut listed = Vec::with_capacity(slots.len());
        for (group_id, slot) in slots {
            listed.extend(slot.look(|state| {
                let protocol_type = protocol_type(&state.group).to_owned();
                let group_type = match &state.group {
                    Group::Classic(_) => CLASSIC,
                    Group::Consumer(_) => CONSUMER,
                };
                ListedGroup { group_id, protocol_type, state: state.group.state_name(), group_type }
            }));
        }
        listed.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        let mut simple = self.offsets.groups();
        simple.retain(|id| listed.binary_search_by(|listed| listed.group_id.cmp(id)).is_err());
        listed.extend(simple.into_iter().map(|group_id| ListedGroup {
            group_id,
            protocol_type: String::new(),
            state: State::Empty.name(),
            group_type: CLASSIC,
        }));
        listed.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        listed
    }

    /// A group; none if there is none of this id.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn describe(&self, group_id: &str) -> Result<Option<Described>, EngineGone> {
        let changed = self.slot(group_id).and_then(|slot| {
            self.change(group_id, &slot, |state, _, _| match &state.group {
                Group::Classic(group) => Described::Classic(DescribedGroup::of(group)),
                Group::Consumer(group) => Described::Consumer(self.described(group_id, group)),
            })
        });
        if let Some((described, barrier)) = changed {
            barrier.passed().await?;
            return Ok(Some(described));
        }
        let simple = || Described::Classic(DescribedGroup::of(&ClassicGroup::default()));
        Ok(self.offsets.is_known(group_id).then(simple))
    }

    fn described(&self, group_id: &str, group: &ConsumerGroup) -> DescribedConsumerGroup {
        let state = group.state();
        let target = |id: &Arc<str>| state.targets.get(id).cloned().unwrap_or_default();
        let members = state.members.iter().map(|(id, member)| (Arc::clone(id), member.clone(), target(id)));
        DescribedConsumerGroup {
            state: state.phase().name(),
            group_epoch: state.epochs.group_epoch,
            assignment_epoch: state.epochs.assignment_epoch,
            assignor: group.assignor(&self.settings_of(group_id)),
            members: members.collect(),
        }
    }
}
