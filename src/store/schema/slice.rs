//! Files of message ids, one row for each: which of those in the data directory belong to this log, and what is in them.

use super::value::{FieldReader, Fields, RowValue};
use super::{RowError, prefix};
use crate::dedup::slice::SliceHead;

/// What a file says of itself at its beginning. Written before the ids in it leave memory, deleted before it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceRow(pub SliceHead);

/// Key of the row of a file.
pub fn slice_key(number: u64) -> Vec<u8> {
    let mut key = vec![prefix::SLICE];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number in a key of [`slice_key`].
///
/// # Errors
/// [`RowError::Corrupt`] for any other key.
pub fn slice_of_key(bytes: &[u8]) -> Result<u64, RowError> {
    let mut reader = FieldReader::of_key(SliceRow::NAME, prefix::SLICE, bytes)?;
    let number = reader.u64()?;
    reader.end()?;
    Ok(number)
}

impl RowValue for SliceRow {
    const NAME: &'static str = "file of message ids";

    fn write(&self, fields: &mut Fields) {
        fields.array(self.0.encode());
    }

    fn read(_: u8, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        let head = SliceHead::read(&fields.array()?);
        head.map(Self).map_err(|_| fields.corrupt("it is not the beginning of such a file"))
    }
}
