//! Server-side assignors: which member should read which partition.
//!
//! Invariant: each partition of a topic with a subscriber is in the target of exactly one subscriber, and nothing else is in
//! any target.
//!
//! Neither looks at racks: einmal is one node, every rack is as near.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use super::assignment::{Partitions, TopicIdPartition};
use crate::types::{PartitionIndex, Uuid};

/// The assignors there are, under Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Equal shares, with as few moves as possible (`UniformAssignor`).
    Uniform,
    /// Neighbouring partitions of each topic, the same index of all topics to the same member (`RangeAssignor`).
    Range,
}

impl Assignor {
    /// All of them; the first is the default, as in `group.consumer.assignors`.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The one called `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Targets of `members`, in their order. `partition_counts` has every topic that is subscribed and exists.
    pub fn assign(self, members: &[Subscriber<'_>], partition_counts: &BTreeMap<Uuid, i32>) -> Vec<Partitions> {
        match self {
            Self::Uniform => uniform::assign(members, partition_counts),
            Self::Range => range::assign(members, partition_counts),
        }
    }
}

/// A member as assignors see it.
#[derive(Debug, Clone)]
pub struct Subscriber<'a> {
    /// Member id.
    pub member_id: &'a str,
    /// Instance id of a static member.
    pub instance_id: Option<&'a str>,
    /// Topics it subscribes to, existing ones alone.
    pub topics: BTreeSet<Uuid>,
    /// Its target so far.
    pub previous: &'a Partitions,
}

/// Indexes of the subscribers of each topic, ascending.
fn subscribers_by_topic(members: &[Subscriber<'_>]) -> BTreeMap<Uuid, Vec<usize>> {
    let mut subscribers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            subscribers.entry(*topic).or_default().push(index);
        }
    }
    subscribers
}

fn partition(topic_id: Uuid, partition: PartitionIndex) -> TopicIdPartition {
    TopicIdPartition { topic_id, partition }
}

#[cfg(test)]
mod tests;
