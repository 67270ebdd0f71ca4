//! Compaction: of the records of a key the newest stays (`LogCleaner` in Kafka).
//!
//! A thread of its own looks at all partitions whose `cleanup.policy` has `compact`, every `log.cleaner.backoff.ms`, and compacts the one
//! with the largest share of what has not been, as long as one is due: [`dirt`] says which, [`round`] how. It reads the store beside
//! the writer and asks that to replace batches, one write for some of them, at [`pace`]. So a crash leaves of each batch the old one or
//! the new one, and the next run begins the round anew.
//!
//! - Kafka compacts closed segments only. There are none here: all below the last stable offset counts but the newest batch, and
//!   `min.compaction.lag.ms` says how long records stay untouched.
//! - Records without a key, which are from before the topic was compacted, go. So do those of aborted transactions.
//! - A tombstone, and a marker of whose transaction nothing is left, go once they have been seen so for `delete.retention.ms` in which
//!   the broker ran: their batch carries the time (KIP-534).
//! - The newest batch of each producer that is known stays, though it be empty, and so does the last of a round.
//! - While little of the disk is free, compaction goes on, for of a topic that is only compacted nothing else gives space back. What it
//!   writes takes room before what it replaces comes back, so it takes no more than half of the reserve, has all given back at once, and
//!   waits for that. What it did stays done. Kafka compacts until the disk is full.

mod dirt;
mod index;
mod offset_map;
mod pace;
mod round;
mod transactions;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::asker::Asker;
use super::background::{Background, Ending};
use super::command::{Command, Compaction};
use super::expiry_clock::ExpiryClock;
use super::sparse_index::SPARSE_ENTRY_BYTES;
use super::start::read_row;
use crate::log::catalog::{Catalog, Topic};
use crate::log::partition::Partition;
use crate::store::schema::{CompactedRow, compacted_key};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId};
use dirt::Dirt;
use pace::Pace;
use round::{Ended, Interrupted, Round};

/// How long a shorter `log.cleaner.backoff.ms` or a higher rate takes to be noticed at most.
const SETTINGS_LOOK: Duration = Duration::from_secs(1);

