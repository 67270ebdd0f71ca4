use super::*;
use crate::record::HEADER_BYTES;
use crate::record::build::BatchBuilder;
use crate::record::codec::Codec;
use crate::record::patch::stamp_log_append_time;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn limits() -> DecompressionLimits {
    DecompressionLimits::default()
}

fn batch() -> BatchBuilder {
    BatchBuilder::new().record(500, Some(b"a"), Some(b"1")).record(700, None, None).record_with_headers(
        600,
        Some(b""),
        Some(&[9; 200]),
        &[(b"h", Some(b"x")), (b"h", None)],
    )
}

fn all_times(bytes: &[u8]) -> Result<Vec<(i32, Timestamp)>, RecordsInvalid> {
    times(bytes, limits())?.map(|time| time.map(|time| (time.offset_delta, time.timestamp))).collect()
}

#[test]
fn views_borrow_all_that_a_record_holds() {
    let bytes = batch().build();
    let records: Vec<_> = records(&bytes[HEADER_BYTES..], 3).map(|record| record.expect("well-formed")).collect();
    let parts = |record: &RecordView<'_>| (record.offset_delta, record.timestamp_delta, record.header_count);
    assert_eq!(records.iter().map(parts).collect::<Vec<_>>(), [(0, 0, 0), (1, 200, 0), (2, 100, 2)]);
    assert_eq!((records[0].key, records[0].value), (Some(&b"a"[..]), Some(&b"1"[..])));
    assert_eq!((records[1].key, records[1].value), (None, None));
    assert_eq!((records[2].key, records[2].value), (Some(&b""[..]), Some(&[9; 200][..])));
    // Lengths 1 and 1, then 1 and null, zigzag: duplicate keys are kept as they came.
    assert_eq!(records[2].headers, [2, b'h', 2, b'x', 2, b'h', 1]);
    let raw: Vec<u8> = records.iter().flat_map(|record| record.raw).copied().collect();
    assert_eq!(raw, bytes[HEADER_BYTES..]);
}

#[test]
fn times_are_those_of_the_records_whatever_the_codec() {
    for codec in CODECS {
        let mut bytes = batch().codec(codec).build();
        assert_eq!(all_times(&bytes), Ok(vec![(0, 500), (1, 700), (2, 600)]), "{codec}");
        stamp_log_append_time(&mut bytes, 9_000);
        assert_eq!(all_times(&bytes), Ok(vec![(0, 9_000), (1, 9_000), (2, 9_000)]), "{codec}");
    }
}

#[test]
fn records_cut_at_any_byte_are_an_error() {
    for codec in CODECS {
        let bytes = batch().codec(codec).build();
        let header = BatchHeader::parse(&bytes).expect("a batch");
        for cut in HEADER_BYTES..bytes.len() {
            let result =
                heads(&bytes[..cut], &header, limits()).and_then(|mut heads| heads.try_for_each(|head| head.map(drop)));
            // Without its end mark and checksum an lz4 frame still holds all records; the decoder lets it pass.
            assert!(result.is_err() || codec == Codec::Lz4 && bytes.len() - cut <= 8, "{codec} cut at {cut}");
        }
    }
    let plain = batch().build().split_off(HEADER_BYTES);
    for cut in 0..plain.len() {
        assert!(records(&plain[..cut], 3).any(|record| record.is_err()), "cut at {cut}");
    }
}

/// What the views and the stream of heads say of the same records: both must refuse, for the reason given.
fn check(records_bytes: &[u8], record_count: i32, expected: &str) {
    let header = BatchHeader {
        record_count,
        last_offset_delta: record_count - 1,
        ..BatchHeader::parse(&batch().build()).expect("a batch")
    };
    let bytes = [&[0; HEADER_BYTES], records_bytes].concat();
    let streamed = heads(&bytes, &header, limits()).and_then(|mut heads| heads.try_for_each(|head| head.map(drop)));
    let viewed = records(records_bytes, record_count).try_for_each(|record| record.map(drop));
    for result in [streamed, viewed] {
        let message = result.expect_err("refused").to_string();
        assert!(message.contains(expected), "{records_bytes:?}: {message}");
    }
}

#[test]
fn malformed_records_are_refused_by_views_and_heads_alike() {
    let plain = batch().build().split_off(HEADER_BYTES);
    check(&plain, 2, "bytes are left after the 2 records");
    check(&plain, 4, "record 3 is malformed: it ends early");
    check(&[&plain[..], &[0]].concat(), 3, "bytes are left");
    // length 6, attributes, time 0, offset 0, key null, value null, no headers
    let smallest: [u8; 7] = [12, 0, 0, 0, 1, 1, 0];
    let with = |at: usize, byte: u8| {
        let mut record = smallest;
        record[at] = byte;
        record.to_vec()
    };
    assert!(records(&smallest, 1).all(|record| record.is_ok()));
    check(&with(0, 3), 1, "record 0 is malformed: a length is negative");
    check(&with(0, 1), 1, "record 0 is malformed: its length is negative");
    check(&with(0, 126), 1, "it ends early");
    check(&with(3, 1), 1, "its offset lies outside of the batch");
    check(&with(4, 3), 1, "a length is negative");
    check(&with(4, 20), 1, "it ends early");
    check(&[0xff; 10], 1, "a number is too long");
    check(&[0xff, 0xff, 0xff, 0xff, 0x7f, 0], 1, "a number exceeds 32 bits");
}

#[test]
fn only_views_look_behind_the_key() {
    for (record, expected) in [
        (&[12, 0, 0, 0, 1, 3, 0][..], "a length is negative"),
        (&[12, 0, 0, 0, 1, 20, 0], "it ends early"),
        (&[12, 0, 0, 0, 1, 1, 1], "its number of headers is negative"),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], "a header has no key"),
        (&[22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0], "it ends early"),
        (&[14, 0, 0, 0, 1, 1, 0, 0], "it is longer than what it holds"),
    ] {
        let message = records(record, 1).find_map(Result::err).expect("refused").to_string();
        assert!(message.contains(expected), "{record:?}: {message}");
    }
}

#[test]
fn offset_beyond_the_batch_is_refused() {
    let bytes = batch().build();
    let header = BatchHeader { last_offset_delta: 1, ..BatchHeader::parse(&bytes).expect("a batch") };
    let result: Result<Vec<_>, _> = heads(&bytes, &header, limits()).expect("uncompressed").collect();
    assert_eq!(
        result.map(drop),
        Err(RecordsInvalid::Malformed { index: 2, detail: "its offset lies outside of the batch" })
    );
}
