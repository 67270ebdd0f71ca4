//! What is remembered of an id, for whoever asks and brings no record.

use super::{BlockState, Index};
use crate::dedup::decide::Original;
use crate::dedup::fingerprint::Fingerprint;
use crate::types::{ProducerId, Timestamp};

/// An id that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RememberedId {
    /// Where its record lies.
    pub original: Original,
    /// When it was appended, ms of a clock that never goes back.
    pub time: Timestamp,
    /// The record's own time, ms, where the topic looks at that.
    pub record_time: Option<Timestamp>,
    /// Whose open transaction it belongs to, if to one.
    pub transaction: Option<ProducerId>,
}

impl Index {
    /// All that is in memory of an id, be its time over or not, newest first: of records whose own times count
    /// ([`earlier`](super::earlier)) there may be several, and each tells copies of its own time.
    pub fn look(&self, fingerprint: &Fingerprint) -> Vec<RememberedId> {
        let place = self.places.of(fingerprint);
        let mut numbers = Vec::new();
        self.shards.each(place, |_, stored| {
            let number = self.ids.number_of(stored);
            if number < self.unkept && self.ids.is(stored, fingerprint) {
                numbers.push(number);
            }
        });
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        numbers.into_iter().map(|number| self.remembered(number)).collect()
    }

    fn remembered(&self, number: u64) -> RememberedId {
        let block = self.blocks.of(number);
        RememberedId {
            original: self.original(number, block),
            time: block.time,
            record_time: self.record_time(number),
            transaction: match block.state {
                BlockState::Open(producer_id) => Some(producer_id),
                _ => None,
            },
        }
    }
}
