//! One byte budget for the newest batches of all partitions, kept in memory for consumers near the end.
//!
//! Owned by the engine's writer, who fills it with the very buffers that the batches arrived in. Age decides what goes: the
//! oldest batch of all partitions first. A batch counts by its own size, and keeps at most eight times that in memory: smaller parts
//! of a frame are copied out of it before they come here. Readers see the tails through [`Partition`] alone.

use std::collections::VecDeque;
use std::sync::Arc;

use super::partition::Partition;
use crate::store::StoredBatch;

/// What a batch costs beside its bytes.
const BATCH_OVERHEAD_BYTES: usize = 128;

/// The budget and the order of age.
#[derive(Debug)]
pub struct TailCache {
    bytes_max: usize,
    bytes: usize,
    oldest_first: VecDeque<(Arc<Partition>, usize)>,
}

impl TailCache {
    /// A cache of at most `bytes_max` bytes; 0 keeps nothing.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, oldest_first: VecDeque::new() }
    }

    /// Adds the newest batch of `partition` and lets go of the oldest ones over the budget.
    pub fn push(&mut self, partition: &Arc<Partition>, batch: StoredBatch) {
        if self.bytes_max == 0 {
            return;
        }
        let cost = batch.bytes.len() + BATCH_OVERHEAD_BYTES;
        partition.push_tail(batch);
        self.oldest_first.push_back((Arc::clone(partition), cost));
        self.bytes += cost;
        while self.bytes > self.bytes_max {
            let Some((partition, cost)) = self.oldest_first.pop_front() else { break };
            partition.pop_tail();
            self.bytes -= cost;
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::log::partition::Recovered;
    use crate::types::{LeaderEpoch, Offset, PartitionId, TopicNo};

    fn batch(offset: Offset, bytes: usize) -> StoredBatch {
        StoredBatch { base_offset: offset, last_offset: offset, bytes: Bytes::from(vec![0; bytes]) }
    }

    fn partition(index: u32) -> Arc<Partition> {
        let id = PartitionId { topic: TopicNo(1), index };
        Arc::new(Partition::new(id, LeaderEpoch(0), &Recovered::default()))
    }

    #[test]
    fn oldest_batch_of_all_partitions_goes_first() {
        let (a, b) = (partition(0), partition(1));
        let mut cache = TailCache::new(3 * (1000 + BATCH_OVERHEAD_BYTES));
        cache.push(&a, batch(0, 1000));
        cache.push(&b, batch(0, 1000));
        cache.push(&a, batch(1, 1000));
        cache.push(&b, batch(1, 1000));
        assert_eq!(a.read_tail(0, 2, usize::MAX), None, "the oldest went");
        assert_eq!(a.read_tail(1, 2, usize::MAX).map(|read| read.len()), Some(1));
        assert_eq!(b.read_tail(0, 2, usize::MAX).map(|read| read.len()), Some(2));
        assert!(cache.bytes() <= 3 * (1000 + BATCH_OVERHEAD_BYTES));
    }

    #[test]
    fn tail_returns_the_first_batch_whatever_the_limit_and_none_beyond_the_bound() {
        let a = partition(0);
        let mut cache = TailCache::new(1 << 20);
        (0..3).for_each(|offset| cache.push(&a, batch(offset, 1000)));
        let lengths = |from, to, bytes_max| a.read_tail(from, to, bytes_max).map(|read| read.len());
        assert_eq!(lengths(0, 3, 1), Some(1));
        assert_eq!(lengths(0, 3, 2000), Some(2));
        assert_eq!(lengths(0, 2, usize::MAX), Some(2), "the batch beyond the high watermark stays hidden");
        assert_eq!(lengths(3, 3, usize::MAX), Some(0));
    }
}
