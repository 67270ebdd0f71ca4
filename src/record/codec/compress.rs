//! Compression, framed as Kafka's Java client does.

use std::io::{self, Write};

use super::Codec;
use super::snappy::XERIAL_MAGIC;

/// Bytes per block of the Java library's snappy framing.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;

/// Compresses `plain`.
pub fn compress(codec: Codec, plain: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    write(codec, plain, &mut compressed).expect("encoders fail only where their output does, and a vector takes all");
    compressed
}

fn write(codec: Codec, plain: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    match codec {
        Codec::None => output.extend_from_slice(plain),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(output, flate2::Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()?;
        }
        Codec::Snappy => write_snappy(plain, output)?,
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(output);
            encoder.write_all(plain)?;
            encoder.finish().map_err(io::Error::other)?;
        }
        Codec::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(output, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.write_all(plain)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn write_snappy(plain: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    output.extend_from_slice(&XERIAL_MAGIC);
    output.extend_from_slice(&1_i32.to_be_bytes()); // version
    output.extend_from_slice(&1_i32.to_be_bytes()); // lowest version that reads it
    for block in plain.chunks(SNAPPY_BLOCK_BYTES) {
        let block = snap::raw::Encoder::new().compress_vec(block).map_err(io::Error::other)?;
        output.extend_from_slice(&(block.len() as u32).to_be_bytes());
        output.extend_from_slice(&block);
    }
    Ok(())
}
