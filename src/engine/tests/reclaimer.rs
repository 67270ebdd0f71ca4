//! What the periodic look at the files of batches does about garbage.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::harness::{Batches, TestEngine, plain, settings};
use crate::engine::dead::Space;
use crate::engine::reclaimer::Purged;
use crate::engine::settings::Settings;
use crate::record::BatchHeader;
use crate::store::rocks::{RocksStore, StoreOptions};
use crate::store::schema::{LogKey, id_block_key, log_range, prefix, producer_key, topic_log_range};
use crate::store::{BatchSpace, Rows, Store};
use crate::types::ProducerId;

const RESERVE_BYTES: u64 = 8000;

async fn start(bytes: u64, garbage_bytes: u64, free_bytes: u64) -> TestEngine {
    let broker = TestEngine::start_with(Settings { disk_reserve_bytes: RESERVE_BYTES, ..settings() });
    broker.store.memory.set_free_bytes(u64::MAX);
    broker.create("t", &[]).await;
    broker.create("u", &[]).await;
    // All that is no garbage is in use.
    broker.append("t", plain(&[&"v".repeat(40_000)])).await;
    broker.store.memory.set_free_bytes(free_bytes);
    broker.store.disk().space = BatchSpace { bytes, garbage_bytes };
    broker
}

/// Moves until one topic's batches have been: before them those of other long rows.
const MOVES: usize = 4;

fn long_rows() -> Vec<(Vec<u8>, Vec<u8>)> {
    [(0x11, 0x12), (0x15, 0x16), (0x20, 0x4a)].map(|(from, to)| (vec![from], vec![to])).into()
}

#[tokio::test]
async fn topics_are_moved_whole_where_there_is_room_and_the_oldest_files_where_not() {
    let (live, garbage) = (30_000, 40_000);
    let broker = start(live + garbage, garbage, RESERVE_BYTES + live).await;
    broker.reclaimer().look();
    let mut moved = long_rows();
    moved.push(topic_log_range(broker.partition("t").id.topic));
    assert_eq!(broker.store.disk().moved, moved);
    assert!(broker.store.disk().moved_oldest.is_empty());
    let broker = start(live + garbage, garbage, RESERVE_BYTES + live - 1).await;
    broker.reclaimer().look();
    let space = broker.store.disk().space;
    assert!(space.garbage_bytes * 4 <= space.bytes, "{space:?}");
    assert!(broker.store.disk().moved.is_empty());
    let moved = broker.store.disk().moved_oldest.clone();
    assert!(moved.len() > 1 && moved.iter().all(|bytes| *bytes <= (live + garbage) / 8), "{moved:?}");
    // With room for less than a part, that is all that is moved at a time.
    let broker = start(live + garbage, garbage, RESERVE_BYTES + 3000).await;
    broker.reclaimer().look();
    let moved = broker.store.disk().moved_oldest.clone();
    assert!(moved.len() > 1 && moved.iter().all(|bytes| *bytes == 3000), "{moved:?}");
}

#[tokio::test]
async fn a_low_disk_gives_back_more_and_a_part_of_what_is_free_serves_for_it() {
    let broker = start(48_000, 8000, 6000).await;
    broker.reclaimer().look();
    assert!(broker.store.disk().moved_oldest.is_empty());
    broker.started.disk_low.store(true, Ordering::Relaxed);
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved_oldest[0], 1500);
    let space = broker.store.disk().space;
    assert!(space.garbage_bytes * 20 <= space.bytes, "{space:?}");
}

#[tokio::test]
async fn what_fails_or_has_no_room_is_tried_again_by_the_next_look() {
    let broker = start(70_000, 40_000, u64::MAX).await;
    broker.store.disk().failures = 1;
    broker.reclaimer().look();
    assert!(broker.store.disk().moved.is_empty());
    assert_eq!(broker.store.disk().failures, 0);
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved.len(), MOVES);
    // Not even one file.
    let broker = start(70_000, 40_000, 4 * (Batches::FILE_BYTES - 1)).await;
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved_oldest, [Batches::FILE_BYTES - 1]);
    broker.store.memory.set_free_bytes(u64::MAX);
    broker.reclaimer().look();
    assert_eq!(broker.store.disk().moved.len(), MOVES);
}

#[tokio::test]
async fn space_that_no_topic_holds_is_found_without_being_handed_over() {
    // As after a kill right after DeleteTopics: the index has not been compacted, so nothing counts as garbage.
    let broker = start(90_000, 0, u64::MAX).await;
    broker.store.disk().hidden_garbage_bytes = 50_000;
    broker.reclaimer().look();
    assert_eq!(broker.store.wait_until_reclaimed(1), [(vec![prefix::LOG], vec![prefix::LOG + 1])]);
    assert_eq!(broker.store.disk().space, BatchSpace { bytes: 40_000, garbage_bytes: 0 }, "and moved away from");
    // What topics hold is no reason to look for it.
    broker.reclaimer().look();
    assert_eq!(broker.store.wait_until_reclaimed(1).len(), 1);
}

