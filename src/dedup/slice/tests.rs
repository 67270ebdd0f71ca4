use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::dedup::Secret;

const SECRET: fn() -> Secret = || Secret::new(*b"0123456789abcdef");

fn id(number: u64, time: Timestamp) -> SealedId {
    let fingerprint = Fingerprint((u128::from(number) << 3).to_be_bytes());
    SealedId { fingerprint, partition: number as u32 % 7, offset: number as Offset * 3, time }
}

/// The whole file of these ids.
pub fn file_of(ids: &[SealedId], expected: u32) -> Vec<u8> {
    let mut placed: Vec<_> = ids.iter().map(|id| (SECRET().sealed_place(&id.fingerprint), *id)).collect();
    placed.sort_unstable_by_key(|(place, id)| (*place, id.fingerprint.0));
    let mut writer = SliceWriter::new(vec![0; SliceHead::BYTES], TopicNo(5), 9, 1000, expected);
    for (place, id) in &placed {
        writer.push(*place, id).expect("a vector takes all");
    }
    let (mut bytes, head, _) = writer.finish().expect("a vector takes all");
    bytes[..SliceHead::BYTES].copy_from_slice(&head.encode());
    bytes
}

fn open(bytes: &[u8]) -> Result<(SliceHead, SliceIndex), SliceError> {
    let too_short = SliceError::Damaged { from: bytes.len() as u64, to: SliceHead::BYTES as u64, what: "too short" };
    let head = SliceHead::decode(bytes.first_chunk().ok_or(too_short)?, bytes.len() as u64)?;
    let index = SliceIndex::decode(&head, &bytes[head.index_at() as usize..])?;
    Ok((head, index))
}

/// Looks an id up as a broker does; reads none where the filter says no.
fn find(bytes: &[u8], index: &SliceIndex, fingerprint: &Fingerprint) -> Result<Option<SealedId>, SliceError> {
    let place = SECRET().sealed_place(fingerprint);
    if !index.may_hold(place) {
        return Ok(None);
    }
    let bucket = index.bucket_of(place);
    let (at, length) = index.bucket_range(bucket);
    index.find(bucket, &bytes[at as usize..at as usize + length], fingerprint)
}

/// Reads all of it; answers the ids.
fn all(bytes: &[u8]) -> Result<Vec<SealedId>, SliceError> {
    let (head, index) = open(bytes)?;
    let mut ids = Vec::new();
    for bucket in 0..head.buckets() {
        let (at, length) = index.bucket_range(bucket);
        ids.extend(index.ids(bucket, &bytes[at as usize..at as usize + length])?);
    }
    Ok(ids)
}

#[test]
fn every_id_is_found_and_others_seldom_cost_a_read() {
    const IDS: u64 = 100_000;
    let ids: Vec<_> = (0..IDS).map(|number| id(number, number as Timestamp / 10)).collect();
    let bytes = file_of(&ids, IDS as u32);
    let (head, index) = open(&bytes).expect("sound");
    assert_eq!((head.topic, head.number, head.until, head.ids), (TopicNo(5), 9, 1000, IDS as u32));
    assert_eq!((head.oldest, head.newest), (0, IDS as Timestamp / 10 - 1));
    for id in &ids {
        assert_eq!(find(&bytes, &index, &id.fingerprint), Ok(Some(*id)));
    }
    let perhaps = (IDS..2 * IDS).filter(|number| index.may_hold(SECRET().sealed_place(&id(*number, 0).fingerprint)));
    let perhaps = perhaps.count();
    assert!((400..1200).contains(&perhaps), "{perhaps} of {IDS}");
    assert!((IDS..2 * IDS).all(|number| find(&bytes, &index, &id(number, 0).fingerprint) == Ok(None)));
    let bytes_per_id = index.bytes() as f64 / IDS as f64;
    assert!((1.3..1.45).contains(&bytes_per_id), "{bytes_per_id} bytes of memory for an id");
    assert!(bytes.len() as u64 / IDS < 38);
}

#[test]
fn place_is_the_same_in_every_version() {
    // Slices on disk are in its order.
    let place = SECRET().sealed_place(&Fingerprint(*b"a fingerprint of"));
    assert_eq!(place, 15_273_196_105_633_279_719);
}

