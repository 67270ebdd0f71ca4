//! One compaction of one partition (`Cleaner.doClean` in Kafka): first the newest offset of each key in what is dirty, then each batch
//! from the log start on without the records that count no more.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Cleaner;
use super::dirt::Dirt;
use super::offset_map::OffsetMap;
use super::pace::Pace;
use super::transactions::Transactions;
use crate::engine::background::Ending;
use crate::engine::command::{Command, CompactedUpTo, Compaction, Replaced};
use crate::engine::sparse_index::SPARSE_ENTRY_BYTES;
use crate::log::aborted::all_aborted_in;
use crate::log::catalog::Topic;
use crate::producer::ProducerState;
use crate::record::codec::{self, DecompressionLimits};
use crate::record::records::{RecordView, RecordsInvalid, records};
use crate::record::{BatchHeader, HEADER_BYTES, control, rewrite};
use crate::store::schema::{
    LogKey, RowValue, SparseRow, aborted_key, producer_of_key, producers_prefix, sparse_key, sparse_prefix,
};
use crate::store::{Store, StoreError, StoredBatch};
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, Timestamp, TransactionResult};

/// Bytes of batches read at a time.
const READ_BYTES: usize = 1 << 20;
/// Bytes, and batches, that one command replaces: others wait for the writer meanwhile.
const COMMAND_BYTES: usize = 256 << 10;
const COMMAND_BATCHES: usize = 256;
/// Rows of the index that one command removes.
const COMMAND_KEYS: usize = 1024;

/// The newest batch with records of a producer, or its newest marker's epoch where it has none.
enum LastOfProducer {
    Records { last_offset: Offset },
    Marker { epoch: ProducerEpoch },
}

/// Why a round ends early.
pub(super) enum Interrupted {
    /// The engine has ended, or the topic is gone.
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
    pub log_start: Offset,
    pub dirt: Dirt,
    /// Counts bytes that have gone and still take space, also when the round ends early.
    pub gone_bytes: &'a mut u64,
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

/// What is left so far, for the index of times and sizes that is made anew.
#[derive(Default)]
struct Left {
    bytes: u64,
    entry_bytes: u64,
    newest: Option<(Timestamp, Offset)>,
    sparse: Vec<(Offset, SparseRow)>,
}

impl Left {
    fn entry(&mut self, base_offset: Offset) {
        let (max_timestamp, max_timestamp_offset) = self.newest.unwrap_or((-1, -1));
        // The writer adds what is below the log start.
        let row = SparseRow { max_timestamp, max_timestamp_offset, cumulative_bytes: self.bytes };
        self.sparse.push((base_offset, row));
        self.entry_bytes = self.bytes;
    }

