//! Records of a batch: their times as a stream, and borrowed views of all they hold.
//!
//! [`times`] and the checks of [`validate`](super::validate) read what precedes a record's value and skip the rest, in memory
//! that does not grow with the batch; of most batches they look at no more than the lengths of uncompressed records.
//! [`records`] gives the whole of each record, of records that are decompressed already, [`Opened`] of those of any batch.
//!
//! Invariant: exactly the records that the header counts, to the last byte, or an error.

mod heads;
mod lengths;
mod opened;
mod varint;
mod views;

use super::codec::{DecompressError, DecompressionLimits, UnknownCodec};
use super::{BatchHeader, BatchInvalid};
use crate::types::Timestamp;

pub(super) use heads::heads;
pub(super) use lengths::{RECORD_BODY_BYTES_MIN, check_lengths};
pub use opened::{Look, Opened};
pub use views::{RecordView, Records, records};

/// When a record of a batch is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordTime {
    /// Its offset minus the batch's base offset; between 0 and the batch's last offset delta.
    pub offset_delta: i32,
    /// Its time, ms.
    pub timestamp: Timestamp,
    /// Its size without the length before it, bytes, expanded.
    pub bytes: u64,
}

/// Why records cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsInvalid {
    /// The bytes are no batch.
    #[error(transparent)]
    Batch(#[from] BatchInvalid),
    /// The attributes name no known codec.
    #[error(transparent)]
    Codec(#[from] UnknownCodec),
    /// They do not decompress within the limits.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record is not well-formed.
    #[error("record {index} is malformed: {detail}")]
    Malformed {
        /// Index of the record in the batch.
        index: i32,
        /// What did not fit.
        detail: &'static str,
    },
    /// Bytes are left after the last record.
    #[error("bytes are left after the {count} records of the batch")]
    TrailingBytes {
        /// Records as the header tells.
        count: i32,
    },
}

/// Offsets and times of the records of the batch in `bytes`, in order; ends after the first error. Where the broker stamped
/// the batch, each record has the batch's max timestamp. The first record at or after a time is the first that
/// [`Iterator::find`] meets: times need not rise within a batch.
pub fn times(
    bytes: &[u8],
    limits: DecompressionLimits,
) -> Result<impl Iterator<Item = Result<RecordTime, RecordsInvalid>> + '_, RecordsInvalid> {
    let header = BatchHeader::parse(bytes)?;
    let heads = heads(bytes, &header, limits)?;
    Ok(heads.map(move |head| {
        head.map(|head| RecordTime {
            offset_delta: head.offset_delta,
            timestamp: head.timestamp(&header),
            bytes: head.bytes,
        })
    }))
}

#[cfg(test)]
mod tests;
