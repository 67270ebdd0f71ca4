//! What the writer does on its own account, a slice at a time between commands: forgets idle producers and old message ids,
//! removes the rows of deleted records and topics.

use super::group::Group;
use super::message_ids;
use super::reclaimer::{Purged, Range};
use super::state::{Dead, State};
use crate::store::schema::{
    aborted_key, aborted_prefix, compacted_key, log_range, partition_key, producer_key, producers_prefix, sparse_key,
    sparse_prefix, topic_log_range,
};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, ProducerId, Timestamp};

/// Dead things whose rows go with one write.
const DEAD_PER_SLICE: usize = 64;

/// Removes a slice of what is dead, as far as the groups up to `published` made it so: until readers know, they still read it.
/// The partition's own row goes with the rest, so that a restart in between finds what is left.
pub(super) fn purge(state: &mut State, group: &mut Group, published: u64) {
    for _ in 0..DEAD_PER_SLICE {
        if state.dead.front().is_none_or(|(written, _)| *written > published) {
            break;
        }
        let Some((_, dead)) = state.dead.pop_front() else { break };
        let partition = match dead {
            Dead::Records { partition, log_start, is_reclaimed } => {
                match remove_records(state.store.as_ref(), group, partition, log_start) {
                    // With the disk low nothing is appended, so no compaction would come by that gives their space back.
                    Ok(Some(range)) if is_reclaimed || state.disk.is_low() => group.purged.push(Purged::Records(range)),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%partition, %error, "deleted records cannot be removed"),
                }
                continue;
            }
            Dead::TopicLog(topic) => {
                let (from, to) = topic_log_range(topic);
                group.rows.delete_log_range(from, to);
                group.purged.push(Purged::Topic(topic));
                continue;
            }
            Dead::MessageIds { topic, from } => {
                match message_ids::remove_rows(state.store.as_ref(), group, topic, from) {
                    Ok(None) => {}
                    // One slice is enough for one write.
                    Ok(from) => {
                        state.dead.push_front((published, Dead::MessageIds { topic, from }));
                        break;
                    }
                    // The next start tries again.
                    Err(error) => tracing::warn!(?topic, %error, "message ids of a deleted topic cannot be removed"),
                }
                continue;
            }
            Dead::Partition(partition) => partition,
        };
        let prefixes = [producers_prefix(Some(partition)), aborted_prefix(partition), sparse_prefix(Some(partition))];
        let scanned = prefixes
            .iter()
            .try_for_each(|prefix| state.store.scan(prefix, &mut |key, _| group.rows.delete(key.to_vec())));
        match scanned {
            Ok(()) => {
                group.rows.delete(compacted_key(partition));
                group.rows.delete(partition_key(partition));
            }
            // Its own row stays, so the next start tries again. Nobody can see what is left meanwhile.
            Err(error) => tracing::warn!(%partition, %error, "rows of a deleted partition cannot be removed"),
        }
    }
}

/// Stages the removal of the batches that end below `log_start`, if there are any, and of what the sparse index and that of aborted
/// transactions say of them; answers the range. A transaction that ended below it has no records left, wherever it began.
fn remove_records(
    store: &dyn Store,
    group: &mut Group,
    partition: PartitionId,
    log_start: Offset,
) -> Result<Option<Range>, StoreError> {
    let mut found = false;
    store.scan_log(partition, 0, log_start, &mut |key| {
        found = key.last_offset() < log_start;
        false
    })?;
    if !found {
        return Ok(None);
    }
    // The batch that holds the log start stays whole.
    let mut rows_end = log_start;
    store.scan_log(partition, log_start, log_start.saturating_add(1), &mut |key| {
        rows_end = rows_end.min(key.base_offset);
        false
    })?;
    let (from, to) = log_range(partition, 0, rows_end);
    group.rows.delete_log_range(from.clone(), to.clone());
    store.scan_range(&aborted_prefix(partition), &aborted_key(partition, log_start), &mut |key, _| {
        group.rows.delete(key.to_vec());
        true
    })?;
    store.scan_range(&sparse_prefix(Some(partition)), &sparse_key(partition, log_start), &mut |key, _| {
        group.rows.delete(key.to_vec());
        true
    })?;
    Ok(Some((from, to)))
}

/// Forgets message ids whose time is over, and all of a topic that does not look at them any more, as far as one write goes; answers
/// whether more are left.
pub(super) fn expire_message_ids(state: &mut State, group: &mut Group) -> bool {
    if state.message_ids.is_empty() {
        return false;
    }
    let State { message_ids, topics, .. } = state;
    message_ids.expire(group, |topic| {
        topics.by_no.get(&topic).and_then(|topic| topic.config.dedup.as_ref()).map(|dedup| dedup.window_ms)
    })
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
