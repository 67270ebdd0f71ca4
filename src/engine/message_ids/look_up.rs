//! What is remembered of ids that somebody asks for.

use super::super::command::RememberedIds;
use super::MessageIds;
use crate::dedup::{Fingerprint, Sequence};
use crate::types::TopicNo;

impl MessageIds {
    /// What is in memory of ids of a topic.
    pub fn look_up(&self, topic: TopicNo, ids: &[Fingerprint]) -> RememberedIds {
        let index = self.by_topic.get(&topic);
        let ids = ids.iter().map(|id| index.map_or_else(Vec::new, |index| index.look(id))).collect();
        RememberedIds { now: self.clock.now(), ids }
    }

    /// What is known of a name, by partition.
    pub fn look_up_name(&self, topic: TopicNo, name: &str) -> Vec<(u32, Sequence)> {
        self.numbers.of(topic).map(|names| names.named(name)).unwrap_or_default()
    }
}
