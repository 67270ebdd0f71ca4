//! How far senders have come by their own numbers (`message.dedup.mode=sequence`): judged and written like ids, and told to everybody
//! ([`news`](super::news)), so that a sender which starts anew goes on from there with any client.

use std::collections::HashMap;
use std::mem;

use super::super::command::{AppendBatch, Marker};
use super::super::group::Group;
use super::news::News;
use super::{MessageIds, Outcome, transaction_of};
use crate::config::dedup::{DedupConfig, SequenceConfig};
use crate::dedup::{BatchIds, BatchNumber, JudgedNumbers, Moved, Place, Sequence, Sequences, Verdict};
use crate::log::catalog::{Topic, Topics};
use crate::store::schema::{RowError, RowValue, sequence_key, sequence_of_key, sequences_prefix};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, ProducerId, Timestamp, TopicNo, TransactionResult};

/// Names of one topic that one round looks at for idle ones.
const LOOKED_AT_PER_ROUND: usize = 4096;

/// Numbers of all topics.
#[derive(Default)]
pub(super) struct Numbers {
    by_topic: HashMap<TopicNo, Sequences>,
    /// Of all names, about.
    bytes: usize,
    /// Of the batch that was judged last.
    moved: Moved,
    /// Where the next look for idle names begins.
    looked_at: HashMap<TopicNo, Place>,
}

impl Numbers {
    /// Memory, bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// The topics that have some.
    pub fn topics(&self) -> impl Iterator<Item = TopicNo> {
        self.by_topic.keys().copied()
    }

    /// Those of one topic.
    pub fn of(&self, topic: TopicNo) -> Option<&Sequences> {
        self.by_topic.get(&topic)
    }

    /// Forgets a name that nobody has counted under for too long.
    fn forget(&mut self, news: &mut News, topic: &Topic, partition: u32, name: &str) {
        let Some(sequences) = self.by_topic.get_mut(&topic.no) else { return };
        self.bytes -= sequences.bytes();
        sequences.forget(partition, name);
        self.bytes += sequences.bytes();
        news.retract(topic, partition, name);
    }

    /// Takes in a row at the start.
    pub fn restore(&mut self, partition: PartitionId, name: &str, sequence: Sequence) {
        let sequences = self.by_topic.entry(partition.topic).or_default();
        self.bytes -= sequences.bytes();
        sequences.restore(partition.index, &name.into(), sequence);
        self.bytes += sequences.bytes();
    }

    /// Stages how far names have come by the batch that was judged last.
    pub fn keep(
        &mut self,
        news: &mut News,
        group: &mut Group,
        topic: &Topic,
        partition: u32,
        transaction: Option<ProducerId>,
        time: Timestamp,
    ) {
        let moved = mem::take(&mut self.moved);
        let sequences = self.by_topic.entry(topic.no).or_default();
        self.bytes -= sequences.bytes();
        sequences.keep(partition, &moved, transaction, time);
        self.bytes += sequences.bytes();
        for name in moved.keys() {
            if let Some(sequence) = sequences.get(partition, name) {
                group
                    .rows
                    .put(sequence_key(PartitionId { topic: topic.no, index: partition }, name), sequence.encode());
            }
        }
        if transaction.is_none() {
            for (name, reached) in &moved {
                news.publish(topic, partition, name, reached.number);
            }
        }
    }

    /// Settles what a transaction has moved.
    pub fn end(&mut self, news: &mut News, group: &mut Group, topic: &Topic, partition: PartitionId, marker: &Marker) {
        let Some(sequences) = self.by_topic.get_mut(&topic.no) else { return };
        let is_committed = marker.result == TransactionResult::Commit;
        self.bytes -= sequences.bytes();
        let ended = sequences.end(partition.index, marker.producer_id, is_committed);
        self.bytes += sequences.bytes();
        for (name, left) in ended {
            let key = sequence_key(partition, &name);
            match left {
                Some(sequence) => group.rows.put(key, sequence.encode()),
                None => group.rows.delete(key),
            }
            if let Some(settled) = left.and_then(|sequence| sequence.settled)
                && is_committed
            {
                news.publish(topic, partition.index, &name, settled.number);
            }
        }
    }