    fn add(&mut self, key: &LogKey) {
        if self.bytes - self.entry_bytes >= SPARSE_ENTRY_BYTES {
            self.entry(key.base_offset);
        }
        if self.newest.is_none_or(|(timestamp, _)| key.max_timestamp > timestamp) {
            self.newest = Some((key.max_timestamp, key.base_offset));
        }
        self.bytes += u64::from(key.size_bytes);
    }
}

impl Round<'_> {
    /// Runs it.
    pub fn run(mut self) -> Result<Ended, Interrupted> {
        let (map, end) = self.newest_offsets()?;
        self.forget_index(end)?;
        let left = self.rewrite(&map, end)?;
        let clean_bytes = left.bytes;
        let (seen_log_start, sparse) = (self.log_start, left.sparse);
        self.send(Compaction::Done(CompactedUpTo { seen_log_start, first_dirty: end, sparse }))?;
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

    /// Visits the batches that begin in `[from, to)` and hands each over, as long as the visitor wants more.
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

    /// Keys of the next batches that end below `to`, for about [`READ_BYTES`].
    fn keys(&self, from: Offset, to: Offset) -> Result<Vec<LogKey>, Interrupted> {
        let mut keys = Vec::new();
        let mut bytes = 0;
        self.store().scan_log(self.id, from, to, &mut |key| {
            if key.last_offset() >= to {
                return false;
            }
            bytes += key.size_bytes as usize;
            keys.push(key);
            bytes < READ_BYTES
        })?;
        Ok(keys)
    }

    /// The newest offset of each key in what is dirty, as far as memory reaches, and where that is.
    fn newest_offsets(&mut self) -> Result<(OffsetMap, Offset), Interrupted> {
        let Dirt { first_dirty, end, .. } = self.dirt;
        let mut map = OffsetMap::new(self.with.settings.load().dedupe_bytes);
        let mut seen = Transactions::new(all_aborted_in(self.store(), self.id, first_dirty, end)?);
        let mut reached = first_dirty;
        self.batches(first_dirty, end, |round, batch| {
            let header = &batch.header;
            if header.is_control() {
                if let Some(result) = round.marker(&batch) {
                    seen.pass_marker(header.producer_id, result, header.last_offset());
                }
            } else if !seen.pass_batch(header.producer_id, header.is_transactional(), header.last_offset()) {
                let keys = usize::try_from(header.record_count).unwrap_or(0);
                // One batch at least, or it would never get on.
                if !map.has_room_for(keys) && !map.is_empty() {
                    return Ok(false);
                }
                round.look_into(&batch, |records| {
                    for record in records {
                        if let Some(key) = record.key {
                            map.put(key, header.base_offset + Offset::from(record.offset_delta));
                        }
                    }
                });
            }
            reached = header.last_offset() + 1;
            Ok(true)
        })?;
        Ok((map, reached))
    }

    /// The index of times and sizes says of what is compacted what was; it is made anew once that is done.
    fn forget_index(&self, end: Offset) -> Result<(), Interrupted> {
        let mut keys = Vec::new();
        let (from, to) = (sparse_prefix(Some(self.id)), sparse_key(self.id, end));
        self.store().scan_range(&from, &to, &mut |key, _| {
            keys.push(key.to_vec());
            true
        })?;
        for keys in keys.chunks(COMMAND_KEYS) {
            self.send(Compaction::Forget(keys.to_vec()))?;
        }
        Ok(())
    }

    fn rewrite(&mut self, map: &OffsetMap, end: Offset) -> Result<Left, Interrupted> {
        let last_of_producers = self.last_of_producers()?;
        let mut seen = Transactions::new(all_aborted_in(self.store(), self.id, self.log_start, end)?);
        let mut left = Left::default();
        let mut staged = Staged::default();
        self.batches(self.log_start, end, |round, batch| {
            let key = batch.key;
            let is_last = is_last_of_producer(&last_of_producers, &batch.header) || key.last_offset() + 1 == end;
            let new = match round.judge(&batch, map, &mut seen, is_last, &mut staged.aborted) {
                Verdict::Stays => {
                    left.add(&key);
                    return Ok(true);
                }
                Verdict::Goes => None,
                Verdict::Becomes(bytes) => {
                    let new = key_of(round.id, &bytes)?;
                    left.add(&new);
                    staged.bytes += bytes.len();
                    Some((new, bytes))
                }
            };
            staged.replaced.push(Replaced { old: key, new });
            if staged.bytes >= COMMAND_BYTES || staged.replaced.len() >= COMMAND_BATCHES {
                round.write(std::mem::take(&mut staged))?;
            }
            Ok(true)
        })?;
        self.write(staged)?;
        // For the writer of the next run, which reads from the newest entry on.
        let mut next = None;
        self.store().scan_log(self.id, end, Offset::MAX, &mut |key| {
            next = Some(key.base_offset);
            false
        })?;
        next.into_iter().for_each(|base_offset| left.entry(base_offset));
        Ok(left)
    }

    fn write(&mut self, staged: Staged) -> Result<(), Interrupted> {
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
        self.send(Compaction::Replace { replaced, aborted })?;
        *self.gone_bytes += old;
        self.topic.traffic.deleted_by_compaction_bytes.fetch_add(old.saturating_sub(new), Ordering::Relaxed);
        self.pace.spend(new, |time| self.ending.within(time));
        Ok(())
    }

    /// What becomes of a batch; an abort marker that goes takes its row of the index of `aborted` transactions along.
    fn judge(
        &self,
        batch: &Batch,
        map: &OffsetMap,
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
        let mut verdict = Verdict::Stays;
        self.look_into(batch, |records| {
            let counts = |record: &RecordView<'_>| {
                let Some(key) = record.key else { return false };
                let offset = header.base_offset + Offset::from(record.offset_delta);
                let is_newest = map.newest(key).is_none_or(|newest| offset >= newest);
                is_newest && (record.value.is_some() || !is_past_horizon)
            };
            let kept: Vec<_> = records.iter().filter(|record| header.is_control() || counts(record)).copied().collect();
            let has_tombstones = !header.is_control() && kept.iter().any(|record| record.value.is_none());
            let sets_horizon = header.delete_horizon().is_none() && (has_tombstones || is_spent_marker);
            if kept.is_empty() {
                verdict = emptied();
            } else if kept.len() < records.len() || sets_horizon {
                let horizon = self.wall_now.saturating_add(self.topic.config.delete_retention_ms);
                if let Ok(bytes) = rewrite::with_records(header, &kept, sets_horizon.then_some(horizon)) {
                    verdict = Verdict::Becomes(bytes.freeze());
                }
            }
        });
        verdict
    }

    /// What a control batch ends.
    fn marker(&self, batch: &Batch) -> Option<TransactionResult> {
        let mut result = None;
        self.look_into(batch, |records| {
            result = records.first().and_then(|record| record.key).and_then(control::marker_of_key);
        });
        result
    }

    /// Hands the records of a batch over. One that cannot be read, or grows beyond the limits, is left alone: it stays as it is, and
    /// the newest values of its keys with it.
    fn look_into(&self, batch: &Batch, visit: impl FnOnce(&[RecordView<'_>])) {
        if let Err(error) = try_look_into(batch, visit) {
            let (topic, partition, offset) = (&*self.topic.name, self.id.index, batch.key.base_offset);
            tracing::warn!(topic, partition, offset, %error, "a batch cannot be compacted and stays as it is");
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

fn try_look_into(batch: &Batch, visit: impl FnOnce(&[RecordView<'_>])) -> Result<(), RecordsInvalid> {
    let packed = batch.bytes.get(HEADER_BYTES..).unwrap_or_default();
    let plain = codec::decompress(batch.header.codec()?, packed, DecompressionLimits::default())?;
    let views = records(&plain, batch.header.record_count).collect::<Result<Vec<_>, _>>()?;
    visit(&views);
    Ok(())
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
