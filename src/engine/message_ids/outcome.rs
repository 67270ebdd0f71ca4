//! What becomes of a batch by the verdict on its ids: counted, made of the batch, told to its audit topic.

use super::super::command::AppendBatch;
use super::{MessageIds, count};
use crate::config::DedupConfig;
use crate::dedup::{BatchIds, KnownBy, Original, Recognised, Verdict};
use crate::log::catalog::Topic;
use crate::record::amend::{self, Amended};
use crate::record::records::RecordsInvalid;
use crate::record::validate::RecordError;
use crate::types::{ErrorCode, Offset, TopicNo};

/// Header that names the first record with the same id, where repeated records are stored.
const MARK: &str = "einmal-duplicate-of";

/// What is to become of a batch.
pub(in crate::engine) enum Outcome {
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
    /// It is refused for these of its records (INVALID_RECORD).
    RefusedFor(Vec<RecordError>, String),
}

impl Outcome {
    /// A refusal for the record of this offset delta.
    pub(super) fn refused_for(offset_delta: u32, message: String) -> Self {
        let batch_index = i32::try_from(offset_delta).unwrap_or(i32::MAX);
        Self::RefusedFor(vec![RecordError { batch_index, message: message.clone() }], message)
    }
}

impl MessageIds {
    /// Counts a verdict, and makes the batch what it says.
    pub(super) fn outcome(
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
                    // Of a number between two that were stored nobody knows which record had it.
                    let is_known = original.offset >= 0;
                    let place = is_known.then(|| format!("{}:{}", original.partition, original.offset));
                    Some(place.unwrap_or_else(|| "unknown".to_owned()))
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
                Outcome::refused_for(delta, message)
            }
            Verdict::Reject(delta, Original { partition, offset })
                if partition == batch.partition.index && offset >= base_offset =>
            {
                let message = format!("record {delta} has the message id of an earlier record of its batch");
                Outcome::refused_for(delta, message)
            }
            Verdict::Reject(delta, Original { partition, offset }) => {
                let message =
                    format!("record {delta} was sent before: it is at offset {offset} of partition {partition}");
                Outcome::refused_for(delta, message)
            }
            Verdict::Undecided => {
                let message = "a record with the same message id belongs to a transaction that is still open";
                Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, message.to_owned())
            }
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
                self.drop_judged(topic);
                Outcome::Refused(ErrorCode::INVALID_RECORD, format!("Record batch does not decode: {invalid}"))
            }
        }
    }
}

/// How many records a verdict over numbered ones is about.
pub(super) fn known_records(verdict: &Verdict) -> u32 {
    let known = match verdict {
        Verdict::StoreWithout(known) | Verdict::Mark(known) | Verdict::Known(known) => known.len(),
        Verdict::Reject(..) => 1,
        Verdict::Store | Verdict::Undecided => 0,
    };
    u32::try_from(known).unwrap_or(u32::MAX)
}
