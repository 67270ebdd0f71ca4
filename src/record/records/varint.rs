//! Zigzag varints, as all numbers of a record are encoded (`ByteUtils` in Kafka).

use std::io::{self, Read};

/// Why a number, or what it announces, cannot be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The bytes are not what a record looks like.
    Malformed(&'static str),
    /// The stream failed.
    Stream(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        // A decoder's own complaint about its input arrives with the same kind, but wrapped.
        match error.kind() {
            io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => Self::Malformed("it ends early"),
            _ => Self::Stream(error),
        }
    }
}

/// A 32-bit number, of at most 5 bytes.
pub(super) fn read_varint(source: &mut impl Read) -> Result<i32, ReadError> {
    let value = read_unsigned(source, 5)?;
    let value = u32::try_from(value).map_err(|_| ReadError::Malformed("a number exceeds 32 bits"))?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// A 64-bit number, of at most 10 bytes.
pub(super) fn read_varlong(source: &mut impl Read) -> Result<i64, ReadError> {
    let value = read_unsigned(source, 10)?;
    Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// A length: none for -1, which is null.
pub(super) fn read_length(source: &mut impl Read) -> Result<Option<usize>, ReadError> {
    length(read_varint(source)?)
}

/// The length that a number tells: none for -1.
pub(super) fn length(number: i32) -> Result<Option<usize>, ReadError> {
    match number {
        -1 => Ok(None),
        length => Ok(Some(usize::try_from(length).map_err(|_| ReadError::Malformed("a length is negative"))?)),
    }
}

fn read_unsigned(source: &mut impl Read, bytes_max: u32) -> Result<u64, ReadError> {
    let mut value = 0_u64;
    for position in 0..bytes_max {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        let bits = u64::from(byte[0] & 0x7f);
        if bits.leading_zeros() < 7 * position {
            return Err(ReadError::Malformed("a number exceeds 64 bits"));
        }
        value |= bits << (7 * position);
        if byte[0] < 0x80 {
            return Ok(value);
        }
    }
    Err(ReadError::Malformed("a number is too long"))
}
