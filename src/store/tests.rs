//! What every [`Store`] does, run over both of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::memory::MemoryStore;
use super::rocks::{RocksStore, StoreOptions};
use super::schema::{
    LogKey, log_prefix, log_range, partition_key, producers_prefix, sparse_key, sparse_of_key, sparse_prefix,
    topic_log_range,
};
use super::*;
use crate::metrics::{FAMILIES, Source};
use crate::types::{ProducerEpoch, ProducerId, TopicNo};

pub(super) const PARTITION: PartitionId = PartitionId { topic: TopicNo(1), index: 0 };

/// A batch that the store can tell from others: its header's offset and length, then `fill`.
pub(super) fn batch(partition: PartitionId, base_offset: Offset, records: u32, size_bytes: u32) -> (LogKey, Bytes) {
    let key = LogKey {
        partition,
        base_offset,
        last_offset_delta: records - 1,
        size_bytes,
        max_timestamp: 1000 + base_offset,
        flags: 0,
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: -1,
    };
    let mut bytes = vec![base_offset as u8; size_bytes as usize];
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[8..12].copy_from_slice(&(size_bytes - 12).to_be_bytes());
    (key, Bytes::from(bytes))
}

pub(super) fn append(store: &dyn Store, partition: PartitionId, base_offset: Offset, records: u32, size_bytes: u32) {
    let (key, bytes) = batch(partition, base_offset, records, size_bytes);
    let mut rows = Rows::default();
    rows.put(key.encode(), bytes);
    store.write(&rows, 0).unwrap();
}

pub(super) fn small() -> StoreOptions {
    StoreOptions { memtable_bytes: 4 << 20, block_cache_bytes: 1 << 20, accept_loss: false }
}

/// Runs `check` over a store in memory, and over RocksDB with its rows in memtables and in files.
fn with_stores(fill: impl Fn(&dyn Store), check: impl Fn(&dyn Store, &str)) {
    let memory = MemoryStore::new();
    fill(&memory);
    check(&memory, "memory");
    let dir = tempfile::tempdir().unwrap();
    let rocks = RocksStore::open(dir.path(), &small()).unwrap().store;
    fill(&rocks);
    check(&rocks, "memtable");
    rocks.close().unwrap();
    check(&rocks, "files");
    drop(rocks);
    let rocks = RocksStore::open(dir.path(), &small()).unwrap().store;
    check(&rocks, "reopened");
}

fn read(store: &dyn Store, from: Offset, to: Offset, bytes_max: usize) -> Vec<(Offset, Offset, usize)> {
    let batches = store.read_log(PARTITION, from, to, bytes_max).unwrap();
    batches.iter().map(|batch| (batch.base_offset, batch.last_offset, batch.bytes.len())).collect()
}

#[test]
fn reads_begin_with_the_batch_that_holds_the_offset_and_end_at_the_limits() {
    const A: (Offset, Offset, usize) = (0, 9, 100);
    const B: (Offset, Offset, usize) = (10, 10, 5000);
    const C: (Offset, Offset, usize) = (11, 19, 200);
    // Compaction left 20..30 empty.
    const D: (Offset, Offset, usize) = (30, 39, 50);
    let fill = |store: &dyn Store| {
        for (base, last, size) in [A, B, C, D] {
            append(store, PARTITION, base, (last - base + 1) as u32, size as u32);
        }
        // Neighbours whose rows must not be met.
        for neighbour in [PartitionId { topic: TopicNo(0), index: u32::MAX }, PartitionId { index: 1, ..PARTITION }] {
            append(store, neighbour, 0, 100, 70);
        }
    };
    with_stores(fill, |store, name| {
        // from, to, bytes, batches
        for (from, to, bytes_max, expected) in [
            (0, 40, usize::MAX, &[A, B, C, D][..]),
            (9, 40, usize::MAX, &[A, B, C, D]),
            (10, 40, usize::MAX, &[B, C, D]),
            (15, 40, usize::MAX, &[C, D]),
            (20, 40, usize::MAX, &[D]),
            (35, 40, usize::MAX, &[D]),
            (40, 99, usize::MAX, &[]),
            (0, 10, usize::MAX, &[A]),
            (0, 11, usize::MAX, &[A, B]),
            (0, 12, usize::MAX, &[A, B, C]),
            (5, 6, usize::MAX, &[A]),
            (22, 30, usize::MAX, &[]),
            (5, 5, usize::MAX, &[]),
            (7, 5, usize::MAX, &[]),
            (-5, 10, usize::MAX, &[A]),
            (0, 40, 5099, &[A]),
            (0, 40, 5100, &[A, B]),
            (10, 40, 0, &[B]),
            (10, 40, 5199, &[B]),
            (10, 40, 5200, &[B, C]),
        ] {
            assert_eq!(read(store, from, to, bytes_max), expected, "{name}: {from}..{to} in {bytes_max} bytes");
        }
    });
}

