//! The order of the walk: single rows, topics, partitions with all that belongs to them, transactions, groups.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Report;
use super::partition::{self, Ground};
use super::producers::{self, States};
use super::shelf::Shelf;
use super::{groups, transactions};
use crate::dedup::Sequence;
use crate::producer::ProducerState;
use crate::store::schema::{
    AbortedRow, BrokerEpoch, BrokerOverrides, CompactedRow, ExpiryClockRow, IdBlock, Identity, IssuedIdBlock,
    KeyVersion, MessageIdSecret, MessageIdTime, NextTopicNo, PartitionRow, ProducerIdBlock, RowError, RowValue,
    SparseRow, TopicRow, aborted_of_key, compacted_of_key, id_block_of_key, id_blocks_prefix, partition_of_key,
    partitions_prefix, prefix, producer_of_key, producers_prefix, sequence_of_key, sequences_prefix, sparse_of_key,
    sparse_prefix, topic_of_key, topic_of_version_key, topics_prefix, versions_prefix,
};
use crate::types::{PartitionId, TopicNo};

/// Walks all rows of `shelf`.
pub fn walk(shelf: &dyn Shelf, report: &mut Report) {
    single_rows(shelf, report);
    let topics = topics(shelf, report);
    partitions(shelf, &topics, report);
    transactions::check(shelf, report);
    groups::check(shelf, report);
}

/// Takes the rows under `prefix` that can be read, one after the other; the others are damage of `kind`.
pub(super) fn each<K, V: RowValue>(
    shelf: &dyn Shelf,
    prefix: &[u8],
    key_of: impl Fn(&[u8]) -> Result<K, RowError>,
    kind: &str,
    report: &mut Report,
    mut take: impl FnMut(K, V, &mut Report),
) {
    let scanned = shelf.scan(prefix, &mut |key, value| {
        report.rows += 1;
        match key_of(key).and_then(|key| Ok((key, V::decode(value)?))) {
            Ok((key, value)) => take(key, value, report),
            Err(error) => report.damage(format!("{kind} row {}", hex(key)), None, error.to_string()),
        }
    });
    if let Err(error) = scanned {
        report.damage(format!("{kind} rows"), None, format!("they cannot be read on: {error}"));
    }
}

/// The same rows, for what is needed all at once.
pub(super) fn rows<K, V: RowValue>(
    shelf: &dyn Shelf,
    prefix: &[u8],
    key_of: impl Fn(&[u8]) -> Result<K, RowError>,
    kind: &str,
    report: &mut Report,
) -> Vec<(K, V)> {
    let mut rows = Vec::new();
    each(shelf, prefix, key_of, kind, report, |key, value, _| rows.push((key, value)));
    rows
}

/// A key as people copy it, shortened.
fn hex(key: &[u8]) -> String {
    let shown: String = key.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    if key.len() > 32 { format!("{shown}…") } else { shown }
}

fn single_rows(shelf: &dyn Shelf, report: &mut Report) {
    fn one<V: RowValue>(shelf: &dyn Shelf, key: [u8; 1], report: &mut Report) {
        each(shelf, &key, |_| Ok(()), V::NAME, report, |(), _: V, _| ());
    }
    one::<NextTopicNo>(shelf, NextTopicNo::KEY, report);
    one::<ProducerIdBlock>(shelf, ProducerIdBlock::KEY, report);
    one::<IssuedIdBlock>(shelf, IssuedIdBlock::KEY, report);
    one::<Identity>(shelf, Identity::KEY, report);
    one::<BrokerEpoch>(shelf, BrokerEpoch::KEY, report);
    one::<BrokerOverrides>(shelf, BrokerOverrides::KEY, report);
    one::<ExpiryClockRow>(shelf, ExpiryClockRow::KEY, report);
    one::<MessageIdSecret>(shelf, MessageIdSecret::KEY, report);
    one::<MessageIdTime>(shelf, MessageIdTime::KEY, report);
}

/// Topics by number.
fn topics(shelf: &dyn Shelf, report: &mut Report) -> BTreeMap<TopicNo, TopicRow> {
    let mut topics: BTreeMap<TopicNo, TopicRow> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (no, row) in rows::<_, TopicRow>(shelf, &topics_prefix(), topic_of_key, "topic", report) {
        report.topics += 1;
        if no != row.no {
            report.damage(format!("topic {}", row.name), None, format!("its key says {}, its row {}", no.0, row.no.0));
        }
        if !names.insert(row.name.clone()) {
            report.damage(format!("topic {}", row.name), None, "two topics have this name");
        }
        topics.insert(no, row);
    }
    topics
}

