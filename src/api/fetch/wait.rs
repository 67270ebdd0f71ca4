//! What a parked Fetch waits with: a waiter left at each of its partitions, and the count of parked requests.

use std::sync::Arc;

use super::lookup::Lookup;
use crate::api::fetch_session::Fetching;
use crate::api::{Context, partition_of};
use crate::log::partition::Waiter;

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
