//! Makes room for what a batch brings, before it is stored ([`room`](super::room)).

use super::super::group::Group;
use super::super::sealing::Filled;
use super::forgetting::{IDS_PER_ROUND, count_evicted, forget_oldest, throttles};
use super::room::{Admission, Oldest, Wanted, first_to_go};
use super::{MessageIds, Outcome, count};
use crate::config::DedupConfig;
use crate::dedup::Index;
use crate::log::catalog::{Topic, Topics};
use crate::types::{ErrorCode, TopicNo};

/// What became of an attempt to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomMade {
    /// There is room.
    Whole,
    /// A round forgets no more than this.
    InPart,
    /// Ids are about to leave memory for a slice.
    Soon,
    /// Nothing is left that could be forgotten.
    None,
}

impl MessageIds {
    /// Whether there is room for the ids of the batch that was judged last, which are in the index of its topic; refuses it otherwise.
    pub(super) fn admit_ids(
        &mut self,
        group: &mut Group,
        topics: &Topics,
        (topic, config): (&Topic, &DedupConfig),
        is_transactional: bool,
    ) -> Result<(), Outcome> {
        let Some(index) = self.by_topic.get_mut(&topic.no) else { return Ok(()) };
        let new = index.new_ids().len();
        if new == 0 && !index.has_repeats() {
            return Ok(());
        }
        let sealed = self.sealing.ids(topic.no);
        // Nothing can be forgotten before the oldest, and that belongs to an open transaction.
        let is_stuck = index.blocks() > 0 && index.oldest().is_none() && sealed == 0;
        let has_numbers = index.has_numbers_for(0);
        let is_full = new > 0 && index.len() + sealed > config.window_ids_max || !has_numbers;
        if (config.throttles || is_stuck) && is_full {
            let message = "the topic remembers as many message ids as it may; older ones have to expire first";
            return Err(Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, message.to_owned()));
        }
        let wanted = Wanted {
            bytes: index.bytes_to_keep(),
            alone: index.bytes_alone(),
            is_held: config.throttles || is_transactional || index.has_open(),
        };
        self.admit(group, topics, Some(topic.no).filter(|_| wanted.is_held), wanted)
    }

    /// Whether there is room for names that take so many bytes, of a topic whose names take `of_topic`; refuses their batch otherwise.
    pub(super) fn admit_names(
        &mut self,
        group: &mut Group,
        topics: &Topics,
        of_topic: usize,
        bytes: usize,
    ) -> Result<(), Outcome> {
        if bytes == 0 {
            return Ok(());
        }
        // The other half of the memory is for ids, which can be forgotten.
        if !self.room.admits_names(of_topic, self.numbers.bytes(), bytes) {
            let message = format!(
                "names of message.dedup.mode=sequence take as much of einmal.dedup.memory.bytes={} as they may: half of it, of which \
                 those of one topic leave some to others",
                self.room.bytes_max()
            );
            return Err(Outcome::Refused(ErrorCode::POLICY_VIOLATION, message));
        }
        self.admit(group, topics, None, Wanted { bytes, alone: bytes, is_held: true })
    }

    /// `holding`: the new ids in the index of this topic are among what is held.
    fn admit(
        &mut self,
        group: &mut Group,
        topics: &Topics,
        holding: Option<TopicNo>,
        wanted: Wanted,
    ) -> Result<(), Outcome> {
        let admission = self.room.admit(self.memory_bytes(), wanted, || self.held_bytes(topics, holding));
        let bytes_max = self.room.bytes_max();
        self.is_pressed |= matches!(admission, Admission::Crowded | Admission::Held);
        let message = match admission {
            Admission::Fits => return Ok(()),
            Admission::TooLarge => {
                let message = format!(
                    "the message ids of the batch take {} bytes, more than half of einmal.dedup.memory.bytes={bytes_max}: send smaller \
                     batches, or raise it",
                    wanted.alone
                );
                return Err(Outcome::Refused(ErrorCode::INVALID_RECORD, message));
            }
            Admission::Held => format!(
                "message ids that may not be forgotten take as much of einmal.dedup.memory.bytes={bytes_max} as they may: some have to \
                 expire, or transactions to end"
            ),
            Admission::Crowded => {
                let made = self.make_room(group, topics, wanted.bytes);
                if made == RoomMade::Whole {
                    return Ok(());
                }
                self.is_look_owed |= made == RoomMade::InPart;
                format!(
                    "message ids take as much of einmal.dedup.memory.bytes={bytes_max} as they may: some have to leave memory"
                )
            }
        };
        // What it waits for is not to wait for the next look, unless that has been begun.
        if !self.is_look_owed && !self.sealing.is_making() {
            self.is_look_owed = self.is_to_free_memory(topics);
        }
        Err(Outcome::Refused(ErrorCode::NOT_ENOUGH_REPLICAS, message))
    }

    /// Memory of what may not be forgotten, bytes, about.
    fn held_bytes(&self, topics: &Topics, holding: Option<TopicNo>) -> usize {
        let open = self.by_topic.iter().map(|(topic, index)| {
            if throttles(topics, *topic) { index.bytes() } else { index.held_bytes(holding == Some(*topic)) }
        });
        let sealed = self.sealing.topics().filter(|topic| throttles(topics, *topic));
        let sealed = sealed.map(|topic| self.sealing.figures(topic).memory_bytes);
        self.numbers.bytes() + open.sum::<usize>() + sealed.sum::<usize>()
    }

    /// How much of their memory ids take.
    pub(super) fn filled(&self) -> Filled {
        let is_nearly_full = self.is_pressed || self.room.is_nearly_full(self.memory_bytes());
        Filled { open_bytes: self.bytes, is_nearly_full }
    }

    fn is_to_free_memory(&mut self, topics: &Topics) -> bool {
        let when = (self.clock.now(), self.filled());
        self.sealing.is_to_free_memory(&mut self.by_topic, topics, when)
    }

    /// Forgets ids until memory has room for `wanted` bytes: first those that are in slices, then, unless some are about to leave for a
    /// slice, the oldest of the topic that has most.
    pub(super) fn make_room(&mut self, group: &mut Group, topics: &Topics, wanted: usize) -> RoomMade {
        let mut left = IDS_PER_ROUND;
        let is_over = |ids: &Self| ids.memory_bytes().saturating_add(wanted) > ids.room.used_max();
        if is_over(self) {
            self.forget_sealed(group, &mut left);
        }
        // Slices of few ids may be made again where one was dropped.
        let mut asks = true;
        while is_over(self) {
            if left == 0 {
                return RoomMade::InPart;
            }
            if std::mem::take(&mut asks) && self.is_to_free_memory(topics) {
                return RoomMade::Soon;
            }
            let sealed = self.sealing.droppable_bytes().map(|(topic, bytes)| (topic, bytes, Oldest::Sealed));
            let open = self.by_topic.iter_mut().filter_map(|(topic, index)| {
                let oldest = index.oldest()?;
                Some((*topic, index.bytes(), Oldest::Open(oldest.time)))
            });
            match first_to_go(sealed.chain(open).filter(|(topic, ..)| !throttles(topics, *topic))) {
                Some((topic, Oldest::Open(_))) => self.evict(group, topics, topic, &mut left),
                Some((topic, Oldest::Sealed)) => {
                    self.drop_slice(group, topics, topic);
                    asks = true;
                }
                None => return RoomMade::None,
            }
        }
        RoomMade::Whole
    }

    /// Forgets what is in memory and in a slice, too.
    fn forget_sealed(&mut self, group: &mut Group, left: &mut usize) {
        let leaving: Vec<_> = self.sealing.leaving.iter().map(|(topic, until)| (*topic, *until)).collect();
        for (topic, until) in leaving {
            self.change(topic, |index| {
                while *left > 0
                    && let Some(oldest) = index.oldest().filter(|oldest| oldest.time <= until)
                {
                    *left = left.saturating_sub(forget_oldest(index, group, topic, oldest).max(1));
                }
            });
        }
    }

    /// Forgets the oldest ids of a topic until that gives memory back, which it does in steps.
    fn evict(&mut self, group: &mut Group, topics: &Topics, topic: TopicNo, left: &mut usize) {
        let now = self.clock.now();
        let known = topics.by_no.get(&topic);
        let dedup = known.and_then(|known| known.config.dedup.as_ref());
        let expired_until = dedup.map(|dedup| now.saturating_sub(dedup.kept_ms()));
        let mut evicted = 0;
        self.change(topic, |index| {
            let bytes_before = index.bytes();
            while *left > 0
                && index.bytes() >= bytes_before
                && let Some(oldest) = index.oldest()
            {
                let forgotten = forget_oldest(index, group, topic, oldest);
                *left = left.saturating_sub(forgotten.max(1));
                if expired_until.is_some_and(|until| oldest.time > until) {
                    evicted += forgotten;
                }
            }
        });
        if let Some(topic) = known {
            count(&topic.traffic.dedup_evicted, evicted);
            self.show(topic);
        }
    }

    fn drop_slice(&mut self, group: &mut Group, topics: &Topics, topic: TopicNo) {
        let Some(slice) = self.sealing.drop_oldest(group, topic) else { return };
        if let Some(topic) = topics.by_no.get(&topic)
            && let Some(dedup) = &topic.config.dedup
        {
            count_evicted(topic, &slice, self.clock.now().saturating_sub(dedup.kept_ms()));
            self.show(topic);
        }
    }

    /// Changes the index of a topic, which goes if nothing is left of it: also an empty one takes some kilobytes.
    pub(super) fn change(&mut self, topic: TopicNo, change: impl FnOnce(&mut Index)) {
        let Some(index) = self.by_topic.get_mut(&topic) else { return };
        let bytes_before = index.bytes();
        change(index);
        self.bytes = self.bytes + index.bytes() - bytes_before;
        if index.is_empty() && index.new_ids().len() == 0 && !index.has_repeats() {
            self.bytes -= index.bytes();
            self.by_topic.remove(&topic);
        }
    }
}