#[tokio::test]
async fn what_nothing_lowers_is_not_tried_again_before_more_has_come() {
    let broker = start(70_000, 40_000, u64::MAX).await;
    let mut looks = broker.reclaimer_of(broker.store.clone(), 500);
    broker.store.disk().pinned_garbage_bytes = 40_000;
    let mut look = || {
        looks.look();
        broker.store.disk().moved.len()
    };
    // Both topics, as garbage is still too much after the first.
    let all = MOVES + 1;
    assert_eq!([look(), look(), look()], [all; 3]);
    let grow = |bytes: u64| {
        let mut disk = broker.store.disk();
        disk.space.bytes += bytes;
        disk.space.garbage_bytes += bytes;
    };
    grow(1000);
    assert_eq!(look(), all);
    grow(1);
    assert_eq!(look(), 2 * all);
    assert_eq!(broker.store.disk().space.garbage_bytes, 40_000);
    assert_eq!([look(), look()], [3 * all; 2], "once more, as that gave something back");
    // What goes of itself is no more in the way: what comes then counts.
    broker.store.disk().space = BatchSpace { bytes: 41_000, garbage_bytes: 10_000 };
    assert_eq!(look(), 3 * all);
    broker.store.disk().space = BatchSpace { bytes: 60_000, garbage_bytes: 40_001 };
    assert_eq!(look(), 4 * all);
}

#[tokio::test]
async fn space_that_is_no_batches_has_the_log_compacted_once() {
    let broker = start(90_000, 0, u64::MAX).await;
    let mut looks = broker.reclaimer_of(broker.store.clone(), 500);
    let mut look = || {
        looks.look();
        broker.store.wait_until_reclaimed(0).len()
    };
    // Half of what no topic holds are message ids.
    broker.store.disk().hidden_garbage_bytes = 25_000;
    assert_eq!([look(), look()], [1, 1]);
    broker.store.disk().space.bytes += 1000;
    assert_eq!(look(), 1);
    broker.store.disk().space.bytes += 1;
    assert_eq!([look(), look()], [2, 2]);
}

#[tokio::test]
async fn space_of_records_that_clients_delete_waits_until_it_is_worth_it() {
    let broker = start(0, 0, u64::MAX).await;
    let mut looks = broker.reclaimer_of(broker.store.clone(), 1000);
    let [t, u] = ["t", "u"].map(|topic| broker.partition(topic).id);
    let deleted = |partition, rows_end, bytes| Purged::Records { partition, rows_end, space: Space::InTime { bytes } };
    let first = [deleted(t, 10, 300), deleted(u, 5, 300), deleted(t, 20, 399)];
    assert!(!looks.reclaim(first.into_iter()));
    looks.look();
    assert_eq!(broker.store.wait_until_reclaimed(0), []);
    assert!(!looks.reclaim([deleted(t, 15, 1)].into_iter()));
    looks.look();
    let ranges = [log_range(t, 0, 20), log_range(u, 0, 5)];
    assert_eq!(broker.store.wait_until_reclaimed(2), ranges, "one compaction for each partition");
    looks.look();
    assert_eq!(broker.store.wait_until_reclaimed(0).len(), 2);
    // What retention removes is worth it as it comes.
    assert!(looks.reclaim([Purged::Records { partition: u, rows_end: 7, space: Space::AtOnce }].into_iter()));
    assert_eq!(broker.store.wait_until_reclaimed(3)[2], log_range(u, 0, 7));
}

/// One row of message ids that lives keeps a file of batches, so it moves with them.
#[tokio::test]
async fn no_row_that_is_no_batch_keeps_the_garbage_beside_it() {
    let broker = start(0, 0, u64::MAX).await;
    let partition = broker.partition("t").id;
    let dir = tempfile::tempdir().expect("a directory");
    let options = StoreOptions { memtable_bytes: 64 << 20, ..StoreOptions::default() };
    let store = Arc::new(RocksStore::open(dir.path(), &options).expect("opens").store);
    let batch = plain(&[&"v".repeat(20_000)]).build().freeze();
    let mut rows = Rows::default();
    for base_offset in 0..100 {
        let header = BatchHeader::parse(&batch).expect("a header");
        rows.put(LogKey { base_offset, ..LogKey::of(partition, &header) }.encode(), batch.clone());
        rows.put(id_block_key(partition, base_offset, None), vec![2; 2000]);
    }
    // More than a table of the index holds lies between the two.
    for producer in 0..100_000 {
        rows.put(producer_key(partition, ProducerId(producer)), vec![3; 100]);
    }
    store.write(&rows, 0).expect("writes");
    store.close().expect("writes out");
    let mut rows = Rows::default();
    let (from, to) = log_range(partition, 0, 95);
    rows.delete_log_range(from.clone(), to.clone());
    store.write(&rows, 0).expect("writes");
    store.reclaim_log_range(&from, &to).expect("reclaims");
    let held = store.batch_space();
    assert!(held.garbage_bytes * 2 > held.bytes && held.garbage_bytes > 1_800_000, "{held:?}");
    broker.reclaimer_of(store.clone(), 1 << 16).look();
    let moved = store.batch_space();
    assert!(moved.garbage_bytes == 0 && moved.bytes < 400_000, "{moved:?}");
}

#[tokio::test]
async fn the_first_look_is_that_of_the_start() {
    let memory = start(0, 0, u64::MAX).await.store.memory.crash(usize::MAX);
    let space = BatchSpace { bytes: 90_000_000, garbage_bytes: 50_000_000 };
    let broker = TestEngine::start_with_space(memory, space);
    broker.store.wait_until_reclaimed(1);
}
