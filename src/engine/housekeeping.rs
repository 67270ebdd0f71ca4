//! What the writer forgets on its own account: idle producers and old message ids.

use super::group::Group;
use super::state::State;
use crate::store::schema::producer_key;
use crate::types::{PartitionId, ProducerId, Timestamp};

/// Forgets message ids whose time is over, and all of a topic that does not look at them any more, as far as one write goes; answers
/// whether more are left.
pub(super) fn expire_message_ids(state: &mut State, group: &mut Group) -> bool {
    if state.message_ids.is_empty() {
        return false;
    }
    let State { message_ids, topics, .. } = state;
    message_ids.expire(group, topics)
}

/// Forgets producers that wrote nothing for `producer.id.expiration.ms`, and the longest idle of the others while there are more
/// than `einmal.producer.ids.max`; never one with an open transaction.
pub(super) fn expire_producers(state: &mut State, group: &mut Group) {
    let expiration_ms = state.settings.producer_id_expiration_ms;
    let now = state.expiry_clock.now(expiration_ms);
    let mut doomed = Vec::new();
    for (id, producer_id, idle_since) in removable(state) {
        if now.saturating_sub(idle_since) >= expiration_ms {
            doomed.push((id, producer_id));
        }
    }
    remove(state, group, &doomed);
    let excess = state.producer_state_count.saturating_sub(state.settings.producer_ids_max);
    if excess > 0 {
        let mut oldest_first: Vec<_> = removable(state).collect();
        oldest_first.sort_unstable_by_key(|(_, _, idle_since)| *idle_since);
        // A tenth more than needed, so that this is not done for each new producer.
        let count = excess + state.settings.producer_ids_max / 10;
        let doomed: Vec<_> = oldest_first.into_iter().take(count).map(|(id, producer, _)| (id, producer)).collect();
        remove(state, group, &doomed);
    }
}

fn removable(state: &State) -> impl Iterator<Item = (PartitionId, ProducerId, Timestamp)> {
    state.logs.iter().flat_map(|(id, log)| {
        let producers = log.producers.iter().flatten();
        let closed = producers.filter(|(_, producer)| producer.open_transaction.is_none());
        closed.map(|(producer_id, producer)| (*id, *producer_id, producer.last_timestamp))
    })
}

fn remove(state: &mut State, group: &mut Group, doomed: &[(PartitionId, ProducerId)]) {
    for (id, producer_id) in doomed {
        let producers = state.logs.get_mut(id).and_then(|log| log.producers.as_mut());
        if producers.is_some_and(|producers| producers.remove(producer_id).is_some()) {
            state.producer_state_count -= 1;
            group.rows.delete(producer_key(*id, *producer_id));
            metrics::counter!(crate::metrics::PRODUCER_IDS_EXPIRED_TOTAL).increment(1);
        }
    }
}
