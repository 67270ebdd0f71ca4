//! What administrators see of groups.

use std::sync::Arc;

use super::{Coordinator, EngineGone};
use crate::group::classic::{DescribedMember, State};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// Empty for a group that never had members.
    pub protocol_type: String,
    /// Where it stands.
    pub state: State,
}

/// A group in full.
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

impl Coordinator {
    /// All groups, by id: those with members, and those that have but offsets.
    pub fn list(&self) -> Vec<ListedGroup> {
        let slots: Vec<_> = self.groups.iter().map(|slot| (slot.key().clone(), Arc::clone(&slot))).collect();
        let mut listed = Vec::with_capacity(slots.len());
        for (group_id, slot) in slots {
            listed.extend(slot.look(|state| ListedGroup {
                group_id,
                protocol_type: state.group.protocol_type().unwrap_or_default().to_owned(),
                state: state.group.state(),
            }));
        }
        listed.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        let mut simple = self.offsets.groups();
        simple.retain(|id| listed.binary_search_by(|listed| listed.group_id.cmp(id)).is_err());
        listed.extend(simple.into_iter().map(|group_id| ListedGroup {
            group_id,
            protocol_type: String::new(),
            state: State::Empty,
        }));
        listed.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        listed
    }

    /// A group; none if there is none of this id.
    ///
    /// # Errors
    /// [`EngineGone`].
    pub async fn describe(&self, group_id: &str) -> Result<Option<DescribedGroup>, EngineGone> {
        let changed = self.slot(group_id).and_then(|slot| {
            self.change(group_id, &slot, |state, _, _| {
                let group = &state.group;
                let protocol_name = group.protocol_name().filter(|_| group.state() == State::Stable);
                DescribedGroup {
                    protocol_type: group.protocol_type().unwrap_or_default().to_owned(),
                    protocol_name: protocol_name.unwrap_or_default().to_owned(),
                    state: group.state(),
                    members: group.described_members(),
                }
            })
        });
        if let Some((described, barrier)) = changed {
            barrier.passed().await?;
            return Ok(Some(described));
        }
        let simple = || DescribedGroup {
            protocol_type: String::new(),
            protocol_name: String::new(),
            state: State::Empty,
            members: Vec::new(),
        };
        Ok(self.offsets.is_known(group_id).then(simple))
    }
}
