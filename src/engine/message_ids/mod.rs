//! The ids of messages that topics remember: judged with each batch, written with it, forgotten with time.
//!
//! One row beside each batch that brings new ids holds them, in the same write; rows go when their ids do. What is in memory is what
//! the rows say, and is read back from them at the start ([`recovery`]), not from the log. Transactions need no rows of their own:
//! whether the ids of a batch are those of an open one is told by its producer's row. Ids are kept by a clock of their own
//! ([`running_time`]), which also tells idle senders of mode `sequence` ([`numbers`]); what a deleted topic leaves behind goes in slices ([`super::purge`]).

mod audit;
mod figures;
mod look_up;
mod news;
mod numbers;
mod recovery;
mod running_time;
mod versions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::command::{AppendBatch, Marker, Repeated};
use super::dead::Dead;
use super::group::Group;
use super::sealing::{SealLimits, Sealed, Sealing};
use crate::config::DedupConfig;
use crate::dedup::{
    BatchIds, Extractor, Index, Judged, KeptBlock, KnownBy, Original, Recognised, Sender, Verdict, decide, take_in,
};
use crate::log::catalog::{Topic, Topics};
use crate::record::amend::{self, Amended};
use crate::record::records::RecordsInvalid;
use crate::store::schema::{IdBlock, MessageIdTime, RowValue, id_block_key};
use crate::store::slices::Slice;
use crate::store::{Rows, Store};
use crate::types::{ErrorCode, Offset, PartitionId, ProducerId, Timestamp, TopicNo, TransactionResult};
pub(super) use audit::unfit as unfit_for_audit;
use news::News;
pub(super) use news::tell;
use numbers::Numbers;
pub(super) use recovery::{recover, recover_secret};
use running_time::RunningTime;
pub(super) use versions::Moved;

/// Header that names the first record with the same id, where repeated records are stored.
const MARK: &str = "einmal-duplicate-of";
/// Ids that one round forgets, about: the last batch of them goes whole.
const IDS_PER_ROUND: usize = 4096;
/// Ids that an append forgets beside twice its own, if they have expired.
const EXPIRED_PER_APPEND: usize = 64;

/// Ids of all topics.
pub(super) struct MessageIds {
    extractor: Extractor,
    /// `einmal.dedup.memory.bytes`.
    bytes_max: usize,
    /// Of `by_topic`.
    bytes: usize,
    by_topic: HashMap<TopicNo, Index>,
    /// What has left `by_topic` for files.
    pub sealing: Sealing,
    clock: RunningTime,
    numbers: Numbers,
    /// For other topics.
    news: News,
    /// Of the batch that was judged last.
    recognised: Recognised,
}

/// What is to become of a batch.
pub(super) enum Outcome {
    /// It is appended. Its last record may lie before its last offset.
    Append {
        /// Offset delta of the last record that is stored.
        last_present_delta: i32,
    },
    /// It is there already.
    Known {
        /// Where its first record is, if that is in the same partition.
        base_offset: Option<Offset>,
    },
    /// It is refused.
    Refused(ErrorCode, String),
}

impl MessageIds {
    /// None yet.
    pub fn new(extractor: Extractor, limits: SealLimits, monotonic_ms: u64) -> Self {
        Self {
            extractor,
            bytes_max: limits.bytes_max,
            bytes: 0,
            by_topic: HashMap::new(),
            sealing: Sealing::new(extractor.secret, limits),
            clock: RunningTime::start(monotonic_ms),
            numbers: Numbers::default(),
            news: News::default(),
            recognised: Recognised::default(),
        }
    }

    /// Sets the time of the next group.
    pub fn set_now(&mut self, monotonic_ms: u64) {
        self.clock.set_now(monotonic_ms);
    }

    /// Stages what the next run has to know of the time.
    pub fn stage_time(&self, rows: &mut Rows) {
        if !self.is_empty() {
            rows.put(MessageIdTime::KEY.to_vec(), MessageIdTime(self.clock.now()).encode());
        }
    }

