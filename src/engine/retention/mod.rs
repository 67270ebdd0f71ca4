//! Retention: what is too old or too much goes from the front of each partition's log (`UnifiedLog.deleteOldSegments` in Kafka).
//!
//! A thread of its own looks at all partitions whose `cleanup.policy` has `delete`, every `log.retention.check.interval.ms`. It reads
//! the store beside the writer and asks that for new log starts, which readers obey once they are durable; the space comes back
//! later, see [`retired`](super::retired). Of most partitions a pass looks at memory only.
//!
//! Kafka deletes whole segments, so its topics keep up to `segment.bytes` or `segment.ms` more than they are told to. There are no
//! segments here: whole batches go, as if each were a segment, and a topic keeps what it is told to, and up to one batch and one
//! interval more. `segment.ms` and `segment.bytes` that were made small to see retention at work do no harm and are not needed.
//!
//! - By time: the batches before the first one of which a record is younger than `retention.ms` go. So a batch from the future
//!   holds those behind it until it has become old itself, as in Kafka it holds its segment and those behind it.
//! - A batch whose records have no time at all goes once a younger one behind it does; Kafka takes the time of its file instead.
//! - By size: the oldest go as long as no fewer than `retention.bytes` stay.
//! - Time is that of the [`expiry_clock`](super::expiry_clock), so a jump of the clock deletes nothing.
//! - Only what is below the high watermark goes, out of open transactions, too. Producers stay known; what the log knows of aborted
//!   transactions goes with their records.

mod walk;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::asker::Asker;
use super::background::{Background, Ending};
use super::command::{Command, LogStart};
use super::retired::Retired;
use crate::log::catalog::{Catalog, Topic};
use crate::log::partition::Partition;
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, Timestamp};
use walk::{Limits, Span, walk};

/// Log starts that one command moves: what others wait for the writer meanwhile is bounded by it.
const STARTS_PER_COMMAND: usize = 64;

/// What a pass works with.
pub(super) struct Retention {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
    pub asker: Asker,
    /// Whether little of the disk is free.
    pub disk_low: Arc<AtomicBool>,
    /// Bytes that are worth removing.
    pub reclaim_bytes: u64,
}

impl Retention {
    /// Starts the thread; it looks every `interval`.
    pub fn start(self, interval: Duration) -> std::io::Result<Background> {
        Background::start("engine-retention", move |ending| {
            let mut passes = Passes::new(self);
            while !ending.within(interval) {
                passes.pass(ending);
            }
        })
    }
}

/// One pass after the other.
pub(super) struct Passes {
    with: Retention,
    /// Of partitions by their log starts: the largest time of the first batch.
    oldest: HashMap<PartitionId, (Offset, Timestamp)>,
    retired: Retired,
    began: Instant,
}

/// Log starts to ask for, and of which topic each is.
#[derive(Default)]
struct Due {
    starts: Vec<LogStart>,
    topics: Vec<Arc<Topic>>,
}

impl Passes {
    pub fn new(with: Retention) -> Self {
        let retired = Retired::new(with.reclaim_bytes);
        Self { with, oldest: HashMap::new(), retired, began: Instant::now() }
    }

    /// Looks at all partitions once. It ends early when the engine does.
    pub fn pass(&mut self, ending: &Ending) {
        let Some(clock) = self.with.asker.ask(|reply| Command::ExpiryClock { reply }) else { return };
        let topics = self.with.catalog.topics();
        self.oldest.retain(|id, _| topics.by_no.contains_key(&id.topic));
        let mut due = Due::default();
        for topic in topics.by_name.values() {
            let limits = Limits::of(&topic.config, &clock);
            for partition in &topic.partitions {
                if ending.has_come() {
                    return;
                }
                if let Err(error) = self.look(topic, partition, &limits, &mut due) {
                    // The partition waits for the next pass; reads say what is wrong with it.
                    let error = topic.naming(&error);
                    tracing::warn!(
                        topic = &*topic.name,
                        partition = partition.id.index,
                        error,
                        "retention cannot read the log"
                    );
                }
                if due.starts.len() >= STARTS_PER_COMMAND {
                    self.move_starts(std::mem::take(&mut due));
                }
            }
        }
        self.move_starts(due);
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_disk_low = self.with.disk_low.load(Ordering::Relaxed);
        for partitions in self.retired.take_due(now_ms, is_disk_low).chunks(STARTS_PER_COMMAND) {
            let partitions = partitions.iter().map(|(partition, _)| *partition).collect();
            self.with.asker.ask(|reply| Command::RemoveRecords { partitions, reply });
        }
    }

    fn look(
        &mut self,
        topic: &Arc<Topic>,
        partition: &Partition,
        limits: &Limits,
        due: &mut Due,
    ) -> Result<(), StoreError> {
        let span = span_of(partition);
        let known = self.oldest.get(&partition.id).filter(|(log_start, _)| *log_start == span.log_start);
        if !limits.may_concern(&span, known.map(|(_, timestamp)| *timestamp)) {
            return Ok(());
        }
        let mut reached = span;
        let mut old_bytes = 0;
        loop {
            let walk = walk(self.with.store.as_ref(), partition.id, &reached, limits, walk::KEYS_MAX)?;
            let has_moved = walk.log_start > reached.log_start;
            (reached.log_start, reached.start_bytes) = (walk.log_start, walk.start_bytes);
            old_bytes += walk.old_bytes;
            match walk.oldest_timestamp {
                Some(timestamp) => drop(self.oldest.insert(partition.id, (walk.log_start, timestamp))),
                None => drop(self.oldest.remove(&partition.id)),
            }
            // One that did not get on will not do so by another look.
            if !(has_moved && walk.is_cut_short) {
                break;
            }
        }
        if reached != span {
            due.starts.push(LogStart {
                partition: partition.id,
                seen: (span.log_start, span.start_bytes),
                next: (reached.log_start, reached.start_bytes),
                limits: (topic.config.retention_ms, topic.config.retention_bytes),
                old_bytes,
            });
            due.topics.push(Arc::clone(topic));
        }
        Ok(())
    }

    fn move_starts(&mut self, due: Due) {
        if due.starts.is_empty() {
            return;
        }
        let starts = due.starts.clone();
        let Some(moved) = self.with.asker.ask(|reply| Command::MoveLogStarts { starts, reply }) else { return };
        for ((start, topic), has_moved) in due.starts.iter().zip(&due.topics).zip(moved) {
            if !has_moved {
                continue;
            }
            let bytes = start.next.1.saturating_sub(start.seen.1);
            let by_time = &topic.traffic.deleted_by_time_bytes;
            by_time.fetch_add(start.old_bytes, Ordering::Relaxed);
            let by_size = &topic.traffic.deleted_by_size_bytes;
            by_size.fetch_add(bytes.saturating_sub(start.old_bytes), Ordering::Relaxed);
            let (partition, log_start) = (start.partition.index, start.next.0);
            tracing::debug!(topic = &*topic.name, partition, log_start, bytes, "retention moved the log start");
            let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.retired.add(start.partition, log_start, bytes, now_ms);
        }
    }
}

/// The partition as its readers see it. Log start and its bytes may be of two moments; the writer moves nothing then.
fn span_of(partition: &Partition) -> Span {
    let offsets = partition.offsets();
    let start_bytes = partition.start_bytes();
    Span {
        log_start: offsets.log_start,
        start_bytes,
        high_watermark: offsets.high_watermark,
        end_bytes: start_bytes + partition.size_bytes(),
    }
}
