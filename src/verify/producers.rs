//! What is stored of each producer against the partition that it wrote to.

use std::collections::BTreeMap;

use super::finding::Report;
use super::partition::{Ground, Newest};
use crate::producer::{ProducerState, WINDOW_BATCHES, WindowBatch};
use crate::types::ProducerId;

/// Producers of one partition.
pub(super) type States = BTreeMap<ProducerId, ProducerState>;

/// Checks them, and what follows from them: how far the partition is stable.
pub(super) fn check(ground: &Ground<'_>, newest: &Newest, states: &States, report: &mut Report) {
    let Ground { place, row, .. } = ground;
    for (id, state) in states {
        let of_producer = format!("{place} producer {}", id.0);
        // Where batches are passed over, others' offsets may fill the window.
        let is_whole = !ground.passes_over || state.window.len() < WINDOW_BATCHES;
        let written = newest.get(id).filter(|(epoch, _)| is_whole && *epoch == state.epoch).map(|(_, last)| *last);
        let last = state.window.iter().map(|batch| batch.last_offset).max();
        // Of a batch that was passed over it is known where its first record is; the others are anywhere.
        let reached_by = |batch: &WindowBatch| if ground.passes_over { batch.base_offset() } else { batch.last_offset };
        let reached = state.window.iter().map(reached_by).max();
        if let Some(reached) = reached.filter(|reached| *reached >= row.log_end) {
            let what = format!("it is said to have written up to there, the log ends at {}", row.log_end);
            report.damage(&*of_producer, Some((row.log_end, reached)), what);
        } else if let (Some(last), Some(written)) = (last, written)
            && written > last
        {
            let what = "its newest batches are not noted: a retry of them would be stored twice";
            report.damage(&*of_producer, Some((last + 1, written)), what);
        }
        if let Some(open) = state.open_transaction.filter(|open| *open >= row.log_end) {
            report.damage(&*of_producer, Some((open, open)), "its open transaction begins beyond the log end");
        }
    }
    let first_unstable = states.values().filter_map(|state| state.open_transaction).min().unwrap_or(row.log_end);
    let stable = first_unstable.max(row.log_start);
    if row.last_stable_offset != stable {
        let (low, high) = (stable.min(row.last_stable_offset), stable.max(row.last_stable_offset));
        let what = format!("the last stable offset is {}, by open transactions it is {stable}", row.last_stable_offset);
        report.damage(*place, Some((low, high - 1)), what);
    }
}
