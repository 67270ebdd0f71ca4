//! One partition: its state, its batches in order, and what is indexed of them.

use std::collections::BTreeMap;

use super::batch;
use super::finding::Report;
use super::shelf::Shelf;
use crate::store::schema::{LogKey, PartitionRow};
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId};

/// A partition whose row was read.
pub(super) struct Ground<'a> {
    pub(super) id: PartitionId,
    /// `topic-partition`.
    pub(super) place: &'a str,
    pub(super) row: &'a PartitionRow,
    /// Below it compaction may have taken whole batches out.
    pub(super) first_dirty: Offset,
    /// Whether batches may be noted of a producer of which nothing is stored, as all of their messages were there already.
    pub(super) passes_over: bool,
}

/// Epoch and last offset of the newest batch of each producer, markers left out.
pub(super) type Newest = BTreeMap<ProducerId, (ProducerEpoch, Offset)>;

/// Reads all batches.
pub(super) fn check(shelf: &dyn Shelf, ground: &Ground<'_>, report: &mut Report) -> Newest {
    let Ground { id, place, row, first_dirty, .. } = ground;
    let mut newest = Newest::new();
    // Where the next batch must begin; the first may begin before the log start.
    let mut expected = row.log_start;
    let mut is_first = true;
    let scanned = shelf.facts(*id, row.log_start, &mut |key| {
        report.batches += 1;
        report.batch_bytes += u64::from(key.size_bytes);
        report.read(place);
        let reaches_back = key.base_offset < expected && !is_first;
        if reaches_back {
            let until = key.last_offset().min(expected - 1);
            report.damage(*place, Some((key.base_offset, until)), "two batches hold these offsets");
        } else if key.base_offset > expected && expected >= *first_dirty {
            report.damage(*place, Some((expected, key.base_offset - 1)), "no batch holds these offsets");
        }
        let last = last_offset(shelf, place, &key, report);
        if last >= row.log_end {
            let first = key.base_offset.max(row.log_end);
            report.damage(*place, Some((first, last)), format!("they lie beyond the log end, {}", row.log_end));
        }
        // Control batches end transactions, and are no part of a producer's sequence.
        if key.producer_id != ProducerId::NONE && !key.is_control() {
            newest.insert(key.producer_id, (key.producer_epoch, last));
        }
        expected = last.saturating_add(1).max(expected);
        is_first = false;
    });
    match scanned {
        Err(error) => {
            let rest = (expected < row.log_end).then(|| (expected, row.log_end - 1));
            report.damage(*place, rest, format!("the index of batches cannot be read on: {error}"));
        }
        Ok(()) if expected < row.log_end && expected >= *first_dirty => {
            report.damage(*place, Some((expected, row.log_end - 1)), "no batch holds these offsets, the last ones");
        }
        Ok(()) => {}
    }
    newest
}

/// Reads a batch, and answers its last offset, whether a record is there or not.
fn last_offset(shelf: &dyn Shelf, place: &str, key: &LogKey, report: &mut Report) -> Offset {
    let checked = match shelf.batch(key) {
        Ok(Some(bytes)) => batch::check(key, &bytes),
        Ok(None) => Err("the batch is gone, its key is there".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    checked.map_or_else(
        |fault| {
            report.damage(place, Some((key.base_offset, key.last_offset())), fault);
            key.last_offset()
        },
        |header| header.last_offset(),
    )
}
