//! Ids by their numbers, which rise by one from the oldest that is remembered.

use std::collections::VecDeque;

use super::room;
use crate::dedup::BatchId;
use crate::dedup::fingerprint::Fingerprint;

/// Ids that are allocated at a time.
pub(super) const CHUNK_IDS: usize = 256;
/// Numbers of ids are kept modulo 2³².
const IDS_MAX: u64 = u32::MAX as u64;

/// Those of one topic.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// Beginning with the one of `begin`.
    chunks: VecDeque<Vec<BatchId>>,
    /// A multiple of [`CHUNK_IDS`].
    begin: u64,
    next: u64,
}

impl Ids {
    /// None; the first gets this number, a multiple of [`CHUNK_IDS`].
    #[cfg(test)]
    pub fn from(begin: u64) -> Self {
        Self { chunks: VecDeque::new(), begin, next: begin }
    }

    /// Number of the next id.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether `more` ids can be told apart from those that are there.
    pub fn has_numbers_for(&self, more: usize) -> bool {
        self.next - self.begin + (more as u64) < IDS_MAX
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        let ids = match self.chunks.len() {
            0 => 0,
            // All but the newest are full.
            count => (count - 1) * CHUNK_IDS + self.chunks[count - 1].capacity(),
        };
        ids * size_of::<BatchId>()
    }

    /// Bytes by which it grows for so many more.
    pub fn growth(&self, more: usize) -> usize {
        let (used, capacity) = self.chunks.back().map_or((0, 0), |chunk| (chunk.len(), chunk.capacity()));
        room::growth(used, capacity, more, CHUNK_IDS) * size_of::<BatchId>()
    }

    /// The number of which tables hold the lower half.
    pub fn number_of(&self, stored: u32) -> u64 {
        self.begin + u64::from(stored.wrapping_sub(self.begin as u32))
    }

    /// The id of a number.
    pub fn get(&self, number: u64) -> &BatchId {
        &self.chunks[(number - self.begin) as usize / CHUNK_IDS][number as usize % CHUNK_IDS]
    }

    /// Whether the id of which a table holds the number is this one.
    pub fn is(&self, stored: u32, fingerprint: &Fingerprint) -> bool {
        self.get(self.number_of(stored)).fingerprint == *fingerprint
    }

    /// Adds the next one.
    pub fn push(&mut self, id: BatchId) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() == CHUNK_IDS) {
            // A topic of few ids takes no more than it needs.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK_IDS };
            self.chunks.push_back(Vec::with_capacity(capacity));
        }
        self.chunks.back_mut().expect("pushed if there was none").push(id);
        self.next += 1;
    }

    /// Takes the newest back, down to this number, which is there.
    pub fn truncate(&mut self, next: u64) {
        while self.next > next {
            let chunk = self.chunks.back_mut().expect("holds the newest id");
            chunk.pop();
            if chunk.is_empty() {
                self.chunks.pop_back();
            }
            self.next -= 1;
        }
    }

    /// Gives the memory of those before this number back.
    pub fn forget_before(&mut self, oldest: u64) {
        // The newest chunk stays: more will come into it.
        while self.begin + (CHUNK_IDS as u64) <= oldest && self.chunks.len() > 1 {
            self.chunks.pop_front();
            self.begin += CHUNK_IDS as u64;
        }
    }
}
