//! The thread that gives the space of deleted topics and records back to the disk. Their rows are gone by then, but the files keep
//! them until a compaction comes by, which for a log that nobody writes to any more may be never.
//!
//! It takes all that was handed over while it was at work, and asks for one compaction per run of neighbouring topics, and one per
//! partition of which the front is gone. What a restart makes it forget waits for the compaction that comes by chance.
//!
//! Such a compaction moves index entries only: a file of batches goes once nothing in it lives. What is written at a time lies in the
//! same files, sorted by partition, so a batch that lives long keeps the garbage beside it. Files are small against what is
//! written at a time, so that few hold batches of several topics; and when garbage is more than [`GARBAGE_MAX`] of all all the same,
//! the batches of the topics that keep theirs longest are moved into new files, topic by topic, until it is less than
//! [`GARBAGE_LEFT`]. So space stays within a bound, and a byte is moved for each that comes back, at the most.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::config::TopicConfig;
use crate::log::catalog::Catalog;
use crate::store::Store;
use crate::store::schema::topic_log_range;
use crate::types::TopicNo;

/// Share of garbage in the files of batches, in percent, beyond which batches are moved.
const GARBAGE_MAX: u64 = 50;
/// And that which is left then, at the most.
const GARBAGE_LEFT: u64 = 25;
/// Memtables' worth of garbage that is always left: it is not worth the work.
const GARBAGE_MEMTABLES: u64 = 2;

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
    /// Starts the thread. `memtable_bytes` are those written at a time.
    pub fn start(store: &Arc<dyn Store>, catalog: &Arc<Catalog>, memtable_bytes: u64) -> std::io::Result<Self> {
        let (purged, queue) = channel();
        let (store, catalog) = (Arc::clone(store), Arc::clone(catalog));
        std::thread::Builder::new()
            .name("engine-reclaimer".to_owned())
            .spawn(move || run(store.as_ref(), &catalog, &queue, memtable_bytes))?;
        Ok(Self { purged })
    }

    /// Has the space of removed rows reclaimed.
    pub fn hand_over(&self, purged: Purged) {
        // If the thread has panicked, space is all that is lost.
        let _ = self.purged.send(purged);
    }
}

fn run(store: &dyn Store, catalog: &Catalog, queue: &Receiver<Purged>, memtable_bytes: u64) {
    while let Ok(first) = queue.recv() {
        let mut topics = BTreeSet::new();
        let mut ranges = BTreeSet::new();
        for purged in std::iter::once(first).chain(queue.try_iter()) {
            match purged {
                Purged::Topic(topic) => drop(topics.insert(topic)),
                Purged::Records(range) => drop(ranges.insert(range)),
            }
        }
        for (first, last) in neighbours(topics) {
            let ((from, _), (_, to)) = (topic_log_range(first), topic_log_range(last));
            store.reclaim_log_range(&from, &to);
        }
        ranges.iter().for_each(|(from, to)| store.reclaim_log_range(from, to));
        bound_garbage(store, catalog, memtable_bytes);
    }
}

/// Moves the batches of whole topics as long as garbage is out of proportion.
fn bound_garbage(store: &dyn Store, catalog: &Catalog, memtable_bytes: u64) {
    let is_above = |percent: u64| {
        let space = store.batch_space();
        space.garbage_bytes > memtable_bytes.saturating_mul(GARBAGE_MEMTABLES)
            && space.garbage_bytes.saturating_mul(100) > space.bytes.saturating_mul(percent)
    };
    if !is_above(GARBAGE_MAX) {
        return;
    }
    let topics = catalog.topics();
    let mut longest_first: Vec<_> = topics.by_no.values().collect();
    longest_first.sort_by_cached_key(|topic| (Reverse(kept_for(&topic.config)), topic.no));
    for topic in longest_first {
        let (from, to) = topic_log_range(topic.no);
        store.move_log_range(&from, &to);
        if !is_above(GARBAGE_LEFT) {
            return;
        }
    }
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
