//! Topics by name and by id, as of the last committed change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::TopicConfig;
use crate::dedup::KnownBy;
use crate::store::StoreError;
use crate::types::{TopicNo, Uuid};

use super::partition::Partition;

/// A topic as of one committed change. Immutable: a change makes a new one.
#[derive(Debug)]
pub struct Topic {
    /// The broker's number for it, never reused.
    pub no: TopicNo,
    /// Its name.
    pub name: Arc<str>,
    /// Its id for clients: a random UUID, new on re-creation.
    pub id: Uuid,
    /// Partitions by index.
    pub partitions: Vec<Arc<Partition>>,
    /// Configuration set on the topic itself, Kafka's names and the texts given.
    pub overrides: BTreeMap<String, String>,
    /// The configuration in force: overrides over broker settings over defaults.
    pub config: TopicConfig,
    /// What it has carried since the start; kept over changes of the topic, gone with it.
    pub traffic: Arc<Traffic>,
}

impl Topic {
    /// An error of the store in words that name the topic: the store knows its partitions by number alone.
    pub fn naming(&self, error: &StoreError) -> String {
        // As `PartitionId` shows itself.
        error.to_string().replace(&format!("#{}-", self.no.0), &format!("{}-", self.name))
    }
}

/// Counters of one topic, rendered by `telemetry` with the topic's name as label.
#[derive(Debug, Default)]
pub struct Traffic {
    /// `einmal_topic_bytes_in_total`; counted by the engine at publication.
    pub bytes_in: AtomicU64,
    /// `einmal_topic_records_in_total`.
    pub records_in: AtomicU64,
    /// `einmal_topic_batches_in_total`.
    pub batches_in: AtomicU64,
    /// `einmal_topic_bytes_out_total`; counted by Fetch.
    pub bytes_out: AtomicU64,
    /// `einmal_topic_records_out_total`; the same.
    pub records_out: AtomicU64,
    /// `einmal_topic_produce_failed_total`; counted by Produce.
    pub produce_failed: AtomicU64,
    /// Partitions of fetches that were answered with records; Kafka's `TotalFetchRequestsPerSec`, about.
    pub fetches: AtomicU64,
    /// `einmal_topic_fetch_failed_total`; counted by Fetch.
    pub fetch_failed: AtomicU64,
    /// `einmal_dedup_checked_records_total`; counted by the engine.
    pub dedup_checked: AtomicU64,
    /// `einmal_dedup_duplicates_total` by [`KnownBy`]; counted by the engine.
    pub dedup_duplicates: [AtomicU64; KnownBy::ALL.len()],
    /// `einmal_dedup_missing_id_total`.
    pub dedup_missing_id: AtomicU64,
    /// `einmal_dedup_holes_records_total`.
    pub dedup_holes_records: AtomicU64,
    /// `einmal_dedup_rewritten_batches_total`.
    pub dedup_rewritten_batches: AtomicU64,
    /// `einmal_dedup_suppressed_batches_total`.
    pub dedup_suppressed_batches: AtomicU64,
    /// `einmal_dedup_rejected_total`.
    pub dedup_rejected: AtomicU64,
    /// `einmal_dedup_pending_conflicts_total`.
    pub dedup_pending_conflicts: AtomicU64,
    /// `einmal_dedup_throttled_total`.
    pub dedup_throttled: AtomicU64,
    /// `einmal_dedup_bypassed_total`.
    pub dedup_bypassed: AtomicU64,
    /// `einmal_dedup_evicted_total`.
    pub dedup_evicted: AtomicU64,
    /// `einmal_dedup_audit_missed_total`.
    pub dedup_audit_missed: AtomicU64,
    /// What is remembered, as the engine last looked.
    pub remembered: Remembered,
    /// `einmal_producer_duplicate_records_total`; counted by the engine.
    pub duplicate_records: AtomicU64,
    /// `einmal_producer_duplicate_bytes_total`.
    pub duplicate_bytes: AtomicU64,
    /// `einmal_producer_out_of_order_total`.
    pub out_of_order: AtomicU64,
    /// `einmal_retention_deleted_bytes_total` by reason; counted by the engine as it moves log starts.
    pub deleted_by_time_bytes: AtomicU64,
    /// The same, for want of room.
    pub deleted_by_size_bytes: AtomicU64,
    /// The same, by DeleteRecords.
    pub deleted_by_request_bytes: AtomicU64,
    /// The same, by compaction.
    pub deleted_by_compaction_bytes: AtomicU64,
}

impl Traffic {
    /// Records that were known by their message ids or numbers, by whatever of these.
    pub fn known_messages(&self) -> u64 {
        self.dedup_duplicates.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// What a topic remembers of its messages (`message.dedup.mode`). Shown by the engine with each batch that is appended and remembered, and otherwise
/// whenever it looks for what is over: every second while something is written, every ten seconds else.
#[derive(Debug, Default)]
pub struct Remembered {
    /// `einmal_dedup_live_ids`: ids, or names in mode `sequence`.
    pub ids: AtomicU64,
    /// `einmal_dedup_oldest_id_age_seconds`, in ms, by the clock of message ids.
    pub oldest_age_ms: AtomicU64,
    /// Memory of ids, and of what is in memory of files.
    pub memory_bytes: AtomicU64,
    /// Files.
    pub slices: AtomicU64,
    /// Their size.
    pub sealed_bytes: AtomicU64,
}

/// All topics as of one committed change.
#[derive(Debug, Default, Clone)]
pub struct Topics {
    /// By name, sorted as listings show them.
    pub by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    /// By id.
    pub by_id: HashMap<Uuid, Arc<Topic>>,
    /// By the broker's own number.
    pub by_no: HashMap<TopicNo, Arc<Topic>>,
    /// Rises with each change of any topic; begins anew with each start.
    pub version: u64,
    /// How many want their batches compressed in a way of their own, so that where there are none nobody looks.
    pub compressing: usize,
}

/// 1 if its batches are compressed in a way of its own, else 0.
fn compresses(topic: &Topic) -> usize {
    usize::from(topic.config.compression_type.is_some())
}

impl Topics {
    /// Adds `topic`, in the place of an earlier state of it if there is one.
    pub(crate) fn insert(&mut self, topic: Arc<Topic>) {
        self.version += 1;
        self.by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        self.by_id.insert(topic.id, Arc::clone(&topic));
        self.compressing += compresses(&topic);
        let before = self.by_no.insert(topic.no, topic);
        self.compressing -= before.map_or(0, |before| compresses(&before));
    }

    /// Takes `topic` out.
    pub(crate) fn remove(&mut self, topic: &Topic) {
        self.version += 1;
        self.by_name.remove(&topic.name);
        self.by_id.remove(&topic.id);
        let before = self.by_no.remove(&topic.no);
        self.compressing -= before.map_or(0, |before| compresses(&before));
    }
}

/// Hands out the newest [`Topics`].
#[derive(Debug, Default)]
pub struct Catalog {
    topics: arc_swap::ArcSwap<Topics>,
}

impl Catalog {
    /// All topics, consistent among themselves.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.load_full()
    }
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.load().by_name.get(name).cloned()
    }
    /// The topic of this id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.topics.load().by_id.get(&id).cloned()
    }
    /// Replaces all topics. Called by the engine alone, before it answers the change.
    pub fn publish(&self, topics: Arc<Topics>) {
        self.topics.store(topics);
    }
}
