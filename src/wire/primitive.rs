//! The protocol's primitive types, for the few messages that are coded by hand: read from a frame with every length
//! checked, written to a buffer.
//!
//! Invariant: nothing here panics on, or allocates by, a length that the bytes at hand do not cover.

use bytes::{Buf, BufMut, BytesMut};

use crate::types::Uuid;

/// Tags that one structure may carry; more are a flood.
pub(crate) const TAGS_MAX: u32 = 64;

/// Elements that an array reserves room for before they are read.
const ARRAY_CAPACITY_MAX: usize = 1024;

/// What did not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("{wanted} bytes wanted, {remaining} left")]
    Short { wanted: usize, remaining: usize },
    #[error("length {0} is not valid")]
    Length(i64),
    #[error("null where a value must be")]
    Null,
    #[error("varint of more than 5 bytes")]
    Varint,
    #[error("text is not UTF-8")]
    Utf8,
    #[error("{0} tags in one structure")]
    Tags(u32),
    #[error("array of {count} elements in {remaining} bytes")]
    Count { count: usize, remaining: usize },
    #[error("array of {count} elements where at most {max} may be")]
    TooMany { count: usize, max: usize },
}

/// Reads a message from the front of a frame. What is taken out of it keeps the frame's allocation.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: BytesMut,
    is_flexible: bool,
}

impl Reader {
    pub(crate) fn new(bytes: BytesMut, is_flexible: bool) -> Self {
        Self { bytes, is_flexible }
    }

    /// What has not been read.
    pub(crate) fn into_rest(self) -> BytesMut {
        self.bytes
    }

    pub(crate) fn is_flexible(&self) -> bool {
        self.is_flexible
    }

    fn need(&self, wanted: usize) -> Result<(), Malformed> {
        let remaining = self.bytes.len();
        if remaining < wanted { Err(Malformed::Short { wanted, remaining }) } else { Ok(()) }
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        self.need(2)?;
        Ok(self.bytes.get_i16())
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.need(4)?;
        Ok(self.bytes.get_i32())
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, Malformed> {
        let mut id = [0; 16];
        self.need(id.len())?;
        self.bytes.copy_to_slice(&mut id);
        Ok(Uuid::from_bytes(id))
    }

    fn unsigned_varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            self.need(1)?;
            let byte = self.bytes.get_u8();
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    /// Takes the next `count` bytes out of the frame, in place.
    fn take(&mut self, count: usize) -> Result<BytesMut, Malformed> {
        self.need(count)?;
        Ok(self.bytes.split_to(count))
    }

    /// Length of text, bytes or an array; `fixed` is its non-flexible form, where null is -1.
    fn length(&mut self, fixed: impl FnOnce(&mut Self) -> Result<i64, Malformed>) -> Result<Option<usize>, Malformed> {
        let length = if self.is_flexible { i64::from(self.unsigned_varint()?) - 1 } else { fixed(self)? };
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length).map(Some).map_err(|_| Malformed::Length(length)),
        }
    }

    /// Text with an int16 length in front, which a request header has at every version.
    pub(crate) fn lossy_string(&mut self) -> Result<Option<String>, Malformed> {
        let length = self.i16()?;
        match length {
            -1 => Ok(None),
            _ => {
                let count = usize::try_from(length).map_err(|_| Malformed::Length(length.into()))?;
                Ok(Some(String::from_utf8_lossy(&self.take(count)?).into_owned()))
            }
        }
    }

    /// Text, copied so that a kept name does not pin the frame.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<String>, Malformed> {
        let Some(count) = self.length(|reader| reader.i16().map(i64::from))? else { return Ok(None) };
        let text = self.take(count)?;
        std::str::from_utf8(&text).map(|text| Some(text.to_owned())).map_err(|_| Malformed::Utf8)
    }

    pub(crate) fn string(&mut self) -> Result<String, Malformed> {
        self.nullable_string()?.ok_or(Malformed::Null)
    }

    /// Bytes, in place.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<BytesMut>, Malformed> {
        match self.length(|reader| reader.i32().map(i64::from))? {
            Some(count) => self.take(count).map(Some),
            None => Ok(None),
        }
    }

    /// An array of at most `count_max` elements that take at least `element_bytes_min` bytes each.
    pub(crate) fn array<T>(
        &mut self,
        element_bytes_min: usize,
        count_max: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.length(|reader| reader.i32().map(i64::from))?.ok_or(Malformed::Null)?;
        let remaining = self.bytes.len();
        if count > remaining / element_bytes_min {
            return Err(Malformed::Count { count, remaining });
        }
        if count > count_max {
            return Err(Malformed::TooMany { count, max: count_max });
        }
        let mut elements = Vec::with_capacity(count.min(ARRAY_CAPACITY_MAX));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Skips the tag section that ends a flexible structure; tags that are not known are never refused.
    pub(crate) fn tag_section(&mut self) -> Result<(), Malformed> {
        if !self.is_flexible {
            return Ok(());
        }
        let tags = self.unsigned_varint()?;
        if tags > TAGS_MAX {
            return Err(Malformed::Tags(tags));
        }
        for _ in 0..tags {
            self.unsigned_varint()?;
            let bytes = self.unsigned_varint()? as usize;
            self.need(bytes)?;
            self.bytes.advance(bytes);
        }
        Ok(())
    }
}

