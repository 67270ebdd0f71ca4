//! What precedes the value of each record, streamed: enough for times and keys, whatever the batch expands to.

use std::io::{self, BufRead, Read};

use super::RecordsInvalid;
use super::varint::{ReadError, read_length, read_varint, read_varlong};
use crate::record::codec::{self, Codec, DecompressionLimits};
use crate::record::{BatchHeader, HEADER_BYTES};
use crate::types::Timestamp;

/// A record without its contents.
#[derive(Debug, Clone, Copy)]
pub(in crate::record) struct RecordHead {
    pub(in crate::record) offset_delta: i32,
    pub(in crate::record) timestamp_delta: i64,
    pub(in crate::record) has_key: bool,
    /// Bytes after its length, expanded.
    pub(in crate::record) bytes: u64,
}

impl RecordHead {
    /// The record's time as consumers see it; wraps where theirs does.
    pub(in crate::record) fn timestamp(&self, header: &BatchHeader) -> Timestamp {
        if header.is_log_append_time() {
            header.max_timestamp
        } else {
            header.base_timestamp.wrapping_add(self.timestamp_delta)
        }
    }
}

/// Streams the heads of the records of the batch in `bytes`, whose header is `header`; ends after the first error.
pub(in crate::record) fn heads<'a>(
    bytes: &'a [u8],
    header: &BatchHeader,
    limits: DecompressionLimits,
) -> Result<Heads<'a>, RecordsInvalid> {
    let codec = header.codec()?;
    let source = codec::reader(codec, bytes.get(HEADER_BYTES..).unwrap_or_default(), limits)?;
    Ok(Heads { source, codec, header: *header, index: 0, ended: false })
}

/// See [`heads`].
pub(in crate::record) struct Heads<'a> {
    source: Box<dyn BufRead + 'a>,
    codec: Codec,
    header: BatchHeader,
    index: i32,
    ended: bool,
}

impl Heads<'_> {
    fn read_head(&mut self) -> Result<RecordHead, ReadError> {
        let length = read_length(&mut self.source)?.ok_or(ReadError::Malformed("its length is negative"))?;
        let mut record = (&mut self.source).take(length as u64);
        let mut attributes = [0];
        record.read_exact(&mut attributes)?;
        let timestamp_delta = read_varlong(&mut record)?;
        let offset_delta = read_varint(&mut record)?;
        if !(0..=self.header.last_offset_delta).contains(&offset_delta) {
            return Err(ReadError::Malformed("its offset lies outside of the batch"));
        }
        let key_bytes = read_length(&mut record)?;
        if key_bytes.unwrap_or(0) as u64 > record.limit() {
            return Err(ReadError::Malformed("it ends early"));
        }
        let rest_bytes = record.limit();
        if io::copy(&mut record, &mut io::sink())? < rest_bytes {
            return Err(ReadError::Malformed("it ends early"));
        }
        Ok(RecordHead { offset_delta, timestamp_delta, has_key: key_bytes.is_some(), bytes: length as u64 })
    }

    /// After the last record: nothing may follow.
    fn check_end(&mut self) -> Option<RecordsInvalid> {
        match self.source.fill_buf() {
            Ok([]) => None,
            Ok(_) => Some(RecordsInvalid::TrailingBytes { count: self.header.record_count }),
            Err(error) => Some(codec::from_io(self.codec, error).into()),
        }
    }
}

impl Iterator for Heads<'_> {
    type Item = Result<RecordHead, RecordsInvalid>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.index >= self.header.record_count {
            self.ended = true;
            return self.check_end().map(Err);
        }
        let index = self.index;
        self.index += 1;
        let head = self.read_head().map_err(|error| match error {
            ReadError::Malformed(detail) => RecordsInvalid::Malformed { index, detail },
            ReadError::Stream(error) => codec::from_io(self.codec, error).into(),
        });
        self.ended = head.is_err();
        Some(head)
    }
}
