//! When records were written, for lag in time and the age of what retention has left.
//!
//! A timestamp stands in a batch's key in the store. What was looked up is kept for as long as somebody asks for it, and one scrape
//! looks up only so many: the rest comes with the next.

use std::collections::HashMap;

use crate::store::Store;
use crate::types::{Offset, PartitionId, Timestamp};

/// Batches that one scrape looks up.
const LOOK_UPS_PER_SCRAPE: usize = 2_000;

/// Timestamps of the batches that hold certain offsets, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Ages {
    known: HashMap<(PartitionId, Offset), Timestamp>,
}

/// One scrape's questions.
pub(super) struct Asking<'a> {
    ages: &'a mut Ages,
    store: &'a dyn Store,
    asked: HashMap<(PartitionId, Offset), Timestamp>,
    left: usize,
}

impl Ages {
    /// Begins a scrape.
    pub fn ask<'a>(&'a mut self, store: &'a dyn Store) -> Asking<'a> {
        Asking { ages: self, store, asked: HashMap::new(), left: LOOK_UPS_PER_SCRAPE }
    }
}

impl Asking<'_> {
    /// Largest timestamp of the batch that holds `offset` or is the next after it, below `end`; none if that is not known yet, or
    /// if the batch has none.
    pub fn timestamp(&mut self, partition: PartitionId, offset: Offset, end: Offset) -> Option<Timestamp> {
        let at = (partition, offset);
        if let Some(known) = self.ages.known.get(&at).or_else(|| self.asked.get(&at)).copied() {
            self.asked.insert(at, known);
            return Some(known);
        }
        self.left = self.left.checked_sub(1)?;
        let mut found = None;
        // A damaged batch is found by those who read it.
        let _ = self.store.scan_log(partition, offset, end, &mut |key| {
            found = Some(key.max_timestamp);
            false
        });
        let found = found.filter(|timestamp| *timestamp >= 0)?;
        self.asked.insert(at, found);
        Some(found)
    }
}

impl Drop for Asking<'_> {
    /// Forgets what nobody asked for.
    fn drop(&mut self) {
        self.ages.known = std::mem::take(&mut self.asked);
    }
}
