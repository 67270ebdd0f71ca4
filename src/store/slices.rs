//! Slices of message ids in files: made, opened, read, removed.
//!
//! They lie beside the database, in `dedup` of the data directory, one file for each. A second database would bring a second cache, a
//! second log of its own and threads to compact what is never compacted; in the log's database their rows would be written twice more
//! than here. A file is written under a name of its own, synced, given its name, and the directory synced: after that it is there, before
//! that it is nothing, and what a crash leaves of it goes at the next start.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;
use crate::dedup::Fingerprint;
use crate::dedup::slice::{SealedId, SliceError, SliceHead, SliceIndex, SliceWriter};
use crate::types::{Timestamp, TopicNo};

/// Folder of the data directory.
const FOLDER: &str = "dedup";
const SUFFIX: &str = ".slice";
const SUFFIX_NEW: &str = ".slice.new";
/// Bytes that are collected for one call of the system.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes between two syncs of a file that is being made: all at its end would hold up those of the log.
const SYNC_BYTES: u64 = 16 << 20;

/// Where slices are.
pub trait SliceFiles: Send + Sync + fmt::Debug {
    /// Numbers of those that are there, rising.
    ///
    /// # Errors
    /// What the disk says.
    fn numbers(&self) -> Result<Vec<u64>, StoreError>;

    /// Removes what was begun and not finished.
    ///
    /// # Errors
    /// What the disk says.
    fn remove_unfinished(&self) -> Result<(), StoreError>;

    /// The bytes of one.
    ///
    /// # Errors
    /// What the disk says.
    fn open(&self, number: u64) -> Result<Box<dyn SliceFile>, StoreError>;

    /// Begins one.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self, number: u64) -> Result<Box<dyn NewSliceFile>, StoreError>;

    /// Removes one.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, number: u64) -> Result<(), StoreError>;
}

/// The bytes of a slice.
pub trait SliceFile: Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    /// What the disk says.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` with those from `at` on.
    ///
    /// # Errors
    /// What the disk says; also for fewer.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// A slice that is being made. Dropped, it is nothing.
pub trait NewSliceFile: Write + Send {
    /// Writes the head over its beginning, and makes it a slice: durable, under its name.
    ///
    /// # Errors
    /// What the disk says.
    fn finish(self: Box<Self>, head: &[u8]) -> io::Result<()>;
}

fn store_error(number: u64, error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::NoSpace(format!("slice {number}")),
        _ => StoreError::Failed(format!("slice {number} of message ids: {error}")),
    }
}

/// A slice that can be asked.
pub struct Slice {
    /// What it says of itself.
    pub head: SliceHead,
    index: SliceIndex,
    file: Box<dyn SliceFile>,
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slice").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Slice {
    /// Opens one: reads its head, its directory and its filter.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the file and the bytes that are damaged.
    pub fn open(files: &dyn SliceFiles, number: u64) -> Result<Self, StoreError> {
        let file = files.open(number)?;
        let failed = |error: io::Error| store_error(number, &error);
        let length = file.length().map_err(failed)?;
        let mut head = [0; SliceHead::BYTES];
        if length < head.len() as u64 {
            let too_short =
                SliceError::Damaged { from: length, to: head.len() as u64, what: "the file is too short for a head" };
            return Err(corrupt(number, &too_short));
        }
        file.read_at(0, &mut head).map_err(failed)?;
        let head = SliceHead::decode(&head, length).map_err(|error| corrupt(number, &error))?;
        if head.number != number {
            let other = SliceError::Damaged { from: 0, to: SliceHead::BYTES as u64, what: "it is another slice" };
            return Err(corrupt(number, &other));
        }
        let mut index = vec![0; head.index_bytes()];
        file.read_at(head.index_at(), &mut index).map_err(failed)?;
        let index = SliceIndex::decode(&head, &index).map_err(|error| corrupt(number, &error))?;
        Ok(Self { head, index, file })
    }

    /// Whether an id of this place is in it, perhaps. Reads nothing.
    #[inline]
    pub fn may_hold(&self, place: u64) -> bool {
        self.index.may_hold(place)
    }

    /// The id with this fingerprint and place, if it is in it. One read, mostly of the system's cache.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], and what the disk says.
    pub fn find(&self, place: u64, fingerprint: &Fingerprint) -> Result<Option<SealedId>, StoreError> {
        let bucket = self.index.bucket_of(place);
        let bytes = self.bucket(bucket)?;
        self.index.find(bucket, &bytes, fingerprint).map_err(|error| corrupt(self.head.number, &error))
    }

