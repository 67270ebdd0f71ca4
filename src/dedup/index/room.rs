//! What an index takes in memory, and what it would take.

use super::{BatchId, Block, Index, Shards};
use crate::dedup::claim::Claim;
use crate::types::Timestamp;

/// What one open transaction takes in one partition, bytes, about.
const OPEN_BYTES: usize = 64;
/// What one id more takes in a table, bytes, at most, on the average of a table that grows.
const ENTRY_BYTES: usize = 14;

impl Index {
    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        // What is open is counted roughly: it is the tail of what was appended last.
        let open = self.open.len() * OPEN_BYTES;
        let replaced = self.replaced.capacity() * size_of::<(u64, u64)>();
        let parts = self.claims.bytes() + self.shards.bytes() + self.ids.bytes() + self.blocks.bytes();
        size_of::<Self>() + parts + replaced + open
    }

    /// By how much memory grows, at most about, when the batch that was judged last is kept: of its ids, which are in it already, by a
    /// block, and of those that were sent again by all.
    pub fn bytes_to_keep(&self) -> usize {
        let new = self.new_ids().len();
        let repeats = self.repeats.len();
        let blocks = self.blocks.growth(usize::from(new > 0) + repeats);
        let times = (self.new_times.len() + repeats) * size_of::<Timestamp>();
        let entries = repeats * (ENTRY_BYTES + self.bytes_of_claim());
        blocks + times + self.ids.growth(repeats) + entries + if new > 0 { OPEN_BYTES } else { 0 }
    }

    /// What the batch that was judged last would take in an index of its own, bytes, about.
    pub fn bytes_alone(&self) -> usize {
        let ids = self.new_ids().len() + self.repeats.len();
        let of_id = size_of::<BatchId>() + ENTRY_BYTES + self.bytes_of_claim();
        let times = self.new_times.len() * size_of::<Timestamp>();
        size_of::<Self>() + Shards::bytes_of_few(ids) + size_of::<Block>() + ids * of_id + times
    }

    fn bytes_of_claim(&self) -> usize {
        if self.has_claims() { size_of::<Option<Claim>>() } else { 0 }
    }

    /// Whether something of it belongs to an open transaction.
    pub fn has_open(&self) -> bool {
        !self.first_open.is_empty()
    }

    /// Memory of what cannot be forgotten, bytes, about: what belongs to open transactions and what came after the first of it, for ids are
    /// forgotten in the order in which they came. The ids of the batch that was judged last are among it if `holds_new`.
    pub fn held_bytes(&self, holds_new: bool) -> usize {
        let first_open = self.first_open.first().copied();
        let Some(first) = first_open.or(holds_new.then_some(self.unkept)) else { return 0 };
        let oldest = self.blocks.oldest().map_or(self.unkept, |block| block.first);
        let (held, all) = (self.ids.next() - first, self.ids.next() - oldest);
        let part = self.bytes() as u128 * u128::from(held) / u128::from(all.max(1));
        usize::try_from(part).unwrap_or(usize::MAX)
    }
}

/// Items by which the memory of a queue in chunks grows for `more` items. Its newest chunk, of which `used` are taken, has memory for
/// `capacity`.
pub(super) fn growth(used: usize, capacity: usize, more: usize, chunk: usize) -> usize {
    let wanted = used + more;
    if wanted <= capacity {
        0
    } else if wanted <= chunk {
        // The first chunk doubles.
        wanted.max(2 * capacity).max(4) - capacity
    } else {
        wanted.next_multiple_of(chunk) - capacity.min(chunk)
    }
}
