//! The ids of messages that topics remember: judged with each batch, written with it, forgotten with time.
//!
//! One row beside each batch that brings new ids holds them, in the same write; rows go when their ids do. What is in memory is what
//! the rows say, and is read back from them at the start ([`recovery`]), not from the log. Transactions need no rows of their own:
//! whether the ids of a batch are those of an open one is told by its producer's row. Ids are kept by a clock of their own
//! ([`running_time`]), which also tells idle senders of mode `sequence` ([`numbers`]); what a deleted topic leaves behind goes in slices ([`super::purge`]).

mod audit;
mod figures;
mod forgetting;
mod look_up;
mod making_room;
mod news;
mod numbers;
mod outcome;
mod recovery;
mod room;
mod running_time;
mod stored_blocks;
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
    BatchIds, Extractor, Index, Judged, KeptBlock, KnownBy, Recognised, Sender, Verdict, decide, take_in,
};
use crate::log::catalog::{Topic, Topics};
use crate::store::schema::{IdBlock, MessageIdTime, RowValue, id_block_key};
use crate::store::{Rows, Store};
use crate::types::{ErrorCode, Offset, PartitionId, ProducerId, Timestamp, TopicNo, TransactionResult};
pub(super) use audit::unfit as unfit_for_audit;
use news::News;
pub(super) use news::tell;
use numbers::Numbers;
pub(super) use outcome::Outcome;
use outcome::known_records;
pub(super) use recovery::{recover, recover_secret};
use room::Room;
use running_time::RunningTime;
pub(super) use versions::Moved;

/// Ids of all topics.
pub(super) struct MessageIds {
    extractor: Extractor,
    room: Room,
    /// Of `by_topic`.
    bytes: usize,
    by_topic: HashMap<TopicNo, Index>,
    /// What has left `by_topic` for files.
    pub sealing: Sealing,
    /// Ids are to leave memory before the next look is due.
    is_look_owed: bool,
    /// Since the last look a batch came for which there was no room as it was.
    is_pressed: bool,
    clock: RunningTime,
    numbers: Numbers,
    /// For other topics.
    news: News,
    /// Of the batch that was judged last.
    recognised: Recognised,
}

impl MessageIds {
    /// None yet.
    pub fn new(extractor: Extractor, limits: SealLimits, monotonic_ms: u64) -> Self {
        Self {
            extractor,
            room: Room::new(limits.bytes_max),
            bytes: 0,
            by_topic: HashMap::new(),
            sealing: Sealing::new(extractor.secret, limits),
            is_look_owed: false,
            is_pressed: false,
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
        (store, topics): (&dyn Store, &Topics),
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
            return match self.judge_numbers((group, topics), topic, (config, sequence), batch, &ids, base_offset) {
                Ok(verdict) => {
                    let recognised = Recognised::all(KnownBy::Sequence, known_records(&verdict));
                    self.outcome(topic, config, batch, &ids, base_offset, (verdict, recognised))
                }
                Err(refused) => counted(topic, refused),
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
        self.bytes = self.bytes + index.bytes() - bytes_before;
        let is_transactional = judged.transaction.is_some();
        if let Err(refused) = self.admit_ids(group, topics, (topic, config), is_transactional) {
            self.drop_judged(topic.no);
            return counted(topic, refused);
        }
        let now = judged.now;
        self.change(topic.no, |index| {
            if matches!(verdict, Verdict::Known(_)) {
                stage_repeats(index, group, topic.no, now);
            }
        });
        self.outcome(topic, config, batch, &ids, base_offset, (verdict, recognised))
    }

    /// Records of the batch that was judged last that were there before.
    pub fn repeated(&self) -> Repeated {
        Repeated { retried: 0, known: self.recognised.total().into() }
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
            Err(refused) if refused.record_errors().is_empty() => {
                Err(Outcome::Refused(refused.error(), refused.to_string()))
            }
            Err(refused) => Err(Outcome::RefusedFor(refused.record_errors().to_vec(), refused.to_string())),
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
        self.bytes = self.bytes + index.bytes() - bytes_before;
        self.forget_beside(group, topic, config, new);
        self.show(topic);
    }

    /// Settles the ids of a transaction that ends in a partition: they stay with its records or go with them.
    pub fn end(&mut self, group: &mut Group, topic: &Topic, partition: PartitionId, marker: &Marker) {
        self.numbers.end(&mut self.news, group, topic, partition, marker);
        let producer_id = marker.producer_id;
        self.change(partition.topic, |index| match marker.result {
            TransactionResult::Commit => index.commit(partition.index, producer_id),
            TransactionResult::Abort => {
                for base_offset in index.abort(partition.index, producer_id) {
                    group.rows.delete(id_block_key(partition, base_offset, None));
                }
            }
        });
        // With an abort nothing may be left of it.
        if !self.by_topic.contains_key(&topic.no) {
            self.show(topic);
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

    /// Takes in what became of a slice that was to be made.
    pub fn note_sealed(&mut self, group: &mut Group, topics: &Topics, sealed: Sealed) {
        let exists = topics.by_no.contains_key(&sealed.topic);
        self.sealing.note(group, sealed, exists, self.clock.now());
        // Many small topics are sealed one after the other: not one a second.
        self.is_look_owed |= self.filled().is_nearly_full;
    }

    /// Whether ids are to be forgotten, or to leave memory, before a second has passed since that was looked at.
    pub fn is_look_owed(&self) -> bool {
        self.is_look_owed
    }

    /// Forgets what the batch that was judged last brought.
    fn drop_judged(&mut self, topic: TopicNo) {
        self.change(topic, |index| {
            index.drop_new();
            index.drop_repeats();
        });
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

/// The producer whose transaction the batch belongs to.
pub(super) fn transaction_of(batch: &AppendBatch) -> Option<ProducerId> {
    batch.header.is_transactional().then_some(batch.header.producer_id)
}

/// A batch for whose ids or names there is no room, counted if there will be some.
fn counted(topic: &Topic, refused: Outcome) -> Outcome {
    if matches!(refused, Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, ..)) {
        count(&topic.traffic.dedup_throttled, 1);
    }
    refused
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
