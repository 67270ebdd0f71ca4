//! Messages as rich as a version allows, made by the crate's own decoders: they are given bytes in which every array has
//! elements, every text letters and every number a value. So the messages need no table, and none can be forgotten in it.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};
use kafka_protocol::protocol::{Decodable, Encodable, Message};

/// Bytes that never end. What is read from them is made up at the time of the read.
struct Invented {
    /// None for the richest; else picks between null, empty, one and two for each count, and between tags.
    seed: Option<u64>,
    /// Reads so far: numbers that nothing is counted by differ from each other.
    reads: i64,
}

impl Invented {
    /// Elements of an array, letters of a text, tagged fields: two, or by the seed -1 (null) to 2.
    fn count(&mut self) -> i8 {
        self.reads += 1;
        match &mut self.seed {
            None => 2,
            Some(seed) => {
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Null is seldom: most fields may not be.
                [-1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2][(*seed >> 60) as usize]
            }
        }
    }
}

impl Buf for Invented {
    fn remaining(&self) -> usize {
        usize::MAX
    }

    fn chunk(&self) -> &[u8] {
        unreachable!("every type that messages have is read by a method below")
    }

    fn advance(&mut self, _: usize) {
        unreachable!("as for chunk")
    }

    /// Booleans, and varints one more than what they count.
    fn try_get_u8(&mut self) -> Result<u8, bytes::TryGetError> {
        Ok((self.count() + 1).cast_unsigned())
    }

    fn try_get_i8(&mut self) -> Result<i8, bytes::TryGetError> {
        Ok(self.count())
    }

    fn try_get_i16(&mut self) -> Result<i16, bytes::TryGetError> {
        Ok(self.count().into())
    }

    fn try_get_u16(&mut self) -> Result<u16, bytes::TryGetError> {
        Ok((self.count() + 1).cast_unsigned().into())
    }

    fn try_get_i32(&mut self) -> Result<i32, bytes::TryGetError> {
        Ok(self.count().into())
    }

    fn try_get_i64(&mut self) -> Result<i64, bytes::TryGetError> {
        self.reads += 1;
        Ok(self.reads << 33 | self.reads)
    }

    /// Bits of a floating point number: those of a positive integer are one.
    fn try_get_u64(&mut self) -> Result<u64, bytes::TryGetError> {
        self.try_get_i64().map(i64::cast_unsigned)
    }

    fn try_copy_to_slice(&mut self, to: &mut [u8]) -> Result<(), bytes::TryGetError> {
        to.copy_from_slice(&self.get_bytes(to.len()));
        Ok(())
    }
}

impl ByteBuf for Invented {
    fn peek_bytes(&mut self, _: Range<usize>) -> Bytes {
        unreachable!("messages are not looked ahead in")
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.reads += 1;
        let letter = b'a' + (self.reads % 26) as u8;
        vec![letter; size].into()
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        Ok(self.get_bytes(size))
    }
}

/// The richest message of a version; of tagged fields it has unknown ones only, the known ones come with seeds.
pub(crate) fn richest<M: Decodable>(version: i16) -> M {
    M::decode(&mut Invented { seed: None, reads: 0 }, version).expect("nothing is missing from it")
}

/// Some message of a version, or none if the seed makes none.
fn invented<M: Decodable>(version: i16, seed: u64) -> Option<M> {
    M::decode(&mut Invented { seed: Some(seed), reads: 0 }, version).ok()
}

/// Messages of the version, with null, empty and full fields and tags in many combinations.
const SEEDS: u64 = 200;

/// Asserts that the crate reads what it writes and writes the same again: the richest message of the version, and others.
pub(crate) fn assert_round_trips<M: Message + Encodable + Decodable + PartialEq + std::fmt::Debug>(
    name: &str,
    version: i16,
) {
    let others = (0..SEEDS).filter_map(|seed| invented::<M>(version, seed));
    let mut count = 0;
    for message in std::iter::once(richest::<M>(version)).chain(others) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).unwrap_or_else(|error| panic!("{name} v{version}: {error:#}: {message:?}"));
        assert_eq!(message.compute_size(version).ok(), Some(bytes.len()), "{name} v{version}: {message:?}");
        let mut rest = bytes.clone().freeze();
        let again =
            M::decode(&mut rest, version).unwrap_or_else(|error| panic!("{name} v{version}: {error:#}: {message:?}"));
        assert!(rest.is_empty(), "{name} v{version}: {} bytes are left of {message:?}", rest.len());
        assert_eq!(again, message, "{name} v{version}");
        let mut second = BytesMut::new();
        again.encode(&mut second, version).expect("it encoded before");
        assert_eq!(second, bytes, "{name} v{version}");
        count += 1;
    }
    assert!(count > 1, "{name} v{version}: no seed makes a message");
}
