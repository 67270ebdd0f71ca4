//! Which partition a key belongs to, as Kafka's own producers choose it (`BuiltInPartitioner`), so that what is written by hand, or by
//! the broker itself, lies beside what applications write.

use crate::types::PartitionIndex;

/// The partition of `key` among `count`.
pub fn partition_of(key: &[u8], count: i32) -> PartitionIndex {
    (murmur2(key) & 0x7fff_ffff).checked_rem(count).unwrap_or(0)
}

/// The hash of `Utils.murmur2`.
fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> R;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    for (place, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * place);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Kafka's `UtilsTest`.
    #[test]
    fn keys_are_hashed_as_kafka_does() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
            assert!((0..7).contains(&partition_of(key.as_bytes(), 7)), "{key}");
        }
        assert_eq!(partition_of(b"a", 0), 0);
    }
}
