//! Tells audit topics of records that were there already (`message.dedup.audit.topic`).
//!
//! What is told is in the same write as the verdict that it is about, so that neither is there without the other. It is told of what
//! became of the record when it came: of one in a transaction whatever becomes of that.
//!
//! No producer is refused for it: what cannot be told is counted (`einmal_dedup_audit_missed_total`), and why is logged once. An audit
//! topic recognises nothing itself, so that none is told of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use super::super::command::AppendBatch;
use super::super::group::Group;
use super::super::state::State;
use super::news::append_told;
use super::{MessageIds, count};
use crate::config::DedupConfig;
use crate::dedup::{AUDIT_BYTES_MAX, AuditRecord, AuditRecords, Original, RepeatedRecords, Sender, Verdict};
use crate::log::catalog::{Topic, Topics, Traffic};
use crate::record::build::BatchBuilder;
use crate::record::partitioner::partition_of;
use crate::types::{Offset, Timestamp};

/// What one write tells all audit topics, bytes of keys and values.
const WRITE_BYTES_MAX: usize = 4 << 20;
/// With the record that makes it this large a batch of an audit topic ends, bytes: clients' usual fetches hold it.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Names of audit topics of which is remembered that they cannot be told.
const HELD_UP_MAX: usize = 100;

/// What is to be told.
#[derive(Default)]
pub(super) struct Audit {
    by_topic: BTreeMap<Arc<str>, Vec<Told>>,
    bytes: usize,
    /// Those that cannot be told, as has been said.
    held_up: BTreeSet<Arc<str>>,
}

impl Audit {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }
}

/// Of one batch.
struct Told {
    records: Vec<AuditRecord>,
    /// Of the topic that the batch was sent to.
    traffic: Arc<Traffic>,
}

impl MessageIds {
    /// Notes the repeated records of a batch that is still as it came.
    // Rare: a topic has to ask for it.
    #[inline(never)]
    pub(super) fn note_for_audit(
        &mut self,
        topic: &Topic,
        (config, audit_topic): (&DedupConfig, &Arc<str>),
        batch: &AppendBatch,
        sender: &Sender,
        verdict: &Verdict,
        base_offset: Offset,
    ) {
        let rejected;
        let (outcome, originals) = match verdict {
            Verdict::Known(known) | Verdict::StoreWithout(known) => ("dropped", known.as_slice()),
            Verdict::Mark(known) => ("marked", known.as_slice()),
            Verdict::Reject(delta, original) => {
                // What repeats a record of its own batch is refused with it: nothing is there.
                let is_in_batch = original.partition == batch.partition.index && original.offset >= base_offset;
                let offset = if is_in_batch { -1 } else { original.offset };
                rejected = [(*delta, Original { offset, ..*original })];
                ("rejected", &rejected[..])
            }
            Verdict::Store | Verdict::Undecided => return,
        };
        let repeated = RepeatedRecords {
            topic: &topic.name,
            partition: batch.partition,
            config,
            sender,
            header: &batch.header,
            bytes: &batch.bytes,
            outcome,
            originals,
        };
        let extractor = self.extractor;
        let audit = &mut self.news.audit;
        if audit.bytes + AUDIT_BYTES_MAX > WRITE_BYTES_MAX {
            count(&topic.traffic.dedup_audit_missed, originals.len());
            return;
        }
        // Its ids were read out of the same records, so it does not come to an error.
        let AuditRecords { records, untold } = extractor.audit(&repeated).unwrap_or_default();
        count(&topic.traffic.dedup_audit_missed, untold);
        audit.bytes += records.iter().map(AuditRecord::bytes).sum::<usize>();
        let told = Told { records, traffic: Arc::clone(&topic.traffic) };
        audit.by_topic.entry(Arc::clone(audit_topic)).or_default().push(told);
    }
}

/// Why the topic `name` cannot be told of repeated records; none if it can.
pub(in crate::engine) fn unfit(topics: &Topics, name: &str) -> Option<&'static str> {
    match topics.by_name.get(name) {
        _ if name.starts_with("__") => Some("is one of the broker's own"),
        None => Some("does not exist"),
        Some(topic) if topic.config.dedup.is_some() => Some("looks for repeated messages itself"),
        Some(_) => None,
    }
}

/// Stages what was noted.
pub(super) fn tell(state: &mut State, group: &mut Group, now: Timestamp) {
    let audit = &mut state.message_ids.news.audit;
    audit.bytes = 0;
    for (name, told) in mem::take(&mut audit.by_topic) {
        let mut missed_for = None;
        for Told { records, traffic } in told {
            let missed = match tell_records(state, group, &name, records, now) {
                Ok(()) => 0,
                Err(Missed { records, why }) => {
                    missed_for = Some(why);
                    records
                }
            };
            count(&traffic.dedup_audit_missed, missed);
        }
        let held_up = &mut state.message_ids.news.audit.held_up;
        match missed_for {
            None => drop(held_up.remove(&name)),
            Some(why) => {
                if held_up.len() == HELD_UP_MAX {
                    held_up.clear();
                }
                if held_up.insert(Arc::clone(&name)) {
                    tracing::warn!(
                        topic = &*name,
                        reason = why,
                        "message.dedup.audit.topic cannot be told of repeated records"
                    );
                }
            }
        }
    }
}

/// Records that could not be told.
struct Missed {
    records: usize,
    why: String,
}

/// Those of one batch, in the partitions of their keys.
fn tell_records(
    state: &mut State,
    group: &mut Group,
    name: &str,
    records: Vec<AuditRecord>,
    now: Timestamp,
) -> Result<(), Missed> {
    let record_count = records.len();
    if let Some(why) = unfit(&state.topics, name) {
        return Err(Missed { records: record_count, why: why.to_owned() });
    }
    let Some(topic) = state.topics.by_name.get(name).cloned() else { return Ok(()) };
    let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let mut by_partition: BTreeMap<i32, Vec<AuditRecord>> = BTreeMap::new();
    for record in records {
        by_partition.entry(partition_of(record.key.as_bytes(), partitions)).or_default().push(record);
    }
    let mut missed: Option<Missed> = None;
    for (index, records) in by_partition {
        let Some(partition) = usize::try_from(index).ok().and_then(|index| topic.partitions.get(index)) else {
            continue;
        };
        for records in in_batches(&records) {
            let batch = records.iter().fold(BatchBuilder::new(), |batch, AuditRecord { key, value }| {
                batch.record(now, Some(key.as_bytes()), Some(value.as_bytes()))
            });
            if let Err(why) = append_told(state, group, partition.id, now, batch) {
                let before = missed.map_or(0, |missed| missed.records);
                missed = Some(Missed { records: before + records.len(), why });
            }
        }
    }
    missed.map_or(Ok(()), Err)
}

/// Runs that end with the record with which they are large enough.
fn in_batches(records: &[AuditRecord]) -> impl Iterator<Item = &[AuditRecord]> {
    let mut bytes = 0;
    records.chunk_by(move |record, _| {
        bytes += record.bytes();
        let is_room_left = bytes < BATCH_BYTES_MAX;
        if !is_room_left {
            bytes = 0;
        }
        is_room_left
    })
}
