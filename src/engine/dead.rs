//! What is dead and still takes space, in the order in which it became so. Pure.

use std::collections::{HashMap, VecDeque};

use crate::types::{Offset, PartitionId, TopicNo};

/// Rows that nobody can see any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dead {
    /// Batches of `partition` that end below its log start.
    Records { partition: PartitionId, log_start: Offset, space: Space },
    /// All batches of a deleted topic.
    TopicLog(TopicNo),
    /// Message ids that a deleted topic remembered.
    MessageIds(TopicNo),
    /// The other rows of a partition of a deleted topic.
    Partition(PartitionId),
}

/// When the space of removed records is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// Once it is worth it, these bytes among others.
    InTime { bytes: u64 },
    /// Now: all that is worth it together is.
    AtOnce,
}

impl Space {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::InTime { bytes }, Self::InTime { bytes: others }) => {
                Self::InTime { bytes: bytes.saturating_add(others) }
            }
            _ => Self::AtOnce,
        }
    }
}

impl Dead {
    /// The partition whose records they are, if it goes on.
    fn records_of(&self) -> Option<PartitionId> {
        match self {
            Self::Records { partition, .. } => Some(*partition),
            Self::TopicLog(_) | Self::MessageIds(_) | Self::Partition(_) => None,
        }
    }

    /// Both at once, of records of one partition.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Records { partition, log_start, space },
                Self::Records { log_start: other, space: other_space, .. },
            ) => Self::Records { partition, log_start: log_start.max(other), space: space.and(other_space) },
            (_, other) => other,
        }
    }
}

/// What is dead, each with the sequence number of the write that made it so.
#[derive(Debug, Default)]
pub(super) struct DeadQueue {
    waiting: VecDeque<(u64, Dead)>,
    /// Partitions of which records wait, and what came to them since: however often a client moves a log start, two places are taken.
    behind: HashMap<PartitionId, Option<(u64, Dead)>>,
    /// The row from which on the first is left, once its removal has begun.
    purged_to: Option<Vec<u8>>,
    /// What could not be removed.
    unremoved: Vec<Dead>,
}

impl DeadQueue {
    pub fn push(&mut self, written: u64, dead: Dead) {
        let Some(partition) = dead.records_of() else { return self.waiting.push_back((written, dead)) };
        match self.behind.get_mut(&partition) {
            None => {
                self.behind.insert(partition, None);
                self.waiting.push_back((written, dead));
            }
            Some(behind) => {
                let next = behind.map_or((written, dead), |(earlier_written, earlier)| {
                    (written.max(earlier_written), earlier.and(dead))
                });
                *behind = Some(next);
            }
        }
    }

    /// The first, and from which row on it is left.
    pub fn first(&mut self) -> Option<(u64, Dead, &mut Option<Vec<u8>>)> {
        self.waiting.front().map(|(written, dead)| (*written, *dead, &mut self.purged_to))
    }

    /// Which write made the first so.
    pub fn first_written(&self) -> Option<u64> {
        self.waiting.front().map(|(written, _)| *written)
    }

    /// The first is gone.
    pub fn remove_first(&mut self) -> Option<Dead> {
        self.purged_to = None;
        let (_, dead) = self.waiting.pop_front()?;
        if let Some(partition) = dead.records_of()
            && let Some(Some((written, next))) = self.behind.remove(&partition)
        {
            self.push(written, next);
        }
        Some(dead)
    }

    /// The first cannot be removed now.
    pub fn put_first_off(&mut self) {
        if let Some(dead) = self.remove_first() {
            let same = |earlier: &&mut Dead| dead.records_of().is_some_and(|id| earlier.records_of() == Some(id));
            match self.unremoved.iter_mut().find(same) {
                Some(earlier) => *earlier = earlier.and(dead),
                None => self.unremoved.push(dead),
            }
        }
    }

    /// Has what was put off tried again.
    pub fn try_again(&mut self) {
        // Published long ago.
        std::mem::take(&mut self.unremoved).into_iter().for_each(|dead| self.push(0, dead));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: PartitionId = PartitionId { topic: TopicNo(7), index: 1 };

    fn records(index: u32, log_start: Offset, space: Space) -> Dead {
        Dead::Records { partition: PartitionId { index, ..PARTITION }, log_start, space }
    }

    fn in_time(bytes: u64) -> Space {
        Space::InTime { bytes }
    }

    fn all(queue: &mut DeadQueue) -> Vec<(u64, Dead)> {
        let mut all = Vec::new();
        while let Some((written, dead, purged_to)) = queue.first() {
            assert_eq!(*purged_to, None);
            *purged_to = Some(vec![1]);
            all.push((written, dead));
            queue.remove_first();
        }
        all
    }

    #[test]
    fn log_starts_that_move_without_end_take_two_places_and_the_first_is_not_held_up() {
        let mut queue = DeadQueue::default();
        queue.push(1, Dead::TopicLog(TopicNo(9)));
        for number in 2..1000 {
            let space = if number == 500 { Space::AtOnce } else { in_time(1) };
            queue.push(number, records(1, number as Offset, space));
            queue.push(number, records(2, 2, in_time(number)));
        }
        let expected = [
            (1, Dead::TopicLog(TopicNo(9))),
            (2, records(1, 2, in_time(1))),
            (2, records(2, 2, in_time(2))),
            (999, records(1, 999, Space::AtOnce)),
            (999, records(2, 2, in_time((3..1000).sum()))),
        ];
        assert_eq!(all(&mut queue), expected);
        assert!(queue.behind.is_empty());
    }

    #[test]
    fn what_is_put_off_comes_again_once_and_takes_nothing_back() {
        let mut queue = DeadQueue::default();
        queue.push(1, records(1, 10, Space::AtOnce));
        queue.push(2, Dead::Partition(PARTITION));
        queue.push(3, records(1, 20, in_time(3)));
        for _ in 0..3 {
            queue.put_first_off();
        }
        assert_eq!(queue.first_written(), None);
        queue.push(4, records(1, 15, in_time(4)));
        queue.push(5, records(1, 16, in_time(5)));
        queue.try_again();
        let expected =
            [(4, records(1, 15, in_time(4))), (0, Dead::Partition(PARTITION)), (5, records(1, 20, Space::AtOnce))];
        assert_eq!(all(&mut queue), expected);
        queue.try_again();
        assert_eq!(queue.first_written(), None);
    }
}