#[test]
fn batches_come_back_byte_for_byte() {
    let sizes = [12, 100, 511, 512, 70_000];
    let fill = |store: &dyn Store| {
        for (index, size) in sizes.into_iter().enumerate() {
            append(store, PARTITION, index as Offset, 1, size);
        }
    };
    with_stores(fill, |store, name| {
        let batches = store.read_log(PARTITION, 0, 99, usize::MAX).unwrap();
        for (index, size) in sizes.into_iter().enumerate() {
            assert_eq!(batches[index].bytes, batch(PARTITION, index as Offset, 1, size).1, "{name}: {size}");
        }
    });
}

#[test]
fn read_batches_outlive_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path(), &small()).unwrap().store;
    append(&store, PARTITION, 0, 1, 5000);
    store.close().unwrap();
    let batches = store.read_log(PARTITION, 0, 1, usize::MAX).unwrap();
    drop(store);
    assert_eq!(batches[0].bytes, batch(PARTITION, 0, 1, 5000).1);
    assert!(matches!(RocksStore::open(dir.path(), &small()), Err(rocks::OpenError::Locked { .. })), "still in use");
    drop(batches);
    RocksStore::open(dir.path(), &small()).unwrap();
}

#[test]
fn scan_gives_facts_in_order_until_told_to_stop() {
    let fill = |store: &dyn Store| (0..5).for_each(|index| append(store, PARTITION, index * 10, 10, 2000));
    with_stores(fill, |store, name| {
        let scan = |from, to, stop_after: usize| {
            let mut seen = Vec::new();
            let visit = &mut |key: LogKey| {
                assert_eq!(key, batch(PARTITION, key.base_offset, 10, 2000).0, "{name}");
                seen.push(key.base_offset);
                seen.len() < stop_after
            };
            store.scan_log(PARTITION, from, to, visit).unwrap();
            seen
        };
        assert_eq!(scan(15, 31, usize::MAX), [10, 20, 30], "{name}");
        assert_eq!(scan(0, 50, 2), [0, 10], "{name}");
        assert_eq!(scan(50, 90, 2), Vec::<Offset>::new(), "{name}");
    });
}

