//! Forgets ids: whose time is over, that are too many, or that are in files.

use super::super::group::Group;
use super::making_room::RoomMade;
use super::{MessageIds, count};
use crate::config::DedupConfig;
use crate::dedup::{Index, KeptBlock};
use crate::log::catalog::{Topic, Topics};
use crate::store::schema::{MessageIdTime, RowValue, id_block_key};
use crate::store::slices::Slice;
use crate::types::{PartitionId, Timestamp, TopicNo};

/// Ids that one round forgets, about: the last batch of them goes whole.
pub(super) const IDS_PER_ROUND: usize = 4096;
/// Ids that an append forgets beside twice its own, if they have expired.
const EXPIRED_PER_APPEND: usize = 64;

impl MessageIds {
    /// Forgets what is over in a topic, and what it has no room for, as a batch brings `new` ids: about twice as many.
    pub(super) fn forget_beside(&mut self, group: &mut Group, topic: &Topic, config: &DedupConfig, new: usize) {
        let time = self.clock.now();
        let expired_until = time.saturating_sub(config.kept_ms());
        let Some(index) = self.by_topic.get_mut(&topic.no) else { return };
        let bytes_before = index.bytes();
        let mut left = 2 * new + EXPIRED_PER_APPEND;
        while left > 0
            && let Some(oldest) = index.oldest().filter(|oldest| oldest.time <= expired_until)
        {
            left = left.saturating_sub(forget_oldest(index, group, topic.no, oldest).max(1));
        }
        if new == 0 && left < EXPIRED_PER_APPEND {
            // As in `expire`; new ids bring their time with them.
            group.rows.put(MessageIdTime::KEY.to_vec(), MessageIdTime(time).encode());
        }
        let window_ids_max = config.window_ids_max;
        while index.len() + self.sealing.ids(topic.no) > window_ids_max
            && let Some(slice) = self.sealing.drop_oldest(group, topic.no)
        {
            count_evicted(topic, &slice, expired_until);
        }
        // What is left where the limit was lowered, or a transaction was in the way, goes with the next appends.
        while left > 0
            && index.blocks() > 1
            && index.len() + self.sealing.ids(topic.no) > window_ids_max
            && let Some(oldest) = index.oldest()
        {
            let forgotten = forget_oldest(index, group, topic.no, oldest);
            left = left.saturating_sub(forgotten.max(1));
            if oldest.time > expired_until {
                count(&topic.traffic.dedup_evicted, forgotten);
            }
        }
        self.bytes = self.bytes + index.bytes() - bytes_before;
    }

    /// Forgets ids whose time is over, those that a slice has taken over, and all of a topic that does not look at them any more, as far as one round goes; answers whether
    /// more are left.
    pub fn expire(&mut self, group: &mut Group, topics: &Topics) -> bool {
        self.is_look_owed = false;
        let mut left = IDS_PER_ROUND;
        let looked_at = self.remembering();
        for (topic, index) in &mut self.by_topic {
            let dedup = dedup_of(topics, *topic).filter(|dedup| dedup.sequence.is_none());
            let expired_until = dedup.map_or(Timestamp::MAX, |dedup| self.clock.now().saturating_sub(dedup.kept_ms()));
            let until = self.sealing.leaving.get(topic).copied().unwrap_or(Timestamp::MIN).max(expired_until);
            let bytes_before = index.bytes();
            while left > 0
                && let Some(oldest) = index.oldest().filter(|oldest| oldest.time <= until)
            {
                left = left.saturating_sub(forget_oldest(index, group, *topic, oldest).max(1));
            }
            self.bytes = self.bytes + index.bytes() - bytes_before;
        }
        if left < IDS_PER_ROUND {
            // With what is forgotten the time of it is kept, or after a crash ids would count again that are older than it.
            self.stage_time(&mut group.rows);
        }
        if left > 0 {
            // The loop came to the end of all.
            self.sealing.leaving.clear();
        }
        let now = self.clock.now();
        self.sealing.drop_expired(group, |topic| {
            let dedup = dedup_of(topics, topic).filter(|dedup| dedup.sequence.is_none());
            dedup.map_or(Timestamp::MAX, |dedup| now.saturating_sub(dedup.kept_ms()))
        });
        let filled = self.filled();
        self.sealing.begin(group, &mut self.by_topic, topics, (now, filled));
        // Where the limit was lowered no batch may come for which something is forgotten.
        let is_crowded = self.make_room(group, topics, 0) == RoomMade::InPart;
        self.is_pressed = false;
        let bytes = &mut self.bytes;
        self.by_topic.retain(|_, index| {
            if index.is_empty() {
                *bytes -= index.bytes();
            }
            !index.is_empty()
        });
        let has_more = self.numbers.expire(&mut self.news, group, topics, self.clock.now());
        looked_at.iter().filter_map(|topic| topics.by_no.get(topic)).for_each(|topic| self.show(topic));
        has_more || left == 0 || is_crowded
    }
}

/// Whether a topic rather has its producers wait than forgets an id.
pub(super) fn throttles(topics: &Topics, topic: TopicNo) -> bool {
    dedup_of(topics, topic).is_some_and(|dedup| dedup.throttles)
}

fn dedup_of(topics: &Topics, topic: TopicNo) -> Option<&DedupConfig> {
    topics.by_no.get(&topic)?.config.dedup.as_deref()
}

pub(super) fn count_evicted(topic: &Topic, slice: &Slice, expired_until: Timestamp) {
    if slice.head.newest > expired_until {
        count(&topic.traffic.dedup_evicted, slice.head.ids as usize);
    }
}

pub(super) fn forget_oldest(index: &mut Index, group: &mut Group, topic: TopicNo, oldest: KeptBlock) -> usize {
    let partition = PartitionId { topic, index: oldest.partition };
    group.rows.delete(id_block_key(partition, oldest.base_offset, oldest.is_repeat.then_some(oldest.time)));
    index.forget_oldest()
}
