use proptest::prelude::*;

use super::*;
use crate::record::build::BatchBuilder;
use crate::record::header::{ATTRIBUTES_AT, CRC_AT, LENGTH_AT, MAGIC_AT};
use crate::types::ErrorCode;

const NOW: Timestamp = 1_700_000_000_000;
const MAX: i64 = i64::MAX;

fn limits() -> DecompressionLimits {
    DecompressionLimits::default()
}

fn check_timestamps(bytes: &[u8], header: &BatchHeader, bounds: TimestampBounds) -> Result<(), BatchRejected> {
    check_records(bytes, header, RecordRules { times: Some(bounds), keyed: None }, NOW, limits())
}

/// As a topic does that stamps its records.
fn check_keys(bytes: &[u8], limits: DecompressionLimits) -> Result<(), BatchRejected> {
    let header = BatchHeader::parse(bytes).expect("a batch");
    check_records(bytes, &header, RecordRules { times: None, keyed: Some(&"t-0") }, NOW, limits)
}

fn valid() -> BatchHeader {
    BatchHeader::parse(&records(2, Codec::None)).expect("a batch")
}

fn records(count: i32, codec: Codec) -> Vec<u8> {
    let producer = |builder: BatchBuilder| builder.producer(ProducerId(7), ProducerEpoch(0), 0);
    (0..count)
        .fold(producer(BatchBuilder::new().codec(codec)), |builder, _| builder.record(NOW, Some(b"k"), None))
        .build()
        .to_vec()
}

/// The two records of [`valid`] behind another header, with the CRC that belongs to it.
fn with(header: BatchHeader) -> Vec<u8> {
    let mut bytes = records(2, Codec::None);
    bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    patch::set_crc(&mut bytes);
    bytes
}

fn edited(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = records(2, Codec::None);
    bytes[at] = byte;
    bytes
}

#[test]
fn client_batch_is_refused_with_kafkas_code() {
    let ok = valid();
    let one = records(2, Codec::None);
    let attributes = |attributes| with(BatchHeader { attributes, ..ok });
    let counts = |record_count, last_offset_delta| with(BatchHeader { record_count, last_offset_delta, ..ok });
    let producer = |id, epoch, base_sequence| {
        with(BatchHeader { producer_id: ProducerId(id), producer_epoch: ProducerEpoch(epoch), base_sequence, ..ok })
    };
    let (corrupt, invalid) = (ErrorCode::CORRUPT_MESSAGE, ErrorCode::INVALID_RECORD);
    for (what, bytes, error, message) in [
        ("nothing", Vec::new(), invalid, "exactly one record batch per partition, but there is none"),
        ("two batches", [one.clone(), one.clone()].concat(), invalid, "but there are several"),
        ("a batch and a half", [&one[..], &one[..70]].concat(), invalid, "but there are several"),
        ("a batch and three bytes", [&one[..], b"abc"].concat(), corrupt, "declares 77 bytes, but 80 are present"),
        ("half a batch", one[..70].to_vec(), invalid, "of 77 bytes 70 are present"),
        ("half a header", one[..30].to_vec(), invalid, "of 61 bytes 30 are present"),
        ("a negative length", edited(LENGTH_AT, 0x80), corrupt, "but 77 are present"),
        ("magic 0", edited(MAGIC_AT, 0), invalid, "magic version 2, but this one has 0"),
        ("magic 1", edited(MAGIC_AT, 1), invalid, "magic version 2, but this one has 1"),
        ("magic 3", edited(MAGIC_AT, 3), invalid, "magic version 2, but this one has 3"),
        ("wrong crc", edited(CRC_AT, one[CRC_AT] ^ 1), corrupt, "stored crc is"),
        ("attributes changed under the crc", edited(ATTRIBUTES_AT, 1), corrupt, "computed crc is"),
        ("base offset", with(BatchHeader { base_offset: 5, ..ok }), invalid, "should be 0, but it is 5"),
        ("control batch", attributes(0b10_0000), invalid, "not allowed to write control records"),
        ("delete horizon", attributes(0b100_0000), invalid, "not allowed to set a delete horizon"),
        ("codec 5", attributes(5), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, "unknown compression type 5"),
        ("codec 7", attributes(7), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, "unknown compression type 7"),
        ("no records", counts(0, -1), invalid, "count of 0 records, with last offset delta -1"),
        ("a negative count", counts(-2, -3), invalid, "count of -2 records"),
        ("smallest count", counts(i32::MIN, i32::MAX), invalid, "count of -2147483648 records"),
        ("count below the offsets", counts(1, 1), invalid, "count of 1 records, with last offset delta 1"),
        ("count above the offsets", counts(2, 0), invalid, "count of 2 records, with last offset delta 0"),
        ("more records than bytes", counts(3, 2), invalid, "count of 3 records"),
        ("negative producer id", producer(-2, 0, 0), invalid, "producer id -2"),
        ("negative epoch", producer(7, -1, 0), invalid, "epoch -1 in record batch with producer id 7"),
        ("negative sequence", producer(7, 0, -1), invalid, "Invalid sequence number -1"),
        (
            "transaction of nobody",
            with(BatchHeader { producer_id: ProducerId::NONE, attributes: 0b1_0000, ..ok }),
            invalid,
            "no producer id",
        ),
    ] {
        let rejected = check_client_batch(&bytes).expect_err(what);
        assert_eq!(rejected.error(), error, "{what}: {rejected}");
        assert!(rejected.to_string().contains(message), "{what}: {rejected}");
    }
}

