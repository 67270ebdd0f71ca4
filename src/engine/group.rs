//! One commit group: the rows of all commands decided together, and what follows once they are written or synced.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::dead::Dead;
use super::message_ids::Moved;
use super::mutant::Mutant;
use super::offset_index::Committed;
use super::reclaimer::Purged;
use super::state::State;
use crate::log::catalog::{Catalog, Topics};
use crate::log::offsets::{CommittedOffset, CommittedOffsets};
use crate::log::partition::{Partition, Readable};
use crate::store::Rows;
use crate::store::schema::{RowValue, partition_key, producer_key, transaction_key};
use crate::types::{Offset, PartitionId, ProducerId};

/// Tells a caller the outcome.
pub(super) type Answer = Box<dyn FnOnce() + Send>;

/// A change of what readers see.
pub(super) enum Effect {
    /// New end of the readable log.
    Readable { partition: Arc<Partition>, readable: Readable },
    /// New start of the log.
    LogStart { partition: Arc<Partition>, log_start: Offset, start_bytes: u64 },
    /// Batches below an offset that have been replaced.
    Compacted { partition: Arc<Partition>, compacted_to: Offset, start_bytes: u64 },
    /// Rows of indexes that have been removed beside batches that have been replaced.
    Unindexed { partition: Arc<Partition> },
    /// New set of topics.
    Topics(Arc<Topics>),
    /// A topic that is gone.
    Deleted { partitions: Vec<Arc<Partition>> },
    /// Progress of a group.
    Committed { group: String, committed: Vec<(PartitionId, CommittedOffset)> },
    /// Progress that an open transaction will make.
    Pending { group: Arc<str>, partitions: Vec<PartitionId> },
    /// The end of what was pending: all that was committed of it, and what is pending no more.
    Settled { group: Arc<str>, committed: Vec<(PartitionId, CommittedOffset)>, settled: Vec<PartitionId> },
    /// Progress that has expired, or was made in a topic that is gone.
    Forgotten { offsets: Vec<Committed> },
}

impl Effect {
    /// Shows it to readers.
    pub fn publish(self, catalog: &Catalog, offsets: &CommittedOffsets) {
        match self {
            Self::Readable { partition, readable } => partition.publish_readable(readable),
            Self::LogStart { partition, log_start, start_bytes } => partition.publish_log_start(log_start, start_bytes),
            Self::Compacted { partition, compacted_to, start_bytes } => {
                partition.publish_compacted(compacted_to, start_bytes);
            }
            Self::Unindexed { partition } => partition.publish_removal(),
            Self::Topics(topics) => catalog.publish(topics),
            Self::Deleted { partitions } => partitions.iter().for_each(|partition| partition.publish_deleted()),
            Self::Committed { group, committed } => offsets.publish(&group, committed),
            Self::Pending { group, partitions } => offsets.publish_pending(&group, &partitions),
            Self::Settled { group, committed, settled } => offsets.publish_settled(&group, committed, &settled),
            Self::Forgotten { offsets: forgotten } => offsets.publish_forgotten(&forgotten),
        }
    }
}

/// What follows a write, in order: effects first, then answers.
#[derive(Default)]
pub(super) struct Consequences {
    pub effects: Vec<Effect>,
    pub answers: Vec<Answer>,
}

impl Consequences {
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.answers.is_empty()
    }

    /// Shows the effects to readers, then tells the callers.
    // A function of its own: `scripts/instructions` finds it by its name.
    #[inline(never)]
    pub fn run(self, catalog: &Catalog, offsets: &CommittedOffsets) {
        self.effects.into_iter().for_each(|effect| effect.publish(catalog, offsets));
        self.answers.into_iter().for_each(|answer| answer());
    }
}

/// A group that is being decided.
#[derive(Default)]
pub(super) struct Group {
    pub rows: Rows,
    /// Partitions whose row changed. Ordered, so that equal commands make equal writes.
    pub partitions: BTreeSet<PartitionId>,
    /// Those of them with new batches.
    pub appended: BTreeSet<PartitionId>,
    /// Those with markers.
    pub ended: BTreeSet<PartitionId>,
    /// Those whose epoch history grew.
    pub epochs: HashSet<PartitionId>,
    pub producers: BTreeSet<(PartitionId, ProducerId)>,
    /// Transactional ids that moved.
    pub transactions: BTreeSet<Arc<str>>,
    /// Versions of keys that the group moves.
    pub versions: Moved,
    pub topics_changed: bool,
    /// What the group makes dead. Its rows go with a later write, once readers know.
    pub dead: Vec<Dead>,
    /// Log rows that the group removes and whose space is to be reclaimed.
    pub purged: Vec<Purged>,
    /// Once written.
    pub when_written: Consequences,
    /// Once synced.
    pub when_synced: Consequences,
    /// A relaxed topic has reached its `flush.messages`.
    pub flush_due: bool,
    /// The shortest `flush.ms` of the relaxed topics written to.
    pub flush_within_ms: Option<i64>,
}

impl Group {
    /// Stages the rows that are written once per group, however many commands touched them.
    pub fn seal(&mut self, state: &State) {
        for (partition, producer_id) in &self.producers {
            let producers = state.logs.get(partition).and_then(|log| log.producers.as_ref());
            // Deleted within the same group: nothing to keep.
            if let Some(producer) = producers.and_then(|producers| producers.get(producer_id)) {
                self.rows.put(producer_key(*partition, *producer_id), producer.encode());
            }
        }
        for id in &self.transactions {
            match state.transactions.get(id) {
                Some(metadata) => self.rows.put(transaction_key(id), metadata.encode()),
                None => self.rows.delete(transaction_key(id)),
            }
        }
        for partition in &self.partitions {
            if let Some(log) = state.logs.get(partition) {
                self.rows.put(partition_key(*partition), log.row.encode());
            }
        }
    }

    /// Tells readers' views of the new batches and adds what follows for readers: at once in relaxed topics, after the sync in
    /// all others.
    ///
    /// What a marker makes stable is shown after the sync in every topic: a power cut that takes the marker away would leave a
    /// transaction that is aborted later, and its records must not have been seen. `sequence` is that of the write,
    /// `synced` the newest one that is synced.
    pub fn publish_appended(&mut self, state: &mut State, sequence: u64, synced: u64) {
        for id in &self.appended {
            let Some(topic) = state.topics.by_no.get(&id.topic) else { continue };
            let Some(log) = state.logs.get_mut(id) else { continue };
            let epochs = self.epochs.contains(id).then_some(log.row.epochs.as_slice());
            log.view.publish_appended(log.row.log_end, log.row.size_bytes, epochs);
            let mut readable = log.readable();
            if state.settings.has(Mutant::StableOneTooFar) {
                readable.last_stable_offset = readable.high_watermark.min(readable.last_stable_offset + 1);
            }
            let effect = |readable| Effect::Readable { partition: Arc::clone(&log.view), readable };
            if !topic.config.is_relaxed() {
                self.when_synced.effects.push(effect(readable));
                continue;
            }
            if self.ended.contains(id) {
                log.marker_sequence = Some(sequence);
            }
            log.marker_sequence = log.marker_sequence.filter(|marker| *marker > synced);
            if log.marker_sequence.is_none() {
                self.when_written.effects.push(effect(readable));
            } else {
                self.when_written.effects.push(effect(readable.without_stable()));
                self.when_synced.effects.push(effect(readable));
            }
        }
        if self.topics_changed {
            // First of all: a created topic is there before anything is said about it.
            self.when_synced.effects.insert(0, Effect::Topics(Arc::new(state.topics.clone())));
        }
    }
}
