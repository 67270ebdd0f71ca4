//! Ids that live longer because they were sent again (`message.dedup.window.refresh`).
//!
//! A repeat is stored nowhere, so that its id is taken in anew under the place of the first record, in a block of its own with a row of its
//! own; what was known before is over when its block is. Ids sent again and again would fill memory with that. So a repeat counts
//! only if an eighth of the window has passed since the last one that did, and ids live an eighth longer for it
//! ([`DedupConfig::kept_ms`](crate::config::DedupConfig::kept_ms)): an id has nine entries at the most.
//!
//! Ids of open transactions and claims that were refused live no longer: who asks for another's claim must not prolong it.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::{Block, BlockState, Index, KeptBlock};
use crate::dedup::decide::Original;
use crate::dedup::{BatchId, Claim, Fingerprint};
use crate::types::{Offset, Timestamp};

/// An id that was sent again.
#[derive(Debug, Clone, Copy)]
pub(in crate::dedup) struct Repeat {
    pub fingerprint: Fingerprint,
    /// What had it first.
    pub original: Original,
    /// Number of its entry, if it is in memory.
    pub number: Option<u64>,
    /// As of the later of both records, if the topic looks at that.
    pub time: Option<Timestamp>,
    pub claim: Option<Claim>,
}

/// Ids of a batch, as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptIds {
    /// The ids.
    pub ids: Vec<BatchId>,
    /// In a ledger, the claim of each; otherwise none.
    pub claims: Vec<Claim>,
    /// With `message.dedup.time.source=create`, the time of the record of each; otherwise none.
    pub times: Vec<Timestamp>,
}

impl Index {
    /// Notes that an id was sent again, for [`Index::keep_repeats`].
    pub(in crate::dedup) fn note_repeat(&mut self, repeat: Repeat) {
        self.repeats.push(repeat);
    }

    /// The id that was noted last was taken over instead.
    pub(in crate::dedup) fn drop_repeat_of(&mut self, id: &BatchId) {
        self.repeats.pop_if(|repeat| repeat.fingerprint == id.fingerprint);
    }

    /// Forgets what was noted.
    pub fn drop_repeats(&mut self) {
        self.repeats.clear();
    }

    /// Whether ids were sent again that live longer for it.
    pub fn has_repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// Takes what was noted in anew, as of `now`; answers the blocks that are to be stored. After [`Index::keep`] or [`Index::drop_new`].
    pub fn keep_repeats(&mut self, now: Timestamp) -> Vec<(KeptBlock, KeptIds)> {
        assert!(self.new_numbers().is_empty(), "the batch comes first");
        let mut repeats = std::mem::take(&mut self.repeats);
        let of_one_block = |repeat: &Repeat| (repeat.original.partition, repeat.claim.is_some(), repeat.time.is_some());
        repeats.sort_unstable_by_key(|repeat| (of_one_block(repeat), repeat.original.offset, Reverse(repeat.time)));
        repeats.dedup_by_key(|repeat| (repeat.original.partition, repeat.original.offset));
        let mut repeats = VecDeque::from(repeats);
        let mut kept = Vec::new();
        while let Some(first) = repeats.front().copied() {
            let Original { partition, offset: base_offset } = first.original;
            let mut ids = KeptIds::default();
            while let Some(repeat) = repeats.front()
                && of_one_block(repeat) == of_one_block(&first)
                && let Ok(offset_delta) = u32::try_from(repeat.original.offset - base_offset)
            {
                let id = BatchId { fingerprint: repeat.fingerprint, offset_delta };
                ids.claims.extend(repeat.claim);
                ids.times.extend(repeat.time);
                self.take_in_anew(&id, repeat.number, repeat.claim);
                ids.ids.push(id);
                repeats.pop_front();
            }
            let at = KeptBlock { partition, base_offset, time: now, is_repeat: true };
            self.push_block(at, BlockState::Repeated, ids.times.clone());
            kept.push((at, ids));
        }
        kept
    }

    fn take_in_anew(&mut self, id: &BatchId, number: Option<u64>, claim: Option<Claim>) {
        let place = self.places.of(&id.fingerprint);
        match number.and_then(|number| self.shards.find(place, |stored| stored == number as u32)) {
            Some(slot) => self.shards.set_number(place, slot, self.ids.next() as u32),
            None => self.insert(place),
        }
        self.ids.push(*id);
        if let Some(claim) = claim {
            self.note_claim(claim);
        }
    }

    /// Offset of a block's record, and where in the block it is.
    pub(super) fn original(&self, number: u64, block: &Block) -> Original {
        let offset_delta = self.ids.get(number).offset_delta;
        Original { partition: block.partition, offset: block.base_offset + Offset::from(offset_delta) }
    }
}
