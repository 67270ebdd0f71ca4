//! Reads records of RocksDB's log format (`db/log_format.h`), which its write-ahead log and its manifest share.
//!
//! A file is a row of 32 KiB blocks, a record one or more fragments, each with a checksum. Unlike RocksDB's own reader this one
//! reports whatever is not a record, and then looks for the next that is.

use std::io::{self, Read};

const BLOCK_BYTES: usize = 32 * 1024;
/// Masked CRC-32C, length, type.
const FRAGMENT_HEADER_BYTES: usize = 7;
const BATCH_HEADER_BYTES: usize = 12;
const MARK_BYTES: usize = 11;
const MARK_MAGIC: [u8; 3] = *b"eM1";
/// `kTypeLogData` of RocksDB's `db/dbformat.h`: a note in a write batch that is logged and not applied.
const LOG_DATA: u8 = 3;

/// Bytes of a write batch that hold its sequence, its count and its mark.
pub(super) const BATCH_HEAD_BYTES: usize = BATCH_HEADER_BYTES + 2 + MARK_BYTES;

/// What a write notes in the log first: the newest sequence number known to be fsynced.
pub(in crate::store) fn mark(synced: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    let (magic, sequence) = mark.split_at_mut(MARK_MAGIC.len());
    magic.copy_from_slice(&MARK_MAGIC);
    sequence.copy_from_slice(&synced.to_be_bytes());
    mark
}

/// Begin of a write batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchHead {
    /// Sequence number of its first row.
    pub(super) sequence: u64,
    /// Number of its rows.
    pub(super) count: u32,
    /// Its mark, if it has one. RocksDB itself writes batches without.
    pub(super) synced: Option<u64>,
}

impl BatchHead {
    /// From the first bytes of a record; none if they are too few.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let (sequence, rest) = head.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let synced = rest
            .strip_prefix(&[LOG_DATA, MARK_BYTES as u8])
            .and_then(|rest| rest.strip_prefix(&MARK_MAGIC))
            .and_then(|rest| rest.first_chunk::<8>());
        Some(Self {
            sequence: u64::from_le_bytes(*sequence),
            count: u32::from_le_bytes(*count),
            synced: synced.map(|synced| u64::from_be_bytes(*synced)),
        })
    }
}

/// What lies next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A whole record.
    Record {
        /// Where it begins in the file.
        offset: u64,
        /// Its first bytes, as many as the reader was told to keep.
        head: Vec<u8>,
    },
    /// Bytes that are not a whole record.
    Bad {
        /// Where the record that should be there begins.
        offset: u64,
        /// Whether the file just ends too early, as after a write that did not finish.
        torn: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FragmentType {
    Full,
    First,
    Middle,
    Last,
    /// Types with the eighth bit set are meant to be skipped by readers that do not know them.
    Ignorable,
}

impl FragmentType {
    fn parse(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Full),
            2 => Some(Self::First),
            3 => Some(Self::Middle),
            4 => Some(Self::Last),
            128.. => Some(Self::Ignorable),
            _ => None,
        }
    }
}

enum Parsed<'a> {
    Fragment { fragment_type: FragmentType, payload: &'a [u8] },
    Torn,
    Bad,
}

/// The fragment at the start of `bytes`, the rest of a block. `missing_bytes` is how much shorter than a block it is.
fn parse_fragment(bytes: &[u8], missing_bytes: usize) -> Parsed<'_> {
    let at_end = missing_bytes > 0;
    let Some((header, rest)) = bytes.split_first_chunk::<FRAGMENT_HEADER_BYTES>() else {
        return if at_end { Parsed::Torn } else { Parsed::Bad };
    };
    let [crc0, crc1, crc2, crc3, length0, length1, type_byte] = *header;
    let Some(fragment_type) = FragmentType::parse(type_byte) else { return Parsed::Bad };
    let length = usize::from(u16::from_le_bytes([length0, length1]));
    let Some(payload) = rest.get(..length) else {
        return if at_end && length <= rest.len() + missing_bytes { Parsed::Torn } else { Parsed::Bad };
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[type_byte]), payload);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    if masked == u32::from_le_bytes([crc0, crc1, crc2, crc3]) {
        Parsed::Fragment { fragment_type, payload }
    } else {
        Parsed::Bad
    }
}

