//! The format of a *slice*: ids of one topic that are no longer in memory, in a file that is written once and dropped whole. Pure.
//!
//! ```text
//! head       magic, version, topic, number, until, oldest, newest, counts, checksums
//! buckets    ids of 36 bytes in the order of their places, each bucket with a checksum behind it
//! directory  how many ids lie before each bucket, u32; one more for the end
//! filter     blocks of 64 bytes
//! ```
//!
//! A *place* is a keyed hash of the fingerprint ([`Secret::sealed_place`](super::Secret::sealed_place)), so places are evenly spread
//! whatever ids clients choose. It says in which bucket an id is, about 64 to a bucket, and in which block of the filter its bits are,
//! about 48 to a block. Directory and filter are in memory, 1.4 bytes for an id; a look-up touches one cache line of the filter, and
//! where that says "perhaps", 1 time in 130 for an id that is not there, it reads one bucket. As ids are written in the order of their
//! places, all of it is made in one go. A fuse filter would err less often for the same memory; it needs three cache lines for a
//! look-up, all ids at once to be made, and another way when that fails.
//!
//! Invariant: of each fingerprint there is one id, the newest that the topic had when the slice was made.
//! Invariant: what is read is what was written: head, buckets and the rest have checksums of their own, those of buckets over the
//! numbers of slice and bucket too.

mod filter;
mod writer;

use filter::{BLOCK_BYTES, Filter};
pub use writer::SliceWriter;

use super::fingerprint::Fingerprint;
use crate::types::{Offset, Timestamp, TopicNo};

/// Bytes of an id.
pub const ID_BYTES: usize = 36;
/// Bytes of a checksum.
const CRC_BYTES: usize = 4;
/// Ids to a bucket, about.
const BUCKET_IDS: usize = 64;

const MAGIC: [u8; 8] = *b"einmalsl";
const VERSION: u32 = 1;

/// An id that is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedId {
    /// Of the id.
    pub fingerprint: Fingerprint,
    /// Partition of the record that had it.
    pub partition: u32,
    /// That one's offset.
    pub offset: Offset,
    /// When it was appended, ms of the clock of message ids.
    pub time: Timestamp,
}

impl SealedId {
    fn encode(&self) -> [u8; ID_BYTES] {
        let mut bytes = [0; ID_BYTES];
        bytes[..16].copy_from_slice(&self.fingerprint.0);
        bytes[16..20].copy_from_slice(&self.partition.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.offset.to_be_bytes());
        bytes[28..].copy_from_slice(&self.time.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ID_BYTES]) -> Self {
        Self {
            fingerprint: Fingerprint(field(bytes, 0)),
            partition: u32::from_be_bytes(field(bytes, 16)),
            offset: Offset::from_be_bytes(field(bytes, 20)),
            time: Timestamp::from_be_bytes(field(bytes, 28)),
        }
    }
}

/// Bytes `at` a place of fixed fields that is within them.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// What is wrong with a slice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// It is not what was written.
    #[error("bytes {from} to {to}: {what}")]
    Damaged {
        /// First byte of the part that cannot be used.
        from: u64,
        /// The byte after its last.
        to: u64,
        /// What does not match.
        what: &'static str,
    },
    /// A later version wrote it.
    #[error(
        "it has format {found} and this version of einmal reads up to {VERSION}: start the version that wrote it, or a later one"
    )]
    Newer {
        /// As found.
        found: u32,
    },
}

/// What a slice says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHead {
    /// Whose ids it holds.
    pub topic: TopicNo,
    /// Its number: later ones have higher ones.
    pub number: u64,
    /// Every id of the topic that was remembered with this append time or an earlier one is in this slice or an older one.
    pub until: Timestamp,
    /// The earliest append time in it; [`Timestamp::MAX`] for no ids.
    pub oldest: Timestamp,
    /// The latest one; [`Timestamp::MIN`] for no ids.
    pub newest: Timestamp,
    /// Number of ids.
    pub ids: u32,
    buckets: u32,
    filter_blocks: u32,
    index_crc: u32,
}