/// Text with an int16 length. Longer text than that is no name or message of ours.
pub(crate) fn put_string(bytes: &mut BytesMut, text: &str) {
    debug_assert!(i16::try_from(text.len()).is_ok(), "text of {} bytes", text.len());
    bytes.put_i16(text.len() as i16);
    bytes.put_slice(text.as_bytes());
}

/// Text with a compact length.
pub(crate) fn put_compact_string(bytes: &mut BytesMut, text: &str) {
    put_compact_length(bytes, text.len());
    bytes.put_slice(text.as_bytes());
}

/// The compact length of something that is there: one more than its count.
pub(crate) fn put_compact_length(bytes: &mut BytesMut, count: usize) {
    let mut value = count as u64 + 1;
    while value >= 0x80 {
        bytes.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8], is_flexible: bool) -> Reader {
        Reader::new(BytesMut::from(bytes), is_flexible)
    }

    #[test]
    fn lengths_beyond_the_bytes_are_refused_without_allocation() {
        let huge = [0x7f, 0xff, 0xff, 0xff, 0];
        assert_eq!(
            reader(&huge, false).array(1, usize::MAX, |_| Ok(())),
            Err(Malformed::Count { count: 0x7fff_ffff, remaining: 1 })
        );
        assert_eq!(reader(&huge, false).nullable_bytes(), Err(Malformed::Short { wanted: 0x7fff_ffff, remaining: 1 }));
        let compact = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(
            reader(&compact, true).nullable_string(),
            Err(Malformed::Short { wanted: 0xffff_fffe, remaining: 0 })
        );
    }

    #[test]
    fn negative_lengths_other_than_null_are_refused() {
        assert_eq!(reader(&[0xff, 0xff], false).nullable_string(), Ok(None));
        assert_eq!(reader(&[0xff, 0xfe], false).nullable_string(), Err(Malformed::Length(-2)));
        assert_eq!(reader(&[0x80, 0, 0, 0], false).nullable_bytes(), Err(Malformed::Length(-0x8000_0000)));
        assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff], false).array(1, usize::MAX, |_| Ok(())), Err(Malformed::Null));
    }

    #[test]
    fn overlong_varints_are_refused() {
        assert_eq!(reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], true).nullable_string(), Err(Malformed::Varint));
        assert_eq!(reader(&[0x80, 0x80], true).nullable_string(), Err(Malformed::Short { wanted: 1, remaining: 0 }));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_but_in_headers() {
        assert_eq!(reader(&[0, 1, 0xff], false).string(), Err(Malformed::Utf8));
        assert_eq!(reader(&[0, 1, 0xff], false).lossy_string(), Ok(Some("\u{fffd}".to_owned())));
    }

    #[test]
    fn unknown_tags_are_skipped_and_floods_refused() {
        let mut tagged = reader(&[2, 0, 1, 9, 7, 0, 42], true);
        assert_eq!(tagged.tag_section(), Ok(()));
        assert_eq!(tagged.into_rest().as_ref(), [42]);
        assert_eq!(reader(&[65], true).tag_section(), Err(Malformed::Tags(65)));
        assert_eq!(reader(&[1, 0, 3, 0], true).tag_section(), Err(Malformed::Short { wanted: 3, remaining: 1 }));
    }
}
