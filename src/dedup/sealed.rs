//! What slices say of the ids of a batch.

use super::decide::Original;
use super::slice::SealedId;
use crate::types::Timestamp;

/// Found before the batch is judged: the one writer reads no files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealedFindings {
    /// Number of the newest slice that was asked; 0: none was.
    pub generation: u64,
    /// The newest of each id that is there, by its place among the ids of the batch, rising.
    pub found: Vec<(u32, SealedId)>,
}

impl SealedFindings {
    /// Adds what newer slices say.
    pub fn merge(&mut self, newer: Self) {
        self.generation = self.generation.max(newer.generation);
        self.found.retain(|(place, _)| newer.found.binary_search_by_key(place, |(place, _)| *place).is_err());
        self.found.extend(newer.found);
        self.found.sort_unstable_by_key(|(place, _)| *place);
    }

    /// Those that were appended after `expired_until`, and when.
    pub(super) fn known(&self, expired_until: Timestamp) -> impl Iterator<Item = (u32, Original, Timestamp)> {
        let known = self.found.iter().filter(move |(_, id)| id.time > expired_until);
        known.map(|(place, id)| (*place, Original { partition: id.partition, offset: id.offset }, id.time))
    }
}