    /// Judges a batch for `base_offset`, and takes records out of it that are there already. If it is to be appended, [`MessageIds::keep`]
    /// has to follow.
    pub fn judge(
        &mut self,
        store: &dyn Store,
        group: &mut Group,
        topic: &Topic,
        config: &Arc<DedupConfig>,
        batch: &mut AppendBatch,
        base_offset: Offset,
    ) -> Outcome {
        self.recognised = Recognised::default();
        if config.checks_versions {
            return self.judge_versions(store, group, topic, config, batch, base_offset);
        }
        let mut ids = match self.ids_of(config, batch) {
            Ok(ids) => ids,
            Err(outcome) => return outcome,
        };
        if ids.is_bypassed() {
            count(&topic.traffic.dedup_bypassed, usize::try_from(batch.header.record_count).unwrap_or(0));
        }
        if let Some(sequence) = &config.sequence {
            return match self.judge_numbers(topic, (config, sequence), batch, &ids, base_offset) {
                Ok(verdict) => {
                    let known = known_records(&verdict, ids.numbers.len());
                    self.outcome(
                        topic,
                        config,
                        batch,
                        &ids,
                        base_offset,
                        (verdict, Recognised::all(KnownBy::Sequence, known)),
                    )
                }
                Err(refused) => refused,
            };
        }
        if ids.ids.len() > config.window_ids_max {
            let message =
                format!("the batch has more message ids than message.dedup.window.max.ids={}", config.window_ids_max);
            return Outcome::Refused(ErrorCode::INVALID_RECORD, message);
        }
        let generation = self.sealing.generation();
        if ids.sealed.generation < generation
            && let Err(refused) = self.look_up_newer(topic, &mut ids)
        {
            return refused;
        }
        // Those of a log that has lost its end do not count: slices are from before.
        ids.sealed.found.retain(|(_, id)| topic.has_reached(id.partition, id.offset));
        let index = self.by_topic.entry(topic.no).or_insert_with(|| {
            let index = Index::new(self.extractor.secret);
            self.bytes += index.bytes();
            index
        });
        let bytes_before = index.bytes();
        let judged = Judged {
            ids: &ids,
            record_count: batch.header.record_count,
            partition: batch.partition.index,
            base_offset,
            transaction: transaction_of(batch),
            now: self.clock.now(),
        };
        let (verdict, recognised) = if ids.is_bypassed() {
            (take_in(index, &judged, config), Recognised::default())
        } else {
            decide(index, &judged, config)
        };
        let sealed = self.sealing.ids(topic.no);
        let has_no_room = !index.has_numbers_for(0)
            || self.bytes + self.numbers.bytes() + self.sealing.memory_bytes() > self.bytes_max;
        let is_full = index.len() + sealed > config.window_ids_max || has_no_room;
        // Nothing can be forgotten before the oldest, and that belongs to an open transaction: without a bound it would be memory's.
        let is_held = index.blocks() > 0 && index.oldest().is_none() && sealed == 0;
        let throttled = (config.throttles || is_held)
            && (is_full && index.new_ids().len() > 0 || has_no_room && index.has_repeats());
        if throttled {
            index.drop_new();
            index.drop_repeats();
        } else if matches!(verdict, Verdict::Known(_)) {
            stage_repeats(index, group, topic.no, self.clock.now());
        }
        self.bytes = self.bytes + index.bytes() - bytes_before;
        if throttled {
            let message = "the topic remembers as many message ids as it may; older ones have to expire first";
            return Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, message.to_owned());
        }
        self.outcome(topic, config, batch, &ids, base_offset, (verdict, recognised))
    }

    /// Records of the batch that was judged last that were there before.
    pub fn repeated(&self) -> Repeated {
        Repeated { retried: 0, known: self.recognised.total().into() }
    }

    /// Counts a verdict, and makes the batch what it says.
    fn outcome(
        &mut self,
        topic: &Topic,
        config: &DedupConfig,
        batch: &mut AppendBatch,
        ids: &BatchIds,
        base_offset: Offset,
        (verdict, recognised): (Verdict, Recognised),
    ) -> Outcome {
        self.recognised = recognised;
        let checked = ids.ids.len() + ids.numbers.len();
        let traffic = &topic.traffic;
        let records = usize::try_from(batch.header.record_count).unwrap_or(0);
        if !ids.is_bypassed() {
            count(&traffic.dedup_checked, checked);
        }
        for by in KnownBy::ALL {
            count(&traffic.dedup_duplicates[by as usize], recognised.by(by) as usize);
        }
        match &verdict {
            Verdict::Reject(..) => count(&traffic.dedup_rejected, 1),
            Verdict::Undecided => count(&traffic.dedup_pending_conflicts, 1),
            Verdict::Known(_) => count(&traffic.dedup_suppressed_batches, 1),
            Verdict::StoreWithout(deltas) => {
                count(&traffic.dedup_holes_records, deltas.len());
                count(&traffic.dedup_rewritten_batches, 1);
            }
            Verdict::Mark(_) => count(&traffic.dedup_rewritten_batches, 1),
            Verdict::Store => {}
        }
        if !matches!(verdict, Verdict::Reject(..) | Verdict::Undecided) {
            count(&traffic.dedup_missing_id, records.saturating_sub(checked));
        }
        if let Some(audit_topic) = &config.audit_topic {
            self.note_for_audit(topic, (config, audit_topic), batch, &ids.sender, &verdict, base_offset);
        }
        match verdict {
            Verdict::Store => Outcome::Append { last_present_delta: batch.header.last_offset_delta },
            Verdict::StoreWithout(known) => {
                let mut known = known.into_iter().peekable();
                let is_dropped = |delta: i32| known.next_if(|(next, _)| i64::from(*next) == i64::from(delta)).is_some();
                let amended = amend::without(&batch.bytes, &batch.header, self.extractor.limits(), is_dropped);
                self.amended(topic.no, batch, amended)
            }
            Verdict::Mark(originals) => {
                let mut originals = originals.into_iter().peekable();
                let value_of = |delta: i32| {
                    let (_, original) = originals.next_if(|(next, _)| i64::from(*next) == i64::from(delta))?;
                    Some(format!("{}:{}", original.partition, original.offset))
                };
                let amended = amend::with_header(&batch.bytes, &batch.header, self.extractor.limits(), MARK, value_of);
                self.amended(topic.no, batch, amended)
            }
            Verdict::Known(known) => {
                let first = known.first().map(|(_, original)| *original);
                let in_partition = first.filter(|first| first.partition == batch.partition.index);
                Outcome::Known { base_offset: in_partition.map(|first| first.offset) }
            }
            Verdict::Reject(delta, Original { offset, .. }) if offset < 0 => {
                let message = format!("record {delta} was sent before: its sender's number is higher");
                Outcome::Refused(ErrorCode::INVALID_RECORD, message)
            }
            Verdict::Reject(delta, Original { partition, offset }) => {
                let message =
                    format!("record {delta} was sent before: it is at offset {offset} of partition {partition}");
                Outcome::Refused(ErrorCode::INVALID_RECORD, message)
            }
            Verdict::Undecided => {
                let message = "a record with the same message id belongs to a transaction that is still open";
                Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, message.to_owned())
            }
        }
    }

    /// The ids as the connection read them, or read anew if the topic's settings have changed since.
    fn ids_of(&self, config: &Arc<DedupConfig>, batch: &mut AppendBatch) -> Result<Box<BatchIds>, Outcome> {
        match batch.ids.take() {
            Some(ids) if ids.are_of(config) => Ok(ids),
            Some(ids) => self.read_ids(config, &ids.sender, batch),
            None if config.asks_for_principal() => {
                let message = "the topic has begun to ask for senders while the batch was on its way";
                Err(Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, message.to_owned()))
            }
            None => self.read_ids(config, &Arc::new(Sender::anonymous("")), batch),
        }
    }

    fn read_ids(
        &self,
        config: &Arc<DedupConfig>,
        sender: &Arc<Sender>,
        batch: &AppendBatch,
    ) -> Result<Box<BatchIds>, Outcome> {
        match self.extractor.ids(config, sender, batch.partition, &batch.bytes, &batch.header) {
            Ok(ids) => Ok(Box::new(ids)),
            Err(refused) => Err(Outcome::Refused(refused.error(), refused.to_string())),
        }
    }

    fn amended(
        &mut self,
        topic: TopicNo,
        batch: &mut AppendBatch,
        amended: Result<Amended, RecordsInvalid>,
    ) -> Outcome {
        match amended {
            Ok(Amended { bytes, header, last_present_delta }) => {
                (batch.bytes, batch.header) = (bytes, header);
                Outcome::Append { last_present_delta }
            }
            // Its ids were read out of the same records, so it does not come to this.
            Err(invalid) => {
                if let Some(index) = self.by_topic.get_mut(&topic) {
                    index.drop_new();
                    index.drop_repeats();
                }
                Outcome::Refused(ErrorCode::INVALID_RECORD, format!("Record batch does not decode: {invalid}"))
            }
        }
    }

    /// Stages the new ids of the batch that was judged last and is staged at `base_offset`, and forgets the oldest that are over.
    pub fn keep(
        &mut self,
        group: &mut Group,
        topic: &Topic,
        config: &DedupConfig,
        partition: PartitionId,
        base_offset: Offset,
        transaction: Option<ProducerId>,
    ) {
        let time = self.clock.now();
        if config.sequence.is_some() {
            self.numbers.keep(&mut self.news, group, topic, partition.index, transaction, time);
            self.show(topic);
            return;
        }
        let Some(index) = self.by_topic.get_mut(&partition.topic) else { return };
        let bytes_before = index.bytes();
        let new = index.new_ids().len();
        if new > 0 {
            let row = IdBlock { time, transaction, kept: index.new_kept() };
            group.rows.put(id_block_key(partition, base_offset, None), row.encode());
        }
        index.keep(KeptBlock { partition: partition.index, base_offset, time, is_repeat: false }, transaction);
        stage_repeats(index, group, topic.no, time);
        let mut left = 2 * new + EXPIRED_PER_APPEND;
        while left > 0
            && let Some(oldest) = index.oldest().filter(|oldest| oldest.time <= time.saturating_sub(config.kept_ms()))
        {
            left = left.saturating_sub(forget_oldest(index, group, partition.topic, oldest).max(1));
        }
        if new == 0 && left < EXPIRED_PER_APPEND {
            // As in `expire`; new ids bring their time with them.
            group.rows.put(MessageIdTime::KEY.to_vec(), MessageIdTime(time).encode());
        }
        let window_ids_max = config.window_ids_max;
        while index.len() + self.sealing.ids(topic.no) > window_ids_max
            && let Some(slice) = self.sealing.drop_oldest(group, topic.no)
        {
            count_evicted(topic, &slice, time.saturating_sub(config.kept_ms()));
        }
        // What is left where the limit was lowered, or a transaction was in the way, goes with the next appends.
        while left > 0
            && index.blocks() > 1
            && index.len() + self.sealing.ids(topic.no) > window_ids_max
            && let Some(oldest) = index.oldest()
        {
            let forgotten = forget_oldest(index, group, partition.topic, oldest);
            left = left.saturating_sub(forgotten.max(1));
            if oldest.time > time.saturating_sub(config.kept_ms()) {
                count(&topic.traffic.dedup_evicted, forgotten);
            }
        }
        self.bytes = self.bytes + index.bytes() - bytes_before;
        self.show(topic);
    }

    /// Whether all ids together take more memory than they may.
    pub fn is_over(&self) -> bool {
        self.memory_bytes() > self.bytes_max
    }

    /// Forgets the oldest ids of the topic that has most, while there are too many. The newest of each topic stay.
    pub fn make_room(&mut self, group: &mut Group, topics: &Topics) {
        let throttles = |topic: &TopicNo| dedup_of(topics, *topic).is_some_and(|dedup| dedup.throttles);
        while self.is_over() {
            let sealed = self.sealing.droppable_bytes().filter(|(topic, _)| !throttles(topic));
            let most_sealed = sealed.max_by_key(|(_, bytes)| *bytes);
            let evictable = self.by_topic.iter_mut().filter(|(topic, index)| index.blocks() > 1 && !throttles(topic));
            let with_oldest = evictable.filter_map(|(topic, index)| Some((topic, index.oldest()?, index)));
            let largest = with_oldest.max_by_key(|(_, _, index)| index.bytes());
            if let Some((topic, bytes)) = most_sealed
                && largest.as_ref().is_none_or(|(_, _, index)| index.bytes() < bytes)
                && let Some(slice) = self.sealing.drop_oldest(group, topic)
            {
                if let Some(topic) = topics.by_no.get(&topic)
                    && let Some(dedup) = &topic.config.dedup
                {
                    count_evicted(topic, &slice, self.clock.now().saturating_sub(dedup.kept_ms()));
                }
                continue;
            }
            let Some((topic, oldest, index)) = largest else { return };
            let bytes_before = index.bytes();
            let forgotten = forget_oldest(index, group, *topic, oldest);
            if let Some(topic) = topics.by_no.get(topic)
                && let Some(dedup) = &topic.config.dedup
                && oldest.time > self.clock.now().saturating_sub(dedup.kept_ms())
            {
                count(&topic.traffic.dedup_evicted, forgotten);
            }
            self.bytes = self.bytes + index.bytes() - bytes_before;
        }
    }

    /// Settles the ids of a transaction that ends in a partition: they stay with its records or go with them.
    pub fn end(&mut self, group: &mut Group, topic: &Topic, partition: PartitionId, marker: &Marker) {
        self.numbers.end(&mut self.news, group, topic, partition, marker);
        let producer_id = marker.producer_id;
        let Some(index) = self.by_topic.get_mut(&partition.topic) else { return };
        match marker.result {
            TransactionResult::Commit => index.commit(partition.index, producer_id),
            TransactionResult::Abort => {
                let bytes_before = index.bytes();
                for base_offset in index.abort(partition.index, producer_id) {
                    group.rows.delete(id_block_key(partition, base_offset, None));
                }
                self.bytes = self.bytes + index.bytes() - bytes_before;
            }
        }
    }

    /// Whether something waits to be told to other topics.
    pub fn is_telling(&self) -> bool {
        self.news.is_waiting()
    }

    /// Whether no topic remembers anything.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty() && self.numbers.is_empty() && self.sealing.is_empty()
    }

    /// Forgets ids whose time is over, those that a slice has taken over, and all of a topic that does not look at them any more, as far as one round goes; answers whether
    /// more are left.
    pub fn expire(&mut self, group: &mut Group, topics: &Topics) -> bool {
        let mut left = IDS_PER_ROUND;
        let looked_at = self.remembering();
        for (topic, index) in &mut self.by_topic {
            let dedup = dedup_of(topics, *topic).filter(|dedup| dedup.sequence.is_none());
            let expired_until = dedup.map_or(Timestamp::MAX, |dedup| self.clock.now().saturating_sub(dedup.kept_ms()));
            let until = self.sealing.leaving.get(topic).copied().unwrap_or(Timestamp::MIN).max(expired_until);
            let bytes_before = index.bytes();
            while left > 0
                && let Some(oldest) = index.oldest().filter(|oldest| oldest.time <= until)
            {
                left = left.saturating_sub(forget_oldest(index, group, *topic, oldest).max(1));
            }
            self.bytes = self.bytes + index.bytes() - bytes_before;
        }
        if left < IDS_PER_ROUND {
            // With what is forgotten the time of it is kept, or after a crash ids would count again that are older than it.
            self.stage_time(&mut group.rows);
        }
        if left > 0 {
            // The loop came to the end of all.
            self.sealing.leaving.clear();
        }
        let now = self.clock.now();
        self.sealing.drop_expired(group, |topic| {
            let dedup = dedup_of(topics, topic).filter(|dedup| dedup.sequence.is_none());
            dedup.map_or(Timestamp::MAX, |dedup| now.saturating_sub(dedup.kept_ms()))
        });
        self.sealing.begin(group, &mut self.by_topic, topics, (now, self.bytes));
        let bytes = &mut self.bytes;
        self.by_topic.retain(|_, index| {
            if index.is_empty() {
                *bytes -= index.bytes();
            }
            !index.is_empty()
        });
        let has_more = self.numbers.expire(&mut self.news, group, topics, self.clock.now()) || left == 0;
        looked_at.iter().filter_map(|topic| topics.by_no.get(topic)).for_each(|topic| self.show(topic));
        has_more
    }

    /// Takes in what became of a slice that was to be made.
    pub fn note_sealed(&mut self, group: &mut Group, topics: &Topics, sealed: Sealed) {
        let exists = topics.by_no.contains_key(&sealed.topic);
        self.sealing.note(group, sealed, exists, self.clock.now());
    }

    /// Looks ids up in slices that were made since a connection looked, or in all if none did. Rare: it may read files.
    #[inline(never)]
    fn look_up_newer(&self, topic: &Topic, ids: &mut BatchIds) -> Result<(), Outcome> {
        let perhaps = self.sealing.shared().ask_newer(topic.no, &ids.ids, ids.sealed.generation);
        match perhaps.read(&ids.ids) {
            Ok(found) => {
                ids.sealed.merge(found);
                Ok(())
            }
            Err(error) => {
                tracing::error!(topic = &*topic.name, %error, "message ids cannot be looked up");
                let message = "the message ids of the topic cannot be read".to_owned();
                Err(Outcome::Refused(ErrorCode::KAFKA_STORAGE_ERROR, message))
            }
        }
    }

    /// Forgets a deleted topic; its rows go later.
    pub fn remove_topic(&mut self, group: &mut Group, topic: &Topic) {
        self.sealing.remove_topic(group, topic.no);
        let index = self.by_topic.remove(&topic.no);
        self.bytes -= index.as_ref().map_or(0, Index::bytes);
        let has_versions = topic.config.dedup.as_ref().is_some_and(|dedup| dedup.checks_versions);
        if self.numbers.remove_topic(&mut self.news, topic) || index.is_some() || has_versions {
            group.dead.push(Dead::MessageIds(topic.no));
        }
    }
}

