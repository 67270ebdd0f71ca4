//! Where each record of an uncompressed batch ends: one number per record, whatever the records hold.

use super::RecordsInvalid;
use super::varint::{ReadError, read_length};

/// Bytes of the smallest record after its length: attributes, both deltas, and the lengths of key, value and headers.
pub(in crate::record) const RECORD_BODY_BYTES_MIN: usize = 6;

/// Checks that `uncompressed` is made of exactly `record_count` records, as their lengths say; what is in them is not looked
/// at.
pub(in crate::record) fn check_lengths(uncompressed: &[u8], record_count: i32) -> Result<(), RecordsInvalid> {
    let mut rest = uncompressed;
    for index in 0..record_count {
        rest = after_record(rest).map_err(|detail| RecordsInvalid::Malformed { index, detail })?;
    }
    if rest.is_empty() { Ok(()) } else { Err(RecordsInvalid::TrailingBytes { count: record_count }) }
}

fn after_record(mut bytes: &[u8]) -> Result<&[u8], &'static str> {
    let length = read_length(&mut bytes).map_err(|error| match error {
        ReadError::Malformed(detail) => detail,
        ReadError::Stream(_) => "it ends early",
    })?;
    let length = length.ok_or("its length is negative")?;
    if length < RECORD_BODY_BYTES_MIN {
        return Err("it is too short");
    }
    bytes.get(length..).ok_or("it ends early")
}
