//! Slices in a folder of the data directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{FOLDER, NewSliceFile, SUFFIX, SliceFile, SliceFiles, name, store_error};
use crate::store::StoreError;

const SUFFIX_NEW: &str = ".slice.new";
/// Bytes between two syncs of a file that is being made: all at its end would hold up those of the log.
const SYNC_BYTES: u64 = 16 << 20;

/// Slices of a data directory. Without any there is no folder.
#[derive(Debug)]
pub struct SliceFolder {
    path: PathBuf,
    /// Counts reads of damaged bytes.
    damaged: Arc<AtomicU64>,
}

impl SliceFolder {
    /// That of the data directory `dir`.
    pub fn of(dir: &Path) -> Self {
        Self::counting(dir, Arc::default())
    }

    /// The same, which counts reads of damaged bytes.
    pub(in crate::store) fn counting(dir: &Path, damaged: Arc<AtomicU64>) -> Self {
        Self { path: dir.join(FOLDER), damaged }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", self.path.display()));
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        entries.map(|entry| Ok(entry.map_err(failed)?.file_name().to_string_lossy().into_owned())).collect()
    }
}

impl SliceFiles for SliceFolder {
    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let names = self.names()?;
        let numbers = names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn remove_unfinished(&self) -> Result<(), StoreError> {
        for name in self.names()?.iter().filter(|name| name.ends_with(SUFFIX_NEW)) {
            fs::remove_file(self.path.join(name)).map_err(|error| StoreError::Failed(format!("{name}: {error}")))?;
        }
        match File::open(&self.path).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Failed(format!("its folder: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn open(&self, number: u64) -> Result<Box<dyn SliceFile>, StoreError> {
        let file = File::open(self.path.join(name(number, SUFFIX))).map_err(|error| store_error(number, &error))?;
        Ok(Box::new(FileInFolder { file, damaged: Arc::clone(&self.damaged) }))
    }

    fn create(&self, number: u64) -> Result<Box<dyn NewSliceFile>, StoreError> {
        let failed = |error: io::Error| store_error(number, &error);
        if !self.path.is_dir() {
            fs::create_dir_all(&self.path).map_err(failed)?;
            if let Some(above) = self.path.parent() {
                File::open(above).and_then(|dir| dir.sync_all()).map_err(failed)?;
            }
        }
        let path = self.path.join(name(number, SUFFIX_NEW));
        let file = File::create(&path).map_err(failed)?;
        Ok(Box::new(NewInFolder {
            folder: self.path.clone(),
            number,
            path,
            file,
            unsynced_bytes: 0,
            is_finished: false,
        }))
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        match fs::remove_file(self.path.join(name(number, SUFFIX))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(store_error(number, &error)),
            _ => Ok(()),
        }
    }
}

struct FileInFolder {
    file: File,
    damaged: Arc<AtomicU64>,
}

impl SliceFile for FileInFolder {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    fn note_damage(&self) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
    }
}

struct NewInFolder {
    folder: PathBuf,
    number: u64,
    path: PathBuf,
    file: File,
    unsynced_bytes: u64,
    is_finished: bool,
}

impl Write for NewInFolder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced_bytes += written as u64;
        if self.unsynced_bytes >= SYNC_BYTES {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewSliceFile for NewInFolder {
    fn finish(mut self: Box<Self>, head: &[u8]) -> io::Result<()> {
        self.file.write_all_at(head, 0)?;
        self.file.sync_all()?;
        fs::rename(&self.path, self.folder.join(name(self.number, SUFFIX)))?;
        self.is_finished = true;
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for NewInFolder {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed now goes at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
