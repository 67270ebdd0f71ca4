//! The thread that gives the space of deleted topics and records back to the disk. Their rows are gone by then, but the files keep
//! them until a compaction comes by, which for a log that nobody writes to any more may be never.
//!
//! It takes all that was handed over while it was at work, and asks for one compaction per run of neighbouring topics, and one per
//! partition of which the front is gone. What clients delete, call by call, waits until it is [worth it](super::retired) together.
//! After that, once after the start and every [`LOOK_INTERVAL`] it looks at what the files take: if that is more than all topics hold
//! together, some may have gone that nobody handed over, before a restart, and the whole log is compacted.
//!
//! Such a compaction moves index entries only: a file of batches goes once nothing in it lives. What is written at a time lies in the
//! same files, sorted by partition, so a batch that lives long keeps the garbage beside it. Files are small against what is
//! written at a time, so that few hold batches of several topics; and when garbage is more than [`Bounds::max`] of all all the same,
//! the batches of the topics that keep theirs longest are moved into new files, topic by topic, until it is less than
//! [`Bounds::left`]. So space stays within a bound, and a byte is moved for each that comes back, at the most. Any row as long as a batch
//! lies in the same files, and one that lives would keep all of its file: those move first, for they are few.
//!
//! What nothing lowers is not tried again before more has come on top: message ids, say, take space that no topic holds as batches.
//!
//! A move frees the old files at its end. Where the disk has no room for all that lives a second time, the oldest files are emptied
//! instead, of whatever topics, as many at a time as fit. While the disk is low, less garbage is worth it, and looks are more frequent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::background::until_panic;
use super::dead::Space;
use super::retired::Retired;
use crate::config::TopicConfig;
use crate::log::catalog::Catalog;
use crate::store::disk::DiskSpace;
use crate::store::schema::{log_range, prefix, topic_log_range};
use crate::store::{BatchSpace, Store, StoreError};
use crate::types::{Offset, PartitionId, TopicNo};

/// Time between looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// The same while little of the disk is free, and once what clients deleted is worth it.
const LOOK_INTERVAL_LOW: Duration = Duration::from_secs(10);
/// Rows beside the batches that may be as long as one (`min_blob_size` of the store): states of partitions with their epochs, blocks of
/// message ids, transactions, groups and offsets. All others are shorter, and may be many.
const LONG_ROWS: [(u8, u8); 3] = [
    (prefix::PARTITION, prefix::PRODUCER),
    (prefix::ID_BLOCK, prefix::COMPACTED),
    (prefix::TRANSACTION, prefix::ISSUED_ID_BLOCK + 1),
];
/// Memtables' worth of garbage that is always left: it is not worth the work.
const GARBAGE_MEMTABLES: u64 = 2;
/// Memtables' worth of disk that moves leave free though no reserve is set: all that may have to be written out.
const FREE_MEMTABLES: u64 = 4;
/// Parts in which the oldest files are moved: after each a look tells whether it was enough. Each costs the index.
const PARTS: u64 = 8;
/// And how many at the most before others get their turn.
const PARTS_MAX: usize = 16;

/// Shares of garbage in the files of batches, in percent.
#[derive(Clone, Copy)]
struct Bounds {
    /// Beyond it batches are moved.
    max: u64,
    /// What is left then, at the most.
    left: u64,
}

const BOUNDS: Bounds = Bounds { max: 50, left: 25 };
/// While little of the disk is free.
const BOUNDS_LOW: Bounds = Bounds { max: 10, left: 5 };

/// Log rows that have been removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purged {
    /// All of a topic.
    Topic(TopicNo),
    /// Those of a partition before an offset, all or some.
    Records { partition: PartitionId, rows_end: Offset, space: Space },
}

/// The writer's end of the thread; the thread ends after it is dropped.
pub(super) struct Reclaimer {
    purged: Sender<Purged>,
}

impl Reclaimer {
    /// Starts the thread.
    pub fn start(work: Work) -> std::io::Result<Self> {
        const THREAD: &str = "engine-reclaimer";
        let (purged, queue) = channel();
        std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            until_panic(THREAD, || Looks::new(work).run(&queue));
        })?;
        Ok(Self { purged })
    }

    /// Has the space of removed rows reclaimed.
    pub fn hand_over(&self, purged: Purged) {
        // If the thread has panicked, space is all that is lost.
        let _ = self.purged.send(purged);
    }
}

/// What the thread works with.
pub(super) struct Work {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
    /// Those written at a time.
    pub memtable_bytes: u64,
    /// Of the disk, what is to stay free.
    pub reserve_bytes: u64,
    /// Whether less is.
    pub disk_low: Arc<AtomicBool>,
}

/// One look after the other.
pub(super) struct Looks {
    with: Work,
    /// What clients have deleted since the last time that was worth it.
    deleted: Retired,
    began: Instant,
    /// Bytes that no topic holds and that compacting the whole log left.
    hidden: Left,
    /// Garbage that moving batches left.
    garbage: Left,
}