#[test]
fn batch_that_a_client_may_send_is_taken() {
    let ok = valid();
    for bytes in [
        with(ok),
        with(BatchHeader { attributes: 0b1_0000, ..ok }),
        with(BatchHeader { attributes: 0b1000, ..ok }),
        with(BatchHeader {
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            ..ok
        }),
        with(BatchHeader { base_sequence: i32::MAX, leader_epoch: crate::types::LeaderEpoch(-1), ..ok }),
        records(1_000, Codec::Zstd),
    ] {
        check_client_batch(&bytes).expect("valid");
    }
    let counts = BatchHeader { attributes: 1, record_count: i32::MAX, last_offset_delta: i32::MAX - 1, ..ok };
    check_client_batch(&with(counts)).expect("compressed records are not counted");
}

/// What stands where the records should be, how many the header counts, and what is said of them; nothing if they are taken.
/// `r` is a record of 9 bytes, `R` one of 200 whose length takes two bytes; all else is hexadecimal.
const LENGTHS: &str = "
    1 r                              ->
    3 r r r                          ->
    2 R r                            ->
    1 0c 00 00 00 00 00 00           ->
    1 r r                            -> bytes are left after the 1 records
    2 r r 00                         -> bytes are left after the 2 records
    2 r R r                          -> bytes are left after the 2 records
    3 r R                            -> record 2 is malformed: it ends early
    2 r 01 00 00 00 00 00 00         -> record 1 is malformed: its length is negative
    2 r 0b 00 00 00 00 00 00         -> record 1 is malformed: a length is negative
    1 0a 00 00 00 00 00 00           -> record 0 is malformed: it is too short
    1 00 00 00 00 00 00 00           -> record 0 is malformed: it is too short
    1 0e 00 00 00 00 00 00           -> record 0 is malformed: it ends early
    2 r 10 00 00 00 00 00 00         -> record 1 is malformed: it ends early
    1 ff ff ff ff 0f 00 00 00        -> record 0 is malformed: a length is negative
    1 fe ff ff ff 0f 00 00 00        -> record 0 is malformed: it ends early
    1 ff ff ff ff ff 00 00 00        -> record 0 is malformed: a number is too long
    1 ff ff ff ff ff ff ff           -> record 0 is malformed: a number is too long
    1 80 80 80 80 80 80 80 80        -> record 0 is malformed: a number is too long
";

#[test]
fn uncompressed_records_end_where_the_batch_ends() {
    let record = |length: usize| {
        let bytes = BatchBuilder::new().record(NOW, None, Some(&vec![7; length])).build();
        bytes[HEADER_BYTES..].to_vec()
    };
    for line in LENGTHS.lines().filter(|line| !line.trim().is_empty()) {
        let (given, expected) = line.split_once("->").expect("an arrow");
        let mut given = given.split_whitespace();
        let record_count: i32 = given.next().and_then(|count| count.parse().ok()).expect("a count");
        let mut records = Vec::new();
        for word in given {
            match word {
                "r" => records.extend(record(2)),
                "R" => records.extend(record(192)),
                byte => records.push(u8::from_str_radix(byte, 16).expect("a byte")),
            }
        }
        let size_bytes = (HEADER_BYTES + records.len()) as u32;
        let header = BatchHeader { record_count, last_offset_delta: record_count - 1, size_bytes, ..valid() };
        let mut bytes = [&header.to_bytes()[..], &records].concat();
        patch::set_crc(&mut bytes);
        match (check_client_batch(&bytes), expected.trim()) {
            (Ok(_), "") => {}
            (Err(rejected), expected) if !expected.is_empty() => {
                assert_eq!(rejected.error(), ErrorCode::INVALID_RECORD, "{line}");
                assert!(rejected.to_string().contains(expected), "{line}: {rejected}");
            }
            (checked, _) => panic!("{line}: {checked:?}"),
        }
        // A compressed batch is not looked into.
        let compressed = BatchHeader { attributes: 1, ..header };
        let mut bytes = [&compressed.to_bytes()[..], &records].concat();
        patch::set_crc(&mut bytes);
        check_client_batch(&bytes).expect("compressed records are taken as they are");
    }
}

