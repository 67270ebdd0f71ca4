//! Which earlier record with an id is the same message.
//!
//! Mostly any that is remembered. With `message.dedup.time.source=create` one whose own time is near: data that is copied is copied faster
//! than it came about, and what were two messages of one id in a day must not become one because a mirror brings them in one minute.
//! "Near" goes both ways, as copies of several partitions come in any order. So an id may have several entries then, which lie at one
//! place of the table: [`SAME_ID_MAX`] bounds what a look-up costs.

use super::Index;
use crate::dedup::BatchId;
use crate::dedup::table::Slot;
use crate::types::Timestamp;

/// Entries of one id whose times are far apart; one more takes the place of the oldest.
const SAME_ID_MAX: usize = 16;

/// Where to look for the same message.
#[derive(Debug, Clone, Copy)]
pub(in crate::dedup) struct Reach {
    /// What was appended then or before is over, ms of the clock of message ids.
    pub expired_until: Timestamp,
    /// The record's own time, and what another's must be nearer by than, ms; none where that does not matter.
    pub near: Option<(Timestamp, Timestamp)>,
}

/// What there is of an id.
#[derive(Debug, Clone, Copy)]
pub(super) enum Earlier {
    Nothing,
    /// This entry, which may be over.
    Same(Slot),
    /// So many that are others that this one, the oldest, has to go.
    Others(Slot),
}

impl Index {
    /// The newest entry of an id within reach.
    pub(super) fn earlier(&self, place: u64, id: &BatchId, reach: Reach) -> Earlier {
        if reach.near.is_none() && !self.blocks.have_times() {
            let slot = self.shards.find(place, |stored| self.ids.is(stored, &id.fingerprint));
            return slot.map_or(Earlier::Nothing, Earlier::Same);
        }
        self.newest_near(place, id, reach)
    }

    #[inline(never)]
    fn newest_near(&self, place: u64, id: &BatchId, reach: Reach) -> Earlier {
        let mut entries = Vec::new();
        self.shards.each(place, |slot, stored| {
            if self.ids.is(stored, &id.fingerprint) {
                entries.push((self.ids.number_of(stored), slot));
            }
        });
        let is_near = |number: u64| match (reach.near, self.time_of(number)) {
            (Some((time, width)), Some(other)) => time.abs_diff(other) < width.unsigned_abs(),
            _ => true,
        };
        // One that counts before one that is over, however new that is.
        let same = entries.iter().filter(|(number, _)| is_near(*number));
        let same = same.max_by_key(|(number, _)| (!self.is_over(*number, reach.expired_until), *number));
        match same {
            Some((_, slot)) => Earlier::Same(*slot),
            None if entries.len() < SAME_ID_MAX => Earlier::Nothing,
            None => {
                let oldest = entries.iter().min_by_key(|(number, _)| *number);
                oldest.map_or(Earlier::Nothing, |(_, slot)| Earlier::Others(*slot))
            }
        }
    }

    /// The own time of the record behind an entry, where that is remembered.
    pub(in crate::dedup) fn record_time(&self, number: u64) -> Option<Timestamp> {
        self.time_of(number)
    }

    fn time_of(&self, number: u64) -> Option<Timestamp> {
        if number >= self.unkept {
            return self.new_times.get((number - self.unkept) as usize).copied();
        }
        let block = self.blocks.of(number);
        block.times.get((number - block.first) as usize).copied()
    }

    fn is_over(&self, number: u64, expired_until: Timestamp) -> bool {
        let block = || self.blocks.of(number);
        number < self.unkept && block().state.is_settled() && block().time <= expired_until
    }

    /// Whether ids of it have times of their own.
    pub fn has_times(&self) -> bool {
        self.blocks.have_times()
    }
}
