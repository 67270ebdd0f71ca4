//! Keeps what the coordinator says of groups, and what it means for their offsets.

use std::sync::Arc;

use super::command::GroupChange;
use super::commit_offsets::forget;
use super::group::Group;
use super::state::State;
use super::transactions;
use crate::group::classic::Retention;
use crate::group::consumer::codec::Row;
use crate::store::schema::{GroupConfigs, RowValue, consumer_group_key, group_configs_key, group_key};
use crate::types::{Timestamp, TopicNo};

/// Stages a change of what is stored of a group.
pub(super) fn change(state: &mut State, group: &mut Group, group_id: String, change: GroupChange) {
    match change {
        GroupChange::Store(stored) => {
            group.rows.put(group_key(&group_id), stored.encode());
            state.retentions.insert(group_id, stored.retention());
        }
        GroupChange::StoreRows { rows, retention } => {
            stage(group, &group_id, rows);
            if let Some(retention) = retention {
                state.retentions.insert(group_id, retention);
            }
        }
        GroupChange::Upgrade { rows, retention } => {
            group.rows.delete(group_key(&group_id));
            stage(group, &group_id, rows);
            state.retentions.insert(group_id, retention);
        }
        GroupChange::Downgrade { rows, stored } => {
            stage(group, &group_id, rows);
            group.rows.put(group_key(&group_id), stored.encode());
            state.retentions.insert(group_id, stored.retention());
        }
        GroupChange::Forget(rows) => {
            group.rows.delete(group_key(&group_id));
            stage(group, &group_id, rows);
            state.retentions.remove(&group_id);
        }
        GroupChange::Delete(rows) => {
            group.rows.delete(group_key(&group_id));
            stage(group, &group_id, rows);
            state.retentions.remove(&group_id);
            forget(group, state.offset_index.remove_group(&group_id));
            transactions::offsets::forget_group(state, group, &group_id);
        }
        GroupChange::Configure(configs) if configs.is_empty() => group.rows.delete(group_configs_key(&group_id)),
        GroupChange::Configure(configs) => {
            group.rows.put(group_configs_key(&group_id), GroupConfigs(configs).encode());
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

/// Rows of a consumer group.
fn stage(group: &mut Group, group_id: &str, rows: Vec<Row>) {
    for row in rows {
        let key = consumer_group_key(group_id, &row);
        match row.value {
            Some(value) => group.rows.put(key, value),
            None => group.rows.delete(key),
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