/// Each line: before.max.ms, after.max.ms, then times of records relative to now (`none` for -1) and the indexes refused.
const TIMESTAMPS: &str = "
    max   3600  0                 ->
    max   3600  3600              ->
    max   3600  3601              -> 0
    max   3600  0 3601 5 4000     -> 1 3
    max   3600  none              ->
    max   3600  none none 3601    -> 2
    max   3600  -1000000000000    ->
    max   max   9000000000000     ->
    1000  3600  -1000             ->
    1000  3600  -1001             -> 0
    1000  3600  0 -1001 none      -> 1
    1000  3600  -5000 3601        -> 0 1
    1000  max   0 -1001 9999999   -> 1
    0     0     0 0               ->
    0     0     1 0 -1            -> 0 2
";

#[test]
fn record_times_are_bounded_as_the_topic_says() {
    let number = |word: &str| word.parse::<i64>().expect("a number");
    let limit = |word: &str| if word == "max" { MAX } else { number(word) };
    for line in TIMESTAMPS.lines().filter(|line| !line.trim().is_empty()) {
        let (given, expected) = line.split_once("->").expect("an arrow");
        let expected: Vec<i32> = expected.split_whitespace().map(|index| index.parse().expect("an index")).collect();
        let mut given = given.split_whitespace();
        let mut next = || limit(given.next().expect("a limit"));
        let bounds = TimestampBounds { before_max_ms: next(), after_max_ms: next() };
        for codec in [Codec::None, Codec::Lz4] {
            let at = |word: &str| if word == "none" { NO_TIMESTAMP } else { NOW + number(word) };
            let add = |builder: BatchBuilder, word| builder.record(at(word), None, Some(b"v"));
            let bytes = given.clone().fold(BatchBuilder::new().codec(codec), add).build();
            let header = check_client_batch(&bytes).expect("valid");
            let (error, indexes) = match check_timestamps(&bytes, &header, bounds) {
                Ok(()) => (ErrorCode::NONE, Vec::new()),
                Err(rejected) => {
                    (rejected.error(), rejected.record_errors().iter().map(|record| record.batch_index).collect())
                }
            };
            assert_eq!(indexes, expected, "{line}");
            let code = if expected.is_empty() { ErrorCode::NONE } else { ErrorCode::INVALID_TIMESTAMP };
            assert_eq!(error, code, "{line}");
        }
    }
}

#[test]
fn header_settles_default_bounds_without_a_look_at_records() {
    let mut bytes = BatchBuilder::new().codec(Codec::Gzip).record(NOW - 5, None, None).record(NOW, None, None).build();
    bytes[HEADER_BYTES..].fill(0xff);
    let header = BatchHeader::parse(&bytes).expect("a batch");
    let check = |header: &BatchHeader, before_max_ms| {
        check_timestamps(&bytes, header, TimestampBounds { before_max_ms, after_max_ms: 3_600_000 })
    };
    assert_eq!(check(&header, MAX), Ok(()));
    assert!(matches!(check(&header, 1_000), Err(BatchRejected::Undecodable { .. })));
    let inconsistent = BatchHeader { max_timestamp: NO_TIMESTAMP, ..header };
    assert!(matches!(check(&inconsistent, MAX), Err(BatchRejected::Undecodable { .. })));
}

