//! A group of either protocol.

use crate::engine::command::GroupChange;
use crate::group::classic::{self, ClassicGroup, StoredGroup};
use crate::group::consumer::ConsumerGroup;
use crate::group::consumer::change::Change;
use crate::group::consumer::codec::Row;
use crate::group::rebalance_reason::RebalanceReason;

/// A group: which protocol it is of may change (`crate::group::migration`).
#[derive(Debug)]
pub(super) enum Group {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

impl Default for Group {
    /// Unused: of no protocol yet.
    fn default() -> Self {
        Self::Classic(ClassicGroup::default())
    }
}

impl Group {
    /// Kafka's name of its state, which both protocols have in common as far as they have the state.
    pub fn state_name(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.state().name(),
            Self::Consumer(group) => group.state().phase().name(),
        }
    }

    /// Why a consumer group has computed targets since the last call. A classic group tells of its generations in its effects.
    pub fn take_rebalances(&mut self) -> Vec<RebalanceReason> {
        match self {
            Self::Classic(_) => Vec::new(),
            Self::Consumer(group) => group.take_rebalances(),
        }
    }

    pub fn member_count(&self) -> usize {
        match self {
            Self::Classic(group) => group.member_count(),
            Self::Consumer(group) => group.state().members.len(),
        }
    }

    /// Memory that it takes, bytes, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Classic(group) => group.bytes(),
            Self::Consumer(group) => group.state().bytes(),
        }
    }

    /// Memory that a member of it takes for which JoinGroup is; 0 if it is none.
    pub fn member_bytes(&self, member_id: &str) -> usize {
        match self {
            Self::Classic(group) => group.member_bytes(member_id),
            Self::Consumer(group) => group.state().member_bytes(member_id),
        }
    }

    /// Whether nothing would be lost without it.
    pub fn is_unused(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_unused(),
            Self::Consumer(group) => group.is_new(),
        }
    }

    /// Whether it is stable without members.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.state() == classic::State::Empty,
            Self::Consumer(group) => group.state().members.is_empty(),
        }
    }

    /// Whether it is stable without members, and nobody has been given an id to become one.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_idle(),
            Self::Consumer(_) => self.is_empty(),
        }
    }

    /// When something is due, on the monotonic clock, ms.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        match self {
            Self::Classic(group) => group.next_deadline_ms(),
            Self::Consumer(group) => group.deadlines().next().map(|at| u64::try_from(at).unwrap_or(0)),
        }
    }

    /// Whether a member may read `topic`.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Consumer(group) => group.state().subscribes(topic),
        }
    }

    /// Rows of a consumer group, to be deleted with it. A classic group has one row, which nobody has to name.
    pub fn deletions(&self) -> Vec<Row> {
        match self {
            Self::Classic(_) => Vec::new(),
            Self::Consumer(group) => group.state().deletions().iter().map(Change::row).collect(),
        }
    }
}

/// What follows a change of a group.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Of a classic group, and answers to those who speak its protocol.
    pub classic: classic::Effects,
    /// Of a consumer group, to be stored before anything is answered.
    pub rows: Vec<Row>,
    /// Whether it is of the other protocol now.
    pub moved: Moved,
}

/// From one protocol to the other.
#[derive(Debug, Default)]
pub(super) enum Moved {
    /// It stays what it is.
    #[default]
    No,
    /// It is a consumer group now; the rows are all it has.
    Upgraded,
    /// It is this classic group now, or one of which nothing is stored yet; the rows delete what was.
    Downgraded(Option<StoredGroup>),
}

impl Effects {
    /// What is to be stored of `group`; none if nothing.
    pub fn take_to_store(&mut self, group: &Group) -> Option<GroupChange> {
        let rows = std::mem::take(&mut self.rows);
        let now = match group {
            Group::Classic(group) if self.classic.store => Some(group.to_stored()),
            _ => None,
        };
        match (std::mem::take(&mut self.moved), group) {
            (Moved::Downgraded(then), _) => Some(match now.or(then) {
                Some(stored) => GroupChange::Downgrade { rows, stored },
                None => GroupChange::Forget(rows),
            }),
            (Moved::Upgraded, Group::Consumer(group)) => {
                Some(GroupChange::Upgrade { rows, retention: group.state().retention() })
            }
            (_, Group::Consumer(group)) if !rows.is_empty() => {
                let retention = rows.iter().any(Row::is_of_subscriptions).then(|| group.state().retention());
                Some(GroupChange::StoreRows { rows, retention })
            }
            _ => now.map(GroupChange::Store),
        }
    }
}
