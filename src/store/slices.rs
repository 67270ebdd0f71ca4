//! Slices of message ids in files: made, opened, read, removed.
//!
//! They lie beside the database, in `dedup` of the data directory, one file for each. A second database would bring a second cache, a
//! second log of its own and threads to compact what is never compacted; in the log's database their rows would be written twice more
//! than here. A file is written under a name of its own, synced, given its name, and the directory synced: after that it is there, before
//! that it is nothing, and what a crash leaves of it goes at the next start.

mod folder;
mod memory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, BufWriter, Write};

pub use folder::SliceFolder;
pub use memory::MemorySlices;

use super::StoreError;
use crate::dedup::Fingerprint;
use crate::dedup::slice::{SealedId, SliceError, SliceHead, SliceIndex, SliceWriter};
use crate::types::{Timestamp, TopicNo};

/// Folder of the data directory.
pub(super) const FOLDER: &str = "dedup";
const SUFFIX: &str = ".slice";
/// Bytes that are collected for one call of the system.
const BUFFER_BYTES: usize = 1 << 20;

/// Where slices are.
pub trait SliceFiles: Send + Sync + fmt::Debug {
    /// Numbers of those that are there, rising.
    ///
    /// # Errors
    /// What the disk says.
    fn numbers(&self) -> Result<Vec<u64>, StoreError>;

    /// Removes what was begun and not finished, and sees to it that the others are there for good: a kill may have come before their
    /// names were synced.
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

    /// Takes note that what was read is not what was written.
    fn note_damage(&self) {}
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
        let damaged = |error: &SliceError| corrupt(file.as_ref(), number, error);
        let length = file.length().map_err(failed)?;
        let mut head = [0; SliceHead::BYTES];
        if length < head.len() as u64 {
            let too_short =
                SliceError::Damaged { from: length, to: head.len() as u64, what: "the file is too short for a head" };
            return Err(damaged(&too_short));
        }
        file.read_at(0, &mut head).map_err(failed)?;
        let head = SliceHead::decode(&head, length).map_err(|error| damaged(&error))?;
        if head.number != number {
            let other = SliceError::Damaged { from: 0, to: SliceHead::BYTES as u64, what: "it is another slice" };
            return Err(damaged(&other));
        }
        let mut index = vec![0; head.index_bytes()];
        file.read_at(head.index_at(), &mut index).map_err(failed)?;
        let index = SliceIndex::decode(&head, &index).map_err(|error| damaged(&error))?;
        Ok(Self { head, index, file })
    }

    /// The slice itself, if it is the one of which the log knows this head.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]: it is that of another log.
    pub fn known_as(self, head: &SliceHead) -> Result<Self, StoreError> {
        if self.head == *head {
            return Ok(self);
        }
        let (to, what) = (SliceHead::BYTES as u64, "it is not the file that the log knows by this number");
        Err(self.damaged(&SliceError::Damaged { from: 0, to, what }))
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
        self.index.find(bucket, &bytes, fingerprint).map_err(|error| self.damaged(&error))
    }

    /// Visits all ids by rising places.
    ///
    /// # Errors
    /// As [`Slice::find`], at the first.
    pub fn scan(&self, visit: &mut dyn FnMut(SealedId)) -> Result<(), StoreError> {
        for bucket in 0..self.head.buckets() {
            let bytes = self.bucket(bucket)?;
            let ids = self.index.ids(bucket, &bytes).map_err(|error| self.damaged(&error))?;
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

    fn damaged(&self, error: &SliceError) -> StoreError {
        corrupt(self.file.as_ref(), self.head.number, error)
    }

    /// Memory, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.index.bytes() + size_of::<Self>()
    }
}

fn corrupt(file: &dyn SliceFile, number: u64, error: &SliceError) -> StoreError {
    file.note_damage();
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
