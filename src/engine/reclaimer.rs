//! The thread that gives the space of deleted topics and records back to the disk. Their rows are gone by then, but the files keep
//! them until a compaction comes by, which for a log that nobody writes to any more may be never.
//!
//! It takes all that was handed over while it was at work, and asks for one compaction per run of neighbouring topics, and one per
//! partition of which the front is gone. After that, once after the start and every [`LOOK_INTERVAL`] it looks at what the files take:
//! if that is more than all topics hold together, some went that nobody handed over, before a restart or at a client's request,
//! and the whole log is compacted.
//!
//! Such a compaction moves index entries only: a file of batches goes once nothing in it lives. What is written at a time lies in the
//! same files, sorted by partition, so a batch that lives long keeps the garbage beside it. Files are small against what is
//! written at a time, so that few hold batches of several topics; and when garbage is more than [`Bounds::max`] of all all the same,
//! the batches of the topics that keep theirs longest are moved into new files, topic by topic, until it is less than
//! [`Bounds::left`]. So space stays within a bound, and a byte is moved for each that comes back, at the most.
//!
//! A move frees the old files at its end. Where the disk has no room for all that lives a second time, the oldest files are emptied
//! instead, of whatever topics, as many at a time as fit. While the disk is low, less garbage is worth it, and looks are more frequent.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::background::until_panic;
use crate::config::TopicConfig;
use crate::log::catalog::Catalog;
use crate::store::disk::DiskSpace;
use crate::store::schema::{prefix, topic_log_range};
use crate::store::{Store, StoreError};
use crate::types::TopicNo;

/// Time between looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// The same while little of the disk is free.
const LOOK_INTERVAL_LOW: Duration = Duration::from_secs(10);
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

/// Keys of the log from and to.
pub(super) type Range = (Vec<u8>, Vec<u8>);

/// Log rows that have been removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purged {
    /// All of a topic.
    Topic(TopicNo),
    /// Some of a partition.
    Records(Range),
}

/// The writer's end of the thread; the thread ends after it is dropped.
pub(super) struct Reclaimer {
    purged: Sender<Purged>,
}

impl Reclaimer {
    /// Starts the thread.
    pub fn start(work: Work) -> std::io::Result<Self> {
        const THREAD: &str = "engine-reclaimer";
        // Shown before there are any, so that an alert sees the first.
        ["error", "no_room"].into_iter().for_each(|reason| count_failures(reason, 0));
        let (purged, queue) = channel();
        std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            until_panic(THREAD, || work.run(&queue));
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

impl Work {
    fn run(&self, queue: &Receiver<Purged>) {
        loop {
            self.look();
            let interval = if self.is_disk_low() { LOOK_INTERVAL_LOW } else { LOOK_INTERVAL };
            match queue.recv_timeout(interval) {
                Ok(first) => self.reclaim(std::iter::once(first).chain(queue.try_iter())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reclaim(&self, all: impl Iterator<Item = Purged>) {
        let mut topics = BTreeSet::new();
        let mut ranges = BTreeSet::new();
        for purged in all {
            match purged {
                Purged::Topic(topic) => drop(topics.insert(topic)),
                Purged::Records(range) => drop(ranges.insert(range)),
            }
        }
        let topics =
            neighbours(topics).into_iter().map(|(first, last)| (topic_log_range(first).0, topic_log_range(last).1));
        topics.chain(ranges).for_each(|(from, to)| self.reclaim_range(&from, &to));
    }

    fn reclaim_range(&self, from: &[u8], to: &[u8]) {
        let done = self.store.reclaim_log_range(from, to);
        self.is_done(done);
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

    /// Gives back what is worth it, whoever removed it.
    pub fn look(&self) {
        let bounds = if self.is_disk_low() { BOUNDS_LOW } else { BOUNDS };
        let space = self.store.batch_space();
        // Small batches are no part of it, nor is what waits in memtables: garbage may be more than it seems, not less.
        let hidden_bytes = space.bytes.saturating_sub(space.garbage_bytes).saturating_sub(self.held_bytes());
        if self.is_much(hidden_bytes, space.bytes, bounds.left) {
            let (from, to) = (vec![prefix::LOG], vec![prefix::LOG + 1]);
            self.reclaim_range(&from, &to);
        }
        self.bound_garbage(bounds);
    }

    /// Bytes of all batches that readers can ask for.
    fn held_bytes(&self) -> u64 {
        let topics = self.catalog.topics();
        let partitions = topics.by_no.values().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.size_bytes()).fold(0, u64::saturating_add)
    }

    /// Whether so much of all is beyond the share, and worth the work.
    fn is_much(&self, bytes: u64, all_bytes: u64, percent: u64) -> bool {
        bytes > self.memtable_bytes.saturating_mul(GARBAGE_MEMTABLES)
            && bytes.saturating_mul(100) > all_bytes.saturating_mul(percent)
    }

    fn is_above(&self, percent: u64) -> bool {
        let space = self.store.batch_space();
        self.is_much(space.garbage_bytes, space.bytes, percent)
    }

    /// Moves batches as long as garbage is out of proportion.
    fn bound_garbage(&self, bounds: Bounds) {
        if !self.is_above(bounds.max) {
            return;
        }
        let before = self.store.batch_space();
        // Tables of the index reach across topics, so that of how much lives nearby is moved, too, nobody can say.
        let is_roomy = self.room_bytes() >= before.bytes.saturating_sub(before.garbage_bytes);
        if is_roomy {
            self.move_topics(bounds)
        } else {
            self.move_oldest(bounds)
        }
        let after = self.store.batch_space();
        let (bytes, garbage_bytes) = (after.bytes, after.garbage_bytes);
        tracing::info!(
            bytes,
            garbage_bytes,
            garbage_bytes_before = before.garbage_bytes,
            "moved batches out of garbage"
        );
    }

    /// Free space that moves may take for a while. Something even below the reserve, as nothing else gives space back then.
    fn room_bytes(&self) -> u64 {
        let Some(DiskSpace { free_bytes, .. }) = self.store.disk_space() else { return u64::MAX };
        let kept_bytes = self.reserve_bytes.max(self.memtable_bytes.saturating_mul(FREE_MEMTABLES));
        free_bytes.saturating_sub(kept_bytes).max(free_bytes / 4)
    }

    fn move_topics(&self, bounds: Bounds) {
        let topics = self.catalog.topics();
        let mut longest_first: Vec<_> = topics.by_no.values().collect();
        longest_first.sort_by_cached_key(|topic| (Reverse(kept_for(&topic.config)), topic.no));
        for topic in longest_first {
            let (from, to) = topic_log_range(topic.no);
            if self.is_done(self.store.move_log_range(&from, &to)).is_none() || !self.is_above(bounds.left) {
                return;
            }
        }
    }

    fn move_oldest(&self, bounds: Bounds) {
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
                    return;
                }
                Some(_) | None => return,
            }
        }
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