    /// Visits all ids by rising places.
    ///
    /// # Errors
    /// As [`Slice::find`], at the first.
    pub fn scan(&self, visit: &mut dyn FnMut(SealedId)) -> Result<(), StoreError> {
        for bucket in 0..self.head.buckets() {
            let bytes = self.bucket(bucket)?;
            let ids = self.index.ids(bucket, &bytes).map_err(|error| corrupt(self.head.number, &error))?;
            ids.for_each(&mut *visit);
        }
        Ok(())
    }

    fn bucket(&self, bucket: u32) -> Result<Vec<u8>, StoreError> {
        let (at, length) = self.index.bucket_range(bucket);
        let mut bytes = vec![0; length];
        self.file.read_at(at, &mut bytes).map_err(|error| store_error(self.head.number, &error))?;
        Ok(bytes)
    }

    /// Memory, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.index.bytes() + size_of::<Self>()
    }
}

fn corrupt(number: u64, error: &SliceError) -> StoreError {
    StoreError::Corrupt { place: format!("{FOLDER}/{}", name(number, SUFFIX)), detail: error.to_string() }
}

/// Makes a slice out of ids that come by rising places.
pub struct SliceMaker {
    number: u64,
    writer: SliceWriter<BufWriter<Box<dyn NewSliceFile>>>,
}

impl SliceMaker {
    /// Begins one of about so many ids.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(
        files: &dyn SliceFiles,
        topic: TopicNo,
        number: u64,
        until: Timestamp,
        ids: u32,
    ) -> Result<Self, StoreError> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, files.create(number)?);
        out.write_all(&[0; SliceHead::BYTES]).map_err(|error| store_error(number, &error))?;
        Ok(Self { number, writer: SliceWriter::new(out, topic, number, until, ids) })
    }

    /// See [`SliceWriter::push`].
    ///
    /// # Errors
    /// What the disk says.
    pub fn push(&mut self, place: u64, id: &SealedId) -> Result<(), StoreError> {
        self.writer.push(place, id).map_err(|error| store_error(self.number, &error))
    }

    /// Makes it durable, and opens it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(self, files: &dyn SliceFiles) -> Result<Slice, StoreError> {
        let failed = |error: io::Error| store_error(self.number, &error);
        let (out, head, index) = self.writer.finish().map_err(failed)?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.finish(&head.encode()).map_err(failed)?;
        Ok(Slice { head, index, file: files.open(self.number)? })
    }
}

fn name(number: u64, suffix: &str) -> String {
    format!("{number:020}{suffix}")
}

/// Slices of a data directory. Without any there is no folder.
#[derive(Debug)]
pub struct SliceFolder(PathBuf);

impl SliceFolder {
    /// That of the data directory `dir`.
    pub fn of(dir: &Path) -> Self {
        Self(dir.join(FOLDER))
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error: io::Error| StoreError::Failed(format!("{}: {error}", self.0.display()));
        let entries = match fs::read_dir(&self.0) {
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
            fs::remove_file(self.0.join(name)).map_err(|error| StoreError::Failed(format!("{name}: {error}")))?;
        }
        Ok(())
    }

    fn open(&self, number: u64) -> Result<Box<dyn SliceFile>, StoreError> {
        let file = File::open(self.0.join(name(number, SUFFIX))).map_err(|error| store_error(number, &error))?;
        Ok(Box::new(file))
    }

    fn create(&self, number: u64) -> Result<Box<dyn NewSliceFile>, StoreError> {
        let failed = |error: io::Error| store_error(number, &error);
        if !self.0.is_dir() {
            fs::create_dir_all(&self.0).map_err(failed)?;
            if let Some(above) = self.0.parent() {
                File::open(above).and_then(|dir| dir.sync_all()).map_err(failed)?;
            }
        }
        let path = self.0.join(name(number, SUFFIX_NEW));
        let file = File::create(&path).map_err(failed)?;
        Ok(Box::new(NewInFolder { folder: self.0.clone(), number, path, file, unsynced_bytes: 0, is_finished: false }))
    }

    fn remove(&self, number: u64) -> Result<(), StoreError> {
        match fs::remove_file(self.0.join(name(number, SUFFIX))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(store_error(number, &error)),
            _ => Ok(()),
        }
    }
}

