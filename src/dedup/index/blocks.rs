//! Blocks of ids: of which batch they are, since when, and whose.

use std::ops::Range;

use super::queue::Queue;
use crate::types::{Offset, ProducerId, Timestamp};

/// Ids of one batch.
#[derive(Debug)]
pub(super) struct Block {
    /// Number of the first.
    pub first: u64,
    pub ids: u32,
    pub partition: u32,
    pub base_offset: Offset,
    pub time: Timestamp,
    pub state: BlockState,
    /// Of the record of each id, if they count; otherwise none.
    pub times: Box<[Timestamp]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockState {
    /// Its records are there for good.
    Settled,
    /// So are they, and were sent again: the block is that of their repeats.
    Repeated,
    /// They belong to an open transaction of this producer.
    Open(ProducerId),
    /// That one was aborted.
    Aborted,
}

impl BlockState {
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Settled | Self::Repeated)
    }
}

/// Where the batch of a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBlock {
    /// Its partition.
    pub partition: u32,
    /// Its base offset.
    pub base_offset: Offset,
    /// When it was appended, ms of a clock that never goes back.
    pub time: Timestamp,
    /// It was not appended then: its ids, which are those of records from the base offset on, were sent again.
    pub is_repeat: bool,
}

impl Block {
    /// Numbers of its ids.
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.first + u64::from(self.ids)
    }

    /// Where its batch lies.
    pub fn kept(&self) -> KeptBlock {
        KeptBlock {
            partition: self.partition,
            base_offset: self.base_offset,
            time: self.time,
            is_repeat: self.state == BlockState::Repeated,
        }
    }
}

/// Those of one topic, oldest first.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: Queue<Block>,
    times_bytes: usize,
}

impl Blocks {
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        self.blocks.bytes() + self.times_bytes
    }

    /// Bytes by which it grows for so many more, at most.
    pub fn growth(&self, more: usize) -> usize {
        self.blocks.growth(more) * size_of::<Block>()
    }

    /// Whether records of them have times of their own.
    pub fn have_times(&self) -> bool {
        self.times_bytes > 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter()
    }

    pub fn oldest(&self) -> Option<&Block> {
        self.blocks.get(0)
    }

    /// The block of an id that is in one.
    pub fn of(&self, number: u64) -> &Block {
        self.blocks.get(self.place_of(number)).expect("an id is in a block until that is forgotten")
    }

    /// The same to be changed.
    pub fn of_mut(&mut self, number: u64) -> &mut Block {
        let place = self.place_of(number);
        self.blocks.get_mut(place).expect("an id is in a block until that is forgotten")
    }

    fn place_of(&self, number: u64) -> usize {
        self.blocks.partition_point(|block| block.first <= number) - 1
    }

    /// The newest of those that came `until` then.
    pub fn newest_until(&self, until: Timestamp) -> Option<&Block> {
        let count = self.blocks.partition_point(|block| block.time <= until);
        self.blocks.get(count.checked_sub(1)?)
    }

    /// The newest of the oldest that have no more than `ids` together; the oldest, if it has more itself.
    pub fn newest_within(&self, ids: u64) -> Option<&Block> {
        let first = self.oldest()?.first;
        let count = self.blocks.partition_point(|block| block.numbers().end - first <= ids);
        self.blocks.get(count.saturating_sub(1))
    }

    /// Makes a block of these ids, which follow those of the newest.
    pub fn push(&mut self, at: KeptBlock, state: BlockState, numbers: Range<u64>, times: Box<[Timestamp]>) {
        self.times_bytes += size_of_val(&*times);
        self.blocks.push_back(Block {
            first: numbers.start,
            ids: u32::try_from(numbers.end - numbers.start).expect("a batch has fewer than 2^32 records"),
            partition: at.partition,
            base_offset: at.base_offset,
            time: at.time,
            state,
            times,
        });
    }

    /// Takes the oldest out.
    pub fn pop_oldest(&mut self) -> Option<Block> {
        let block = self.blocks.pop_front()?;
        self.times_bytes -= size_of_val(&*block.times);
        Some(block)
    }
}