#[test]
fn files_are_the_same_in_every_version() {
    let bytes = file_of(&[id(1, 7), id(2, 8)], 2);
    assert_eq!((bytes.len(), crc32c::crc32c(&bytes)), (220, 1_301_278_513));
}

#[test]
fn slice_of_a_later_version_is_told_from_a_damaged_one() {
    let mut bytes = file_of(&[id(1, 7)], 1);
    bytes[11] = 2;
    let crc = crc32c::crc32c(&bytes[..SliceHead::BYTES - CRC_BYTES]);
    bytes[SliceHead::BYTES - CRC_BYTES..SliceHead::BYTES].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(open(&bytes).expect_err("newer"), SliceError::Newer { found: 2 });
}

#[test]
fn every_damaged_bit_is_found_and_named_by_its_range() {
    let ids: Vec<_> = (0..200).map(|number| id(number, 7)).collect();
    let bytes = file_of(&ids, 200);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        match all(&damaged) {
            Err(SliceError::Damaged { from, to, .. }) => {
                assert!((from..to).contains(&(at as u64)) || at < SliceHead::BYTES, "{at}: {from} to {to}");
            }
            Err(SliceError::Newer { .. }) => panic!("{at}: newer"),
            Ok(_) => panic!("{at}: found sound"),
        }
    }
    for length in [0, 1, SliceHead::BYTES - 1, SliceHead::BYTES, bytes.len() - 1] {
        all(&bytes[..length]).expect_err("too short");
    }
    all(&[&bytes[..], &[0]].concat()).expect_err("too long");
}

#[test]
fn bucket_of_another_place_or_slice_is_damage() {
    let ids: Vec<_> = (0..1000).map(|number| id(number, 7)).collect();
    let bytes = file_of(&ids, 1000);
    let (_, index) = open(&bytes).expect("sound");
    let (at, length) = index.bucket_range(3);
    let bucket = &bytes[at as usize..at as usize + length];
    assert!(index.ids(3, bucket).is_ok());
    let other = SliceIndex { number: 10, ..open(&bytes).expect("sound").1 };
    assert!(other.ids(3, bucket).is_err() && index.ids(4, bucket).is_err());
}

/// Ids by their fingerprints, in a file made for more or fewer; and others.
fn slices() -> impl Strategy<Value = (BTreeMap<u64, Timestamp>, u32, Vec<u64>)> {
    let ids = prop::collection::btree_map(0..2000_u64, -5..1000_i64, 0..300);
    (ids, 0..600_u32, prop::collection::vec(0..2000_u64, 0..50))
}

proptest! {
    #[test]
    fn slice_agrees_with_a_map((known, expected, asked) in slices()) {
        let ids: Vec<_> = known.iter().map(|(number, time)| id(*number, *time)).collect();
        let bytes = file_of(&ids, expected);
        let (head, index) = open(&bytes).expect("sound");
        prop_assert_eq!(head.ids as usize, ids.len());
        for number in asked {
            let expected = known.get(&number).map(|time| id(number, *time));
            prop_assert_eq!(find(&bytes, &index, &id(number, 0).fingerprint), Ok(expected));
        }
        let places: Vec<_> = all(&bytes).expect("sound").iter().map(|id| SECRET().sealed_place(&id.fingerprint)).collect();
        prop_assert!(places.is_sorted() && places.len() == ids.len());
        prop_assert_eq!(head.newest, known.values().copied().max().unwrap_or(Timestamp::MIN));
    }

    #[test]
    fn whatever_the_bytes_are_reading_ends_without_a_panic(
        ids in 0..40_u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        length in any::<prop::sample::Index>(),
        repairs in any::<bool>(),
    ) {
        let ids: Vec<_> = (0..ids).map(|number| id(number, 7)).collect();
        let mut bytes = file_of(&ids, 20);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(length.index(bytes.len() + 1).max(SliceHead::BYTES));
        if repairs {
            // So that what the head says is taken for true.
            let crc = crc32c::crc32c(&bytes[..SliceHead::BYTES - CRC_BYTES]);
            bytes[SliceHead::BYTES - CRC_BYTES..SliceHead::BYTES].copy_from_slice(&crc.to_be_bytes());
        }
        let _ = all(&bytes);
    }
}