/// All partitions of topics that exist. What is left of deleted topics is no damage: the next start removes it.
fn partitions(shelf: &dyn Shelf, topics: &BTreeMap<TopicNo, TopicRow>, report: &mut Report) {
    let place = |id: &PartitionId| topics.get(&id.topic).map(|topic| format!("{}-{}", topic.name, id.index));
    let partition_rows: BTreeMap<_, PartitionRow> =
        rows(shelf, &partitions_prefix(), partition_of_key, "partition", report).into_iter().collect();
    let compacted: BTreeMap<PartitionId, CompactedRow> =
        rows(shelf, &[prefix::COMPACTED], compacted_of_key, "compacted", report).into_iter().collect();
    let mut states: BTreeMap<PartitionId, States> = BTreeMap::new();
    let producer = |(id, producer), state: ProducerState, _: &mut Report| {
        if place(&id).is_some() {
            states.entry(id).or_default().insert(producer, state);
        }
    };
    each(shelf, &producers_prefix(None), producer_of_key, "producer", report, producer);
    let with_ids = message_ids(shelf, report);
    report.progress.begin(topics.values().map(|topic| u64::from(topic.partitions)).sum());
    for (no, topic) in topics {
        for index in 0..topic.partitions {
            let id = PartitionId { topic: *no, index };
            let row = partition_rows.get(&id).cloned().unwrap_or_default();
            report.partitions += 1;
            let place = format!("{}-{index}", topic.name);
            let first_dirty = compacted.get(&id).map_or(0, |row| row.first_dirty);
            let passes_over =
                with_ids.contains(no) || topic.overrides.keys().any(|name| name.starts_with("message.dedup."));
            let ground = Ground { id, place: &place, row: &row, first_dirty, passes_over };
            let newest = partition::check(shelf, &ground, report);
            producers::check(&ground, &newest, states.entry(id).or_default(), report);
        }
    }
    indexed(shelf, &partition_rows, &place, report);
    let known: BTreeSet<_> = topics.keys().copied().chain(partition_rows.keys().map(|id| id.topic)).collect();
    strays(shelf, &known, report);
}

/// Batches of topics of which nothing else is known: by the rows of partitions a start finds what deleted topics left.
fn strays(shelf: &dyn Shelf, known: &BTreeSet<TopicNo>, report: &mut Report) {
    let mut next = Some(TopicNo(0));
    while let Some(from) = next {
        let topic = match shelf.topic_with_batches(from) {
            Ok(Some(topic)) => topic,
            Ok(None) => return,
            Err(error) => return report.damage("batches of unknown topics", None, error.to_string()),
        };
        if !known.contains(&topic) {
            let what = "its batches take space, but there is no such topic: nothing removes them";
            report.damage(format!("topic number {}", topic.0), None, what);
        }
        next = topic.0.checked_add(1).map(TopicNo);
    }
}

/// What deduplication remembers of messages, names and keys, which must be readable. Answers the topics that have ids.
fn message_ids(shelf: &dyn Shelf, report: &mut Report) -> BTreeSet<TopicNo> {
    let mut with_ids = BTreeSet::new();
    let block = |id: PartitionId, _: IdBlock, _: &mut Report| {
        with_ids.insert(id.topic);
    };
    let of = |key: &[u8]| id_block_of_key(key).map(|(partition, ..)| partition);
    each(shelf, &id_blocks_prefix(None), of, IdBlock::NAME, report, block);
    let named = |key: &[u8]| sequence_of_key(key).map(drop);
    each(shelf, &sequences_prefix(None), named, Sequence::NAME, report, |(), _: Sequence, _| ());
    let versions = versions_prefix(None);
    each(shelf, &versions, topic_of_version_key, KeyVersion::NAME, report, |_, _: KeyVersion, _| ());
    with_ids
}

/// What is indexed of batches must not point beyond the end of the log.
fn indexed(
    shelf: &dyn Shelf,
    partitions: &BTreeMap<PartitionId, PartitionRow>,
    place: &dyn Fn(&PartitionId) -> Option<String>,
    report: &mut Report,
) {
    let end_of = |id: &PartitionId| partitions.get(id).map_or(0, |row| row.log_end);
    let aborted = |(id, last), row: AbortedRow, report: &mut Report| {
        if let Some(place) = place(&id)
            && (row.first_offset > last || last >= end_of(&id))
        {
            let what = "an aborted transaction does not lie within the log";
            report.damage(place, Some((row.first_offset.min(last), row.first_offset.max(last))), what);
        }
    };
    each(shelf, &[prefix::ABORTED], aborted_of_key, "aborted", report, aborted);
    let sparse = |(id, offset), _: SparseRow, report: &mut Report| {
        if let Some(place) = place(&id).filter(|_| offset >= end_of(&id)) {
            report.damage(place, Some((offset, offset)), "the index of times points beyond the log end");
        }
    };
    each(shelf, &sparse_prefix(None), sparse_of_key, "sparse", report, sparse);
}
