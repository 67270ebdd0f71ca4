//! Keeps the file `SYNCED` at most a second behind, without a wait on the path of commits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use super::synced::{Synced, SyncedFile};
use crate::types::Uuid;

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct State {
    /// Newest synced sequence number that is not in the file yet.
    pending: Option<u64>,
    stop: bool,
    error: Option<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// None once the store is closed: nothing overwrites the mark of a clean stop.
    file: Mutex<Option<SyncedFile>>,
    boot_id: Option<Uuid>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds these locks; if it did, the values would still be whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns the file while the store is open, and the thread that writes it.
#[derive(Debug)]
pub(in crate::store) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Notes in `file` that the store is open as of `sequence`, which is durable, and starts the thread.
    pub(in crate::store) fn start(mut file: SyncedFile, sequence: u64, boot_id: Option<Uuid>) -> io::Result<Self> {
        file.write(Synced { sequence, clean: false, boot_id })?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { pending: None, stop: false, error: None }),
            changed: Condvar::new(),
            file: Mutex::new(Some(file)),
            boot_id,
        });
        let thread = thread::Builder::new().name("einmal-synced".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Notes that all writes up to `sequence` are durable; the file follows within a second.
    ///
    /// # Errors
    /// If the file could not be written before.
    pub(in crate::store) fn advance(&self, sequence: u64) -> Result<(), String> {
        let mut state = lock(&self.shared.state);
        state.pending = state.pending.max(Some(sequence));
        self.shared.changed.notify_one();
        state.error.clone().map_or(Ok(()), Err)
    }

    /// Notes the clean stop as of `sequence`; the file is not written after that.
    pub(in crate::store) fn close(&self, sequence: u64) -> io::Result<()> {
        match lock(&self.shared.file).take() {
            Some(mut file) => file.write(Synced { sequence, clean: true, boot_id: self.shared.boot_id }),
            None => Ok(()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.shared.state).stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(sequence) = self.wait_for_pending() {
            if let Err(error) = self.write(sequence) {
                lock(&self.state).error = Some(format!("writing SYNCED: {error}"));
                return;
            }
            let state = lock(&self.state);
            drop(self.changed.wait_timeout_while(state, INTERVAL, |state| !state.stop));
        }
    }

    fn wait_for_pending(&self) -> Option<u64> {
        let state = lock(&self.state);
        let mut state = self
            .changed
            .wait_while(state, |state| state.pending.is_none() && !state.stop)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stop { None } else { state.pending.take() }
    }

    fn write(&self, sequence: u64) -> io::Result<()> {
        match lock(&self.file).as_mut() {
            Some(file) => file.write(Synced { sequence, clean: false, boot_id: self.boot_id }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &std::path::Path) -> Option<Synced> {
        SyncedFile::open(dir).unwrap().1
    }

    #[test]
    fn pending_sequence_never_falls_and_an_error_is_told_from_then_on() {
        let state = State { pending: None, stop: false, error: None };
        let (state, changed, file) = (Mutex::new(state), Condvar::new(), Mutex::new(None));
        let keeper = Keeper { shared: Arc::new(Shared { state, changed, file, boot_id: None }), thread: None };
        for (sequence, pending) in [(7, 7), (9, 9), (8, 9)] {
            assert_eq!(keeper.advance(sequence), Ok(()));
            assert_eq!(lock(&keeper.shared.state).pending, Some(pending));
        }
        lock(&keeper.shared.state).error = Some("disk full".to_owned());
        assert_eq!(keeper.advance(10), Err("disk full".to_owned()));
    }

    #[test]
    fn file_follows_the_syncs_and_ends_with_the_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(SyncedFile::open(dir.path()).unwrap().0, 5, None).unwrap();
        assert_eq!(read(dir.path()), Some(Synced { sequence: 5, clean: false, boot_id: None }));
        keeper.advance(9).unwrap();
        while read(dir.path()) != Some(Synced { sequence: 9, clean: false, boot_id: None }) {
            thread::yield_now();
        }
        keeper.advance(10).unwrap();
        keeper.close(11).unwrap();
        drop(keeper);
        assert_eq!(read(dir.path()), Some(Synced { sequence: 11, clean: true, boot_id: None }));
    }
}