/// How many records a verdict over so many numbered ones is about.
fn known_records(verdict: &Verdict, counted: usize) -> u32 {
    let known = match verdict {
        Verdict::StoreWithout(deltas) => deltas.len(),
        Verdict::Mark(originals) => originals.len(),
        Verdict::Known(_) => counted,
        Verdict::Reject(..) => 1,
        Verdict::Store | Verdict::Undecided => 0,
    };
    u32::try_from(known).unwrap_or(u32::MAX)
}

/// The producer whose transaction the batch belongs to.
pub(super) fn transaction_of(batch: &AppendBatch) -> Option<ProducerId> {
    batch.header.is_transactional().then_some(batch.header.producer_id)
}

fn dedup_of(topics: &Topics, topic: TopicNo) -> Option<&DedupConfig> {
    topics.by_no.get(&topic)?.config.dedup.as_deref()
}

fn count_evicted(topic: &Topic, slice: &Slice, expired_until: Timestamp) {
    if slice.head.newest > expired_until {
        count(&topic.traffic.dedup_evicted, slice.head.ids as usize);
    }
}

/// Adds to one of the counters of a topic.
fn count(counter: &AtomicU64, more: usize) {
    // Mostly there is nothing, on lines that others read.
    if more > 0 {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }
}

/// Stages that ids of the batch that was judged last were sent again, where they live longer for it.
fn stage_repeats(index: &mut Index, group: &mut Group, topic: TopicNo, time: Timestamp) {
    if !index.has_repeats() {
        return;
    }
    for (at, kept) in index.keep_repeats(time) {
        let partition = PartitionId { topic, index: at.partition };
        let row = IdBlock { time, transaction: None, kept };
        group.rows.put(id_block_key(partition, at.base_offset, Some(time)), row.encode());
    }
}

fn forget_oldest(index: &mut Index, group: &mut Group, topic: TopicNo, oldest: KeptBlock) -> usize {
    let partition = PartitionId { topic, index: oldest.partition };
    group.rows.delete(id_block_key(partition, oldest.base_offset, oldest.is_repeat.then_some(oldest.time)));
    index.forget_oldest()
}