#[test]
fn last_row_before_a_key_is_found_within_its_prefix() {
    let partitions = [0, 1, 3].map(|index| PartitionId { index, ..PARTITION });
    let fill = |store: &dyn Store| {
        let mut rows = Rows::default();
        for partition in partitions {
            for offset in [10, 20, 30, 40] {
                rows.put(sparse_key(partition, offset), offset.to_string().into_bytes());
            }
        }
        rows.delete(sparse_key(partitions[1], 40));
        store.write(&rows, 0).unwrap();
    };
    with_stores(fill, |store, name| {
        for (index, before, expected) in [
            (1, Offset::MAX, Some(30)),
            (1, 31, Some(30)),
            (1, 30, Some(20)),
            (1, 11, Some(10)),
            (1, 10, None),
            (2, Offset::MAX, None),
            (0, 0, None),
            (0, 100, Some(40)),
        ] {
            let partition = PartitionId { index, ..PARTITION };
            let found = store.last_before(&sparse_prefix(Some(partition)), &sparse_key(partition, before)).unwrap();
            let expected = expected.map(|offset: i64| (sparse_key(partition, offset), offset.to_string().into_bytes()));
            assert_eq!(found, expected, "{name}: partition {index} before {before}");
        }
        let (prefix, other) = (sparse_prefix(Some(partitions[1])), sparse_key(partitions[2], 20));
        let found = store.last_before(&prefix, &other).unwrap().map(|(key, _)| key);
        assert_eq!(found, Some(sparse_key(partitions[1], 30)), "{name}: behind all of the prefix");
        assert_eq!(store.last_before(&prefix, &sparse_key(partitions[0], 20)).unwrap(), None, "{name}");
        for (from, to, visits, expected) in [
            (sparse_key(partitions[0], 20), sparse_key(partitions[1], 20), 9, vec![20, 30, 40, 10]),
            (sparse_key(partitions[0], 20), sparse_key(partitions[1], 20), 2, vec![20, 30]),
            (sparse_key(partitions[0], 20), sparse_key(partitions[0], 20), 9, vec![]),
            (sparse_key(partitions[1], 20), sparse_key(partitions[0], 20), 9, vec![]),
            (sparse_key(partitions[1], 31), sparse_key(partitions[1], 50), 9, vec![]),
        ] {
            let mut visited = Vec::new();
            store
                .scan_range(&from, &to, &mut |key, value| {
                    let (_, offset) = sparse_of_key(key).unwrap();
                    assert_eq!(value, offset.to_string().as_bytes());
                    visited.push(offset);
                    visited.len() < visits
                })
                .unwrap();
            assert_eq!(visited, expected, "{name}");
        }
    });
}

#[test]
fn range_delete_leaves_the_rest_of_the_log_and_other_rows() {
    let other = PartitionId { index: 1, ..PARTITION };
    let fill = |store: &dyn Store| {
        for index in 0..4 {
            append(store, PARTITION, index * 10, 10, 1500);
            append(store, other, index * 10, 10, 1500);
        }
        let mut rows = Rows::default();
        rows.put(partition_key(PARTITION), &b"state"[..]);
        let (from, to) = log_range(PARTITION, 0, 20);
        rows.delete_log_range(from, to);
        store.write(&rows, 0).unwrap();
    };
    with_stores(fill, |store, name| {
        assert_eq!(read(store, 20, 99, usize::MAX).len(), 2, "{name}");
        assert_eq!(store.read_log(other, 0, 99, usize::MAX).unwrap().len(), 4, "{name}");
        assert_eq!(store.get(&partition_key(PARTITION)).unwrap().as_deref(), Some(&b"state"[..]), "{name}");
        // Whoever honours range deletes does not see them any more.
        let mut left = 0;
        store.scan(&log_prefix(PARTITION), &mut |_, _| left += 1).unwrap();
        assert_eq!(left, 2, "{name}");
        let mut topic = 0;
        let (from, to) = topic_log_range(PARTITION.topic);
        store.scan(&from, &mut |key, _| topic += usize::from(key < &to[..])).unwrap();
        assert_eq!(topic, 6, "{name}");
    });
}

#[test]
fn batch_that_is_not_its_key_is_reported() {
    let (key, bytes) = batch(PARTITION, 5, 1, 1500);
    let wrong_offset = batch(PARTITION, 6, 1, 1500).1;
    let mut wrong_length = bytes.to_vec();
    wrong_length[11] ^= 1;
    for value in [wrong_offset, Bytes::from(wrong_length), bytes.slice(..1499), bytes.slice(..3), Bytes::new()] {
        let fill = |store: &dyn Store| {
            let mut rows = Rows::default();
            rows.put(key.encode(), value.clone());
            store.write(&rows, 0).unwrap();
        };
        with_stores(fill, |store, name| {
            let error = store.read_log(PARTITION, 0, 9, usize::MAX).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error}");
            assert!(error.to_string().contains("partition #1-0 offset 5"), "{name}: {error}");
        });
    }
}

