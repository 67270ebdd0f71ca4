use super::*;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::record::patch;
use crate::record::records::records;
use crate::record::validate::check_client_batch;
use crate::types::{ProducerEpoch, ProducerId};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn limits() -> DecompressionLimits {
    DecompressionLimits::default()
}

/// Records of falling and rising times, with headers that a map would lose, and so many bytes that streams go through several
/// rounds and snappy through several blocks.
fn batch(codec: Codec) -> BytesMut {
    let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"h", None), (b"\xff", Some(b"2"))];
    let batch = BatchBuilder::new().codec(codec).producer(ProducerId(7), ProducerEpoch(2), 40).transactional();
    (0..3000_u32)
        .fold(batch, |batch, index| {
            let value = index.wrapping_mul(2_654_435_761).to_be_bytes().repeat(12);
            let time = 1_700_000_000_000 - i64::from(index % 7) + i64::from(index / 1000) * 50;
            batch.record_with_headers(time, Some(&index.to_be_bytes()), Some(&value), headers)
        })
        .build()
}

fn plain(batch: &[u8]) -> Vec<u8> {
    let codec = BatchHeader::parse(batch).unwrap().codec().unwrap();
    codec::decompress(codec, &batch[HEADER_BYTES..], limits()).unwrap().into_owned()
}

fn to(bytes: &[u8], compression: Compression, bytes_max: usize) -> Result<(BytesMut, BatchHeader), RecompressError> {
    let header = BatchHeader::parse(bytes).unwrap();
    let measured = measure(bytes, &header, limits())?;
    recompress(bytes, &header, measured, compression, limits(), bytes_max)
}

#[test]
fn records_are_the_same_to_the_byte_from_each_codec_to_each() {
    let expected = plain(&batch(Codec::None));
    for from in CODECS {
        let before = batch(from);
        let header = BatchHeader::parse(&before).unwrap();
        let measured = measure(&before, &header, limits()).unwrap();
        let newest = Measured { plain_bytes: expected.len() as u64, max_timestamp: 1_700_000_000_100 };
        assert_eq!(measured, newest, "{from}");
        for codec in CODECS {
            let (after, found) = to(&before, Compression::of(codec), 1 << 20).unwrap();
            assert!(plain(&after) == expected, "{from} to {codec}");
            assert_eq!(check_client_batch(&after), Ok(found), "{from} to {codec}");
            assert_eq!(found.crc, patch::computed_crc(&after));
            let kept = BatchHeader {
                attributes: header.attributes & !CODEC_MASK | codec.number(),
                size_bytes: after.len() as u32,
                crc: found.crc,
                ..header
            };
            assert_eq!(found, kept, "{from} to {codec}");
            assert_eq!(records(&plain(&after), 3000).filter(Result::is_ok).count(), 3000);
        }
    }
}

#[test]
fn levels_are_taken_and_do_what_they_say() {
    let before = batch(Codec::None);
    for (codec, quick, thorough) in [(Codec::Gzip, 1, 9), (Codec::Zstd, -100_000, 22)] {
        let size_at = |level| {
            let (after, _) = to(&before, Compression { codec, level }, 1 << 20).unwrap();
            assert!(plain(&after) == plain(&before), "{codec} at {level}");
            after.len()
        };
        assert!(size_at(quick) > size_at(thorough), "{codec}");
        assert_eq!(
            size_at(Compression::of(codec).level),
            to(&before, Compression::of(codec), 1 << 20).unwrap().0.len()
        );
    }
    // The level that stands for the codec's own choice is the one in the middle.
    let gzip = |level| to(&before, Compression { codec: Codec::Gzip, level }, 1 << 20).unwrap().0;
    assert_eq!(gzip(-1), gzip(6));
}

#[test]
fn newest_time_is_told_from_the_records() {
    let mut before = batch(Codec::Gzip);
    before[35..43].copy_from_slice(&5_i64.to_be_bytes());
    patch::set_crc(&mut before);
    let (_, found) = to(&before, Compression::of(Codec::Lz4), 1 << 20).unwrap();
    assert_eq!(found.max_timestamp, 1_700_000_000_100);
}

#[test]
fn batch_that_becomes_too_large_is_given_up_before_it_is() {
    for (from, codec) in [(Codec::Zstd, Codec::None), (Codec::None, Codec::Lz4), (Codec::Gzip, Codec::Snappy)] {
        let before = batch(from);
        let (after, _) = to(&before, Compression::of(codec), 1 << 20).unwrap();
        assert_eq!(to(&before, Compression::of(codec), after.len()).unwrap().0, after);
        let refused = to(&before, Compression::of(codec), after.len() - 1).unwrap_err();
        assert_eq!(refused, RecompressError::TooLarge { bytes_max: after.len() - 1, codec });
    }
}

#[test]
fn records_that_are_none_are_told() {
    let zeros = codec::compress(Codec::Zstd, &vec![0; 64 << 20]);
    let few = codec::compress(Codec::Gzip, &plain(&batch(Codec::None))[..100]);
    for (what, records, codec, expected) in [
        ("a bomb", zeros, Codec::Zstd, "its length is 0"),
        ("cut off", few, Codec::Gzip, "ends early"),
        ("no gzip", b"not at all gzip".to_vec(), Codec::Gzip, "decompress"),
    ] {
        let header = BatchHeader::parse(&batch(codec)).unwrap();
        let bytes = assemble(header, 3000, &records);
        let error = to(&bytes, Compression::of(Codec::Lz4), 1 << 20).unwrap_err();
        assert!(matches!(error, RecompressError::Invalid(_)), "{what}: {error}, expected {expected}");
    }
}

#[test]
fn expansion_has_a_cap() {
    let before = batch(Codec::Zstd);
    let header = BatchHeader::parse(&before).unwrap();
    let limits = DecompressionLimits { bytes_max: 1000, ratio_max: 1 };
    let measured = measure(&before, &header, limits);
    assert!(
        matches!(measured, Err(RecordsInvalid::Decompress(codec::DecompressError::TooLarge { .. }))),
        "{measured:?}"
    );
}
