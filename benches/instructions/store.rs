//! A store that keeps nothing, and syncs when it is let.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use einmal::store::disk::DiskSpace;
use einmal::store::schema::LogKey;
use einmal::store::slices::{MemorySlices, SliceFiles};
use einmal::store::{BatchSpace, KeyAndValue, Rows, Store, StoreError, StoreStats, StoredBatch};
use einmal::types::{Offset, PartitionId};

/// Holds up syncs, one permit each.
#[derive(Default)]
pub struct Gate {
    permits: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    /// Lets one sync pass.
    pub fn permit(&self) {
        *self.permits.lock().expect("nobody panics") += 1;
        self.changed.notify_one();
    }

    fn pass(&self) {
        let permits = self.permits.lock().expect("nobody panics");
        let mut permits = self.changed.wait_while(permits, |permits| *permits == 0).expect("nobody panics");
        *permits -= 1;
    }
}

/// Everything is written and forgotten: what the real store costs is not the engine's to answer for, and is measured in seconds.
pub struct NullStore {
    pub gate: Arc<Gate>,
    sequence: AtomicU64,
}

impl NullStore {
    pub fn new(gate: Arc<Gate>) -> Self {
        Self { gate, sequence: AtomicU64::new(0) }
    }
}

impl Store for NullStore {
    fn write(&self, rows: &Rows, _: u64) -> Result<u64, StoreError> {
        let count = rows.rows.len() as u64;
        Ok(self.sequence.fetch_add(count, Ordering::Relaxed) + count)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.gate.pass();
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: &[u8], _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        Ok(())
    }

    fn read_log(&self, _: PartitionId, _: Offset, _: Offset, _: usize) -> Result<Vec<StoredBatch>, StoreError> {
        panic!("everything that is fetched here is in the tail cache")
    }

    fn scan_log(
        &self,
        _: PartitionId,
        _: Offset,
        _: Offset,
        _: &mut dyn FnMut(LogKey) -> bool,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn scan_range(&self, _: &[u8], _: &[u8], _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn last_before(&self, _: &[u8], _: &[u8]) -> Result<Option<KeyAndValue>, StoreError> {
        Ok(None)
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
        Arc::new(MemorySlices::default())
    }

    fn disk_space(&self) -> Option<DiskSpace> {
        None
    }

    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
