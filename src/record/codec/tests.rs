use proptest::collection::vec;
use proptest::prelude::*;

use super::snappy::{XERIAL_HEADER_BYTES, XERIAL_MAGIC};
use super::*;

const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn limited(bytes_max: u64) -> DecompressionLimits {
    DecompressionLimits { bytes_max, ..DecompressionLimits::default() }
}

fn expand(codec: Codec, compressed: &[u8]) -> Result<Vec<u8>, DecompressError> {
    decompress(codec, compressed, DecompressionLimits::default()).map(Cow::into_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_codec_gives_back_what_it_got(unit in vec(any::<u8>(), 0..50), times in 0_usize..4_000) {
        let plain = unit.repeat(times);
        for codec in ALL {
            let expanded = expand(codec, &compress(codec, &plain));
            prop_assert_eq!(expanded.as_deref(), Ok(plain.as_slice()), "{}", codec);
        }
    }

    #[test]
    fn damaged_input_is_an_error_or_other_bytes_never_a_panic(
        plain in vec(0_u8..4, 0..2_000), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        for codec in COMPRESSED {
            let mut compressed = compress(codec, &plain);
            let at = at.index(compressed.len());
            if cut { compressed.truncate(at) } else { compressed[at] = byte }
            let _ = expand(codec, &compressed);
        }
    }
}

#[test]
fn output_beyond_the_limit_is_refused() {
    let plain = vec![0; 2 << 20];
    for codec in COMPRESSED {
        let compressed = compress(codec, &plain);
        let limit_bytes = (2 << 20) - 1;
        let refused = decompress(codec, &compressed, limited(limit_bytes));
        assert_eq!(refused, Err(DecompressError::TooLarge { codec, limit_bytes }));
        assert!(decompress(codec, &compressed, limited(2 << 20)).is_ok(), "{codec}");
    }
}

#[test]
fn ratio_counts_only_for_large_outputs() {
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let honest = compress(codec, &vec![0; 16 << 20]);
        assert!(expand(codec, &honest).is_ok(), "{codec}");
        let bomb = compress(codec, &vec![0; (16 << 20) + 1]);
        let limits = DecompressionLimits { ratio_max: 2, ..DecompressionLimits::default() };
        let refused = decompress(codec, &bomb, limits);
        assert_eq!(refused, Err(DecompressError::TooLarge { codec, limit_bytes: RATIO_EXEMPT_BYTES }));
    }
}

#[test]
fn snappy_is_read_framed_and_raw() {
    let plain = b"to be or not to be ".repeat(5_000);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).expect("compresses");
    assert_eq!(expand(Codec::Snappy, &raw), Ok(plain.clone()));
    let framed = compress(Codec::Snappy, &plain);
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    assert_eq!(expand(Codec::Snappy, &framed), Ok(plain));
}

#[test]
fn snappy_lengths_are_not_believed() {
    let gigabytes: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let framed = |rest: &[u8]| {
        let mut bytes = vec![0; XERIAL_HEADER_BYTES];
        bytes[..8].copy_from_slice(&XERIAL_MAGIC);
        bytes.extend_from_slice(rest);
        bytes
    };
    for bytes in [
        gigabytes.to_vec(),
        framed(&[&[0, 0, 0, 6], gigabytes].concat()),
        framed(&[0xff, 0xff, 0xff, 0xff]),
        framed(&[0x7f, 0xff, 0xff, 0xff, 0]),
        framed(&[0, 0]),
    ] {
        let result = expand(Codec::Snappy, &bytes);
        assert!(matches!(result, Err(DecompressError::Corrupt { .. })), "{bytes:?}: {result:?}");
    }
    assert_eq!(expand(Codec::Snappy, &framed(&[])), Ok(Vec::new()));
}

#[test]
fn lz4_of_linked_blocks_is_read() {
    use std::io::Write;
    let plain = b"a block may refer to the one before ".repeat(10_000);
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&plain).expect("vectors take all");
    let compressed = encoder.finish().expect("vectors take all");
    assert_eq!(expand(Codec::Lz4, &compressed), Ok(plain));
}

#[test]
fn zstd_windows_are_bounded() {
    use std::io::Write;
    for (window_log, accepted) in [(23, true), (24, false)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("an encoder");
        encoder.window_log(window_log).expect("a legal window");
        encoder.write_all(&[1; 1_000]).expect("vectors take all");
        let compressed = encoder.finish().expect("vectors take all");
        assert_eq!(expand(Codec::Zstd, &compressed).is_ok(), accepted, "window of 2^{window_log} bytes");
    }
}

#[test]
fn several_gzip_members_are_one_stream() {
    let compressed = [compress(Codec::Gzip, b"one "), compress(Codec::Gzip, b"two")].concat();
    assert_eq!(expand(Codec::Gzip, &compressed), Ok(b"one two".to_vec()));
}
