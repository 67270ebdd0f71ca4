//! Snappy as Kafka's clients write it: raw blocks behind a header of the Java library (xerial), or one raw block alone.
//!
//! The framing is `82 S N A P P Y 00 | version i32 | compatible version i32 | (length i32, raw block)*`, big-endian. librdkafka and
//! others send one raw block; consumers of every client read both.

use std::io::{self, Read};

use super::{Codec, DecompressError};

/// How the Java library's framing begins.
pub(super) const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";

/// Magic, version, compatible version.
pub(super) const XERIAL_HEADER_BYTES: usize = 16;

/// Snappy's longest copy makes 64 bytes of 3. A block that claims to become more than this per byte lies.
const RATIO_MAX: usize = 22;

/// Expands block after block. Memory: one expanded block, at most `limit_bytes` and at most [`RATIO_MAX`] times
/// the input.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    limit_bytes: u64,
    framed: bool,
    block: Vec<u8>,
    /// How much of `block` has been read.
    read_bytes: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(compressed: &'a [u8], limit_bytes: u64) -> Self {
        let framed = compressed.starts_with(&XERIAL_MAGIC);
        let rest = if framed { compressed.get(XERIAL_HEADER_BYTES..).unwrap_or_default() } else { compressed };
        Self { rest, limit_bytes, framed, block: Vec::new(), read_bytes: 0 }
    }

    /// Takes the next compressed block off the input.
    fn next_block(&mut self) -> io::Result<&'a [u8]> {
        if !self.framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(|| corrupt("block length is cut off"))?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| corrupt("negative block length"))?;
        let (block, rest) = rest.split_at_checked(length).ok_or_else(|| corrupt("block is longer than the input"))?;
        self.rest = rest;
        Ok(block)
    }

    fn expand(&mut self, block: &[u8]) -> io::Result<()> {
        let expanded_bytes = snap::raw::decompress_len(block).map_err(io::Error::other)?;
        if expanded_bytes > block.len().saturating_mul(RATIO_MAX) {
            return Err(corrupt("block claims to become more than it can"));
        }
        if expanded_bytes as u64 > self.limit_bytes {
            let limit_bytes = self.limit_bytes;
            return Err(io::Error::other(DecompressError::TooLarge { codec: Codec::Snappy, limit_bytes }));
        }
        self.block.resize(expanded_bytes, 0);
        self.read_bytes = 0;
        let written = snap::raw::Decoder::new().decompress(block, &mut self.block).map_err(io::Error::other)?;
        self.block.truncate(written);
        Ok(())
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read_bytes == self.block.len() && !self.rest.is_empty() {
            let block = self.next_block()?;
            self.expand(block)?;
        }
        let read = (&self.block[self.read_bytes..]).read(buffer)?;
        self.read_bytes += read;
        Ok(read)
    }
}

fn corrupt(detail: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
