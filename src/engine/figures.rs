//! What the writer measures of itself, under the names of the catalogue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::state::State;
use crate::producer::ProducerState;
use crate::transaction::TransactionState;
use crate::types::ProducerId;

/// What a producer's state takes in one partition; the table that it stands in is not counted.
const PRODUCER_STATE_BYTES: usize = size_of::<(ProducerId, ProducerState)>();

/// Time that the writer has worked. The recorder's counters are whole numbers, which of seconds would show steps.
#[derive(Debug, Default)]
pub struct Busy {
    nanoseconds: AtomicU64,
}

impl Busy {
    fn count(&self, busy: Duration) {
        self.nanoseconds.fetch_add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// All of it, since the start.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

pub(super) struct Figures {
    pub group_commands: metrics::Histogram,
    pub append_synced: metrics::Histogram,
    pub append_relaxed: metrics::Histogram,
    tail_cache_bytes: metrics::Gauge,
    message_id_bytes: metrics::Gauge,
    producer_ids: metrics::Gauge,
    producer_state_bytes: metrics::Gauge,
    transactional_ids: metrics::Gauge,
    transactions_open: metrics::Gauge,
    markers_pending: metrics::Gauge,
    group_offsets: metrics::Gauge,
    transaction_bytes: metrics::Gauge,
    transaction_states: Vec<(TransactionState, metrics::Gauge)>,
}

impl Figures {
    pub fn new() -> Self {
        Self {
            group_commands: metrics::histogram!(crate::metrics::ENGINE_GROUP_COMMANDS),
            append_synced: metrics::histogram!(crate::metrics::APPEND_DURATION_SECONDS, "durability" => "fsync"),
            append_relaxed: metrics::histogram!(crate::metrics::APPEND_DURATION_SECONDS, "durability" => "os"),
            tail_cache_bytes: metrics::gauge!(crate::metrics::TAIL_CACHE_BYTES),
            message_id_bytes: metrics::gauge!(crate::metrics::DEDUP_INDEX_BYTES),
            producer_ids: metrics::gauge!(crate::metrics::PRODUCER_IDS, "kind" => "idempotent"),
            producer_state_bytes: metrics::gauge!(crate::metrics::PRODUCER_STATE_BYTES),
            transactional_ids: metrics::gauge!(crate::metrics::PRODUCER_IDS, "kind" => "transactional"),
            transactions_open: metrics::gauge!(crate::metrics::TXN_OPEN),
            markers_pending: metrics::gauge!(crate::metrics::TXN_MARKERS_PENDING),
            group_offsets: metrics::gauge!(crate::metrics::GROUP_OFFSETS),
            transaction_bytes: metrics::gauge!(crate::metrics::TXN_BYTES),
            transaction_states: TransactionState::ALL
                .map(|state| (state, metrics::gauge!(crate::metrics::TXN_STATES, "state" => state.name())))
                .to_vec(),
        }
    }

    /// Counts time that was spent in a round, and shows what `state` holds after it.
    pub fn count_busy(&mut self, busy: Duration, state: &mut State) {
        state.busy.count(busy);
        self.tail_cache_bytes.set(state.tail_cache.bytes() as f64);
        self.message_id_bytes.set(state.message_ids.memory_bytes() as f64);
        self.group_offsets.set(state.offset_index.count() as f64);
        self.producer_ids.set(state.producer_state_count as f64);
        self.producer_state_bytes.set((state.producer_state_count * PRODUCER_STATE_BYTES) as f64);
        if let Some(totals) = state.transactions.take_figures() {
            self.transaction_bytes.set(totals.bytes as f64);
            self.transactional_ids.set(totals.ids as f64);
            self.transactions_open.set(totals.open as f64);
            self.markers_pending.set(totals.ending as f64);
            for (name, gauge) in &self.transaction_states {
                gauge.set(totals.states.get(name).copied().unwrap_or(0) as f64);
            }
        }
    }
}