impl SliceFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, at)
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
    pub(super) fn crash(&self, is_power_cut: bool, luck: usize) -> Self {
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
        self.state().files.retain(|_, file| file.is_named);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::Secret;

    fn make(files: &dyn SliceFiles, number: u64, ids: u32) -> Result<Slice, StoreError> {
        let secret = Secret::new([3; 16]);
        let mut placed: Vec<_> = (0..ids)
            .map(|id| {
                let fingerprint = Fingerprint(u128::from(id).to_be_bytes());
                (secret.sealed_place(&fingerprint), SealedId { fingerprint, partition: 0, offset: id.into(), time: 7 })
            })
            .collect();
        placed.sort_unstable_by_key(|(place, _)| *place);
        let mut maker = SliceMaker::begin(files, TopicNo(1), number, 7, ids)?;
        for (place, id) in &placed {
            maker.push(*place, id)?;
        }
        maker.finish(files)
    }

    fn holds_all(slice: &Slice, ids: u32) -> bool {
        let secret = Secret::new([3; 16]);
        (0..ids).all(|id| {
            let fingerprint = Fingerprint(u128::from(id).to_be_bytes());
            let place = secret.sealed_place(&fingerprint);
            let found = slice.find(place, &fingerprint).expect("sound");
            slice.may_hold(place) && found.is_some_and(|found| found.offset == i64::from(id))
        })
    }

    #[test]
    fn slice_in_a_folder_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let folder = SliceFolder::of(dir.path());
        assert_eq!(folder.numbers().unwrap(), Vec::<u64>::new());
        assert!(holds_all(&make(&folder, 12, 5000).unwrap(), 5000));
        let begun = SliceMaker::begin(&folder, TopicNo(1), 13, 7, 10).unwrap();
        std::mem::forget(begun);
        fs::write(dir.path().join(FOLDER).join("note.txt"), "of somebody else").unwrap();
        assert_eq!(folder.numbers().unwrap(), [12]);
        folder.remove_unfinished().unwrap();
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 2);
        drop(SliceMaker::begin(&folder, TopicNo(1), 14, 7, 10).unwrap());
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 2, "given up");
        let again = Slice::open(&folder, 12).unwrap();
        assert!(holds_all(&again, 5000));
        let mut seen = 0;
        again.scan(&mut |_| seen += 1).unwrap();
        assert_eq!(seen, 5000);
        folder.remove(12).unwrap();
        folder.remove(12).unwrap();
        assert_eq!(folder.numbers().unwrap(), Vec::<u64>::new());
    }

    #[test]
    fn damage_is_told_with_file_and_range() {
        let dir = tempfile::tempdir().unwrap();
        let folder = SliceFolder::of(dir.path());
        make(&folder, 3, 500).unwrap();
        let path = dir.path().join(FOLDER).join("00000000000000000003.slice");
        let sound = fs::read(&path).unwrap();
        let told = |at: usize| {
            let mut bytes = sound.clone();
            bytes[at] ^= 4;
            fs::write(&path, bytes).unwrap();
            let all = Slice::open(&folder, 3).and_then(|slice| slice.scan(&mut |_| {}));
            all.expect_err("damaged").to_string()
        };
        let place = "corrupt data at dedup/00000000000000000003.slice: bytes ";
        assert!(told(20).starts_with(&format!("{place}0 to 72: ")), "{}", told(20));
        assert!(told(SliceHead::BYTES + 5).starts_with(&format!("{place}72 to ")));
        let index_at = 72 + 500 * 36 + 7 * 4;
        assert!(told(sound.len() - 1).starts_with(&format!("{place}{index_at} to {}: ", sound.len())));
        fs::write(&path, &sound[..9]).unwrap();
        assert!(matches!(Slice::open(&folder, 3), Err(StoreError::Corrupt { .. })));
        fs::write(&path, &sound).unwrap();
        fs::rename(&path, dir.path().join(FOLDER).join("00000000000000000004.slice")).unwrap();
        assert!(matches!(Slice::open(&folder, 4), Err(StoreError::Corrupt { .. })), "of another number");
    }

    #[test]
    fn slice_that_is_answered_outlives_a_power_cut_at_whatever_step_one_that_is_not_came() {
        for steps in 0..20 {
            for luck in 0..2 {
                let slices = MemorySlices::default();
                slices.fail_after(steps);
                let made = make(&slices, 0, 100);
                for is_power_cut in [false, true] {
                    let after = slices.crash(is_power_cut, luck);
                    after.remove_unfinished().unwrap();
                    let numbers = after.numbers().unwrap();
                    assert!(made.is_err() || numbers == [0], "{steps}");
                    for number in numbers {
                        assert!(holds_all(&Slice::open(&after, number).unwrap(), 100), "{steps}");
                    }
                }
                if made.is_ok() {
                    assert!((5..10).contains(&steps), "{steps} steps");
                    return;
                }
            }
        }
        panic!("no end");
    }
}
