//! Reads the blocks of a topic's ids in the order in which they came, without having all of them in memory beside the index that is made of
//! them.
//!
//! Rows lie by partition and offset. In a partition the times of appends rise with the offsets, so that it is enough to have some rows of
//! each, and to take the earliest of all partitions first. Repeats lie at the offsets of the first records: they are read before
//! their time has come, as those records came earlier, and wait for it: those of a partition whose first blocks are gone all at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::store::schema::{IdBlock, RowError, RowValue, id_block_key, id_block_of_key, id_blocks_prefix, next_prefix};
use crate::store::{Store, StoreError};
use crate::types::{Offset, PartitionId, Timestamp, TopicNo};

/// Blocks that are in memory at a time, of all partitions together, about: more, where [`BLOCKS_PER_READ_MIN`] of each are more, or
/// where repeats wait.
const BLOCKS_READ: usize = 8192;
/// Blocks that are read of one partition at a time, at least: each time costs a search.
const BLOCKS_PER_READ_MIN: usize = 32;

/// A row of ids.
pub(super) struct StoredBlock {
    pub partition: PartitionId,
    pub base_offset: Offset,
    pub is_repeat: bool,
    pub block: IdBlock,
}

impl StoredBlock {
    fn read(key: &[u8], value: &[u8]) -> Result<Self, RowError> {
        let (partition, base_offset, repeated) = id_block_of_key(key)?;
        Ok(Self { partition, base_offset, is_repeat: repeated.is_some(), block: IdBlock::decode(value)? })
    }

    /// Blocks of one time come in the order of their rows.
    fn order(&self) -> (Timestamp, u32, Offset) {
        (self.block.time, self.partition.index, self.base_offset)
    }
}

/// Those of one topic that are still to come.
pub(super) struct StoredBlocks<'a> {
    store: &'a dyn Store,
    /// Of which there are rows; rising.
    partitions: Vec<PartitionRows>,
    /// Times of the first blocks that were read of partitions, with the places of these.
    first: BinaryHeap<Reverse<(Timestamp, usize)>>,
    repeats: BTreeMap<(Timestamp, u32, Offset), StoredBlock>,
    blocks_per_read: usize,
}

/// Rows of one partition.
struct PartitionRows {
    /// Keys of those that are not read yet.
    from: Vec<u8>,
    to: Vec<u8>,
    read: VecDeque<StoredBlock>,
}

impl<'a> StoredBlocks<'a> {
    pub fn of(store: &'a dyn Store, topic: TopicNo) -> Result<Self, StoreError> {
        let mut partitions = Vec::new();
        let end = next_prefix(&id_blocks_prefix(Some(topic))).expect("the prefix of ids is not 0xff");
        let mut from = id_blocks_prefix(Some(topic));
        while let Some(partition) = first_from(store, &from, &end)? {
            let begin = |index| id_block_key(PartitionId { topic, index }, 0, None);
            let to = partition.index.checked_add(1).map_or_else(|| end.clone(), begin);
            partitions.push(PartitionRows { from: begin(partition.index), to: to.clone(), read: VecDeque::new() });
            from = to;
        }
        let blocks_per_read = (BLOCKS_READ / partitions.len().max(1)).max(BLOCKS_PER_READ_MIN);
        let (first, repeats) = (BinaryHeap::new(), BTreeMap::new());
        let mut blocks = Self { store, partitions, first, repeats, blocks_per_read };
        (0..blocks.partitions.len()).try_for_each(|place| blocks.read_on(place))?;
        Ok(blocks)
    }

    /// The next one; none after the last.
    pub fn next(&mut self) -> Result<Option<StoredBlock>, StoreError> {
        let first = self.first.peek().map(|Reverse((_, place))| *place);
        let first_order = first.and_then(|place| self.partitions[place].read.front()).map(StoredBlock::order);
        if let Some(repeat) = self.repeats.first_entry()
            && first_order.is_none_or(|order| *repeat.key() < order)
        {
            return Ok(Some(repeat.remove()));
        }
        let Some(Reverse((_, place))) = self.first.pop() else { return Ok(None) };
        let block = self.partitions[place].read.pop_front();
        self.read_on(place)?;
        Ok(block)
    }

