//! How much memory message ids may take, and what has to go where that does not suffice. Pure.
//!
//! Room is made before a batch is stored, so that memory stays within its limit whatever comes. It is taken from what may be forgotten: ids in
//! slices first, then, if no slice can be made, the oldest of the topic that has most. What may not be forgotten is *held*: ids of
//! topics that throttle, those of open transactions with what came after them, names of senders that count. All of it together leaves
//! a part for the others.

use std::cmp::Reverse;

use crate::types::{Timestamp, TopicNo};

/// Part that is left for the filters of slices that are being made. It is more than such a filter takes: 1.4 bytes for an id of 30.
const FILTERS_PART: usize = 16;

/// Limits of the memory of message ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Room {
    bytes_max: usize,
}

/// What a batch asks for, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// By which memory grows with it.
    pub bytes: usize,
    /// That it would take if nothing else were there.
    pub alone: usize,
    /// What it brings may not be forgotten.
    pub is_held: bool,
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is room.
    Fits,
    /// There will be if others are forgotten.
    Crowded,
    /// What may not be forgotten takes all that it may; some of it has to go by itself.
    Held,
    /// There will never be.
    TooLarge,
}

impl Room {
    /// That of `einmal.dedup.memory.bytes`.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max }
    }

    /// `einmal.dedup.memory.bytes`.
    pub fn bytes_max(self) -> usize {
        self.bytes_max
    }

    /// What all that is remembered may take before a batch is stored.
    pub fn used_max(self) -> usize {
        self.bytes_max - self.bytes_max / FILTERS_PART
    }

    /// What may not be forgotten may take.
    pub fn held_max(self) -> usize {
        self.bytes_max / 4 * 3
    }

    /// What one batch may take.
    pub fn batch_max(self) -> usize {
        self.bytes_max / 2
    }

    /// What names may take.
    pub fn names_max(self) -> usize {
        self.bytes_max / 2
    }

    /// Whether what can leave memory should, before something has to be forgotten or to wait.
    pub fn is_nearly_full(self, used: usize) -> bool {
        used > self.bytes_max / 8 * 5
    }

    /// Whether there is room for a batch beside what is `used`. `held` tells what may not be forgotten, without the batch unless that is in
    /// it already, and is asked only where it matters.
    pub fn admit(self, used: usize, wanted: Wanted, held: impl FnOnce() -> usize) -> Admission {
        let after = used.saturating_add(wanted.bytes);
        if wanted.alone > self.batch_max() {
            return Admission::TooLarge;
        }
        // What is held is used.
        if after <= self.held_max() || (!wanted.is_held && after <= self.used_max()) {
            return Admission::Fits;
        }
        let held = held();
        if wanted.is_held && held.saturating_add(wanted.bytes) > self.held_max() {
            return Admission::Held;
        }
        if after <= self.used_max() {
            return Admission::Fits;
        }
        // Nothing is forgotten for what would not fit even so.
        let least = if wanted.is_held { wanted.bytes } else { wanted.alone };
        if held.saturating_add(least) > self.used_max() { Admission::Held } else { Admission::Crowded }
    }

    /// Whether a topic whose names take `of_topic` of the `of_all` bytes of all names may have `new` more: with them it has no more than
    /// three times what is left, so that however many names one topic has, others find room.
    pub fn admits_names(self, of_topic: usize, of_all: usize, new: usize) -> bool {
        let left = self.names_max().checked_sub(of_all.saturating_add(new));
        left.is_some_and(|left| of_topic.saturating_add(new) <= left.saturating_mul(3))
    }
}

/// What a topic has that may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Oldest {
    /// Ids in memory, which came then.
    Open(Timestamp),
    /// A slice.
    Sealed,
}

