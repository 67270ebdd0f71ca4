//! Slices in memory, of which it is known what a crash leaves.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{NewSliceFile, SliceFile, SliceFiles, store_error};
use crate::store::StoreError;

/// Slices in memory, for tests and simulation: what a crash leaves of them is known.
#[derive(Debug, Clone, Default)]
pub struct MemorySlices(Arc<Mutex<InMemory>>);

#[derive(Debug, Default)]
struct InMemory {
    files: BTreeMap<u64, MemoryFile>,
    /// Removed, and perhaps there again after a power cut.
    removed: BTreeMap<u64, MemoryFile>,
    /// Steps until all fail, as they do from a kill on.
    steps_left: Option<usize>,
}

#[derive(Debug, Clone, Default)]
struct MemoryFile {
    bytes: Arc<Vec<u8>>,
    is_synced: bool,
    is_named: bool,
    is_name_synced: bool,
}

impl MemorySlices {
    /// As a start finds them after a kill, or after a power cut, which leaves what is synced and, as `luck` has it, some of the rest.
    pub fn crash(&self, is_power_cut: bool, luck: usize) -> Self {
        let state = self.state();
        let mut files = state.files.clone();
        if is_power_cut {
            let is_lucky = |number: &u64| (*number as usize + luck).is_multiple_of(2);
            files.extend(state.removed.clone().into_iter().filter(|(number, _)| is_lucky(number)));
            files.retain(|number, file| file.is_name_synced || is_lucky(number));
            for file in files.values_mut().filter(|file| !file.is_synced) {
                let half = file.bytes.len() / 2;
                file.bytes = Arc::new(file.bytes[..half].to_vec());
            }
        }
        Self(Arc::new(Mutex::new(InMemory { files, ..InMemory::default() })))
    }

    /// Lets so many steps more succeed: creating, writing, syncing, naming, syncing the name, removing.
    pub fn fail_after(&self, steps: usize) {
        self.state().steps_left = Some(steps);
    }

    /// Changes one byte of a slice, as a bad disk does.
    pub fn damage(&self, number: u64, at: usize) {
        if let Some(file) = self.state().files.get_mut(&number) {
            Arc::make_mut(&mut file.bytes)[at] ^= 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, InMemory> {
        // A test that panicked while it held the lock has failed already; the others go on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<T>(&self, change: impl FnOnce(&mut InMemory) -> T) -> io::Result<T> {
        let mut state = self.state();
        match &mut state.steps_left {
            Some(0) => return Err(io::Error::other("as told by the test")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(change(&mut state))
    }
}

impl SliceFiles for MemorySlices {
    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        Ok(self.state().files.iter().filter(|(_, file)| file.is_named).map(|(number, _)| *number).collect())
    }

    fn remove_unfinished(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        state.files.retain(|_, file| file.is_named);
        state.files.values_mut().for_each(|file| file.is_name_synced = true);
        Ok(())
    }

    fn open(&self, number: u64) -> Result<Box<dyn SliceFile>, StoreError> {
        let gone = || StoreError::Failed(format!("slice {number} is not there"));
        let state = self.state();
        let file = state.files.get(&number).filter(|file| file.is_named).ok_or_else(gone)?;
        Ok(Box::new(Arc::clone(&file.bytes)))
    }

    fn create(&self, number: u64) -> Result<Box<dyn NewSliceFile>, StoreError> {
        let created = self.step(|state| state.files.insert(number, MemoryFile::default()));
        created.map_err(|error| store_error(number, &error))?;
        Ok(Box::new(NewInMemory { slices: self.clone(), number }))
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        let removed = self.step(|state| {
            let file = state.files.remove(&number);
            file.map(|file| state.removed.insert(number, file));
        });
        removed.map_err(|error| store_error(number, &error))
    }
}

impl SliceFile for Arc<Vec<u8>> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let there = self.get(from..from.saturating_add(bytes.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(there);
        Ok(())
    }
}

struct NewInMemory {
    slices: MemorySlices,
    number: u64,
}

impl NewInMemory {
    fn step(&self, change: impl FnOnce(&mut MemoryFile)) -> io::Result<()> {
        self.slices.step(|state| state.files.get_mut(&self.number).map(change))?;
        Ok(())
    }
}

impl Write for NewInMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.step(|file| Arc::make_mut(&mut file.bytes).extend_from_slice(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewSliceFile for NewInMemory {
    fn finish(self: Box<Self>, head: &[u8]) -> io::Result<()> {
        self.step(|file| Arc::make_mut(&mut file.bytes)[..head.len()].copy_from_slice(head))?;
        self.step(|file| file.is_synced = true)?;
        self.step(|file| file.is_named = true)?;
        self.step(|file| file.is_name_synced = true)
    }
}
