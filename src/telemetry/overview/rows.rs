//! The rows of the page's lists.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::senders::{SENDERS_MAX, Sent};
use crate::log::catalog::Topics;
use crate::telemetry::collector::Collector;
use crate::types::TopicNo;

/// How many rows each list does without, as they are not among the worst.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Groups.
    pub groups: usize,
    /// Open transactions.
    pub transactions: usize,
    /// Partitions in which something is held back.
    pub held_back: usize,
    /// Topics.
    pub topics: usize,
}

/// A group.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct GroupRow {
    /// Its id, as it is shown.
    pub group: Arc<str>,
    /// Kafka's name of its state, `Empty` for one that only has offsets.
    pub state: &'static str,
    /// Members.
    pub members: usize,
    /// To the high watermarks, records.
    pub lag_records: i64,
    /// To the last stable offsets, records.
    pub lag_committed_records: i64,
    /// Age of the oldest record not committed.
    pub lag_seconds: Option<f64>,
    /// Since it last committed.
    pub commit_age_seconds: Option<f64>,
}

/// An open transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionRow {
    /// Whose, as it is shown.
    pub transactional_id: Arc<str>,
    /// Its producer.
    pub producer_id: i64,
    /// And epoch.
    pub producer_epoch: i16,
    /// Kafka's name of its state.
    pub state: &'static str,
    /// How long it is open.
    pub age_seconds: f64,
    /// How long it may be.
    pub timeout_seconds: f64,
    /// `topic-partition`, a few of them.
    pub partitions: Vec<String>,
    /// How many there are.
    pub partition_count: usize,
    /// Groups whose offsets it will commit, a few of them.
    pub groups: Vec<Arc<str>>,
}

/// A partition in which a transaction keeps records from readers of committed ones.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldBackRow {
    /// Topic.
    pub topic: Arc<str>,
    /// Index.
    pub partition: u32,
    /// Last stable offset.
    pub last_stable_offset: i64,
    /// Records behind it.
    pub records: i64,
    /// Whose transactions are open there, as they are shown, the oldest of them.
    pub by: Vec<Arc<str>>,
}

/// What a topic has carried since the start.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicRow {
    /// Its name.
    pub topic: Arc<str>,
    /// Partitions.
    pub partitions: usize,
    /// Bytes that can be read.
    pub size_bytes: u64,
    /// Appended.
    pub records_in: u64,
    /// Came a second time and were not stored.
    pub duplicate_records: u64,
    /// Known by their ids (`message.dedup.mode`).
    pub known_messages: u64,
    /// Batches refused for a gap.
    pub out_of_order: u64,
}

/// A client that sent what was there, to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderRow {
    /// Its client id; empty for one that names none.
    pub client_id: Arc<str>,
    /// Where to.
    pub topic: Arc<str>,
    /// Records that were known by their ids or numbers.
    pub known_messages: u64,
    /// Records of batches that its producers retried.
    pub retried_records: u64,
    /// So many more may be missing, from before it was on the list.
    pub missed_max: u64,
}

impl SenderRow {
    /// The worst, at most `count`, of topics that are still there.
    pub fn worst(collector: &Collector, topics: &Topics, count: usize) -> Vec<Self> {
        let row = |(topic, client_id, sent): (TopicNo, Arc<str>, Sent)| {
            Some(Self {
                client_id,
                topic: Arc::clone(&topics.by_no.get(&topic)?.name),
                known_messages: sent.repeated.known,
                retried_records: sent.repeated.retried,
                missed_max: sent.missed_max,
            })
        };
        collector.senders().worst(SENDERS_MAX).into_iter().filter_map(row).take(count).collect()
    }

    /// As `/api/v1/dedup` has it.
    pub fn json(&self) -> Value {
        json!({
            "client_id": &*self.client_id,
            "topic": &*self.topic,
            "known_messages": self.known_messages,
            "retried_records": self.retried_records,
            "missed_max": self.missed_max,
        })
    }
}
