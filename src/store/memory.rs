//! Rows in memory, for tests and simulation: the twin of [`super::rocks::RocksStore`] with crashes and faults on demand.
//!
//! Beside what readers see it keeps what a power cut would leave: the rows as of the last sync, and every write since. It is not
//! used by the broker itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::disk::DiskSpace;
use super::schema::{LogKey, log_prefix, log_seek_key, next_prefix};
use super::slices::{MemorySlices, SliceFiles};
use super::{BatchSpace, KeyAndValue, Row, Rows, Store, StoreError, StoreStats, StoredBatch};
use crate::types::{Offset, PartitionId};

type Map = BTreeMap<Vec<u8>, Bytes>;

/// How a write or sync fails on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// [`StoreError::NoSpace`].
    NoSpace,
    /// [`StoreError::Failed`].
    Failed,
}

impl Fault {
    fn error(self) -> StoreError {
        match self {
            Self::NoSpace => StoreError::NoSpace("as told by the test".to_owned()),
            Self::Failed => StoreError::Failed("as told by the test".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Countdown {
    calls_left: u64,
    fault: Fault,
}

impl Countdown {
    /// Fails from the call on at which the count has run out, as a disk that broke stays broken.
    fn tick(countdown: &mut Option<Self>) -> Result<(), StoreError> {
        match countdown {
            Some(Self { calls_left: 0, fault }) => Err(fault.error()),
            Some(Self { calls_left, .. }) => {
                *calls_left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    rows: Map,
    sequence: u64,
    durable_rows: Map,
    durable_sequence: u64,
    unsynced: Vec<Rows>,
    write_fault: Option<Countdown>,
    sync_fault: Option<Countdown>,
    disk_space: Option<DiskSpace>,
}

/// Rows in memory, for tests and simulation.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// Message ids in slices.
    pub slices: MemorySlices,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of writes that no sync covers.
    pub fn unsynced_writes(&self) -> usize {
        self.state().unsynced.len()
    }

    /// The store as a restart finds it after a power cut that left the first `keep_unsynced` of the writes since the last sync.
    /// A kill of the process alone loses nothing: that is `usize::MAX`. Faults do not survive.
    pub fn crash(&self, keep_unsynced: usize) -> Self {
        let state = self.state();
        let mut rows = state.durable_rows.clone();
        let mut sequence = state.durable_sequence;
        for write in state.unsynced.iter().take(keep_unsynced) {
            sequence += apply(&mut rows, write);
        }
        let state =
            State { durable_rows: rows.clone(), rows, durable_sequence: sequence, sequence, ..State::default() };
        let slices = self.slices.crash(keep_unsynced < usize::MAX, keep_unsynced);
        Self { state: Mutex::new(state), slices }
    }

    /// Lets `calls` more writes succeed and fails all later ones. A failed write applies nothing.
    pub fn fail_writes_after(&self, calls: u64, fault: Fault) {
        self.state().write_fault = Some(Countdown { calls_left: calls, fault });
    }

    /// Lets `calls` more syncs succeed and fails all later ones. A failed sync makes nothing durable.
    pub fn fail_syncs_after(&self, calls: u64, fault: Fault) {
        self.state().sync_fault = Some(Countdown { calls_left: calls, fault });
    }

    /// Lets the rows lie on a disk with `free_bytes` left. It does not fill: the test says how it goes on.
    pub fn set_free_bytes(&self, free_bytes: u64) {
        self.state().disk_space = Some(DiskSpace { total_bytes: u64::MAX, free_bytes });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies one write; returns the sequence numbers it takes, one a row.
fn apply(map: &mut Map, rows: &Rows) -> u64 {
    let mut sequence_numbers = 0;
    for row in rows.changes() {
        sequence_numbers += 1;
        match row {
            Row::Put { key, value } => {
                map.insert(key.clone(), value.clone());
            }
            Row::Delete { key } => {
                map.remove(key);
            }
            Row::DeleteLogRange { from, to } => {
                let doomed: Vec<_> = map.range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
                for key in doomed {
                    map.remove(&key);
                }
            }
        }
    }
    sequence_numbers
}

impl State {
    /// Batches of `partition` from the one that holds `from` (or the next after it) to the last that begins below `to`.
    fn batches(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
    ) -> impl Iterator<Item = Result<(LogKey, &Bytes), StoreError>> {
        let holder = self
            .rows
            .range(log_prefix(partition)..log_seek_key(partition, from))
            .next_back()
            .filter(|(key, _)| LogKey::decode(key).is_ok_and(|key| key.last_offset() >= from));
        let start = holder.map_or_else(|| log_seek_key(partition, from), |(key, _)| key.clone());
        let end = if from < to { log_seek_key(partition, to).max(start.clone()) } else { start.clone() };
        self.rows.range(start..end).map(|(key, value)| Ok((LogKey::decode(key)?, value)))
    }
}

impl Store for MemoryStore {
    fn write(&self, rows: &Rows, _synced: u64) -> Result<u64, StoreError> {
        let mut state = self.state();
        Countdown::tick(&mut state.write_fault)?;
        state.sequence += apply(&mut state.rows, rows);
        state.unsynced.push(rows.clone());
        Ok(state.sequence)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut guard = self.state();
        let state = &mut *guard;
        Countdown::tick(&mut state.sync_fault)?;
        for write in state.unsynced.drain(..) {
            state.durable_sequence += apply(&mut state.durable_rows, &write);
        }
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.state().sequence
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().rows.get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        let state = self.state();
        let next = next_prefix(prefix);
        let rows = state.rows.range(prefix.to_vec()..);
        for (key, value) in rows.take_while(|(key, _)| next.as_ref().is_none_or(|next| *key < next)) {
            visit(key, value);
        }
        Ok(())
    }

    fn scan_range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if from < to {
            for (key, value) in self.state().rows.range(from.to_vec()..to.to_vec()) {
                if !visit(key, value) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn last_before(&self, prefix: &[u8], before: &[u8]) -> Result<Option<KeyAndValue>, StoreError> {
        let next = next_prefix(prefix);
        let before = next.as_deref().map_or(before, |next| before.min(next));
        if before <= prefix {
            return Ok(None);
        }
        let state = self.state();
        let last = state.rows.range(prefix.to_vec()..before.to_vec()).next_back();
        Ok(last.map(|(key, value)| (key.clone(), value.to_vec())))
    }

    fn read_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        bytes_max: usize,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        let state = self.state();
        let mut batches = Vec::new();
        let mut bytes = 0usize;
        for entry in state.batches(partition, from, to) {
            let (key, value) = entry?;
            bytes = bytes.saturating_add(value.len());
            if bytes > bytes_max && !batches.is_empty() {
                break;
            }
            batches.push(StoredBatch::checked(&key, value.clone())?);
        }
        Ok(batches)
    }

    fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(LogKey) -> bool,
    ) -> Result<(), StoreError> {
        for entry in self.state().batches(partition, from, to) {
            if !visit(entry?.0) {
                break;
            }
        }
        Ok(())
    }

    fn reclaim_log_range(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn move_log_range(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn move_oldest_batches(&self, _: u64) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn batch_space(&self) -> BatchSpace {
        BatchSpace::default()
    }

    fn slices(&self) -> Arc<dyn SliceFiles> {
        Arc::new(self.slices.clone())
    }

    fn disk_space(&self) -> Option<DiskSpace> {
        self.state().disk_space
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(key: &str, value: &'static str) -> Rows {
        let mut rows = Rows::default();
        rows.put(key.as_bytes().to_vec(), value.as_bytes());
        rows
    }

    #[test]
    fn crash_keeps_synced_writes_and_a_prefix_of_the_others() {
        let store = MemoryStore::new();
        store.write(&rows("a", "1"), 0).unwrap();
        store.sync().unwrap();
        store.write(&rows("b", "2"), 1).unwrap();
        store.write(&rows("c", "3"), 1).unwrap();
        for (keep, b, c) in [(0, false, false), (1, true, false), (2, true, true), (usize::MAX, true, true)] {
            let after = store.crash(keep);
            assert!(after.get(b"a").unwrap().is_some(), "keep {keep}");
            assert_eq!(after.get(b"b").unwrap().is_some(), b, "keep {keep}");
            assert_eq!(after.get(b"c").unwrap().is_some(), c, "keep {keep}");
            assert_eq!(after.sequence(), 1 + u64::from(b) + u64::from(c), "keep {keep}");
        }
    }

    #[test]
    fn failed_write_applies_nothing_and_a_failed_sync_makes_nothing_durable() {
        let store = MemoryStore::new();
        store.fail_writes_after(1, Fault::NoSpace);
        store.fail_syncs_after(0, Fault::Failed);
        assert!(store.write(&rows("a", "1"), 0).is_ok());
        assert!(matches!(store.write(&rows("b", "2"), 0), Err(StoreError::NoSpace(_))));
        assert!(matches!(store.write(&rows("b", "2"), 0), Err(StoreError::NoSpace(_))));
        assert_eq!(store.get(b"b").unwrap(), None);
        assert!(matches!(store.sync(), Err(StoreError::Failed(_))));
        assert_eq!(store.crash(0).get(b"a").unwrap(), None);
    }
}
