//! The order of the walk: single rows, topics, partitions with all that belongs to them, transactions, groups.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Report;
use super::partition::{self, Ground};
use super::producers::{self, States};
use super::shelf::Shelf;
use super::{groups, transactions};
use crate::producer::ProducerState;
use crate::store::schema::{
    AbortedRow, BrokerEpoch, BrokerOverrides, CompactedRow, ExpiryClockRow, IdBlock, Identity, IssuedIdBlock,
    MessageIdSecret, MessageIdTime, NextTopicNo, PartitionRow, ProducerIdBlock, RowError, RowValue, SparseRow,
    TopicRow, aborted_of_key, compacted_of_key, id_block_of_key, id_blocks_prefix, partition_of_key, partitions_prefix,
    prefix, producer_of_key, producers_prefix, sparse_of_key, sparse_prefix, topic_of_key, topics_prefix,
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

/// The rows under `prefix` that can be read; the others are damage of `kind`.
pub(super) fn rows<K, V: RowValue>(
    shelf: &dyn Shelf,
    prefix: &[u8],
    key_of: impl Fn(&[u8]) -> Result<K, RowError>,
    kind: &str,
    report: &mut Report,
) -> Vec<(K, V)> {
    let mut rows = Vec::new();
    let scanned = shelf.scan(prefix, &mut |key, value| {
        report.rows += 1;
        match key_of(key).and_then(|key| Ok((key, V::decode(value)?))) {
            Ok(row) => rows.push(row),
            Err(error) => report.damage(format!("{kind} row {}", hex(key)), None, error.to_string()),
        }
    });
    if let Err(error) = scanned {
        report.damage(format!("{kind} rows"), None, format!("they cannot be read on: {error}"));
    }
    rows
}

/// A key as people copy it, shortened.
fn hex(key: &[u8]) -> String {
    let shown: String = key.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    if key.len() > 32 { format!("{shown}…") } else { shown }
}

fn single_rows(shelf: &dyn Shelf, report: &mut Report) {
    fn one<V: RowValue>(shelf: &dyn Shelf, key: [u8; 1], report: &mut Report) {
        rows::<(), V>(shelf, &key, |_| Ok(()), V::NAME, report);
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
    for ((id, producer), state) in
        rows::<_, ProducerState>(shelf, &producers_prefix(None), producer_of_key, "producer", report)
    {
        if place(&id).is_some() {
            states.entry(id).or_default().insert(producer, state);
        }
    }
    let with_ids: BTreeSet<TopicNo> =
        rows::<_, IdBlock>(shelf, &id_blocks_prefix(None), id_block_of_key, "message ids", report)
            .into_iter()
            .map(|((id, _), _)| id.topic)
            .collect();
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
}

/// What is indexed of batches must not point beyond the end of the log.
fn indexed(
    shelf: &dyn Shelf,
    partitions: &BTreeMap<PartitionId, PartitionRow>,
    place: &dyn Fn(&PartitionId) -> Option<String>,
    report: &mut Report,
) {
    let end_of = |id: &PartitionId| partitions.get(id).map_or(0, |row| row.log_end);
    for ((id, last), row) in rows::<_, AbortedRow>(shelf, &[prefix::ABORTED], aborted_of_key, "aborted", report) {
        if let Some(place) = place(&id)
            && (row.first_offset > last || last >= end_of(&id))
        {
            let what = "an aborted transaction does not lie within the log";
            report.damage(place, Some((row.first_offset.min(last), row.first_offset.max(last))), what);
        }
    }
    for ((id, offset), _) in rows::<_, SparseRow>(shelf, &sparse_prefix(None), sparse_of_key, "sparse", report) {
        if let Some(place) = place(&id).filter(|_| offset >= end_of(&id)) {
            report.damage(place, Some((offset, offset)), "the index of times points beyond the log end");
        }
    }
}