    /// Forgets a deleted topic; answers whether there was anything. Its rows go later.
    pub fn remove_topic(&mut self, news: &mut News, topic: &Topic) -> bool {
        let Some(sequences) = self.by_topic.remove(&topic.no) else { return false };
        self.bytes -= sequences.bytes();
        self.looked_at.remove(&topic.no);
        for (partition, name, _) in sequences.iter() {
            news.retract(topic, partition, name);
        }
        true
    }

    /// Forgets names that are idle for too long, as far as one round goes; answers whether more are left to look at.
    pub fn expire(&mut self, news: &mut News, group: &mut Group, topics: &Topics, now: Timestamp) -> bool {
        let mut idle = Vec::new();
        for (no, sequences) in &self.by_topic {
            let Some(topic) = topics.by_no.get(no) else { continue };
            let Some(retention_ms) = sequence_of(topic).and_then(|sequence| sequence.retention_ms) else { continue };
            let after = self.looked_at.remove(no);
            let (names, next) = sequences.idle(after.as_ref(), now.saturating_sub(retention_ms), LOOKED_AT_PER_ROUND);
            idle.push((topic.clone(), names));
            self.looked_at.extend(next.map(|next| (*no, next)));
        }
        for (topic, names) in idle {
            for (partition, name) in names {
                group.rows.delete(sequence_key(PartitionId { topic: topic.no, index: partition }, &name));
                self.forget(news, &topic, partition, &name);
            }
        }
        !self.looked_at.is_empty()
    }
}

fn sequence_of(topic: &Topic) -> Option<&SequenceConfig> {
    topic.config.dedup.as_ref()?.sequence.as_ref()
}

impl MessageIds {
    /// Judges a batch by its numbers.
    pub(super) fn judge_numbers(
        &mut self,
        (group, topics): (&mut Group, &Topics),
        topic: &Topic,
        (config, sequence): (&DedupConfig, &SequenceConfig),
        batch: &AppendBatch,
        ids: &BatchIds,
        base_offset: Offset,
    ) -> Result<Verdict, Outcome> {
        let numbers = ids.numbers.as_slice();
        let partition = batch.partition.index;
        if let Some(retention_ms) = sequence.retention_ms {
            let until = self.clock.now().saturating_sub(retention_ms);
            for BatchNumber { name, .. } in numbers {
                let known = self.numbers.by_topic.get(&topic.no).and_then(|known| known.get(partition, name));
                if known.is_some_and(|known| known.pending.is_none() && known.time <= until) {
                    self.numbers.forget(&mut self.news, topic, partition, name);
                }
            }
        }
        let sequences = self.numbers.by_topic.entry(topic.no).or_default();
        let judged = JudgedNumbers {
            numbers,
            record_count: batch.header.record_count,
            partition,
            base_offset,
            transaction: transaction_of(batch),
            on_duplicate: config.on_duplicate,
            is_checked: !ids.is_bypassed(),
        };
        let (verdict, moved) = sequences.judge(&judged);
        let new = moved.keys().filter(|name| sequences.get(partition, name).is_none());
        let new_bytes: usize = new.map(|name| Sequences::bytes_of(name)).sum();
        let of_topic = sequences.bytes();
        self.admit_names(group, topics, of_topic, new_bytes)?;
        self.numbers.moved = moved;
        Ok(verdict)
    }
}

/// Reads all names back; answers the topics that are gone and have left some behind.
pub(super) fn recover(
    message_ids: &mut MessageIds,
    store: &dyn Store,
    exists: impl Fn(TopicNo) -> bool,
) -> Result<Vec<TopicNo>, StoreError> {
    let mut gone = Vec::new();
    let mut damage: Option<RowError> = None;
    store.scan(&sequences_prefix(None), &mut |key, value| {
        let read = sequence_of_key(key).and_then(|named| Ok((named, Sequence::decode(value)?)));
        match read {
            Ok(((partition, name), sequence)) if exists(partition.topic) => {
                message_ids.clock.at_least(sequence.time);
                message_ids.numbers.restore(partition, name, sequence);
            }
            Ok(((partition, _), _)) if gone.last() == Some(&partition.topic) => {}
            Ok(((partition, _), _)) => gone.push(partition.topic),
            Err(error) => damage = damage.take().or(Some(error)),
        }
    })?;
    damage.map_or(Ok(gone), |error| Err(error.into()))
}
