//! The newest offset of each key (`OffsetMap` in Kafka). Keys are kept by 128 bits of a keyed hash, which nobody can make two keys
//! share; so an entry takes the same memory whatever the key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use crate::types::Offset;

/// Memory of a slot of the map, bytes: hash, offset, and a byte of the map's own.
const SLOT_BYTES: u64 = 25;

/// See the module. It is made as large as it will ever be: one that grows would hold two tables for a while. Memory that no key has
/// come to is none that is taken.
pub(super) struct OffsetMap {
    seeds: [RandomState; 2],
    offsets: HashMap<(u64, u64), Offset>,
    keys_max: usize,
}

impl OffsetMap {
    /// An empty map for at most `keys` keys, of at most `bytes_max` bytes (`log.cleaner.dedupe.buffer.size`), but with room for one.
    pub fn new(bytes_max: u64, keys: u64) -> Self {
        let keys_max = usize::try_from(keys_in(bytes_max).min(keys)).unwrap_or(usize::MAX).max(1);
        let offsets = HashMap::with_capacity(keys_max);
        Self { seeds: [RandomState::new(), RandomState::new()], offsets, keys_max }
    }

    /// Takes note of a key, newest last; answers false, and does not, if it is a new one for which there is no room.
    pub fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let is_full = self.offsets.len() >= self.keys_max;
        match self.offsets.entry(self.hash(key)) {
            Entry::Occupied(mut known) => {
                known.insert(offset);
                true
            }
            Entry::Vacant(_) if is_full => false,
            Entry::Vacant(new) => {
                new.insert(offset);
                true
            }
        }
    }

    /// The newest offset of `key`, if it was seen.
    pub fn newest(&self, key: &[u8]) -> Option<Offset> {
        self.offsets.get(&self.hash(key)).copied()
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let [first, second] = &self.seeds;
        (first.hash_one(key), second.hash_one(key))
    }
}

/// How many keys a map of so many bytes holds: its slots are a power of two, of which an eighth stays free.
fn keys_in(bytes_max: u64) -> u64 {
    let slots = (bytes_max / SLOT_BYTES).checked_ilog2().map_or(0, |log| 1_u64 << log);
    slots - slots.div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_counts_and_room_is_bounded() {
        let mut map = OffsetMap::new(4 * SLOT_BYTES, 100);
        assert!(map.put(b"a", 1) && map.put(b"", 2) && map.put(b"a", 7) && map.put(b"c", 8));
        assert!(!map.put(b"d", 9) && map.put(b"a", 10), "a new one has no room, a known one needs none");
        assert_eq!(["a", "", "d"].map(|key| map.newest(key.as_bytes())), [Some(10), Some(2), None]);
        let mut map = OffsetMap::new(1 << 20, 1);
        assert!(map.put(b"a", 1) && !map.put(b"b", 2), "no more than are to be expected");
        assert!(OffsetMap::new(0, 0).put(b"a", 1), "or it would never get on");
    }

    #[test]
    fn no_map_takes_more_than_its_bytes() {
        for bytes_max in [200, 1 << 20, 3_000_000, 128 << 20] {
            let map = OffsetMap::new(bytes_max, u64::MAX);
            let slots = (map.offsets.capacity() as u64 + 1).next_power_of_two();
            assert!(slots * SLOT_BYTES <= bytes_max, "{slots} slots in {bytes_max} bytes");
            assert!(map.keys_max <= map.offsets.capacity(), "it does not grow");
            assert!(slots * SLOT_BYTES * 2 + SLOT_BYTES > bytes_max / 2, "nor wastes more than half");
        }
    }
}