/// Of which topic the oldest ids go, and which: of the one that has most; ids in memory before slices, and of equals what came first.
pub(super) fn first_to_go(candidates: impl Iterator<Item = (TopicNo, usize, Oldest)>) -> Option<(TopicNo, Oldest)> {
    let most = candidates.max_by_key(|(topic, bytes, oldest)| {
        let since = match oldest {
            Oldest::Open(time) => Some(Reverse(*time)),
            Oldest::Sealed => None,
        };
        (*bytes, since, Reverse(*topic))
    });
    most.map(|(topic, _, oldest)| (topic, oldest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_a_batch() {
        use Admission::{Crowded, Fits, Held, TooLarge};
        let check = |cases: &[(usize, usize, usize, usize, bool, Admission)]| {
            for (used, held, bytes, alone, is_held, expected) in cases.iter().copied() {
                let found = Room::new(1600).admit(used, Wanted { bytes, alone, is_held }, || held);
                assert_eq!(found, expected, "{bytes} more with {used} used and {held} held, held: {is_held}");
            }
        };
        // All may take 1500, what is held 1200, a batch 800.
        check(&[
            (0, 0, 10, 10, false, Fits),
            (0, 0, 700, 801, false, TooLarge),
            (0, 0, 700, 801, true, TooLarge),
            (1000, 1000, 200, 200, true, Fits),
            (1000, 1000, 201, 201, true, Held),
            (1300, 1000, 200, 200, true, Fits),
            (1301, 1000, 200, 200, true, Crowded),
            (1301, 1001, 200, 200, true, Held),
            (1300, 1200, 200, 200, false, Fits),
            (1301, 1200, 200, 200, false, Crowded),
            (1400, 1200, 300, 300, false, Crowded),
            (1400, 1200, 301, 301, false, Held),
            // The limit was lowered.
            (9000, 9000, 1, 1, false, Held),
            (9000, 0, 1, 1, false, Crowded),
            (9000, 0, 1, 1, true, Crowded),
        ]);
        let all = Wanted { bytes: usize::MAX, alone: usize::MAX, is_held: true };
        assert_eq!(Room::new(usize::MAX).admit(usize::MAX, all, || usize::MAX), TooLarge);
        assert_eq!(Room::new(0).admit(0, Wanted { bytes: 1, alone: 1, is_held: false }, || 0), TooLarge);
    }

    #[test]
    fn what_is_held_is_asked_for_only_where_memory_is_short() {
        let wanted = Wanted { bytes: 100, alone: 100, is_held: true };
        let fits = Room::new(1600).admit(1100, wanted, || panic!("asked"));
        assert_eq!(fits, Admission::Fits);
    }

    #[test]
    fn names_of_one_topic_leave_room_for_those_of_others() {
        let check = |cases: &[(usize, usize, usize, bool)]| {
            for (of_topic, of_all, new, expected) in cases.iter().copied() {
                let admits = Room::new(3200).admits_names(of_topic, of_all, new);
                assert_eq!(admits, expected, "{new} more of {of_topic} in {of_all}");
            }
        };
        // All names may take 1600.
        check(&[
            (0, 0, 1200, true),
            (0, 0, 1201, false),
            (1100, 1100, 100, true),
            (1200, 1200, 1, false),
            (0, 1200, 300, true),
            (0, 1200, 301, false),
            (300, 1500, 1, false),
            (0, 1500, 75, true),
            (0, 1600, 1, false),
            (0, 2000, 1, false),
            (2000, 2000, 1, false),
        ]);
    }

    #[test]
    fn the_oldest_of_the_largest_topic_go_first() {
        use Oldest::{Open, Sealed};
        let check = |candidates: &[(u32, usize, Oldest)], expected: Option<(u32, Oldest)>| {
            for turned in 0..candidates.len().max(1) {
                let mut candidates: Vec<_> =
                    candidates.iter().map(|(topic, bytes, oldest)| (TopicNo(*topic), *bytes, *oldest)).collect();
                candidates.rotate_left(turned);
                let found = first_to_go(candidates.iter().copied());
                assert_eq!(found, expected.map(|(topic, oldest)| (TopicNo(topic), oldest)), "{candidates:?}");
            }
        };
        check(&[], None);
        check(&[(1, 10, Open(1)), (2, 20, Open(7)), (3, 15, Sealed)], Some((2, Open(7))));
        check(&[(1, 10, Open(1)), (2, 20, Open(7)), (1, 25, Sealed)], Some((1, Sealed)));
        check(&[(1, 20, Sealed), (1, 20, Open(3))], Some((1, Open(3))));
        check(&[(1, 20, Open(5)), (2, 20, Open(3)), (3, 20, Open(4))], Some((2, Open(3))));
        check(&[(2, 20, Open(5)), (1, 20, Open(5))], Some((1, Open(5))));
    }
}