/// Between two looks at the least: Kafka takes a `log.cleaner.backoff.ms` of 0 at its word, and is never done looking.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// What limits compaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerSettings {
    /// `log.cleaner.backoff.ms`.
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`.
    pub dedupe_bytes: u64,
    /// `log.cleaner.io.max.bytes.per.second`, above 0.
    pub bytes_per_second: f64,
}

/// What compaction works with.
pub(super) struct Cleaner {
    pub store: Arc<dyn Store>,
    pub catalog: Arc<Catalog>,
    pub asker: Asker,
    /// As they are now: each look and each step goes by the newest.
    pub settings: Arc<ArcSwap<CleanerSettings>>,
    /// Bytes that are worth giving back to the disk at once, all partitions together.
    pub reclaim_bytes: u64,
    pub grain: Grain,
    /// Of the disk, what is to stay free.
    pub reserve_bytes: u64,
    /// Whether less is.
    pub disk_low: Arc<AtomicBool>,
}

/// How finely rounds go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grain {
    /// Batches that one command replaces, at the most: others wait for the writer meanwhile.
    pub command_batches: usize,
    /// Bytes between two entries of the index of times and sizes.
    pub entry_bytes: u64,
}

impl Grain {
    pub const USUAL: Self = Self { command_batches: 256, entry_bytes: SPARSE_ENTRY_BYTES };
}

impl Cleaner {
    fn is_disk_low(&self) -> bool {
        self.disk_low.load(Ordering::Relaxed)
    }

    /// Whether there is room for what replaces batches before their space comes back.
    fn has_room(&self) -> bool {
        let free_bytes = || self.store.disk_space().map_or(u64::MAX, |space| space.free_bytes);
        !self.is_disk_low() || free_bytes() >= self.reserve_bytes / 2
    }

    /// Starts the thread.
    pub fn start(self) -> std::io::Result<Background> {
        Background::start("log-cleaner", move |ending| {
            let settings = Arc::clone(&self.settings);
            let mut rounds = Rounds::new(self);
            let mut waited = Duration::ZERO;
            let backoff = || settings.load().backoff.max(BACKOFF_MIN);
            loop {
                let step = backoff().saturating_sub(waited).min(SETTINGS_LOOK);
                if ending.within(step) {
                    return;
                }
                waited += step;
                if waited >= backoff() {
                    rounds.pass(ending);
                    waited = Duration::ZERO;
                }
            }
        })
    }
}

/// Batches that have been replaced and still take space.
#[derive(Debug, Default)]
struct Gone {
    bytes: u64,
    /// Where they end.
    below: Offset,
}

/// One round after the other.
pub(super) struct Rounds {
    with: Cleaner,
    pace: Pace,
    /// By log starts: first offsets that are not compacted, and the bytes left below them.
    compacted: HashMap<PartitionId, (Offset, (Offset, u64))>,
    /// What has gone since the last time its space was given back.
    gone: HashMap<PartitionId, Gone>,
}

impl Rounds {
    pub fn new(with: Cleaner) -> Self {
        let pace = Pace::new(Arc::clone(&with.settings));
        Self { with, pace, compacted: HashMap::new(), gone: HashMap::new() }
    }

    /// Compacts until no partition is due: all that are, those with the largest share first, and again. It ends early when the engine
    /// does.
    pub fn pass(&mut self, ending: &Ending) {
        // One that failed, or did not get on, waits for the next pass.
        let mut set_aside = HashSet::new();
        while self.with.has_room() {
            let Some(due) = self.due(&set_aside, ending).filter(|due| !due.is_empty()) else { return };
            for id in due {
                match self.round(id, ending) {
                    Some(true) => {}
                    Some(false) => drop(set_aside.insert(id)),
                    None => return,
                }
            }
        }
    }

    /// Compacts one partition as far as there is room for its keys; answers whether it has got on, none once the engine ends.
    fn round(&mut self, id: PartitionId, ending: &Ending) -> Option<bool> {
        let clock = self.with.asker.ask(|reply| Command::ExpiryClock { reply })?;
        // As it is by now: rounds before this one may have taken long.
        let topics = self.with.catalog.topics();
        let topic = topics.by_no.get(&id.topic).filter(|topic| topic.config.compact);
        let index = usize::try_from(id.index).ok()?;
        let found = topic.and_then(|topic| Some((topic, topic.partitions.get(index)?)));
        let Some((topic, partition)) = found else { return Some(false) };
        let log_start = partition.offsets().log_start;
        let Some(dirt) = self.dirt_of(topic, partition, &clock) else { return Some(false) };
        let round = Round {
            with: &self.with,
            ending,
            pace: &mut self.pace,
            topic,
            id,
            log_start,
            dirt,
            gone: self.gone.entry(id).or_default(),
            now: clock.now(topic.config.delete_retention_ms),
            wall_now: clock.now(0),
        };
        let ended = round.run();
        self.reclaim();
        match ended {
            Ok(Ended { first_dirty, clean_bytes }) => {
                tracing::debug!(topic = &*topic.name, partition = id.index, first_dirty, clean_bytes, "compacted");
                self.compacted.insert(id, (log_start, (first_dirty, clean_bytes)));
                Some(first_dirty != dirt.first_dirty)
            }
            Err(Interrupted::Gone) => (!ending.has_come()).then_some(false),
            Err(Interrupted::Store(error)) => {
                let error = topic.naming(&error);
                tracing::warn!(topic = &*topic.name, partition = id.index, error, "the log cannot be compacted");
                Some(false)
            }
        }
    }

    /// Has the space of all that has gone given back once it is worth it. Of many partitions that come to little each, too. While little
    /// of the disk is free, anything is.
    fn reclaim(&mut self) {
        let gone_bytes: u64 = self.gone.values().map(|gone| gone.bytes).sum();
        if gone_bytes < self.with.reclaim_bytes && !self.with.is_disk_low() {
            return;
        }
        for (partition, Gone { below, .. }) in self.gone.drain().filter(|(_, gone)| gone.bytes > 0) {
            let compaction = Compaction::Reclaim { below };
            // One that has been deleted meanwhile gives its space back by that.
            self.with.asker.ask(|reply| Command::Compact { partition, compaction, reply });
        }
    }

    /// The partitions that are due, those with the largest share of what is to be compacted first; none once the engine ends.
    fn due(&mut self, set_aside: &HashSet<PartitionId>, ending: &Ending) -> Option<Vec<PartitionId>> {
        let clock = self.with.asker.ask(|reply| Command::ExpiryClock { reply })?;
        let topics = self.with.catalog.topics();
        self.compacted.retain(|id, _| topics.by_no.contains_key(&id.topic));
        self.gone.retain(|id, _| topics.by_no.contains_key(&id.topic));
        let mut due = Vec::new();
        for topic in topics.by_name.values().filter(|topic| topic.config.compact) {
            for partition in topic.partitions.iter().filter(|partition| !set_aside.contains(&partition.id)) {
                if ending.has_come() {
                    return None;
                }
                if let Some(dirt) = self.dirt_of(topic, partition, &clock) {
                    due.push((dirt.ratio(), partition.id));
                }
            }
        }
        due.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        Some(due.into_iter().map(|(_, id)| id).collect())
    }

    /// What is to be compacted of a partition, if it is due and can be read.
    fn dirt_of(&mut self, topic: &Topic, partition: &Partition, clock: &ExpiryClock) -> Option<Dirt> {
        self.look_at(topic, partition, clock).unwrap_or_else(|error| {
            let error = topic.naming(&error);
            tracing::warn!(topic = &*topic.name, partition = partition.id.index, error, "the log cannot be read");
            None
        })
    }

    fn look_at(
        &mut self,
        topic: &Topic,
        partition: &Partition,
        clock: &ExpiryClock,
    ) -> Result<Option<Dirt>, StoreError> {
        let (id, offsets) = (partition.id, partition.offsets());
        let store = self.with.store.as_ref();
        let known = match self.compacted.get(&id) {
            Some((log_start, known)) if *log_start == offsets.log_start => *known,
            _ => {
                let found = compacted_so_far(store, id, offsets.log_start)?;
                self.compacted.insert(id, (offsets.log_start, found));
                found
            }
        };
        // What has not been looked at counts in full: most partitions are passed over without a look at their keys.
        let (_, clean_bytes) = known;
        let dirty_bytes = partition.size_bytes().saturating_sub(clean_bytes);
        let share_max = dirty_bytes as f64 / (clean_bytes + dirty_bytes).max(1) as f64;
        let config = &topic.config;
        if dirty_bytes == 0
            || (share_max <= config.min_cleanable_dirty_ratio && config.max_compaction_lag_ms == i64::MAX)
        {
            return Ok(None);
        }
        let dirt = Dirt::of(store, id, config, &offsets, clock, known)?;
        Ok(dirt.is_due(config).then_some(dirt))
    }
}

/// The first offset that is not compacted, as stored, and the bytes from the log start up to there.
fn compacted_so_far(store: &dyn Store, id: PartitionId, log_start: Offset) -> Result<(Offset, u64), StoreError> {
    let row = read_row::<CompactedRow>(store, &compacted_key(id))?;
    let first_dirty = row.map_or(0, |row| row.first_dirty).max(log_start);
    let mut clean_bytes = 0;
    store.scan_log(id, log_start, first_dirty, &mut |key| {
        clean_bytes += u64::from(key.size_bytes);
        true
    })?;
    Ok((first_dirty, clean_bytes))
}