#[test]
fn sequence_counts_rows_and_a_write_without_rows_is_none() {
    with_stores(
        |_| (),
        |store, name| {
            let before = store.sequence();
            assert_eq!(store.write(&Rows::default(), 0).unwrap(), before, "{name}");
            let mut rows = Rows::default();
            rows.put(vec![0x60], &b"a"[..]);
            rows.delete(vec![0x61]);
            assert_eq!(store.write(&rows, before).unwrap(), before + 2, "{name}");
            assert_eq!(store.sequence(), before + 2, "{name}");
        },
    );
}

#[test]
fn figures_are_the_families_that_the_catalogue_has_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path(), &small()).unwrap().store;
    append(&store, PARTITION, 0, 1, 5000);
    store.sync().unwrap();
    let stats = store.stats();
    let (gauges, counters) = (stats.gauges.iter().map(|(name, _)| *name), stats.counters.iter().map(|(name, _)| *name));
    let of_store = FAMILIES.iter().filter(|family| family.source == Source::Store).map(|family| family.name);
    assert_eq!(gauges.chain(counters).collect::<BTreeSet<_>>(), of_store.collect::<BTreeSet<_>>());
    let counter = |name| stats.counters.iter().find(|(counter, _)| *counter == name).unwrap().1;
    assert!(counter(crate::metrics::WAL_BYTES_WRITTEN_TOTAL) >= 5000, "{stats:?}");
    assert!(counter(crate::metrics::WAL_SYNCS_TOTAL) >= 1, "{stats:?}");
}

#[test]
fn scan_of_keys_reads_no_batch() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path(), &small()).unwrap().store;
    (0..50).for_each(|index| append(&store, PARTITION, index, 1, 5000));
    store.close().unwrap();
    let before = store.blob_bytes_read();
    let mut keys = 0;
    store
        .scan_log(PARTITION, 0, 50, &mut |_| {
            keys += 1;
            true
        })
        .unwrap();
    assert_eq!((keys, store.blob_bytes_read() - before), (50, 0));
    store.read_log(PARTITION, 0, 50, 10_000).unwrap();
    let read = store.blob_bytes_read() - before;
    assert!((10_000..12_000).contains(&read), "two batches were asked for, {read} bytes were read");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Any mix of puts, deletes and range deletes leaves the same rows in both stores.
    #[test]
    fn both_stores_agree(
        operations in proptest::collection::vec((0u8..4, 0u8..6, 0u8..6, any::<u8>()), 1..40), cut in any::<proptest::sample::Index>(),
    ) {
        let memory = MemoryStore::new();
        let dir = tempfile::tempdir().unwrap();
        let mut rocks = RocksStore::open(dir.path(), &small()).unwrap().store;
        let key = |number: u8| batch(PARTITION, i64::from(number), 1, 20).0.encode();
        let cut = cut.index(operations.len());
        for (index, (kind, a, b, value)) in operations.into_iter().enumerate() {
            let mut rows = Rows::default();
            match kind {
                0 | 1 => rows.put(key(a), vec![value; 1 + usize::from(b) * 400]),
                2 => rows.delete(key(a)),
                _ => rows.delete_log_range(key(a.min(b)), key(a.max(b))),
            }
            prop_assert_eq!(memory.write(&rows, 0).unwrap(), rocks.write(&rows, 0).unwrap());
            if index == cut {
                drop(rocks);
                rocks = RocksStore::open(dir.path(), &small()).unwrap().store;
            }
        }
        let all = |store: &dyn Store| {
            let mut all = BTreeMap::new();
            store.scan(&log_prefix(PARTITION), &mut |key, value| { all.insert(key.to_vec(), value.to_vec()); }).unwrap();
            all
        };
        prop_assert_eq!(all(&memory), all(&rocks));
        prop_assert_eq!(all(&memory.crash(usize::MAX)), all(&rocks));
        let mut none = 0;
        rocks.scan(&producers_prefix(None), &mut |_, _| none += 1).unwrap();
        prop_assert_eq!(none, 0);
    }
}