impl SliceHead {
    /// Bytes at the beginning of the file.
    pub const BYTES: usize = 72;

    /// The head as it is written.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.topic.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.until.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.oldest.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.newest.to_be_bytes());
        bytes[48..52].copy_from_slice(&self.ids.to_be_bytes());
        bytes[52..56].copy_from_slice(&self.buckets.to_be_bytes());
        bytes[56..60].copy_from_slice(&self.filter_blocks.to_be_bytes());
        bytes[60..64].copy_from_slice(&self.index_crc.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[..Self::BYTES - CRC_BYTES]);
        bytes[Self::BYTES - CRC_BYTES..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The head in `bytes`, of a file of `file_bytes`.
    ///
    /// # Errors
    /// [`SliceError`].
    pub fn decode(bytes: &[u8; Self::BYTES], file_bytes: u64) -> Result<Self, SliceError> {
        let head = Self::read(bytes)?;
        match file_bytes.cmp(&head.file_bytes()) {
            std::cmp::Ordering::Equal => Ok(head),
            std::cmp::Ordering::Less => {
                Err(SliceError::Damaged { from: file_bytes, to: head.file_bytes(), what: "the file is too short" })
            }
            std::cmp::Ordering::Greater => {
                Err(SliceError::Damaged { from: head.file_bytes(), to: file_bytes, what: "the file is too long" })
            }
        }
    }

    /// The head in `bytes`, whatever follows it.
    ///
    /// # Errors
    /// [`SliceError`].
    pub fn read(bytes: &[u8; Self::BYTES]) -> Result<Self, SliceError> {
        let damaged = |what| SliceError::Damaged { from: 0, to: Self::BYTES as u64, what };
        if field::<8>(bytes, 0) != MAGIC {
            return Err(damaged("it does not begin as a slice"));
        }
        let crc = crc32c::crc32c(&bytes[..Self::BYTES - CRC_BYTES]);
        if field(bytes, Self::BYTES - CRC_BYTES) != crc.to_be_bytes() {
            return Err(damaged("the checksum of the head does not match"));
        }
        let version = u32::from_be_bytes(field(bytes, 8));
        if version > VERSION {
            return Err(SliceError::Newer { found: version });
        }
        let head = Self {
            topic: TopicNo(u32::from_be_bytes(field(bytes, 12))),
            number: u64::from_be_bytes(field(bytes, 16)),
            until: Timestamp::from_be_bytes(field(bytes, 24)),
            oldest: Timestamp::from_be_bytes(field(bytes, 32)),
            newest: Timestamp::from_be_bytes(field(bytes, 40)),
            ids: u32::from_be_bytes(field(bytes, 48)),
            buckets: u32::from_be_bytes(field(bytes, 52)),
            filter_blocks: u32::from_be_bytes(field(bytes, 56)),
            index_crc: u32::from_be_bytes(field(bytes, 60)),
        };
        if version == 0 || head.buckets == 0 || head.filter_blocks == 0 {
            return Err(damaged("the head counts nothing"));
        }
        Ok(head)
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.index_at() + self.index_bytes() as u64
    }

    /// Where directory and filter begin.
    pub fn index_at(&self) -> u64 {
        Self::bucket_at(self.ids, self.buckets)
    }

    /// How long they are.
    pub fn index_bytes(&self) -> usize {
        (self.buckets as usize + 1) * size_of::<u32>() + self.filter_blocks as usize * BLOCK_BYTES
    }

    /// Number of buckets, ≥ 1.
    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Where a bucket begins before which so many ids lie.
    fn bucket_at(ids_before: u32, bucket: u32) -> u64 {
        Self::BYTES as u64 + u64::from(ids_before) * ID_BYTES as u64 + u64::from(bucket) * CRC_BYTES as u64
    }
}

/// What of a slice is in memory: the directory of its buckets and its filter.
pub struct SliceIndex {
    number: u64,
    /// Ids before each bucket, and all.
    starts: Box<[u32]>,
    filter: Filter,
}

impl SliceIndex {
    /// Reads it from the bytes at [`SliceHead::index_at`], of which there are [`SliceHead::index_bytes`].
    ///
    /// # Errors
    /// [`SliceError::Damaged`].
    pub fn decode(head: &SliceHead, bytes: &[u8]) -> Result<Self, SliceError> {
        let from = head.index_at();
        let damaged = |what| SliceError::Damaged { from, to: head.file_bytes(), what };
        if bytes.len() != head.index_bytes() || crc32c::crc32c(bytes) != head.index_crc {
            return Err(damaged("the checksum of directory and filter does not match"));
        }
        let (directory, filter) = bytes.split_at((head.buckets as usize + 1) * size_of::<u32>());
        let starts: Box<[u32]> = directory.chunks_exact(4).map(|start| u32::from_be_bytes(field(start, 0))).collect();
        if starts.first() != Some(&0) || starts.last() != Some(&head.ids) || !starts.is_sorted() {
            return Err(damaged("the directory does not rise to the number of ids"));
        }
        Ok(Self { number: head.number, starts, filter: Filter::decode(filter) })
    }

