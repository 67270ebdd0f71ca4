use bytes::Bytes;
use kafka_protocol::records::{Compression, RecordBatchDecoder};

use super::*;
use crate::record::codec::DecompressionLimits;

/// Offset, sequence, time, key, value.
type Seen<'a> = (Offset, i32, Timestamp, Option<&'a [u8]>, Option<&'a [u8]>);

/// A decoder that is not ours reads what the builder makes.
#[test]
fn batches_are_what_another_decoder_expects() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut batch = BatchBuilder::new()
            .base_offset(1_000)
            .codec(codec)
            .producer(ProducerId(77), ProducerEpoch(3), 40)
            .transactional()
            .record(5_000, Some(b"k"), Some(b"v"))
            .record(4_000, None, Some(b""))
            .record_with_headers(6_000, Some(&[b'x'; 300]), None, &[(b"h1", Some(b"one")), (b"h2", None)])
            .build()
            .freeze();
        let decompress = |bytes: &mut Bytes, compression: Compression| {
            assert_eq!(i16::from(compression as i8), codec.number());
            Ok(Bytes::from(codec::decompress(codec, bytes, DecompressionLimits::default())?.into_owned()))
        };
        let set = RecordBatchDecoder::decode_with_custom_compression(&mut batch, Some(decompress)).expect("decodes");
        assert!(batch.is_empty());
        let seen: Vec<_> = set
            .records
            .iter()
            .map(|r| (r.offset, r.sequence, r.timestamp, r.key.as_deref(), r.value.as_deref()))
            .collect();
        let expected: [Seen<'_>; 3] = [
            (1_000, 40, 5_000, Some(b"k"), Some(b"v")),
            (1_001, 41, 4_000, None, Some(b"")),
            (1_002, 42, 6_000, Some(&[b'x'; 300]), None),
        ];
        assert_eq!(seen, expected, "{codec}");
        for record in &set.records {
            assert!(record.transactional && !record.control);
            assert_eq!((record.producer_id, record.producer_epoch), (77, 3));
        }
        let headers: Vec<_> =
            set.records[2].headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        assert_eq!(headers, [("h1", Some(&b"one"[..])), ("h2", None)]);
    }
}

#[test]
fn header_tells_the_largest_time_wherever_it_stands() {
    let batch = BatchBuilder::new().record(20, None, None).record(30, None, None).record(10, None, None).build();
    let header = BatchHeader::parse(&batch).expect("a batch");
    assert_eq!((header.base_timestamp, header.max_timestamp, header.last_offset_delta), (20, 30, 2));
}
