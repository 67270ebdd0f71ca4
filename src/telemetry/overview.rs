//! What the built-in page and `/api/v1/` show: is it fine, who lags, what holds a transaction, what was deduplicated.
//!
//! Gathered once per request from what readers see; open transactions are asked of the writer, a page of them at most, and are left out
//! where it does not answer: what is wrong is looked for here just then. No payloads
//! and no keys: names, offsets and ages. Names are cut ([`shown`]) and shared, and what is not among the worst is left out before its
//! names are looked for: a request of a few bytes must not make much of what clients have long names for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::admin::Observed;
use super::collector::{Collector, now};
use super::health::notices;
use super::name::shown;
use super::questions::{NoWord, Questions, SILENCE};
use crate::api::senders::{SENDERS_MAX, Sent};
use crate::engine::Engine;
use crate::engine::command::EngineGone;
use crate::log::catalog::{Topic, Topics};
use crate::transaction::{TransactionMetadata, TransactionState};
use crate::types::{PartitionId, Timestamp, TopicNo};

/// Most groups, topics, transactions and partitions that are shown, each: those that are worst.
pub const ROWS_MAX: usize = 100;
/// Most partitions and groups of a transaction that are named, and most transactions of a partition.
pub const NAMED_MAX: usize = 10;
/// How long the page waits for the writer.
const WRITER_PATIENCE: Duration = Duration::from_secs(1);
/// Most senders of duplicates that the page shows.
pub const SENDERS_SHOWN_MAX: usize = 20;

/// All of it, as of one moment.
#[derive(Debug, Default)]
pub struct Overview {
    /// Version of the program.
    pub version: String,
    /// Time since the start, seconds.
    pub uptime_seconds: f64,
    /// Why no clients should be sent; empty while all is well.
    pub reasons: Vec<&'static str>,
    /// What should be known all the same.
    pub notices: Vec<&'static str>,
    /// Number of topics, and of partitions.
    pub topics: usize,
    /// Partitions of all topics.
    pub partitions: usize,
    /// Records that came a second time and were not stored, since the start.
    pub duplicate_records: u64,
    /// Messages that were known by their ids, since the start.
    pub known_messages: u64,
    /// Bytes of the records that came a second time.
    pub duplicate_bytes: u64,
    /// Batches refused for a gap in their producer's sequence.
    pub out_of_order: u64,
    /// Worst first.
    pub groups: Vec<GroupRow>,
    /// Oldest first.
    pub transactions: Vec<TransactionRow>,
    /// Which are open is not known, nor whose hold records back.
    pub is_writer_silent: bool,
    /// Where most is held back first.
    pub held_back: Vec<HeldBackRow>,
    /// With most duplicates first.
    pub traffic: Vec<TopicRow>,
    /// Who sent most of them first.
    pub senders: Vec<SenderRow>,
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

impl Overview {
    /// Looks at everything.
    pub(super) async fn gather(observed: Arc<Observed>, questions: Questions) -> Self {
        let open = match observed.running.get() {
            Some(running) => questions.ask(WRITER_PATIENCE, open_transactions(running.engine.clone())).await,
            None => Err(NoWord::Gone),
        };
        // The store's statistics and its keys come from C++ and may wait: not on a thread that serves connections.
        tokio::task::spawn_blocking(move || Self::of(&observed, open)).await.unwrap_or_default()
    }

    fn of(observed: &Observed, open: Result<Vec<(String, TransactionMetadata)>, NoWord>) -> Self {
        let storage = observed.collector.get().map(Collector::fitness).unwrap_or_default();
        let mut overview = Self {
            version: observed.version.to_owned(),
            uptime_seconds: observed.began.elapsed().as_secs_f64(),
            reasons: observed.health.reasons(&storage),
            notices: notices(&storage),
            is_writer_silent: matches!(open, Err(NoWord::Silent)),
            ..Self::default()
        };
        overview.notices.extend(overview.is_writer_silent.then_some(SILENCE));
        if let Some(collector) = observed.collector.get() {
            overview.look(collector, open.unwrap_or_default(), now());
        }
        overview
    }

