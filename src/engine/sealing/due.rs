//! Which ids leave memory for a slice, and when.

use std::collections::HashMap;

use super::super::group::Group;
use super::{Job, Made, SealLimits, Sealing};
use crate::config::DedupConfig;
use crate::dedup::Index;
use crate::log::catalog::Topics;
use crate::types::{Timestamp, TopicNo};

/// Part of `einmal.dedup.open.max.ids` below which nothing leaves memory: files of few ids cost more than they give.
const IDS_MIN_PART: usize = 16;
/// Where ids have to be forgotten otherwise, files of so many are worth what they cost.
const IDS_MIN_NEARLY_FULL: usize = 4096;
/// So many files are made of few ids: each is an open one, and a filter that look-ups of its topic ask.
const SMALL_SLICES_MAX: usize = 1024;
/// How long a slice that is being made is waited for, ms. What takes longer is a disk that hangs, or a thread that is gone.
const WAIT_MAX_MS: Timestamp = 60_000;

/// How much of their memory ids take.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Filled {
    /// By those that are in it, of all topics.
    pub open_bytes: usize,
    /// There will have to be forgotten some soon.
    pub is_nearly_full: bool,
}

/// What a slice can be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    topic: TopicNo,
    until: Timestamp,
    ids: u32,
}

impl Sealing {
    /// Has a slice made, if a topic has enough ids in memory: so many as may be, or so old that they are a part of a window worth a
    /// slice, or that other topics want the memory.
    pub fn begin(
        &mut self,
        group: &mut Group,
        indexes: &mut HashMap<TopicNo, Index>,
        topics: &Topics,
        (now, filled): (Timestamp, Filled),
    ) {
        if self.made.is_some() || !self.leaving.is_empty() {
            return;
        }
        let Some(Due { topic, until, ids }) = self.due(indexes, topics, (now, filled)) else { return };
        let job = Job::Seal { topic, number: self.next_number, until, ids };
        self.next_number += 1;
        self.made = Some(Made { since: now });
        let jobs = self.jobs.clone();
        group.when_synced.answers.push(Box::new(move || {
            // Without the thread ids stay in memory.
            let _ = jobs.send(job);
        }));
    }

    /// Whether ids will soon leave memory: a slice is being made, or the next look begins one. Nothing has to be forgotten meanwhile.
    pub fn is_to_free_memory(
        &self,
        indexes: &mut HashMap<TopicNo, Index>,
        topics: &Topics,
        (now, filled): (Timestamp, Filled),
    ) -> bool {
        match &self.made {
            Some(made) => now.saturating_sub(made.since) <= WAIT_MAX_MS,
            None => self.due(indexes, topics, (now, filled)).is_some(),
        }
    }

    /// Whether a slice is being made.
    pub fn is_making(&self) -> bool {
        self.made.is_some()
    }

    /// The largest topic of those of which a slice is to be made.
    fn due(
        &self,
        indexes: &mut HashMap<TopicNo, Index>,
        topics: &Topics,
        (now, filled): (Timestamp, Filled),
    ) -> Option<Due> {
        if now < self.not_before {
            return None;
        }
        let SealLimits { open_ids_max, slices_per_window, bytes_max } = self.limits;
        let is_short = filled.is_nearly_full || filled.open_bytes > bytes_max.saturating_sub(self.memory_bytes) / 2;
        let ids_min = match open_ids_max / IDS_MIN_PART {
            usual if filled.is_nearly_full && self.count() < SMALL_SLICES_MAX => usual.min(IDS_MIN_NEARLY_FULL),
            usual => usual,
        };
        let is_due = |index: &mut Index, dedup: &DedupConfig| {
            let ids = index.len();
            let window_ms = dedup.window_ms / Timestamp::try_from(slices_per_window).unwrap_or(Timestamp::MAX);
            let is_part = |index: &mut Index| {
                is_short || index.oldest().is_some_and(|oldest| oldest.time <= now.saturating_sub(window_ms))
            };
            ids >= open_ids_max || (ids > 0 && ids >= ids_min && is_part(index))
        };
        let due = indexes.iter_mut().filter_map(|(topic, index)| {
            let dedup = topics.by_no.get(topic)?.config.dedup.as_deref()?;
            // A slice has one time for each id, and is dropped by it.
            let has_times = dedup.compares_times || index.has_times();
            let has_claims = dedup.is_ledger() || index.has_claims();
            if dedup.sequence.is_some() || has_claims || has_times || !is_due(index, dedup) {
                return None;
            }
            // What comes later in this millisecond must not have the time of what is sealed.
            // No more than a part of the window, for it goes whole where the window is full.
            let ids_max = (dedup.window_ids_max / slices_per_window).max(ids_min);
            let (until, ids) = index.settled_until(now.saturating_sub(1), ids_max)?;
            let is_worth_it = ids as usize >= ids_min / 2;
            is_worth_it.then_some((index.bytes(), Due { topic: *topic, until, ids }))
        });
        due.max_by_key(|(bytes, due)| (*bytes, due.topic)).map(|(_, due)| due)
    }
}
