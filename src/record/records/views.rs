//! Whole records, borrowed from the decompressed records of their batch.

use super::RecordsInvalid;
use super::varint::{self, ReadError, read_varlong};

/// One record, borrowed from the decompressed records of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its offset minus the batch's base offset, ≥ 0.
    pub offset_delta: i32,
    /// Its time minus the batch's base timestamp, ms.
    pub timestamp_delta: i64,
    /// Key; none is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// Value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Number of headers.
    pub header_count: u32,
    /// The headers as encoded, checked to be `header_count` whole ones.
    pub headers: &'a [u8],
    /// The whole record as encoded, its length included.
    pub raw: &'a [u8],
    /// What follows its time, as encoded: offset, key, value, headers.
    pub after_time: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Its headers in order, a value of none for Kafka's null.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            // They were found whole when the view was made.
            let name = take_nullable(&mut rest).ok()??;
            let value = take_nullable(&mut rest).ok()?;
            Some((name, value))
        })
    }
}

/// Iterates over the records in `decompressed`, which must be exactly `record_count` of them; ends after the first error.
pub fn records(decompressed: &[u8], record_count: i32) -> Records<'_> {
    Records { rest: decompressed, record_count, index: 0, ended: false }
}

/// See [`records`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    record_count: i32,
    index: i32,
    ended: bool,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordsInvalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.index >= self.record_count {
            self.ended = true;
            return (!self.rest.is_empty()).then_some(Err(RecordsInvalid::TrailingBytes { count: self.record_count }));
        }
        let index = self.index;
        self.index += 1;
        let record = read_record(&mut self.rest).map_err(|error| RecordsInvalid::Malformed {
            index,
            detail: match error {
                ReadError::Malformed(detail) => detail,
                ReadError::Stream(_) => "it ends early",
            },
        });
        self.ended = record.is_err();
        Some(record)
    }
}

pub(super) fn read_record<'a>(rest: &mut &'a [u8]) -> Result<RecordView<'a>, ReadError> {
    let start = *rest;
    let length = read_length(rest)?.ok_or(ReadError::Malformed("its length is negative"))?;
    let mut body = take(rest, length)?;
    let raw = &start[..start.len() - rest.len()];
    take(&mut body, 1)?; // attributes: none are defined
    let timestamp_delta = read_varlong(&mut body)?;
    let after_time = body;
    let offset_delta = read_varint(&mut body)?;
    if offset_delta < 0 {
        return Err(ReadError::Malformed("its offset lies outside of the batch"));
    }
    let key = take_nullable(&mut body)?;
    let value = take_nullable(&mut body)?;
    let header_count = u32::try_from(read_varint(&mut body)?)
        .map_err(|_| ReadError::Malformed("its number of headers is negative"))?;
    let headers = body;
    for _ in 0..header_count {
        take_nullable(&mut body)?.ok_or(ReadError::Malformed("a header has no key"))?;
        take_nullable(&mut body)?;
    }
    if !body.is_empty() {
        return Err(ReadError::Malformed("it is longer than what it holds"));
    }
    Ok(RecordView { offset_delta, timestamp_delta, key, value, header_count, headers, raw, after_time })
}

/// As [`varint::read_varint`], without the detour that a stream takes for numbers of one and two bytes: nearly all are.
fn read_varint(rest: &mut &[u8]) -> Result<i32, ReadError> {
    let (unsigned, left) = match **rest {
        [first @ 0..0x80, ref left @ ..] => (u32::from(first), left),
        [first, second @ 0..0x80, ref left @ ..] => (u32::from(first & 0x7f) | u32::from(second) << 7, left),
        _ => return varint::read_varint(rest),
    };
    *rest = left;
    Ok((unsigned >> 1).cast_signed() ^ -(unsigned & 1).cast_signed())
}

fn read_length(rest: &mut &[u8]) -> Result<Option<usize>, ReadError> {
    varint::length(read_varint(rest)?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ReadError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(ReadError::Malformed("it ends early"))?;
    *rest = left;
    Ok(taken)
}

fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, ReadError> {
    read_length(rest)?.map(|length| take(rest, length)).transpose()
}
