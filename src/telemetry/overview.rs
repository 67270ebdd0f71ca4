//! What the built-in page and `/api/v1/` show: is it fine, who lags, what holds a transaction, what was deduplicated.
//!
//! Gathered once per request from what readers see; open transactions are asked of the writer, a page of them at most, and are left out
//! where it does not answer: what is wrong is looked for here just then. No payloads
//! and no keys: names, offsets and ages. Names are cut ([`shown`]) and shared, and what is not among the worst is left out before its
//! names are looked for: a request of a few bytes must not make much of what clients have long names for.

mod rows;
mod selection;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::admin::Observed;
use super::collector::{Collector, now};
use super::health::notices;
use super::name::shown;
use super::questions::{NoWord, Questions, SILENCE};
use crate::engine::Engine;
use crate::engine::command::EngineGone;
use crate::log::catalog::{Topic, Topics};
use crate::transaction::{TransactionMetadata, TransactionState};
use crate::types::{PartitionId, Timestamp};
pub use rows::{GroupRow, HeldBackRow, LeftOut, SenderRow, TopicRow, TransactionRow};
pub use selection::{Asked, Selection};

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
    /// Which groups and topics are shown.
    pub asked: Asked,
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
    /// Worst first, unless others are asked for.
    pub groups: Vec<GroupRow>,
    /// Oldest first.
    pub transactions: Vec<TransactionRow>,
    /// Which are open is not known, nor whose hold records back.
    pub is_open_unknown: bool,
    /// Where most is held back first.
    pub held_back: Vec<HeldBackRow>,
    /// With most duplicates first, unless others are asked for.
    pub traffic: Vec<TopicRow>,
    /// Who sent most of them first.
    pub senders: Vec<SenderRow>,
    /// What there is besides.
    pub left_out: LeftOut,
}

impl Overview {
    /// Looks at everything.
    pub(super) async fn gather(observed: Arc<Observed>, questions: Questions, asked: Asked) -> Self {
        let open = match observed.running.get() {
            Some(running) => questions.ask(WRITER_PATIENCE, open_transactions(running.engine.clone())).await,
            None => Err(NoWord::Gone),
        };
        // The store's statistics and its keys come from C++ and may wait: not on a thread that serves connections.
        tokio::task::spawn_blocking(move || Self::of(&observed, open, asked)).await.unwrap_or_default()
    }

    fn of(observed: &Observed, open: Result<Open, NoWord>, asked: Asked) -> Self {
        let storage = observed.collector.get().map(Collector::fitness).unwrap_or_default();
        let mut overview = Self {
            asked,
            version: observed.version.to_owned(),
            uptime_seconds: observed.began.elapsed().as_secs_f64(),
            reasons: observed.health.reasons(&storage),
            notices: notices(&storage),
            is_open_unknown: open.is_err(),
            ..Self::default()
        };
        overview.notices.extend(matches!(open, Err(NoWord::Silent)).then_some(SILENCE));
        if let Some(collector) = observed.collector.get() {
            let open = open.unwrap_or_default();
            overview.look(collector, open.oldest, now());
            overview.left_out.transactions = open.left_out;
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
        (self.groups, self.left_out.groups) =
            self.asked.groups.of(groups.collect(), |row| &row.group, |row| row.lag_records);
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
        (self.traffic, self.left_out.topics) = self.asked.topics.of(
            traffic,
            |row| &row.topic,
            |row| (row.duplicate_records + row.known_messages, row.records_in),
        );
        let row = |(records, last_stable_offset, topic, id): (i64, i64, &Arc<Topic>, PartitionId)| HeldBackRow {
            topic: Arc::clone(&topic.name),
            partition: id.index,
            last_stable_offset,
            records,
            by: by(id),
        };
        let (held_back, left_out) = worst(held_back, |(records, ..)| *records);
        self.left_out.held_back = left_out;
        held_back.into_iter().map(row).collect()
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
        json!({ "groups": rows.collect::<Vec<_>>(), "groups_left_out": self.left_out.groups, "next": self.next_group() })
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
        let is_known = !self.is_open_unknown;
        json!({
            "open": is_known.then(|| open.collect::<Vec<_>>()),
            "open_left_out": is_known.then_some(self.left_out.transactions),
            "held_back": held_back.collect::<Vec<_>>(),
            "held_back_left_out": self.left_out.held_back,
        })
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
        json!({ "topics": rows.collect::<Vec<_>>(), "topics_left_out": self.left_out.topics, "next": self.next_topic() })
    }

    /// After whom the next page of groups begins; none if there is none.
    pub fn next_group(&self) -> Option<&str> {
        self.asked.groups.next(self.groups.last().map(|row| &*row.group), self.left_out.groups)
    }

    /// The same of topics.
    pub fn next_topic(&self) -> Option<&str> {
        self.asked.topics.next(self.traffic.last().map(|row| &*row.topic), self.left_out.topics)
    }
}

/// The [`ROWS_MAX`] of `rows` of which `figure` tells most, most first, and how many others there are.
fn worst<T, K: Ord>(mut rows: Vec<T>, figure: impl Fn(&T) -> K) -> (Vec<T>, usize) {
    rows.sort_by_key(|row| std::cmp::Reverse(figure(row)));
    first(rows)
}

/// The first [`ROWS_MAX`] of `rows`, and how many others there are.
fn first<T>(mut rows: Vec<T>) -> (Vec<T>, usize) {
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    (rows, left_out)
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

/// Transactions that are open or prepared.
#[derive(Debug, Default)]
struct Open {
    /// [`ROWS_MAX`] of them, oldest first.
    oldest: Vec<(String, TransactionMetadata)>,
    /// How many others there are.
    left_out: usize,
}

async fn open_transactions(engine: Engine) -> Result<Open, EngineGone> {
    let states = TransactionState::ALL.into_iter().filter(|state| !state.is_at_rest()).collect();
    let mut listed = engine.list_transactions(states).await?;
    listed.sort_unstable_by_key(|listed| listed.start_time);
    let left_out = listed.len().saturating_sub(ROWS_MAX);
    listed.truncate(ROWS_MAX);
    let ids: Vec<String> = listed.into_iter().map(|listed| listed.transactional_id.to_string()).collect();
    let described = engine.describe_transactions(ids.clone()).await?;
    let known = ids.into_iter().zip(described).filter_map(|(id, metadata)| Some((id, metadata?)));
    let mut oldest: Vec<_> = known.filter(|(_, metadata)| !metadata.state.is_at_rest()).collect();
    oldest.sort_by_key(|(_, metadata)| metadata.start_time);
    Ok(Open { oldest, left_out })
}

#[cfg(test)]
mod tests;