    /// Memory, bytes.
    pub fn bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.filter.bytes()
    }

    /// Whether an id of this place is in the slice, perhaps. If not, it is not.
    #[inline]
    pub fn may_hold(&self, place: u64) -> bool {
        self.filter.may_hold(place)
    }

    /// The bucket in which an id of this place would be.
    pub fn bucket_of(&self, place: u64) -> u32 {
        share(place, self.starts.len() as u32 - 1)
    }

    /// Where in the file a bucket is that [`SliceIndex::bucket_of`] names, and how long.
    pub fn bucket_range(&self, bucket: u32) -> (u64, usize) {
        let (start, end) = (self.starts[bucket as usize], self.starts[bucket as usize + 1]);
        (SliceHead::bucket_at(start, bucket), (end - start) as usize * ID_BYTES + CRC_BYTES)
    }

    /// The ids in the bytes of a bucket, by rising places.
    ///
    /// # Errors
    /// [`SliceError::Damaged`].
    pub fn ids<'b>(
        &self,
        bucket: u32,
        bytes: &'b [u8],
    ) -> Result<impl Iterator<Item = SealedId> + use<'b>, SliceError> {
        let (from, length) = self.bucket_range(bucket);
        let damaged = |what| SliceError::Damaged { from, to: from + length as u64, what };
        let Some((ids, crc)) = bytes.split_last_chunk::<CRC_BYTES>().filter(|_| bytes.len() == length) else {
            return Err(damaged("the bucket is not all there"));
        };
        if bucket_crc(self.number, bucket, ids).to_be_bytes() != *crc {
            return Err(damaged("the checksum of the bucket does not match"));
        }
        Ok(ids.chunks_exact(ID_BYTES).map(|id| SealedId::decode(&field(id, 0))))
    }

    /// The id with this fingerprint, if it is in the bucket.
    ///
    /// # Errors
    /// [`SliceError::Damaged`].
    pub fn find(&self, bucket: u32, bytes: &[u8], fingerprint: &Fingerprint) -> Result<Option<SealedId>, SliceError> {
        Ok(self.ids(bucket, bytes)?.find(|id| id.fingerprint == *fingerprint))
    }
}

impl std::fmt::Debug for SliceIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SliceIndex").field("number", &self.number).finish_non_exhaustive()
    }
}

fn bucket_crc(slice: u64, bucket: u32, ids: &[u8]) -> u32 {
    let named = crc32c::crc32c_append(crc32c::crc32c(&slice.to_be_bytes()), &bucket.to_be_bytes());
    crc32c::crc32c_append(named, ids)
}

/// Which of `count` equal shares of all places this one is in.
#[inline]
fn share(place: u64, count: u32) -> u32 {
    // Below `count`, so that it fits.
    ((u128::from(place) * u128::from(count)) >> 64) as u32
}

#[cfg(test)]
pub(crate) mod tests;