#[test]
fn space_of_removed_rows_is_reclaimed_without_reading_batches() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path(), &small()).unwrap().store;
    let other = PartitionId { topic: TopicNo(2), index: 0 };
    for partition in [PARTITION, other] {
        (0..100).for_each(|offset| append(&store, partition, offset, 1, 20_000));
        // A blob file for each topic.
        store.close().unwrap();
    }
    let blob_bytes = || {
        let gauges = store.stats().gauges;
        gauges.into_iter().find(|(name, _)| *name == crate::metrics::STORAGE_BLOB_BYTES).unwrap().1
    };
    let (before, read) = (blob_bytes(), store.blob_bytes_read());
    assert!(before > 4e6, "{before}");
    let (from, to) = topic_log_range(PARTITION.topic);
    let mut rows = Rows::default();
    rows.delete_log_range(from.clone(), to.clone());
    store.write(&rows, 0).unwrap();
    store.reclaim_log_range(&from, &to).unwrap();
    let after = blob_bytes();
    assert!(after > 2e6 && after < before * 0.6, "{before} before, {after} after");
    assert_eq!(store.blob_bytes_read(), read);
    assert_eq!(store.read_log(other, 0, 100, usize::MAX).unwrap().len(), 100);
}

#[test]
fn batches_move_out_of_files_whose_other_batches_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path(), &small()).unwrap().store;
    let other = PartitionId { topic: TopicNo(2), index: 0 };
    // One file for both.
    for offset in 0..60 {
        append(&store, PARTITION, offset, 1, 20_000);
        append(&store, other, offset, 1, 2_000);
    }
    store.close().unwrap();
    let (from, to) = topic_log_range(PARTITION.topic);
    let mut rows = Rows::default();
    rows.delete_log_range(from.clone(), to.clone());
    store.write(&rows, 0).unwrap();
    store.reclaim_log_range(&from, &to).unwrap();
    let held = store.batch_space();
    assert!(held.bytes > 1_200_000 && held.garbage_bytes > 1_100_000, "{held:?}");
    let (from, to) = topic_log_range(other.topic);
    store.move_log_range(&from, &to).unwrap();
    let moved = store.batch_space();
    assert!(moved.bytes < 200_000 && moved.garbage_bytes == 0, "{moved:?}");
    assert_eq!(store.read_log(other, 0, 60, usize::MAX).unwrap().len(), 60);
}

#[test]
fn oldest_files_are_moved_as_far_as_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = RocksStore::open(dir.path(), &small()).unwrap().store;
    let other = PartitionId { topic: TopicNo(2), index: 0 };
    // Eight files for both; the index of all is one.
    for round in 0..8 {
        for offset in round * 10..round * 10 + 10 {
            append(&store, PARTITION, offset, 1, 20_000);
            append(&store, other, offset, 1, 20_000);
        }
        store.close().unwrap();
    }
    let (from, to) = topic_log_range(PARTITION.topic);
    let mut rows = Rows::default();
    rows.delete_log_range(from.clone(), to.clone());
    store.write(&rows, 0).unwrap();
    store.reclaim_log_range(&from, &to).unwrap();
    let held = store.batch_space();
    let file_bytes = held.bytes / 8;
    assert!(held.garbage_bytes > held.bytes * 2 / 5, "{held:?}");
    assert_eq!(store.move_oldest_batches(file_bytes / 2).unwrap(), 0, "no file fits");
    assert_eq!(store.batch_space(), held);
    // Room for two and a half: two files go, and what lives of them is written.
    assert_eq!(store.move_oldest_batches(file_bytes * 5 / 2).unwrap(), 2);
    let moved = store.batch_space();
    let gone = held.garbage_bytes - moved.garbage_bytes;
    assert!(gone.abs_diff(held.garbage_bytes / 4) < 10_000, "{held:?} {moved:?}");
    assert_eq!(store.move_oldest_batches(u64::MAX).unwrap(), 7);
    assert_eq!(store.batch_space().garbage_bytes, 0);
    assert_eq!(store.read_log(other, 0, 80, usize::MAX).unwrap().len(), 80);
}
