//! Keeps what the coordinator says of groups, and what it means for their offsets.

use std::sync::Arc;

use super::command::GroupChange;
use super::commit_offsets::forget;
use super::group::Group;
use super::state::State;
use super::transactions;
use crate::group::classic::Retention;
use crate::store::schema::{RowValue, group_key};
use crate::types::{Timestamp, TopicNo};

/// Stages a change of what is stored of a group.
pub(super) fn change(state: &mut State, group: &mut Group, group_id: String, change: GroupChange) {
    match change {
        GroupChange::Store(stored) => {
            group.rows.put(group_key(&group_id), stored.encode());
            state.retentions.insert(group_id, stored.retention());
        }
        GroupChange::Forget => {
            group.rows.delete(group_key(&group_id));
            state.retentions.remove(&group_id);
        }
        GroupChange::Delete => {
            group.rows.delete(group_key(&group_id));
            state.retentions.remove(&group_id);
            forget(group, state.offset_index.remove_group(&group_id));
            transactions::offsets::forget_group(state, group, &group_id);
        }
        GroupChange::DeleteOffsets(partitions) => {
            for partition in &partitions {
                transactions::offsets::forget_partition(state, group, &group_id, *partition);
            }
            let group_id: Arc<str> = Arc::from(group_id);
            let known = partitions.into_iter().filter(|partition| state.offset_index.remove(&group_id, *partition));
            forget(group, known.map(|partition| (Arc::clone(&group_id), partition)).collect());
        }
    }
}

/// From when on the broker's retention counts for offsets of a group in a topic, at the earliest; none: they are kept.
pub(super) fn kept_since(state: &State, group_id: &str, topic: TopicNo) -> Option<Timestamp> {
    match state.retentions.get(group_id) {
        None => Some(Timestamp::MIN),
        Some(Retention::Since(since)) => Some(*since),
        Some(Retention::Kept) => None,
        Some(Retention::Subscribed(topics)) => {
            let name = state.topics.by_no.get(&topic).map(|topic| &topic.name);
            if name.is_some_and(|name| topics.contains(&**name)) { None } else { Some(Timestamp::MIN) }
        }
    }
}
