//! One compaction of one partition (`Cleaner.doClean` in Kafka): first the newest offset of each key in what is dirty, then each batch
//! from the log start on without the records that count no more.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::dirt::Dirt;
use super::index::Index;
use super::offset_map::OffsetMap;
use super::pace::Pace;
use super::transactions::Transactions;
use super::{Cleaner, Gone};
use crate::engine::background::Ending;
use crate::engine::command::{Command, Compaction, Reindexed, Replaced};
use crate::engine::start::read_row;
use crate::log::aborted::all_aborted_in;
use crate::log::catalog::Topic;
use crate::producer::ProducerState;
use crate::record::codec::DecompressionLimits;
use crate::record::records::{Opened, RecordsInvalid};
use crate::record::rewrite::{self, Kept};
use crate::record::{BatchHeader, control};
use crate::store::schema::{
    LogKey, PartitionRow, RowValue, aborted_key, partition_key, producer_of_key, producers_prefix, sparse_key,
    sparse_prefix,
};
use crate::store::{Store, StoreError, StoredBatch};
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

/// Bytes of batches read at a time.
const READ_BYTES: usize = 1 << 20;
/// Bytes that one command replaces: others wait for the writer meanwhile.
const COMMAND_BYTES: usize = 256 << 10;
/// Rows of the index that one command removes.
const COMMAND_KEYS: usize = 1024;

/// The newest batch with records of a producer, or its newest marker's epoch where it has none.
enum LastOfProducer {
    Records { last_offset: Offset },
    Marker { epoch: ProducerEpoch },
}

/// Why a round ends early.
pub(super) enum Interrupted {
    /// The engine has ended, the topic is gone, the log start has overtaken the round, or the disk has no room.
    Gone,
    /// The store cannot be read.
    Store(StoreError),
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How far a round came.
pub(super) struct Ended {
    /// First offset that is not compacted.
    pub first_dirty: Offset,
    /// Bytes left below it.
    pub clean_bytes: u64,
}

/// One compaction.
pub(super) struct Round<'a> {
    pub with: &'a Cleaner,
    pub ending: &'a Ending,
    pub pace: &'a mut Pace,
    pub topic: &'a Topic,
    pub id: PartitionId,
    /// As readers saw it when the round began.
    pub log_start: Offset,
    pub dirt: Dirt,
    /// Takes note of what has gone and still takes space, also when the round ends early.
    pub gone: &'a mut Gone,
    /// The time by which tombstones and markers have waited long enough, and that from which they begin to.
    pub now: Timestamp,
    pub wall_now: Timestamp,
}

/// A batch with its facts.
struct Batch {
    key: LogKey,
    header: BatchHeader,
    bytes: Bytes,
}

/// What a round goes by.
struct Newest {
    map: OffsetMap,
    /// First offset that was not looked at: it and all after it stay. It lies in the middle of a batch where that alone has more keys
    /// than there is room for.
    end: Offset,
}

impl Newest {
    /// Whether a record is the newest of its key, as far as is known.
    fn counts(&self, key: &[u8], offset: Offset) -> bool {
        offset >= self.end || self.map.newest(key).is_none_or(|newest| offset >= newest)
    }
}

/// What becomes of a batch.
enum Verdict {
    Stays,
    Goes,
    Becomes(Bytes),
}

/// What one command is to replace.
#[derive(Default)]
struct Staged {
    replaced: Vec<Replaced>,
    /// Rows of the index of aborted transactions that go, each with a batch that does.
    aborted: Vec<Vec<u8>>,
    /// Of what comes.
    bytes: usize,
}

