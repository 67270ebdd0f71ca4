//! Which ids of an index may leave memory for a slice.

use super::{BatchId, Index};
use crate::types::Timestamp;

impl Index {
    /// Whether the id is remembered here, expired or not.
    pub(in crate::dedup) fn holds(&self, id: &BatchId) -> bool {
        self.find(&id.fingerprint).is_some()
    }

    /// Whether ids of it are claimed.
    pub fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// The latest time, at most `until`, up to which no block belongs to an open transaction, and about how many ids there are with it;
    /// none where there are none. It is the time of no more than `ids_max` ids, if those of one time are no more.
    pub fn settled_until(&self, until: Timestamp, ids_max: usize) -> Option<(Timestamp, u32)> {
        let first_open = self.first_open.first();
        let first_open = first_open.map(|first| self.blocks.of(*first).time);
        let until = first_open.map_or(until, |open| until.min(open.saturating_sub(1)));
        let until = until.min(self.blocks.newest_within(ids_max as u64)?.time);
        let (first, last) = (self.blocks.oldest()?, self.blocks.newest_until(until)?);
        let ids = last.numbers().end - first.first;
        Some((until, u32::try_from(ids).expect("an index has fewer than 2^32 ids")))
    }
}
