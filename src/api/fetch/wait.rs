//! What a parked Fetch waits with: a waiter left at each of its partitions, what it knows of them, and the count of parked requests.

use std::sync::Arc;

use super::lookup::Lookup;
use crate::api::fetch_session::Fetching;
use crate::api::{Context, partition_of};
use crate::log::partition::{Partition, Waiter};
use crate::types::{IsolationLevel, Offset, PartitionId};

/// What a parked Fetch knows of one partition, so that it can tell without a read how much more there is. Kafka's `DelayedFetch`
/// compares positions in log files; here it is sums of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    id: Option<PartitionId>,
    isolation: IsolationLevel,
    /// Of the partition, below the end that the isolation level sets, before it was read.
    readable_bytes: u64,
    /// Up to which it was read.
    pub(super) end: Offset,
    /// What was read, as far as the limits allowed.
    pub(super) read_bytes: usize,
}

impl Noted {
    /// To be made before the offsets are looked up that tell what there is to read.
    pub(super) fn before_reading(partition: Option<&Partition>, isolation: IsolationLevel) -> Self {
        Self {
            id: partition.map(|partition| partition.id),
            isolation,
            readable_bytes: partition.map_or(0, |partition| readable_bytes(partition, isolation)),
            end: 0,
            read_bytes: 0,
        }
    }

    /// Bytes that may be there by now for a reader up to `end`; none if nothing is known of this partition: it is another one of
    /// the same name.
    pub(super) fn available_bytes(&self, partition: &Partition, end: Offset) -> Option<usize> {
        if self.id != Some(partition.id) {
            return None;
        }
        // For a reader of committed records nothing is new while the last stable offset stays.
        let is_moved = end > self.end;
        let readable_bytes = readable_bytes(partition, self.isolation);
        let more = if is_moved { readable_bytes.saturating_sub(self.readable_bytes) } else { 0 };
        Some(self.read_bytes.saturating_add(usize::try_from(more).unwrap_or(usize::MAX)))
    }
}

/// Bytes ever appended below the end of what may be read.
fn readable_bytes(partition: &Partition, isolation: IsolationLevel) -> u64 {
    match isolation {
        IsolationLevel::ReadUncommitted => partition.readable_bytes(),
        IsolationLevel::ReadCommitted => partition.stable_bytes(),
    }
}

/// Leaves a waiter at all partitions of the fetch. It is good for one wake-up: which partition used it up cannot be told from
/// their offsets, since they may have moved before it was left and woken after.
pub(super) fn watch(cx: &Context, fetching: &Fetching) -> Arc<Waiter> {
    let waiter = Arc::default();
    let mut topics = Lookup::new(cx);
    for (key, _) in &fetching.partitions {
        let topic = topics.topic(&key.topic);
        if let Some(partition) = topic.as_ref().and_then(|topic| partition_of(topic, key.index)) {
            partition.wake_on_change(&waiter);
        }
    }
    waiter
}

/// Counts a parked request for as long as it is parked, also when its connection drops it.
pub(super) struct Waiting;

impl Waiting {
    pub(super) fn begin() -> Self {
        metrics::gauge!(crate::metrics::FETCH_WAITING).increment(1.0);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!(crate::metrics::FETCH_WAITING).decrement(1.0);
    }
}
