use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::record::build::BatchBuilder;
use crate::record::codec::{Codec, DecompressionLimits, decompress};
use crate::record::records::{records, times};
use crate::record::validate::{RecordRules, check_client_batch, check_records};

/// A batch as Kafka's protocol guide lays it out, each field with a value of its own.
fn sample() -> Vec<u8> {
    let fields: [&[u8]; 14] = [
        &0x0102_i64.to_be_bytes(),
        &(61_i32 + 3 - 12).to_be_bytes(),
        &7_i32.to_be_bytes(),
        &[2],
        &0xdead_beef_u32.to_be_bytes(),
        &0b101_0100_i16.to_be_bytes(),
        &9_i32.to_be_bytes(),
        &1000_i64.to_be_bytes(),
        &2000_i64.to_be_bytes(),
        &4711_i64.to_be_bytes(),
        &5_i16.to_be_bytes(),
        &2_147_483_640_i32.to_be_bytes(),
        &10_i32.to_be_bytes(),
        b"abc",
    ];
    fields.concat()
}

#[test]
fn header_is_read_field_by_field() {
    let header = BatchHeader::parse(&sample()).expect("a batch");
    let expected = BatchHeader {
        base_offset: 0x0102,
        size_bytes: 64,
        leader_epoch: LeaderEpoch(7),
        crc: 0xdead_beef,
        attributes: 0b101_0100,
        last_offset_delta: 9,
        base_timestamp: 1000,
        max_timestamp: 2000,
        producer_id: ProducerId(4711),
        producer_epoch: ProducerEpoch(5),
        base_sequence: 2_147_483_640,
        record_count: 10,
    };
    assert_eq!(header, expected);
    assert_eq!(header.to_bytes(), sample()[..HEADER_BYTES]);
    assert_eq!((header.last_offset(), header.last_sequence()), (0x0102 + 9, 1));
    assert_eq!((header.codec(), header.delete_horizon()), (Ok(Codec::Zstd), Some(1000)));
    assert!(header.is_transactional() && header.is_idempotent());
    assert!(!header.is_control() && !header.is_log_append_time());
}

#[test]
fn bytes_that_are_not_one_batch_are_refused() {
    let sample = sample();
    let with = |at: usize, byte: u8| {
        let mut bytes = sample.clone();
        bytes[at] = byte;
        BatchHeader::parse(&bytes)
    };
    assert_eq!(BatchHeader::parse(&sample[..60]), Err(BatchInvalid::TooShort { bytes: 60 }));
    assert_eq!(BatchHeader::parse(&sample[..63]), Err(BatchInvalid::Length { declared: 64, present: 63 }));
    assert_eq!(with(11, 53), Err(BatchInvalid::Length { declared: 65, present: 64 }));
    assert_eq!(with(8, 0xff), Err(BatchInvalid::Length { declared: 64 - (1 << 24), present: 64 }));
    assert_eq!(with(MAGIC_AT, 1), Err(BatchInvalid::Magic { magic: 1 }));
    assert_eq!(with(MAGIC_AT, 0xff), Err(BatchInvalid::Magic { magic: -1 }));
}

#[test]
fn sequences_wrap_as_kafka_increments_them() {
    for (sequence, increment, expected) in [
        (0, 0, 0),
        (5, 7, 12),
        (i32::MAX, 1, 0),
        (i32::MAX - 1, 1, i32::MAX),
        (i32::MAX - 2, 10, 7),
        (i32::MAX, i32::MAX, i32::MAX - 1),
    ] {
        assert_eq!(advance_sequence(sequence, increment), expected, "{sequence} + {increment}");
    }
}

#[test]
fn each_flipped_bit_is_detected() {
    let batch = BatchBuilder::new().record(1_000, Some(b"key"), Some(b"value")).build();
    for bit in 0..batch.len() * 8 {
        let mut flipped = batch.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // The leader epoch is the broker's own field; what a client sends there means nothing.
        let ignored = (LEADER_EPOCH_AT..MAGIC_AT).contains(&(bit / 8));
        assert_eq!(check_client_batch(&flipped).is_ok(), ignored, "bit {bit}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in vec(any::<u8>(), 0..300), codec in 0_u8..8, count in 0_i32..5, shaped in any::<bool>(),
    ) {
        if shaped && bytes.len() >= HEADER_BYTES {
            let length = bytes.len() as i32 - 12;
            put(&mut bytes, LENGTH_AT, length.to_be_bytes());
            put(&mut bytes, MAGIC_AT, MAGIC_V2.to_be_bytes());
            put(&mut bytes, ATTRIBUTES_AT, i16::from(codec).to_be_bytes());
            put(&mut bytes, RECORD_COUNT_AT, count.to_be_bytes());
        }
        let _ = check_client_batch(&bytes);
        let limits = DecompressionLimits::default();
        if let Ok(header) = BatchHeader::parse(&bytes) {
            prop_assert!(usize::try_from(header.size_bytes) == Ok(bytes.len()));
            let _ = check_records(&bytes, &header, RecordRules { times: None, keyed: Some(&"t-0") }, 0, limits);
            let _ = times(&bytes, limits).map(Iterator::count);
        }
        if let Ok(codec) = Codec::from_attributes(codec.into()) {
            let _ = decompress(codec, &bytes, limits);
        }
        let _ = records(&bytes, count).count();
    }
}