impl Looks {
    pub fn new(with: Work) -> Self {
        let deleted = Retired::new(with.memtable_bytes);
        Self { with, deleted, began: Instant::now(), hidden: Left(0), garbage: Left(0) }
    }

    fn run(mut self, queue: &Receiver<Purged>) {
        loop {
            self.look();
            let mut next = Instant::now() + if self.with.is_disk_low() { LOOK_INTERVAL_LOW } else { LOOK_INTERVAL };
            loop {
                match queue.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(first) => {
                        if self.reclaim(std::iter::once(first).chain(queue.try_iter())) {
                            break;
                        }
                        if self.is_deleted_due() {
                            next = next.min(Instant::now() + LOOK_INTERVAL_LOW);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    /// Gives the space of all back that does not wait; answers whether there was such.
    pub fn reclaim(&mut self, all: impl Iterator<Item = Purged>) -> bool {
        let mut topics = BTreeSet::new();
        let mut records = BTreeMap::new();
        for purged in all {
            match purged {
                Purged::Topic(topic) => drop(topics.insert(topic)),
                Purged::Records { partition, rows_end, space: Space::AtOnce } => {
                    let known = records.entry(partition).or_default();
                    *known = rows_end.max(*known);
                }
                Purged::Records { partition, rows_end, space: Space::InTime { bytes } } => {
                    self.deleted.add(partition, rows_end, bytes, self.now_ms());
                }
            }
        }
        let is_some = !topics.is_empty() || !records.is_empty();
        for (first, last) in neighbours(topics) {
            self.with.reclaim_range(&topic_log_range(first).0, &topic_log_range(last).1);
        }
        self.reclaim_records(records);
        is_some
    }

    fn reclaim_records(&self, records: impl IntoIterator<Item = (PartitionId, Offset)>) {
        for (partition, rows_end) in records {
            let (from, to) = log_range(partition, 0, rows_end);
            self.with.reclaim_range(&from, &to);
        }
    }

    fn is_deleted_due(&self) -> bool {
        self.deleted.is_due(self.now_ms(), self.with.is_disk_low())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives back what is worth it, whoever removed it.
    pub fn look(&mut self) {
        let is_disk_low = self.with.is_disk_low();
        let bounds = if is_disk_low { BOUNDS_LOW } else { BOUNDS };
        let deleted = self.deleted.take_due(self.now_ms(), is_disk_low);
        self.reclaim_records(deleted);
        let hidden_bytes = self.with.hidden_bytes();
        let is_much = self.with.is_much(hidden_bytes, self.with.store.batch_space().bytes, bounds.left);
        if self.hidden.has_grown_to(hidden_bytes, self.with.worth_bytes()) && is_much {
            let (from, to) = (vec![prefix::LOG], vec![prefix::LOG + 1]);
            if self.with.reclaim_range(&from, &to) {
                self.hidden = Left(self.with.hidden_bytes());
            }
        }
        self.bound_garbage(bounds);
    }

    /// Moves batches as long as garbage is out of proportion.
    fn bound_garbage(&mut self, bounds: Bounds) {
        let before = self.with.store.batch_space();
        let worth_bytes = self.with.worth_bytes();
        if !self.garbage.has_grown_to(before.garbage_bytes, worth_bytes) || !self.with.is_above(bounds.max) {
            return;
        }
        // Tables of the index reach across topics, so that of how much lives nearby is moved, too, nobody can say.
        let is_roomy = self.with.room_bytes() >= before.bytes.saturating_sub(before.garbage_bytes);
        let is_done = if is_roomy { self.with.move_topics(bounds) } else { self.with.move_oldest(bounds) };
        let BatchSpace { bytes, garbage_bytes } = self.with.store.batch_space();
        let is_in_vain = is_done && garbage_bytes.saturating_add(worth_bytes) > before.garbage_bytes;
        self.garbage = Left(if is_in_vain { garbage_bytes } else { 0 });
        let garbage_bytes_before = before.garbage_bytes;
        tracing::info!(bytes, garbage_bytes, garbage_bytes_before, "moved batches out of garbage");
    }
}

/// Bytes that nothing could lower.
#[derive(Debug)]
struct Left(u64);

impl Left {
    /// Whether to try again: so much has come on top by now.
    fn has_grown_to(&mut self, bytes: u64, worth_bytes: u64) -> bool {
        self.0 = self.0.min(bytes);
        bytes - self.0 > worth_bytes
    }
}

impl Work {
    /// Answers whether it worked.
    fn reclaim_range(&self, from: &[u8], to: &[u8]) -> bool {
        let done = self.store.reclaim_log_range(from, to);
        self.is_done(done).is_some()
    }

    /// Tells of a failure. What was handed over is found again by the next look, for its space is still taken.
    fn is_done<T>(&self, done: Result<T, StoreError>) -> Option<T> {
        if let Err(error) = &done {
            count_failures("error", 1);
            tracing::error!(%error, "space of removed records cannot be given back now; tried again within a minute");
        }
        done.ok()
    }

    fn is_disk_low(&self) -> bool {
        self.disk_low.load(Ordering::Relaxed)
    }

    /// Bytes in files of batches that no topic holds and that do not count as garbage.
    fn hidden_bytes(&self) -> u64 {
        let space = self.store.batch_space();
        // Small batches are no part of it, nor is what waits in memtables: it may be more than it seems, not less.
        space.bytes.saturating_sub(space.garbage_bytes).saturating_sub(self.held_bytes())
    }

    /// Bytes of all batches that readers can ask for.
    fn held_bytes(&self) -> u64 {
        let topics = self.catalog.topics();
        let partitions = topics.by_no.values().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.size_bytes()).fold(0, u64::saturating_add)
    }

    fn worth_bytes(&self) -> u64 {
        self.memtable_bytes.saturating_mul(GARBAGE_MEMTABLES)
    }

    /// Whether so much of all is beyond the share, and worth the work.
    fn is_much(&self, bytes: u64, all_bytes: u64, percent: u64) -> bool {
        bytes > self.worth_bytes() && bytes.saturating_mul(100) > all_bytes.saturating_mul(percent)
    }

    fn is_above(&self, percent: u64) -> bool {
        let space = self.store.batch_space();
        self.is_much(space.garbage_bytes, space.bytes, percent)
    }

    /// Free space that moves may take for a while. Something even below the reserve, as nothing else gives space back then.
    fn room_bytes(&self) -> u64 {
        let Some(DiskSpace { free_bytes, .. }) = self.store.disk_space() else { return u64::MAX };
        let kept_bytes = self.reserve_bytes.max(self.memtable_bytes.saturating_mul(FREE_MEMTABLES));
        free_bytes.saturating_sub(kept_bytes).max(free_bytes / 4)
    }

    /// Answers whether all moves worked.
    fn move_topics(&self, bounds: Bounds) -> bool {
        let topics = self.catalog.topics();
        let mut longest_first: Vec<_> = topics.by_no.values().collect();
        longest_first.sort_by_cached_key(|topic| (Reverse(kept_for(&topic.config)), topic.no));
        let long_rows = LONG_ROWS.map(|(from, to)| (vec![from], vec![to]));
        for (from, to) in long_rows.into_iter().chain(longest_first.iter().map(|topic| topic_log_range(topic.no))) {
            if self.is_done(self.store.move_log_range(&from, &to)).is_none() {
                return false;
            }
            if !self.is_above(bounds.left) {
                break;
            }
        }
        true
    }

    /// Answers whether all moves worked.
    fn move_oldest(&self, bounds: Bounds) -> bool {
        for _ in 0..PARTS_MAX {
            let part_bytes = (self.store.batch_space().bytes / PARTS).max(self.memtable_bytes);
            let room_bytes = self.room_bytes();
            match self.is_done(self.store.move_oldest_batches(part_bytes.min(room_bytes))) {
                Some(1..) if self.is_above(bounds.left) => {}
                Some(0) => {
                    count_failures("no_room", 1);
                    tracing::error!(
                        room_bytes,
                        "the disk has no room to move what lives beside removed records, so their space does not come back; \
                         tried again within a minute"
                    );
                    return false;
                }
                Some(_) => break,
                None => return false,
            }
        }
        true
    }
}

fn count_failures(reason: &'static str, count: u64) {
    metrics::counter!(crate::metrics::STORAGE_RECLAIM_FAILURES_TOTAL, "reason" => reason).increment(count);
}

/// How long a topic keeps what is written to it: by time, and by size where time sets no limit.
fn kept_for(config: &TopicConfig) -> (u64, u64) {
    // -1 is the longest.
    let limit = |limit: i64| if config.delete { u64::try_from(limit).unwrap_or(u64::MAX) } else { u64::MAX };
    (limit(config.retention_ms), limit(config.retention_bytes))
}

/// Runs of consecutive numbers: first and last of each.
fn neighbours(topics: BTreeSet<TopicNo>) -> Vec<(TopicNo, TopicNo)> {
    let mut runs: Vec<(TopicNo, TopicNo)> = Vec::new();
    for topic in topics {
        match runs.last_mut() {
            Some((_, last)) if last.0.checked_add(1) == Some(topic.0) => *last = topic,
            _ => runs.push((topic, topic)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_reclaimed_together() {
        let runs = |topics: &[u32]| {
            let runs = neighbours(topics.iter().copied().map(TopicNo).collect());
            runs.into_iter().map(|(first, last)| (first.0, last.0)).collect::<Vec<_>>()
        };
        assert_eq!(runs(&[5]), [(5, 5)]);
        assert_eq!(runs(&[9, 3, 1, 2, u32::MAX, 10]), [(1, 3), (9, 10), (u32::MAX, u32::MAX)]);
    }
}