    /// Has the partition's next block among the first, if it has one; reads on if that is not in memory.
    fn read_on(&mut self, place: usize) -> Result<(), StoreError> {
        let PartitionRows { from, to, read } = &mut self.partitions[place];
        if read.is_empty() && from < to {
            let mut damage = None;
            let mut next = None;
            self.store.scan_range(from, to, &mut |key, value| {
                match StoredBlock::read(key, value) {
                    Ok(block) if block.is_repeat => drop(self.repeats.insert(block.order(), block)),
                    Ok(block) => read.push_back(block),
                    Err(error) => damage = damage.take().or(Some(error)),
                }
                let is_enough = read.len() >= self.blocks_per_read;
                if is_enough {
                    // The key that follows this one.
                    next = Some([key, &[0]].concat());
                }
                !is_enough
            })?;
            if let Some(error) = damage {
                return Err(error.into());
            }
            *from = next.unwrap_or_else(|| to.clone());
        }
        if let Some(block) = read.front() {
            self.first.push(Reverse((block.block.time, place)));
        }
        Ok(())
    }
}

/// What the first key names in a range of keys of ids.
pub(super) fn first_from(store: &dyn Store, from: &[u8], to: &[u8]) -> Result<Option<PartitionId>, StoreError> {
    let mut first = None;
    store.scan_range(from, to, &mut |key, _| {
        first = Some(id_block_of_key(key).map(|(partition, ..)| partition));
        false
    })?;
    Ok(first.transpose()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dedup::KeptIds;
    use crate::store::Rows;
    use crate::store::memory::MemoryStore;

    const TOPIC: TopicNo = TopicNo(7);

    fn store(blocks: &[(u32, Offset, Timestamp, bool)]) -> MemoryStore {
        let mut rows = Rows::default();
        // Of neighbours nothing is read.
        let others = [TopicNo(6), TopicNo(8)].map(|topic| (topic, 0, 3, 5, false));
        let ours = blocks.iter().map(|(index, offset, time, repeat)| (TOPIC, *index, *offset, *time, *repeat));
        for (topic, index, base_offset, time, is_repeat) in ours.chain(others) {
            let key = id_block_key(PartitionId { topic, index }, base_offset, is_repeat.then_some(time));
            rows.put(key, IdBlock { time, transaction: None, kept: KeptIds::default() }.encode());
        }
        let store = MemoryStore::new();
        store.write(&rows, 0).expect("in memory");
        store
    }

    fn read(store: &MemoryStore, blocks_per_read: usize) -> Vec<(u32, Offset, Timestamp, bool)> {
        let mut blocks = StoredBlocks::of(store, TOPIC).expect("readable");
        blocks.blocks_per_read = blocks_per_read;
        let next = || blocks.next().expect("readable");
        std::iter::from_fn(next)
            .map(|stored| (stored.partition.index, stored.base_offset, stored.block.time, stored.is_repeat))
            .collect()
    }

    proptest! {
        #[test]
        fn blocks_come_in_the_order_of_their_times(
            appends in prop::collection::vec((0..4_u32, 0..3_i64, prop::option::weighted(0.3, 1..20_i64), prop::bool::weighted(0.8)), 0..150),
            blocks_per_read in 1..10_usize,
        ) {
            let mut time = 0;
            let mut stored = Vec::new();
            for ((partition, passed, repeated_after, is_left), offset) in appends.into_iter().zip(0..) {
                time += passed;
                let partition = if partition == 3 { u32::MAX } else { partition };
                // What was sent again may outlive what it repeats.
                if is_left {
                    stored.push((partition, offset, time, false));
                }
                stored.extend(repeated_after.map(|after| (partition, offset, time + after, true)));
            }
            let found = read(&store(&stored), blocks_per_read);
            stored.sort_by_key(|(partition, offset, time, _)| (*time, *partition, *offset));
            prop_assert_eq!(found, stored);
        }
    }

    #[test]
    fn more_blocks_than_are_read_at_a_time_are_all_there() {
        let stored: Vec<_> = (0..20_000).map(|number| ((number % 3) as u32, number, number, false)).collect();
        let store = store(&stored);
        let mut blocks = StoredBlocks::of(&store, TOPIC).expect("readable");
        let mut most = 0;
        for number in 0..20_000 {
            most = most.max(blocks.partitions.iter().map(|rows| rows.read.len()).sum());
            assert_eq!(blocks.next().expect("readable").map(|block| block.base_offset), Some(number));
        }
        assert!(blocks.next().expect("readable").is_none());
        assert!(most <= BLOCKS_READ, "{most} at a time");
    }

    #[test]
    fn damaged_row_is_told() {
        let store = store(&[(0, 0, 0, false)]);
        let mut rows = Rows::default();
        rows.put(id_block_key(PartitionId { topic: TOPIC, index: 0 }, 1, None), vec![1, 2, 3]);
        store.write(&rows, 0).expect("in memory");
        assert!(matches!(StoredBlocks::of(&store, TOPIC).map(drop), Err(StoreError::Corrupt { .. })));
    }
}