impl Round<'_> {
    /// Runs it.
    pub fn run(mut self) -> Result<Ended, Interrupted> {
        let newest = self.newest_offsets()?;
        let end = newest.end;
        let clean_bytes = self.rewrite(&newest)?;
        self.gone.below = self.gone.below.max(end);
        Ok(Ended { first_dirty: end, clean_bytes })
    }

    fn store(&self) -> &dyn Store {
        self.with.store.as_ref()
    }

    fn send(&self, compaction: Compaction) -> Result<(), Interrupted> {
        let partition = self.id;
        let is_taken = self.with.asker.ask(|reply| Command::Compact { partition, compaction, reply });
        if is_taken == Some(true) { Ok(()) } else { Err(Interrupted::Gone) }
    }

    /// Visits the batches that hold offsets in `[from, to)` and hands each over, as long as the visitor wants more.
    fn batches(
        &mut self,
        from: Offset,
        to: Offset,
        mut visit: impl FnMut(&mut Self, Batch) -> Result<bool, Interrupted>,
    ) -> Result<(), Interrupted> {
        let mut next = from;
        while next < to {
            let keys = self.keys(next, to)?;
            let Some(last) = keys.last() else { return Ok(()) };
            let read = self.store().read_log(self.id, next, last.last_offset() + 1, usize::MAX)?;
            next = last.last_offset() + 1;
            let bytes = read.iter().map(|batch| batch.bytes.len() as u64).sum();
            let mut keys = keys.into_iter().peekable();
            for stored in read {
                // What retention takes in between is found by one of the two reads only.
                while keys.next_if(|key| key.base_offset < stored.base_offset).is_some() {}
                let Some(key) = keys.next_if(|key| key.base_offset == stored.base_offset) else { continue };
                if !visit(self, parsed(key, stored)?)? {
                    return Ok(());
                }
            }
            self.pace.spend(bytes, |time| self.ending.within(time));
            if self.ending.has_come() {
                return Err(Interrupted::Gone);
            }
        }
        Ok(())
    }

    /// Keys of the next batches with offsets below `to`, for about [`READ_BYTES`].
    fn keys(&self, from: Offset, to: Offset) -> Result<Vec<LogKey>, Interrupted> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        self.store().scan_log(self.id, from, to, &mut |key| {
            bytes += key.size_bytes as usize;
            keys.push(key);
            bytes < READ_BYTES
        })?;
        Ok(keys)
    }

    /// The newest offset of each key in what is dirty, as far as memory reaches.
    fn newest_offsets(&mut self) -> Result<Newest, Interrupted> {
        let Dirt { first_dirty, end, .. } = self.dirt;
        // No more keys than offsets.
        let keys = u64::try_from(end - first_dirty).unwrap_or(0);
        let mut map = OffsetMap::new(self.with.settings.load().dedupe_bytes, keys);
        let mut seen = Transactions::new(all_aborted_in(self.store(), self.id, first_dirty, end)?);
        let mut reached = first_dirty;
        self.batches(first_dirty, end, |round, batch| {
            let header = &batch.header;
            if header.is_control() {
                if let Some(result) = round.marker(&batch) {
                    seen.pass_marker(header.producer_id, result, header.last_offset());
                }
            } else if !seen.pass_batch(header.producer_id, header.is_transactional(), header.last_offset()) {
                let full_at = round.look_into(&batch, |opened| {
                    // Of one that cannot be read to its end nothing counts: for who reads it, older values may be all there is.
                    opened.each(|_| true)?;
                    let mut full_at = None;
                    opened.each(|record| {
                        let offset = header.base_offset + Offset::from(record.offset_delta);
                        let Some(key) = record.key.filter(|_| offset >= first_dirty) else { return true };
                        if !map.put(key, offset) {
                            full_at = Some(offset);
                        }
                        full_at.is_none()
                    })?;
                    Ok(full_at)
                });
                if let Some(full_at) = full_at.flatten() {
                    // In the middle of a batch only where that is the first: what has been seen of others is seen again.
                    if reached == first_dirty {
                        reached = full_at;
                    }
                    return Ok(false);
                }
            }
            reached = header.last_offset() + 1;
            Ok(true)
        })?;
        Ok(Newest { map, end: reached })
    }

    /// Answers the bytes that are left.
    fn rewrite(&mut self, newest: &Newest) -> Result<u64, Interrupted> {
        let end = newest.end;
        // As one write left the two: what readers see of them may be of two moments.
        let row = read_row::<PartitionRow>(self.store(), &partition_key(self.id))?;
        let Some(row) = row else { return Err(Interrupted::Gone) };
        let last_of_producers = self.last_of_producers()?;
        let mut seen = Transactions::new(all_aborted_in(self.store(), self.id, row.log_start, end)?);
        let mut index = Index::new(row.log_start, row.start_bytes, self.with.grain.entry_bytes);
        let mut staged = Staged::default();
        self.batches(row.log_start, end, |round, batch| {
            round.check_log_start(&index)?;
            let key = batch.key;
            let is_last = is_last_of_producer(&last_of_producers, &batch.header) || key.last_offset() + 1 >= end;
            let new = match round.judge(&batch, newest, &mut seen, is_last, &mut staged.aborted) {
                Verdict::Stays => {
                    index.pass(&key, Some(&key));
                    return Ok(true);
                }
                Verdict::Goes => None,
                Verdict::Becomes(bytes) => {
                    let new = key_of(round.id, &bytes)?;
                    staged.bytes += bytes.len();
                    Some((new, bytes))
                }
            };
            index.pass(&key, new.as_ref().map(|(key, _)| key));
            staged.replaced.push(Replaced { old: key, new });
            if staged.bytes >= COMMAND_BYTES || staged.replaced.len() >= round.with.grain.command_batches {
                round.write(std::mem::take(&mut staged), &index)?;
            }
            Ok(true)
        })?;
        self.write(staged, &index)?;
        self.check_log_start(&index)?;
        let (covered_to, mut next) = (index.reached().max(end), None);
        self.store().scan_log(self.id, covered_to, Offset::MAX, &mut |key| {
            next = Some(key.base_offset);
            false
        })?;
        let index_end = Reindexed { removed: self.index_keys(covered_to)?, entries: index.all(next) };
        self.send(Compaction::Done { first_dirty: end, index: index_end })?;
        Ok(index.left_bytes())
    }

    /// Rows that went before they were read would be missed in the index. Nothing is lost by a round from the new log start on.
    fn check_log_start(&self, index: &Index) -> Result<(), Interrupted> {
        let partition = usize::try_from(self.id.index).ok().and_then(|index| self.topic.partitions.get(index));
        let is_behind = partition.is_none_or(|partition| partition.offsets().log_start > index.reached());
        if is_behind { Err(Interrupted::Gone) } else { Ok(()) }
    }

    /// Keys of the index of times and sizes below `end`, as many as one write removes: those before have gone then.
    fn index_keys(&self, end: Offset) -> Result<Vec<Vec<u8>>, Interrupted> {
        let mut keys = Vec::new();
        let (from, to) = (sparse_prefix(Some(self.id)), sparse_key(self.id, end));
        self.store().scan_range(&from, &to, &mut |key, _| {
            keys.push(key.to_vec());
            true
        })?;
        let rest = keys.split_off(keys.len().saturating_sub(COMMAND_KEYS));
        for keys in keys.chunks(COMMAND_KEYS) {
            self.send(Compaction::Forget(keys.to_vec()))?;
        }
        Ok(rest)
    }

    /// Replaces what is staged, and with it the index up to where the round has come: after a kill it is right on both sides.
    fn write(&mut self, staged: Staged, index: &Index) -> Result<(), Interrupted> {
        let Staged { replaced, aborted, .. } = staged;
        if replaced.is_empty() {
            return Ok(());
        }
        let sizes = |replaced: &Replaced| {
            let new = replaced.new.as_ref().map_or(0, |(key, _)| u64::from(key.size_bytes));
            (u64::from(replaced.old.size_bytes), new)
        };
        let (old, new) =
            replaced.iter().map(sizes).fold((0, 0), |sum: (u64, u64), size| (sum.0 + size.0, sum.1 + size.1));
        if !self.with.has_room() {
            return Err(Interrupted::Gone);
        }
        let reached = index.reached();
        let index = Reindexed { removed: self.index_keys(reached)?, entries: index.few() };
        self.send(Compaction::Replace { replaced, aborted, index })?;
        self.gone.bytes += old;
        self.gone.below = self.gone.below.max(reached);
        self.topic.traffic.deleted_by_compaction_bytes.fetch_add(old.saturating_sub(new), Ordering::Relaxed);
        self.pace.spend(new, |time| self.ending.within(time));
        Ok(())
    }

    /// What becomes of a batch; an abort marker that goes takes its row of the index of `aborted` transactions along.
    fn judge(
        &self,
        batch: &Batch,
        newest: &Newest,
        seen: &mut Transactions,
        is_last: bool,
        aborted: &mut Vec<Vec<u8>>,
    ) -> Verdict {
        let header = &batch.header;
        let is_past_horizon = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        let marker = if header.is_control() { self.marker(batch) } else { None };
        let (goes, is_spent_marker) = match marker {
            Some(result) => {
                let is_spent = seen.pass_marker(header.producer_id, result, header.last_offset());
                (is_spent && is_past_horizon, is_spent)
            }
            // Of a kind that we do not know, or emptied.
            None if header.is_control() => (header.record_count == 0, false),
            None => (seen.pass_batch(header.producer_id, header.is_transactional(), header.last_offset()), false),
        };
        if header.record_count == 0 {
            return if is_last { Verdict::Stays } else { Verdict::Goes };
        }
        let emptied =
            || if is_last { Verdict::Becomes(rewrite::without_records(header).freeze()) } else { Verdict::Goes };
        if goes {
            if marker == Some(TransactionResult::Abort) {
                aborted.push(aborted_key(self.id, header.last_offset()));
            }
            return emptied();
        }
        let horizon = self.wall_now.saturating_add(self.topic.config.delete_retention_ms);
        // The tombstones of one that has been looked at in part begin to wait when the rest has been, too.
        let is_whole = header.last_offset() < newest.end;
        let verdict = self.look_into(batch, |opened| {
            let mut has_tombstones = false;
            let kept = Kept::of(opened, horizon, |record| {
                let offset = header.base_offset + Offset::from(record.offset_delta);
                let is_tombstone = !header.is_control() && record.value.is_none();
                // Nobody sees what is below the log start, and the keys of its records are not looked at.
                let is_seen = offset >= self.log_start;
                let is_kept = header.is_control()
                    || is_seen
                        && record
                            .key
                            .is_some_and(|key| newest.counts(key, offset) && !(is_tombstone && is_past_horizon));
                has_tombstones |= is_kept && is_tombstone;
                is_kept
            })?;
            let sets_horizon = header.delete_horizon().is_none() && is_whole && (has_tombstones || is_spent_marker);
            if kept.count == 0 {
                Ok(emptied())
            } else if kept.count < header.record_count.unsigned_abs() as usize || sets_horizon {
                Ok(Verdict::Becomes(rewrite::with_records(opened, &kept, sets_horizon)?.freeze()))
            } else {
                Ok(Verdict::Stays)
            }
        });
        verdict.unwrap_or(Verdict::Stays)
    }

    /// What a control batch ends.
    fn marker(&self, batch: &Batch) -> Option<TransactionResult> {
        let mut result = None;
        self.look_into(batch, |opened| {
            opened.each(|record| {
                result = record.key.and_then(control::marker_of_key);
                false
            })
        });
        result
    }

    /// Hands the records of a batch over. One that cannot be read, or grows beyond the limits, is left alone: it stays as it is, and
    /// the newest values of its keys with it.
    fn look_into<T>(&self, batch: &Batch, look: impl FnOnce(&Opened<'_>) -> Result<T, RecordsInvalid>) -> Option<T> {
        let opened = Opened::of(&batch.bytes, &batch.header, DecompressionLimits::default());
        match opened.and_then(|opened| look(&opened)) {
            Ok(found) => Some(found),
            Err(error) => {
                let (topic, partition, offset) = (&*self.topic.name, self.id.index, batch.key.base_offset);
                tracing::warn!(topic, partition, offset, %error, "a batch cannot be compacted and stays as it is");
                None
            }
        }
    }

    fn last_of_producers(&self) -> Result<HashMap<ProducerId, LastOfProducer>, Interrupted> {
        let mut producers = HashMap::new();
        self.store().scan(&producers_prefix(Some(self.id)), &mut |key, value| {
            // A damaged row is told when it is used; here it only keeps less.
            if let (Ok((_, producer_id)), Ok(state)) = (producer_of_key(key), ProducerState::decode(value)) {
                let last = match state.window.last() {
                    Some(newest) => LastOfProducer::Records { last_offset: newest.last_offset },
                    None => LastOfProducer::Marker { epoch: state.epoch },
                };
                producers.insert(producer_id, last);
            }
        })?;
        Ok(producers)
    }
}

/// Whether the batch is the newest of a producer that is known, which stays though it be empty.
fn is_last_of_producer(producers: &HashMap<ProducerId, LastOfProducer>, header: &BatchHeader) -> bool {
    match producers.get(&header.producer_id) {
        Some(LastOfProducer::Records { last_offset }) => header.last_offset() == *last_offset,
        Some(LastOfProducer::Marker { epoch }) => header.is_control() && header.producer_epoch == *epoch,
        None => false,
    }
}

fn parsed(key: LogKey, stored: StoredBatch) -> Result<Batch, Interrupted> {
    let header = BatchHeader::parse(&stored.bytes).map_err(|error| StoreError::Corrupt {
        place: format!("partition {} offset {}", key.partition, key.base_offset),
        detail: error.to_string(),
    })?;
    Ok(Batch { key, header, bytes: stored.bytes })
}

fn key_of(id: PartitionId, bytes: &Bytes) -> Result<LogKey, Interrupted> {
    let header = BatchHeader::parse(bytes).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(LogKey::of(id, &header))
}
