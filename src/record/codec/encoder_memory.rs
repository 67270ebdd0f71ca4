//! How much memory encoders take while they work.

use super::compress::Compression;
use super::{Codec, ZSTD_WINDOW_LOG_MAX};

const KIB: u64 = 1 << 10;

/// Copying and framing around any encoder: `io::copy`'s buffer, the writer's.
const AROUND_BYTES: u64 = 64 * KIB;

/// KiB that zstd 1.5.7 takes at its levels 1 to 22 for inputs of any size with windows of at most [`ZSTD_WINDOW_LOG_MAX`]: the largest
/// `ZSTD_estimateCStreamSize_usingCParams` of `ZSTD_getCParams` for sizes up to 128 MiB, with larger windows cut by `ZSTD_adjustCParams`.
const ZSTD_KIB_MAX: [u64; 22] = [
    9018, 9210, 9722, 11002, 12026, 12026, 15098, 15098, 21242, 33530, 33530, 58106, 41722, 58106, 74490, 41868, 58252,
    58881, 91649, 108033, 140801, 140801,
];

/// The same below level 1, which differ only in how much they skip.
const ZSTD_FAST_KIB_MAX: u64 = 8986;

impl Compression {
    /// Bytes of memory, at most, that compressing `plain_bytes` takes besides what comes out; far less than levels suggest where there is
    /// little to compress, for zstd makes its tables no larger than fits.
    pub fn encoder_bytes(self, plain_bytes: u64) -> u64 {
        AROUND_BYTES
            + match self.codec {
                Codec::None => 0,
                // Window, hash chains, codes and output, whichever the level; zlib's own are 268 KB.
                Codec::Gzip => 512 * KIB,
                // A block, its compressed form and a table of 32 KiB.
                Codec::Snappy => 128 * KIB,
                // Blocks of 64 KiB, both forms, with a table of 16 KiB; twice that for the history of linked ones.
                Codec::Lz4 => 512 * KIB,
                Codec::Zstd => zstd_bytes(self.level, plain_bytes),
            }
    }
}

fn zstd_bytes(level: i32, plain_bytes: u64) -> u64 {
    let level = if level == 0 { zstd::DEFAULT_COMPRESSION_LEVEL } else { level };
    let by_level = match usize::try_from(level.saturating_sub(1)) {
        Ok(at) => ZSTD_KIB_MAX[at.min(ZSTD_KIB_MAX.len() - 1)],
        Err(_) => ZSTD_FAST_KIB_MAX,
    };
    // The window is the input, and no strategy has tables of more than twice four bytes for twice as many places as the window has.
    let window = plain_bytes.clamp(KIB, 1 << ZSTD_WINDOW_LOG_MAX).next_power_of_two();
    (by_level * KIB).min(17 * window + 1600 * KIB)
}

#[cfg(test)]
mod tests {
    use zstd::zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

    use super::*;

    /// What zstd has allocated once it has begun to compress `plain_bytes` as [`super::super::write`] has it do.
    fn zstd_takes(level: i32, plain_bytes: u64) -> u64 {
        let mut encoder = CCtx::create();
        encoder.set_parameter(CParameter::CompressionLevel(level)).expect("a level");
        encoder.set_pledged_src_size(Some(plain_bytes)).expect("nothing has begun");
        if plain_bytes > 1 << ZSTD_WINDOW_LOG_MAX {
            encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG_MAX)).expect("a window");
        }
        let mut output = [0; 4096];
        let mut input = InBuffer::around(&[7]);
        encoder.compress_stream(&mut OutBuffer::around(&mut output[..]), &mut input).expect("one byte of many");
        encoder.sizeof() as u64
    }

    #[test]
    fn zstd_takes_no_more_than_is_said_and_not_much_less() {
        for level in (-2..=22).chain([-131_072]) {
            for plain_bytes in
                [2, 1 << 10, 16 << 10, (16 << 10) + 1, 200_000, 1 << 20, (4 << 20) + 1, 8 << 20, 9 << 20, 128 << 20]
            {
                let (said, taken) = (
                    Compression { codec: Codec::Zstd, level }.encoder_bytes(plain_bytes),
                    zstd_takes(level, plain_bytes),
                );
                assert!(taken + AROUND_BYTES <= said, "level {level} takes {taken} for {plain_bytes}, not {said}");
                assert!(
                    said <= 8 * taken + (2 << 20),
                    "level {level} takes {taken} for {plain_bytes}, by far not {said}"
                );
            }
        }
    }

    #[test]
    fn levels_beyond_those_of_zstd_count_as_its_last() {
        let at = |level| Compression { codec: Codec::Zstd, level }.encoder_bytes(u64::MAX);
        assert_eq!((at(23), at(i32::MAX), at(0), at(i32::MIN)), (at(22), at(22), at(3), at(-1)));
        assert!(Compression::of(Codec::None).encoder_bytes(u64::MAX) < Compression::of(Codec::Snappy).encoder_bytes(1));
    }
}
