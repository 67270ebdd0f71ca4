//! Compression, framed as Kafka's Java client does.

use std::io::{self, Read, Write};

use super::snappy::XERIAL_MAGIC;
use super::{Codec, ZSTD_WINDOW_LOG_MAX};

/// Bytes per block of the Java library's snappy framing.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;

/// The level that is gzip's own choice, as Kafka and zlib write it.
const GZIP_LEVEL_DEFAULT: i32 = -1;

/// A codec, and how hard it tries (`Compression` in Kafka). LZ4 has no levels here: it is always the quick one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// The codec's level: gzip 1 to 9 or -1 for its own choice, zstd -131,072 to 22; without meaning for the others.
    pub level: i32,
}

impl Compression {
    /// At the level that Kafka compresses at where nobody sets one.
    pub fn of(codec: Codec) -> Self {
        let level = match codec {
            Codec::Gzip => GZIP_LEVEL_DEFAULT,
            Codec::Zstd => zstd::DEFAULT_COMPRESSION_LEVEL,
            Codec::None | Codec::Snappy | Codec::Lz4 => 0,
        };
        Self { codec, level }
    }

    /// At the codec's quickest level of those that compress at all.
    pub fn quick(codec: Codec) -> Self {
        Self { codec, level: 1 }
    }
}

/// Compresses `plain` at the level that Kafka takes where nobody sets one.
pub fn compress(codec: Codec, plain: &[u8]) -> Vec<u8> {
    compress_as(Compression::of(codec), plain)
}

/// Compresses `plain`.
pub fn compress_as(compression: Compression, plain: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    write(compression, &mut &*plain, plain.len() as u64, &mut compressed)
        .expect("encoders fail only where their input or output does, and a vector takes all");
    compressed
}

/// Compresses all of `plain`, which must be `plain_bytes`, as a stream. Memory:
/// [`Compression::encoder_bytes`].
///
/// # Errors
/// Those of `plain` and `output`.
pub(in crate::record) fn write(
    compression: Compression,
    plain: &mut dyn Read,
    plain_bytes: u64,
    output: &mut dyn Write,
) -> io::Result<()> {
    match compression.codec {
        Codec::None => {
            io::copy(plain, output)?;
        }
        Codec::Gzip => {
            let level = match u32::try_from(compression.level) {
                Ok(level) => flate2::Compression::new(level.min(9)),
                Err(_) => flate2::Compression::default(),
            };
            let mut encoder = flate2::write::GzEncoder::new(output, level);
            io::copy(plain, &mut encoder)?;
            encoder.finish()?;
        }
        Codec::Snappy => write_snappy(plain, output)?,
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(output);
            io::copy(plain, &mut encoder)?;
            encoder.finish()?;
        }
        Codec::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(output, compression.level)?;
            // Tables fit what is there to compress, and no level makes a window that is refused when it is read.
            encoder.set_pledged_src_size(Some(plain_bytes))?;
            if plain_bytes > 1 << ZSTD_WINDOW_LOG_MAX {
                encoder.window_log(ZSTD_WINDOW_LOG_MAX)?;
            }
            io::copy(plain, &mut encoder)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn write_snappy(plain: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    output.write_all(&XERIAL_MAGIC)?;
    output.write_all(&1_i32.to_be_bytes())?; // version
    output.write_all(&1_i32.to_be_bytes())?; // lowest version that reads it
    let mut block = Vec::with_capacity(SNAPPY_BLOCK_BYTES);
    loop {
        block.clear();
        plain.take(SNAPPY_BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(());
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&block).map_err(io::Error::other)?;
        output.write_all(&(compressed.len() as u32).to_be_bytes())?;
        output.write_all(&compressed)?;
    }
}