/// Reads the records of one file in order, in the memory of one block.
#[derive(Debug)]
pub(super) struct RecordReader<R> {
    file: R,
    head_bytes_max: usize,
    block: Vec<u8>,
    block_offset: u64,
    position: usize,
    /// The record whose last fragment is still to come: where it begins, and its first bytes.
    begun: Option<(u64, Vec<u8>)>,
}

impl<R: Read> RecordReader<R> {
    /// Reads `file` from its start, keeping the first `head_bytes_max` bytes of each record.
    pub(super) fn new(file: R, head_bytes_max: usize) -> Self {
        Self { file, head_bytes_max, block: Vec::new(), block_offset: 0, position: 0, begun: None }
    }

    /// The next item; none at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            // A block's last bytes are padding when no fragment header fits.
            if self.position + FRAGMENT_HEADER_BYTES > BLOCK_BYTES || self.position >= self.block.len() {
                if !self.next_block()? {
                    let torn = self.begun.take();
                    return Ok(torn.map(|(offset, _)| Item::Bad { offset, torn: true }));
                }
                continue;
            }
            if let Some(item) = self.next_fragment() {
                return Ok(Some(item));
            }
        }
    }

    fn next_block(&mut self) -> io::Result<bool> {
        self.block_offset += self.block.len() as u64;
        self.position = 0;
        self.block.clear();
        self.file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut self.block)?;
        Ok(!self.block.is_empty())
    }

    /// Takes one fragment; an item if it ends a record or is none.
    fn next_fragment(&mut self) -> Option<Item> {
        let offset = self.block_offset + self.position as u64;
        let rest = self.block.get(self.position..).unwrap_or_default();
        let (fragment_type, payload) = match parse_fragment(rest, BLOCK_BYTES - self.block.len()) {
            Parsed::Fragment { fragment_type, payload } => (fragment_type, payload),
            bad => {
                let torn = matches!(bad, Parsed::Torn);
                self.find_fragment();
                let offset = self.begun.take().map_or(offset, |(begin, _)| begin);
                return Some(Item::Bad { offset, torn });
            }
        };
        self.position += FRAGMENT_HEADER_BYTES + payload.len();
        let keep = |head: &mut Vec<u8>| {
            let room = self.head_bytes_max.saturating_sub(head.len());
            head.extend_from_slice(payload.get(..room).unwrap_or(payload));
        };
        match (fragment_type, self.begun.take()) {
            (FragmentType::Ignorable, begun) => {
                self.begun = begun;
                None
            }
            (FragmentType::Full, None) => {
                let mut head = Vec::new();
                keep(&mut head);
                Some(Item::Record { offset, head })
            }
            (FragmentType::First, None) => {
                let mut head = Vec::new();
                keep(&mut head);
                self.begun = Some((offset, head));
                None
            }
            (FragmentType::Middle, Some((begin, mut head))) => {
                keep(&mut head);
                self.begun = Some((begin, head));
                None
            }
            (FragmentType::Last, Some((begin, mut head))) => {
                keep(&mut head);
                Some(Item::Record { offset: begin, head })
            }
            (FragmentType::Full | FragmentType::First, Some((begin, _))) => {
                // The fragment belongs to the next record: it is read again once the broken one is reported.
                self.position -= FRAGMENT_HEADER_BYTES + payload.len();
                Some(Item::Bad { offset: begin, torn: false })
            }
            (FragmentType::Middle | FragmentType::Last, None) => Some(Item::Bad { offset, torn: false }),
        }
    }

    /// Moves to the next place in the block where a fragment with a right checksum begins, else to its end.
    fn find_fragment(&mut self) {
        let is_fragment = |&position: &usize| {
            let rest = self.block.get(position..).unwrap_or_default();
            matches!(parse_fragment(rest, BLOCK_BYTES - self.block.len()), Parsed::Fragment { .. })
        };
        self.position = (self.position + 1..self.block.len()).find(is_fragment).unwrap_or(self.block.len());
    }
}

#[cfg(test)]
pub(super) mod tests;