    fn look(&mut self, collector: &Collector, open: Vec<(String, TransactionMetadata)>, now: Timestamp) {
        let topics = collector.topics();
        let ids: Vec<Arc<str>> = open.iter().map(|(id, _)| shown(id).into()).collect();
        self.held_back = self.look_at_topics(&topics, |partition| {
            let there = open.iter().zip(&ids).filter(|((_, metadata), _)| metadata.partitions.contains(&partition));
            there.map(|(_, id)| Arc::clone(id)).take(NAMED_MAX).collect()
        });
        let name = |id: &PartitionId| topics.by_no.get(&id.topic).map(|topic| format!("{}-{}", topic.name, id.index));
        let age = |then: Timestamp| now.saturating_sub(then).max(0) as f64 / 1_000.0;
        let row = |((_, metadata), transactional_id): ((String, TransactionMetadata), Arc<str>)| TransactionRow {
            transactional_id,
            producer_id: metadata.producer_id.0,
            producer_epoch: metadata.producer_epoch.0,
            state: metadata.state.name(),
            age_seconds: age(metadata.start_time),
            timeout_seconds: f64::from(metadata.timeout_ms) / 1_000.0,
            partitions: metadata.partitions.iter().filter_map(name).take(NAMED_MAX).collect(),
            partition_count: metadata.partitions.len(),
            groups: metadata.groups.iter().take(NAMED_MAX).map(|group| shown(group).into()).collect(),
        };
        self.transactions = open.into_iter().zip(ids).map(row).collect();
        let groups = collector.group_lags().into_iter().map(|lag| GroupRow {
            members: lag.members(),
            state: lag.figures.as_ref().map_or("Empty", |figures| figures.state),
            lag_records: lag.topics.values().map(|lag| lag.records).sum(),
            lag_committed_records: lag.topics.values().map(|lag| lag.committed_records).sum(),
            lag_seconds: lag.topics.values().filter_map(|lag| lag.oldest_unread).min().map(age),
            commit_age_seconds: lag.newest.map(age),
            group: lag.group,
        });
        self.groups = worst(groups.collect(), |row| row.lag_records);
        self.senders = SenderRow::worst(collector, &topics, SENDERS_SHOWN_MAX);
    }

    /// Counts what topics have carried, and answers the partitions in which most is held back; `by` tells whose transactions do.
    fn look_at_topics(&mut self, topics: &Topics, by: impl Fn(PartitionId) -> Vec<Arc<str>>) -> Vec<HeldBackRow> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut held_back = Vec::new();
        self.topics = topics.by_name.len();
        for topic in topics.by_name.values() {
            self.partitions += topic.partitions.len();
            let row = TopicRow {
                topic: Arc::clone(&topic.name),
                partitions: topic.partitions.len(),
                size_bytes: topic.partitions.iter().map(|partition| partition.size_bytes()).sum(),
                records_in: count(&topic.traffic.records_in),
                duplicate_records: count(&topic.traffic.duplicate_records),
                known_messages: topic.traffic.known_messages(),
                out_of_order: count(&topic.traffic.out_of_order),
            };
            self.duplicate_records += row.duplicate_records;
            self.known_messages += row.known_messages;
            self.duplicate_bytes += count(&topic.traffic.duplicate_bytes);
            self.out_of_order += row.out_of_order;
            self.traffic.push(row);
            held_back.extend(topic.partitions.iter().filter_map(|partition| {
                let offsets = partition.offsets();
                let records = offsets.high_watermark - offsets.last_stable_offset;
                (records > 0).then_some((records, offsets.last_stable_offset, topic, partition.id))
            }));
        }
        let traffic = std::mem::take(&mut self.traffic);
        self.traffic = worst(traffic, |row| (row.duplicate_records + row.known_messages, row.records_in));
        let row = |(records, last_stable_offset, topic, id): (i64, i64, &Arc<Topic>, PartitionId)| HeldBackRow {
            topic: Arc::clone(&topic.name),
            partition: id.index,
            last_stable_offset,
            records,
            by: by(id),
        };
        worst(held_back, |(records, ..)| *records).into_iter().map(row).collect()
    }

