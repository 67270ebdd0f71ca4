//! What is remembered, in numbers that everybody may read.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::MessageIds;
use crate::dedup::{Index, Sequences};
use crate::log::catalog::{Remembered, Topic, Topics};
use crate::types::TopicNo;

impl MessageIds {
    /// What `einmal.dedup.memory.bytes` bounds.
    pub(in crate::engine) fn memory_bytes(&self) -> usize {
        self.bytes + self.numbers.bytes() + self.sealing.memory_bytes()
    }

    /// The same, if what is counted as it changes is what is there.
    #[cfg(test)]
    pub(in crate::engine) fn counted_bytes(&self) -> usize {
        assert_eq!(self.bytes, self.by_topic.values().map(Index::bytes).sum::<usize>());
        self.memory_bytes()
    }

    /// The topics of which something is remembered.
    pub(super) fn remembering(&self) -> BTreeSet<TopicNo> {
        self.by_topic.keys().copied().chain(self.sealing.topics()).chain(self.numbers.topics()).collect()
    }

    /// Shows what is remembered of each topic.
    pub fn show_all(&self, topics: &Topics) {
        self.remembering().iter().filter_map(|topic| topics.by_no.get(topic)).for_each(|topic| self.show(topic));
    }

    /// Shows what is remembered of a topic.
    pub(super) fn show(&self, topic: &Topic) {
        let (index, names) = (self.by_topic.get(&topic.no), self.numbers.of(topic.no));
        let files = self.sealing.figures(topic.no);
        let open = index.and_then(Index::oldest_time);
        let oldest = open.into_iter().chain(files.oldest).min();
        let age_ms = oldest.map_or(0, |oldest| self.clock.now().saturating_sub(oldest));
        let ids = index.map_or(0, Index::len) + files.ids + names.map_or(0, Sequences::len);
        let memory_bytes = index.map_or(0, Index::bytes) + files.memory_bytes + names.map_or(0, Sequences::bytes);
        let Remembered { ids: shown_ids, oldest_age_ms, memory_bytes: shown_bytes, slices, sealed_bytes } =
            &topic.traffic.remembered;
        shown_ids.store(ids as u64, Ordering::Relaxed);
        oldest_age_ms.store(u64::try_from(age_ms).unwrap_or(0), Ordering::Relaxed);
        shown_bytes.store(memory_bytes as u64, Ordering::Relaxed);
        slices.store(files.count as u64, Ordering::Relaxed);
        sealed_bytes.store(files.bytes, Ordering::Relaxed);
    }
}