#[test]
fn keyless_records_are_named() {
    for codec in [Codec::None, Codec::Snappy] {
        let add = |builder: BatchBuilder, key: &Option<&[u8]>| builder.record(NOW, *key, Some(b"v"));
        let build = |keys: &[Option<&[u8]>]| keys.iter().fold(BatchBuilder::new().codec(codec), add).build();
        let check = |bytes: &[u8]| check_keys(bytes, limits());
        assert_eq!(check(&build(&[Some(b"a"), Some(b"")])), Ok(()));
        let rejected = check(&build(&[None, Some(b"a"), None])).expect_err("keyless");
        assert_eq!(rejected.error(), ErrorCode::INVALID_RECORD);
        assert_eq!(rejected.record_errors().iter().map(|record| record.batch_index).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(
            rejected.to_string(),
            "One or more records have been rejected due to 2 record errors in total, and only showing the first three errors \
             at most: [RecordError(batchIndex=0, message='Compacted topic cannot accept message without key in topic partition \
             t-0'), RecordError(batchIndex=2, message='Compacted topic cannot accept message without key in topic partition t-0')]"
        );
        let many = check(&build(&vec![None; RECORD_ERRORS_MAX + 1])).expect_err("keyless");
        assert_eq!(many.record_errors().len(), RECORD_ERRORS_MAX);
        assert!(many.to_string().contains(&format!("due to {} record errors", RECORD_ERRORS_MAX + 1)), "{many}");
        assert_eq!(many.to_string().matches("RecordError(").count(), 3);
    }
}

/// Kafka looks for a key first, and calls the whole a matter of time if any record's is.
#[test]
fn each_record_is_told_what_is_wrong_with_it() {
    let bounds = TimestampBounds { before_max_ms: MAX, after_max_ms: 5 };
    for codec in [Codec::None, Codec::Zstd] {
        let batch = BatchBuilder::new().codec(codec).record(NOW + 6, Some(b"k"), None).record(NOW + 7, None, None);
        let bytes = batch.record(NOW, Some(b"k"), None).build();
        let header = check_client_batch(&bytes).expect("valid");
        let rules = RecordRules { times: Some(bounds), keyed: Some(&"t-0") };
        let rejected = check_records(&bytes, &header, rules, NOW, limits()).expect_err("refused");
        assert_eq!(rejected.error(), ErrorCode::INVALID_TIMESTAMP);
        let told: Vec<_> = rejected.record_errors().iter().map(|record| record.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "Timestamp 1700000000006 of message with offset 0 is out of range. The timestamp should be within \
                 [-9223370336854775807, 1700000000005]",
                "Compacted topic cannot accept message without key in topic partition t-0"
            ]
        );
    }
}

/// The type LogAppendTime is the broker's to set: refused where the broker does, and where there is no time else.
#[test]
fn producers_do_not_claim_the_brokers_time() {
    let bounds = TimestampBounds { before_max_ms: MAX, after_max_ms: 5 };
    for (times, stamped, refused) in [
        (None, Some(NOW), true),
        (None, Some(NO_TIMESTAMP), true),
        (None, None, false),
        (Some(bounds), Some(NOW), false),
        (Some(bounds), Some(NOW + 6), true),
        (Some(bounds), Some(NO_TIMESTAMP), true),
        (Some(bounds), None, false),
    ] {
        for codec in [Codec::None, Codec::Gzip] {
            let batch = BatchBuilder::new().codec(codec).record(NOW, None, None).record(NOW, None, None);
            let mut bytes = batch.build();
            if let Some(time) = stamped {
                patch::stamp_log_append_time(&mut bytes, time);
            }
            let header = check_client_batch(&bytes).expect("valid");
            let outcome = check_records(&bytes, &header, RecordRules { times, keyed: None }, NOW, limits());
            let told = outcome.err().map(|rejected| (rejected.error(), rejected.record_errors().len()));
            assert_eq!(told, refused.then_some((ErrorCode::INVALID_TIMESTAMP, 2)), "{times:?} {stamped:?}");
        }
    }
}

#[test]
fn records_that_expand_beyond_the_limit_are_refused() {
    let bytes = BatchBuilder::new().codec(Codec::Zstd).record(NOW, Some(b"k"), Some(&vec![0; 1 << 20])).build();
    check_client_batch(&bytes).expect("valid");
    let small = DecompressionLimits { bytes_max: 1 << 20, ..limits() };
    let rejected = check_keys(&bytes, small).expect_err("too large");
    assert_eq!(rejected.error(), ErrorCode::INVALID_RECORD);
    assert_eq!(rejected.to_string(), "Record batch does not decode: zstd records expand to more than 1048576 bytes");
}

proptest! {
    /// Whatever the header settles, the records say too: the short way and the long way agree.
    #[test]
    fn header_never_settles_what_records_contradict(
        times in prop::collection::vec(prop_oneof![Just(None), (-3_i64..4).prop_map(Some)], 1..5),
        before in prop_oneof![Just(MAX), 0_i64..3], after in prop_oneof![Just(MAX), 0_i64..3],
    ) {
        let times: Vec<_> = times.into_iter().map(|time| time.map_or(NO_TIMESTAMP, |time| NOW + time)).collect();
        let bytes = times.iter().fold(BatchBuilder::new(), |builder, time| builder.record(*time, None, None)).build();
        let bounds = TimestampBounds { before_max_ms: before, after_max_ms: after };
        let outside = |time: &&Timestamp| {
            **time != NO_TIMESTAMP && (NOW - **time > before || **time - NOW > after)
        };
        let header = check_client_batch(&bytes).expect("valid");
        let rejected = check_timestamps(&bytes, &header, bounds).err();
        prop_assert_eq!(rejected.map_or(0, |rejected| rejected.record_errors().len()), times.iter().filter(outside).count());
    }
}
