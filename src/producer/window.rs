//! The last batches of a producer, inline: 100,000s of producers cost no allocation each.

use std::fmt;
use std::ops::Deref;

use crate::record::advance_sequence;
use crate::types::{Offset, Timestamp};

/// Batches remembered per producer and partition; a retry of any of them is answered, not appended.
pub const WINDOW_BATCHES: usize = 5;

/// A batch that was appended, as the window remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBatch {
    /// Sequence of its first record.
    pub first_sequence: i32,
    /// Last offset minus base offset.
    pub offset_delta: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its largest timestamp; answered as log append time to a duplicate where the topic stamps times.
    pub timestamp: Timestamp,
    /// Whether its transaction was aborted: it counts for the sequence, but is no duplicate of anything. A client that
    /// rewinds its sequence after an abort would else be told that new records are stored where the aborted ones are.
    pub aborted: bool,
}

impl WindowBatch {
    const EMPTY: Self = Self { first_sequence: -1, offset_delta: 0, last_offset: -1, timestamp: -1, aborted: false };

    /// Stands for batches up to this sequence of which nothing is known: no batch is a duplicate of it.
    pub(super) fn up_to(last_sequence: i32) -> Self {
        Self { first_sequence: last_sequence, aborted: true, ..Self::EMPTY }
    }

    /// Offset of its first record.
    pub fn base_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Sequence of its last record; lower than the first after a wrap.
    pub fn last_sequence(&self) -> i32 {
        advance_sequence(self.first_sequence, self.offset_delta)
    }
}

/// At most [`WINDOW_BATCHES`] batches, oldest first; a slice of them by `Deref`, made of them by `collect`.
#[derive(Clone, Copy)]
pub struct Window {
    batches: [WindowBatch; WINDOW_BATCHES],
    count: u8,
}

impl Window {
    /// Adds the newest batch; the oldest of a full window is forgotten.
    pub fn push(&mut self, batch: WindowBatch) {
        if self.len() == WINDOW_BATCHES {
            self.batches.rotate_left(1);
            self.count -= 1;
        }
        self.batches[usize::from(self.count)] = batch;
        self.count += 1;
    }

    /// Marks all batches as aborted.
    pub fn abort(&mut self) {
        for batch in &mut self.batches[..usize::from(self.count)] {
            batch.aborted = true;
        }
    }

    /// Forgets all batches.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Default for Window {
    fn default() -> Self {
        Self { batches: [WindowBatch::EMPTY; WINDOW_BATCHES], count: 0 }
    }
}

impl Deref for Window {
    type Target = [WindowBatch];

    fn deref(&self) -> &[WindowBatch] {
        &self.batches[..usize::from(self.count)]
    }
}

impl FromIterator<WindowBatch> for Window {
    fn from_iter<I: IntoIterator<Item = WindowBatch>>(batches: I) -> Self {
        let mut window = Self::default();
        batches.into_iter().for_each(|batch| window.push(batch));
        window
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Window {}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
