//! A memory store whose writes, syncs and reclaims can be held back, and which counts what is asked of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::engine::mutant::Mutant;
use crate::store::layer::as_below;
use crate::store::memory::MemoryStore;
use crate::store::schema::{LogKey, prefix};
use crate::store::{BatchSpace, Rows, Store, StoreError};
use crate::types::{Offset, PartitionId};

/// A place where a thread waits while it is held.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    held: bool,
    /// Passes until it holds of itself.
    passes_left: Option<usize>,
    waiting: bool,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn hold(&self) {
        self.state().held = true;
    }
    /// Holds once so many have passed.
    pub fn hold_after(&self, passes: usize) {
        self.state().passes_left = Some(passes);
    }
    /// Whether a thread stands before it.
    pub fn is_reached(&self) -> bool {
        self.state().waiting
    }
    pub fn open(&self) {
        let mut state = self.state();
        (state.held, state.passes_left) = (false, None);
        drop(state);
        self.changed.notify_all();
    }
    /// Returns once a thread stands before the held gate.
    pub fn wait_until_reached(&self) {
        let reached = self.changed.wait_while(self.state(), |state| !state.waiting);
        drop(reached.unwrap_or_else(PoisonError::into_inner));
    }
    fn pass(&self) {
        let mut state = self.state();
        match state.passes_left.as_mut() {
            Some(0) => state.held = true,
            Some(left) => *left -= 1,
            None => {}
        }
        while state.held {
            state.waiting = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
    }
}

/// Keys from and to.
type Range = (Vec<u8>, Vec<u8>);

/// A memory store behind gates.
#[derive(Debug, Default)]
pub struct GatedStore {
    pub memory: MemoryStore,
    pub syncs: Gate,
    pub writes: Gate,
    pub reclaims: Gate,
    /// Ranges of the log whose space was reclaimed.
    pub reclaimed: (Mutex<Vec<Range>>, Condvar),
    /// Scans of ranges that are yet to fail.
    pub range_scans_failing: AtomicUsize,
    /// Keys of the log that were visited.
    pub log_keys_seen: AtomicUsize,
    /// What files of batches take, as tests say.
    pub batches: Mutex<Batches>,
    /// A fault of its own.
    pub mutant: Option<Mutant>,
}

/// Files of batches: numbers only.
#[derive(Debug, Default)]
pub struct Batches {
    pub space: BatchSpace,
    /// Bytes that are garbage once the index has been compacted.
    pub hidden_garbage_bytes: u64,
    /// Garbage beside what no move reaches.
    pub pinned_garbage_bytes: u64,
    /// Moves that are yet to fail.
    pub failures: usize,
    /// What was moved whole.
    pub moved: Vec<Range>,
    /// What was moved from the oldest files: the space allowed for it.
    pub moved_oldest: Vec<u64>,
}

impl Batches {
    /// Bytes of a file.
    pub const FILE_BYTES: u64 = 1000;

    fn fail(&mut self) -> Result<(), StoreError> {
        if self.failures > 0 {
            self.failures -= 1;
            return Err(StoreError::NoSpace("a move".to_owned()));
        }
        Ok(())
    }
    fn reclaim(&mut self) -> Result<(), StoreError> {
        self.space.garbage_bytes += std::mem::take(&mut self.hidden_garbage_bytes);
        Ok(())
    }
    fn move_all(&mut self, range: Range) -> Result<(), StoreError> {
        self.fail()?;
        // Garbage lies beside batches.
        if range.0.first() == Some(&prefix::LOG) {
            let gone = self.space.garbage_bytes.saturating_sub(self.pinned_garbage_bytes);
            (self.space.bytes, self.space.garbage_bytes) = (self.space.bytes - gone, self.space.garbage_bytes - gone);
        }
        self.moved.push(range);
        Ok(())
    }
    /// Half of each of the oldest files is garbage.
    fn move_oldest(&mut self, bytes_max: u64) -> Result<u64, StoreError> {
        self.fail()?;
        self.moved_oldest.push(bytes_max);
        let files = bytes_max / Self::FILE_BYTES;
        let movable = self.space.garbage_bytes.saturating_sub(self.pinned_garbage_bytes);
        let gone = (files * Self::FILE_BYTES / 2).min(movable);
        (self.space.bytes, self.space.garbage_bytes) = (self.space.bytes - gone, self.space.garbage_bytes - gone);
        Ok(files)
    }
}

impl GatedStore {
    pub fn disk(&self) -> MutexGuard<'_, Batches> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reclaimed ranges, once there are `count`.
    pub fn wait_until_reclaimed(&self, count: usize) -> Vec<Range> {
        let ranges = self.reclaimed.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ranges = self.reclaimed.1.wait_while(ranges, |ranges| ranges.len() < count);
        ranges.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store for GatedStore {
    as_below!(memory: sequence, get, scan, last_before, read_log, slices, disk_space, stats, close);

    fn write(&self, rows: &Rows, synced: u64) -> Result<u64, StoreError> {
        assert!(synced <= self.memory.sequence(), "a sync of what is not written yet");
        self.writes.pass();
        if self.mutant == Some(Mutant::SplitWrites) && rows.rows.len() > 1 {
            // At another place each time.
            let at = 1 + usize::try_from(self.memory.sequence()).expect("small") % (rows.rows.len() - 1);
            let (one, other) = rows.rows.split_at(at);
            self.memory.write(&Rows { rows: one.to_vec() }, synced)?;
            return self.memory.write(&Rows { rows: other.to_vec() }, synced);
        }
        self.memory.write(rows, synced)
    }
    fn sync(&self) -> Result<(), StoreError> {
        self.syncs.pass();
        if self.mutant == Some(Mutant::SkipSync) {
            return Ok(());
        }
        self.memory.sync()
    }
    fn scan_range(
        &self,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let failing = &self.range_scans_failing;
        if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreError::Failed("a scan".to_owned()));
        }
        self.memory.scan_range(from, to, visit)
    }
    fn scan_log(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(LogKey) -> bool,
    ) -> Result<(), StoreError> {
        self.memory.scan_log(partition, from, to, &mut |key| {
            self.log_keys_seen.fetch_add(1, Ordering::SeqCst);
            visit(key)
        })
    }
    fn reclaim_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.reclaims.pass();
        self.reclaimed.0.lock().unwrap_or_else(PoisonError::into_inner).push((from.to_vec(), to.to_vec()));
        self.reclaimed.1.notify_all();
        self.disk().reclaim()
    }
    fn move_log_range(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.disk().move_all((from.to_vec(), to.to_vec()))
    }
    fn move_oldest_batches(&self, bytes_max: u64) -> Result<u64, StoreError> {
        self.disk().move_oldest(bytes_max)
    }
    fn batch_space(&self) -> BatchSpace {
        self.disk().space
    }
}
