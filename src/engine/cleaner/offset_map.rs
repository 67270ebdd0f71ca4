//! The newest offset of each key (`OffsetMap` in Kafka). Keys are kept by 128 bits of a keyed hash, which nobody can make two keys
//! share; so an entry takes the same memory whatever the key.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::types::Offset;

/// Memory of an entry, bytes, with what a map leaves free.
const ENTRY_BYTES: u64 = 48;

/// See the module.
pub(super) struct OffsetMap {
    seeds: [RandomState; 2],
    offsets: HashMap<(u64, u64), Offset>,
    keys_max: usize,
}

impl OffsetMap {
    /// An empty map of at most `bytes_max` bytes (`log.cleaner.dedupe.buffer.size`).
    pub fn new(bytes_max: u64) -> Self {
        let keys_max = usize::try_from(bytes_max / ENTRY_BYTES).unwrap_or(usize::MAX);
        Self { seeds: [RandomState::new(), RandomState::new()], offsets: HashMap::new(), keys_max }
    }

    /// Whether `keys` more have room.
    pub fn has_room_for(&self, keys: usize) -> bool {
        self.offsets.len().saturating_add(keys) <= self.keys_max
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Takes note of a key, newest last.
    pub fn put(&mut self, key: &[u8], offset: Offset) {
        let hash = self.hash(key);
        self.offsets.insert(hash, offset);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_counts_and_room_is_bounded() {
        let mut map = OffsetMap::new(3 * ENTRY_BYTES);
        assert!(map.is_empty() && map.has_room_for(3) && !map.has_room_for(4));
        map.put(b"a", 1);
        map.put(b"", 2);
        map.put(b"a", 7);
        assert_eq!((map.newest(b"a"), map.newest(b""), map.newest(b"b")), (Some(7), Some(2), None));
        assert!(map.has_room_for(1) && !map.has_room_for(2));
    }
}