    /// Everything but the lists.
    pub fn summary_json(&self) -> Value {
        json!({
            "version": self.version,
            "uptime_seconds": self.uptime_seconds,
            "ready": self.reasons.is_empty(),
            "reasons": self.reasons,
            "notices": self.notices,
            "topics": self.topics,
            "partitions": self.partitions,
            "known_messages": self.known_messages,
            "duplicate_records": self.duplicate_records,
            "duplicate_bytes": self.duplicate_bytes,
            "out_of_order_batches": self.out_of_order,
        })
    }

    /// The groups.
    pub fn groups_json(&self) -> Value {
        let rows = self.groups.iter().map(|row| {
            json!({
                "group_id": &*row.group,
                "state": row.state,
                "members": row.members,
                "lag_records": row.lag_records,
                "lag_committed_records": row.lag_committed_records,
                "lag_seconds": row.lag_seconds,
                "commit_age_seconds": row.commit_age_seconds,
            })
        });
        json!({ "groups": rows.collect::<Vec<_>>() })
    }

    /// The open transactions, `null` if they are not known, and what they hold back.
    pub fn transactions_json(&self) -> Value {
        let open = self.transactions.iter().map(|row| {
            json!({
                "transactional_id": &*row.transactional_id,
                "producer_id": row.producer_id,
                "producer_epoch": row.producer_epoch,
                "state": row.state,
                "age_seconds": row.age_seconds,
                "timeout_seconds": row.timeout_seconds,
                "partitions": row.partitions,
                "partition_count": row.partition_count,
                "groups": texts(&row.groups),
            })
        });
        let held_back = self.held_back.iter().map(|row| {
            json!({
                "topic": &*row.topic,
                "partition": row.partition,
                "last_stable_offset": row.last_stable_offset,
                "records": row.records,
                "transactional_ids": texts(&row.by),
            })
        });
        let open = (!self.is_writer_silent).then(|| open.collect::<Vec<_>>());
        json!({ "open": open, "held_back": held_back.collect::<Vec<_>>() })
    }

    /// The topics.
    pub fn topics_json(&self) -> Value {
        let rows = self.traffic.iter().map(|row| {
            json!({
                "topic": &*row.topic,
                "partitions": row.partitions,
                "size_bytes": row.size_bytes,
                "records_in": row.records_in,
                "duplicate_records": row.duplicate_records,
                "known_messages": row.known_messages,
                "out_of_order_batches": row.out_of_order,
            })
        });
        json!({ "topics": rows.collect::<Vec<_>>() })
    }
}

/// The [`ROWS_MAX`] of `rows` of which `figure` tells most, most first.
fn worst<T, K: Ord>(mut rows: Vec<T>, figure: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_by_key(|row| std::cmp::Reverse(figure(row)));
    rows.truncate(ROWS_MAX);
    rows
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

/// Those that are open or prepared, oldest first.
async fn open_transactions(engine: Engine) -> Result<Vec<(String, TransactionMetadata)>, EngineGone> {
    let states = TransactionState::ALL.into_iter().filter(|state| !state.is_at_rest()).collect();
    let mut listed = engine.list_transactions(states).await?;
    listed.sort_unstable_by_key(|listed| listed.start_time);
    listed.truncate(ROWS_MAX);
    let ids: Vec<String> = listed.into_iter().map(|listed| listed.transactional_id.to_string()).collect();
    let described = engine.describe_transactions(ids.clone()).await?;
    let known = ids.into_iter().zip(described).filter_map(|(id, metadata)| Some((id, metadata?)));
    let mut open: Vec<_> = known.filter(|(_, metadata)| !metadata.state.is_at_rest()).collect();
    open.sort_by_key(|(_, metadata)| metadata.start_time);
    open.truncate(ROWS_MAX);
    Ok(open)
}

#[cfg(test)]
mod tests;
