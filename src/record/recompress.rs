//! Batches whose records are compressed as their topic wants it (`compression.type`), not as their producer did.
//!
//! Mirrors `LogValidator.validateMessagesAndAssignOffsetsCompressed` of Kafka where source and target differ. The records
//! themselves, their offsets, times, keys, values and headers, are copied as they are encoded; producer, epoch, sequence and
//! the transaction's bit stay in the header. The max timestamp is told from the records, as in Kafka.
//!
//! Both passes stream, so memory is the new batch and the codecs' windows, whatever the old one expands to.

use std::io::{self, Write};

use bytes::BytesMut;

use super::build::put_varint;
use super::codec::{self, Compression, DecompressionLimits};
use super::header::CODEC_MASK;
use super::records::{RECORD_BODY_BYTES_MIN, RecordsInvalid, heads};
use super::rewrite::assemble;
use super::{BatchHeader, HEADER_BYTES};
use crate::types::Timestamp;

/// What a look at all records of a batch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of the records, expanded.
    pub plain_bytes: u64,
    /// The newest time of a record, ms.
    pub max_timestamp: Timestamp,
}

/// Why a batch is not compressed anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecompressError {
    /// Its records cannot be read.
    #[error(transparent)]
    Invalid(#[from] RecordsInvalid),
    /// It would become larger than it may.
    #[error("the batch is larger than {bytes_max} bytes once its records are {codec}")]
    TooLarge {
        /// What it may take.
        bytes_max: usize,
        /// What its records were to be.
        codec: codec::Codec,
    },
}

/// Looks at all records of the batch in `bytes`, whose header is `header`.
///
/// # Errors
/// [`RecordsInvalid`] if they are not exactly the records that the header counts, or expand to more than `limits`.
pub fn measure(bytes: &[u8], header: &BatchHeader, limits: DecompressionLimits) -> Result<Measured, RecordsInvalid> {
    let mut measured = Measured { plain_bytes: 0, max_timestamp: Timestamp::MIN };
    let mut length = Vec::new();
    for (index, head) in (0..).zip(heads(bytes, header, limits)?) {
        let head = head?;
        if head.bytes < RECORD_BODY_BYTES_MIN as u64 {
            return Err(RecordsInvalid::Malformed { index, detail: "it is too short" });
        }
        length.clear();
        put_varint(&mut length, head.bytes as i64);
        measured.plain_bytes += length.len() as u64 + head.bytes;
        measured.max_timestamp = measured.max_timestamp.max(head.timestamp(header));
    }
    Ok(measured)
}

/// The batch in `bytes`, whose header is `header` and of which `measured` was found, with its records as `to` says.
///
/// # Errors
/// [`RecompressError`] if the records do not decompress within `limits`, or the batch would be larger than `bytes_max`.
pub fn recompress(
    bytes: &[u8],
    header: &BatchHeader,
    measured: Measured,
    to: Compression,
    limits: DecompressionLimits,
    bytes_max: usize,
) -> Result<(BytesMut, BatchHeader), RecompressError> {
    let from = header.codec().map_err(RecordsInvalid::from)?;
    let compressed = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut plain = codec::reader(from, compressed, limits).map_err(RecordsInvalid::from)?;
    let mut records = Capped { bytes: Vec::new(), bytes_max: bytes_max.saturating_sub(HEADER_BYTES), is_full: false };
    if let Err(error) = codec::write(to, &mut plain, measured.plain_bytes, &mut records) {
        return Err(match records.is_full {
            true => RecompressError::TooLarge { bytes_max, codec: to.codec },
            false => RecordsInvalid::from(codec::from_io(from, error)).into(),
        });
    }
    let header = BatchHeader {
        attributes: header.attributes & !CODEC_MASK | to.codec.number(),
        max_timestamp: measured.max_timestamp,
        ..*header
    };
    let bytes = assemble(header, header.record_count.unsigned_abs() as usize, &records.bytes);
    let header = BatchHeader::parse(&bytes).map_err(RecordsInvalid::from)?;
    Ok((bytes, header))
}

/// Takes at most `bytes_max`; more is an error.
struct Capped {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_full: bool,
}

impl Write for Capped {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        if written.len() > self.bytes_max - self.bytes.len() {
            self.is_full = true;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.bytes.extend_from_slice(written);
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
