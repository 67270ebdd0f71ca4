//! Compression of a batch's records: none, gzip, snappy, lz4, zstd.
//!
//! Decompression streams, in memory that the codec's window bounds, and its output is bounded by [`DecompressionLimits`].
//!
//! Invariant: nothing is allocated because compressed bytes say so; a declared size is checked first against what the bytes
//! at hand can become.

mod compress;
mod encoder_memory;
mod snappy;

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

pub(super) use compress::write;
pub use compress::{Compression, compress, compress_as};

/// Largest zstd window that is taken, as a power of two: 8 MiB, what zstd's own levels use up to 19.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Bytes that are decompressed at a time.
const SCRATCH_BYTES: usize = 64 << 10;

/// Outputs up to this size may have any ratio: a small batch of equal records compresses a thousandfold and is honest.
pub const RATIO_EXEMPT_BYTES: u64 = 16 << 20;

/// How a batch's records are compressed (`CompressionType` in Kafka).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the framing of Kafka's Java client or as one raw block.
    Snappy,
    /// LZ4 frame format.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// A codec number that Kafka does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression codec {0}")]
pub struct UnknownCodec(pub i16);

/// How much compressed records may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecompressionLimits {
    /// Largest output, bytes.
    pub bytes_max: u64,
    /// Largest output per input byte, for outputs beyond [`RATIO_EXEMPT_BYTES`].
    pub ratio_max: u64,
}

impl Default for DecompressionLimits {
    fn default() -> Self {
        Self { bytes_max: 128 << 20, ratio_max: 100 }
    }
}

impl DecompressionLimits {
    /// Largest output for an input of `compressed_bytes`.
    fn output_bytes_max(self, compressed_bytes: usize) -> u64 {
        let by_ratio = self.ratio_max.saturating_mul(compressed_bytes as u64);
        self.bytes_max.min(by_ratio.max(RATIO_EXEMPT_BYTES))
    }
}

/// Why compressed records were not expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// They would become larger than [`DecompressionLimits`] allow.
    #[error("{codec} records expand to more than {limit_bytes} bytes")]
    TooLarge {
        /// Of the batch.
        codec: Codec,
        /// The limit that applied to this input.
        limit_bytes: u64,
    },
    /// They are not what the codec says.
    #[error("{codec} records do not decompress: {detail}")]
    Corrupt {
        /// Of the batch.
        codec: Codec,
        /// What the decoder said.
        detail: String,
    },
}

impl Codec {
    /// From bits 0-2 of a batch's attributes.
    pub(super) fn from_attributes(number: i16) -> Result<Self, UnknownCodec> {
        Ok(match number {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return Err(UnknownCodec(number)),
        })
    }

    /// For bits 0-2 of a batch's attributes.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Expands `compressed` into memory; what is not compressed is borrowed.
pub fn decompress(
    codec: Codec,
    compressed: &[u8],
    limits: DecompressionLimits,
) -> Result<Cow<'_, [u8]>, DecompressError> {
    if codec == Codec::None {
        return Ok(Cow::Borrowed(compressed));
    }
    let mut plain = Vec::new();
    open(codec, compressed, limits)?.read_to_end(&mut plain).map_err(|error| from_io(codec, error))?;
    Ok(Cow::Owned(plain))
}

/// Streams the expansion of `compressed`. Errors of the stream are made ours by [`from_io`].
pub(super) fn reader<'a>(
    codec: Codec,
    compressed: &'a [u8],
    limits: DecompressionLimits,
) -> Result<Box<dyn BufRead + 'a>, DecompressError> {
    if codec == Codec::None {
        return Ok(Box::new(compressed));
    }
    Ok(Box::new(BufReader::with_capacity(SCRATCH_BYTES, open(codec, compressed, limits)?)))
}

/// What an error of a [`reader`] means; errors that it does not carry for us come from the codec's decoder.
pub(super) fn from_io(codec: Codec, error: io::Error) -> DecompressError {
    match error.downcast::<DecompressError>() {
        Ok(error) => error,
        Err(error) => DecompressError::Corrupt { codec, detail: error.to_string() },
    }
}

fn open(codec: Codec, compressed: &[u8], limits: DecompressionLimits) -> Result<Capped<'_>, DecompressError> {
    let limit_bytes = limits.output_bytes_max(compressed.len());
    let decoder: Box<dyn Read + '_> = match codec {
        Codec::None => Box::new(compressed),
        Codec::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        Codec::Snappy => Box::new(snappy::Decoder::new(compressed, limit_bytes)),
        Codec::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(compressed)),
        Codec::Zstd => Box::new(zstd_decoder(compressed).map_err(|error| from_io(codec, error))?),
    };
    Ok(Capped { decoder, codec, limit_bytes, left_bytes: limit_bytes })
}

fn zstd_decoder(compressed: &[u8]) -> io::Result<zstd::stream::read::Decoder<'static, &[u8]>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Passes at most `limit_bytes` through; more is an error, not an end.
struct Capped<'a> {
    decoder: Box<dyn Read + 'a>,
    codec: Codec,
    limit_bytes: u64,
    left_bytes: u64,
}

impl Read for Capped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        match self.left_bytes.checked_sub(read as u64) {
            Some(left_bytes) => {
                self.left_bytes = left_bytes;
                Ok(read)
            }
            None => {
                Err(io::Error::other(DecompressError::TooLarge { codec: self.codec, limit_bytes: self.limit_bytes }))
            }
        }
    }
}

#[cfg(test)]
mod tests;
